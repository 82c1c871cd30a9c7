-- What lets many requests at once, and answers that were lost, be told from guesses and theft.

-- When each attempt that is still being looked at began: it is no failure yet, and takes up room.
alter table access.guesses add column in_flight timestamptz[] not null default '{}';

-- What the last code was used for, as a keyed hash: the same request sent again may show it again.
alter table access.accounts
    add column totp_last_use bytea check (octet_length(totp_last_use) = 32),
    add check (totp_last_use is null or totp_last_step is not null);
alter table access.recovery_codes
    add column used_for bytea check (octet_length(used_for) = 32),
    add check (used_for is null or used_at is not null);

-- Which token this one came of, and from where a token was used: the answer to that may have been lost.
alter table access.refresh_tokens
    add column follows bytea check (octet_length(follows) = 32),
    add column used_from inet,
    add check (used_from is null or used_at is not null);
