-- Accounts, sessions and keys, in a schema of their own.
--
-- What opens an account is never here in the clear: passwords are argon2id hashes over a keyed digest, tokens and
-- recovery codes keyed hashes, and what must be read back (TOTP and API secrets) is sealed to its row. The keys to all
-- of them are not in the database. An account's id is its user's id in the books.

create schema access;

-- Which master key the rest was written with: another would open nothing.
create table access.keyring (
    one boolean primary key default true check (one),
    fingerprint bytea not null check (octet_length(fingerprint) = 32)
);

create table access.accounts (
    id text primary key check (id ~ '^u[a-z2-7]{20}$'),
    email text unique check (email = lower(email) and email ~ '^[^@[:space:]]+@[^@[:space:]]+$'
        and char_length(email) <= 254),
    wallet_address text unique check (wallet_address ~ '^0x[0-9a-f]{40}$'),
    password_hash text check (password_hash like '$argon2id$%'),
    totp_secret bytea check (octet_length(totp_secret) > 28), -- nonce and tag alone take 28
    totp_confirmed_at timestamptz,
    totp_last_step bigint check (totp_last_step >= 0),
    created_at timestamptz not null,
    in_books_at timestamptz, -- null until the books have answered that they know this user
    check (email is not null or wallet_address is not null),
    check (password_hash is null or email is not null),
    check (totp_secret is not null or (totp_confirmed_at is null and totp_last_step is null)),
    check (totp_last_step is null or totp_confirmed_at is not null)
);

create function access.account_keeps_its_id() returns trigger language plpgsql as $$
begin
    if (new.id, new.created_at) is distinct from (old.id, old.created_at) then
        raise exception 'account % stays who it is', old.id using errcode = 'restrict_violation';
    end if;
    -- A step counts once: to go back would let a code be used again. A new secret starts anew.
    if new.totp_secret is not distinct from old.totp_secret
        and coalesce(new.totp_last_step, -1) < coalesce(old.totp_last_step, -1)
    then
        raise exception 'the last step of account % cannot go from % to %', old.id, old.totp_last_step,
            new.totp_last_step using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create trigger keeps_its_id before update on access.accounts
    for each row execute function access.account_keeps_its_id();
create trigger never_deleted before delete on access.accounts
    for each row execute function public.refuse_change();

-- One letter's token. `subject` is what it confirms, where that is more than the address: a withdrawal, say.
create table access.email_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    purpose text not null check (purpose in ('REGISTER', 'PASSWORD', 'EMAIL', 'WITHDRAWAL', 'ADDRESS')),
    email text not null check (email = lower(email)),
    account_id text references access.accounts,
    subject text not null default '',
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    check (expires_at > created_at),
    check (used_at >= created_at and used_at <= expires_at),
    check ((account_id is null) = (purpose = 'REGISTER')),
    check ((subject <> '') = (purpose in ('WITHDRAWAL', 'ADDRESS')))
);
create index on access.email_tokens (purpose, email) where used_at is null;
create index on access.email_tokens (expires_at);

create table access.trusted_devices (
    id text primary key check (id ~ '^d[a-z2-7]{20}$'),
    account_id text not null references access.accounts,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    name text not null check (char_length(name) between 1 and 100),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz,
    check (expires_at > created_at)
);
create index on access.trusted_devices (account_id);

-- A session is one log-in and the family of refresh tokens that came of it.
create table access.sessions (
    id text primary key check (id ~ '^s[a-z2-7]{20}$'),
    account_id text not null references access.accounts,
    method text not null check (method in ('PASSWORD', 'WALLET')),
    device_id text references access.trusted_devices,
    ip inet not null,
    user_agent text not null check (char_length(user_agent) <= 200),
    unusual boolean not null, -- from a network and a device the account was not used from before
    created_at timestamptz not null,
    expires_at timestamptz not null,
    last_used_at timestamptz not null,
    second_factor_at timestamptz,
    revoked_at timestamptz,
    revoked_for text check (revoked_for in ('LOG_OUT', 'REVOKED', 'REUSE', 'PASSWORD', 'OPERATOR')),
    check (expires_at > created_at),
    check ((revoked_at is null) = (revoked_for is null))
);
create index on access.sessions (account_id, created_at);
create index on access.sessions (revoked_at) where revoked_at is not null;

create function access.revoked_stays_revoked() returns trigger language plpgsql as $$
begin
    if old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at
        or (new.id, new.account_id, new.created_at) is distinct from (old.id, old.account_id, old.created_at)
    then
        raise exception 'row % of % stays whose it is, and revoked', old.id, tg_table_name
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create trigger stays_revoked before update on access.sessions
    for each row execute function access.revoked_stays_revoked();
create trigger stays_revoked before update on access.trusted_devices
    for each row execute function access.revoked_stays_revoked();

create table access.refresh_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id text not null references access.sessions on delete cascade,
    created_at timestamptz not null,
    used_at timestamptz check (used_at >= created_at)
);
create unique index one_unused_refresh_token on access.refresh_tokens (session_id) where used_at is null;

-- Between a right password, or a wallet's signature, and the second factor.
create table access.challenges (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    account_id text not null references access.accounts,
    method text not null check (method in ('PASSWORD', 'WALLET')),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    used_at timestamptz
);
create index on access.challenges (expires_at);

create table access.recovery_codes (
    code_hash bytea primary key check (octet_length(code_hash) = 32),
    account_id text not null references access.accounts,
    created_at timestamptz not null,
    used_at timestamptz check (used_at >= created_at)
);
create index on access.recovery_codes (account_id);

create table access.wallet_nonces (
    nonce text primary key check (nonce ~ '^[A-Za-z0-9]{16,64}$'),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    used_at timestamptz check (used_at >= created_at)
);
create index on access.wallet_nonces (expires_at);

create table access.api_keys (
    id text primary key check (id ~ '^k[a-z2-7]{20}$'),
    account_id text not null references access.accounts,
    name text not null check (char_length(name) between 1 and 100),
    scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['READ', 'TRADE', 'WITHDRAW']),
    networks cidr[] not null, -- empty: from anywhere
    secret bytea not null check (octet_length(secret) > 28),
    previous_secret bytea check (octet_length(previous_secret) > 28),
    previous_until timestamptz,
    created_at timestamptz not null,
    changed_at timestamptz not null check (changed_at >= created_at),
    revoked_at timestamptz,
    check ((previous_secret is null) = (previous_until is null)),
    check (not 'WITHDRAW' = any (scopes) or cardinality(networks) > 0)
);
create index on access.api_keys (account_id);
create index on access.api_keys (changed_at);
create trigger stays_revoked before update on access.api_keys
    for each row execute function access.revoked_stays_revoked();

-- Failed guesses: of an address or an account, known or not (as a keyed hash), of a network, of letters sent.
create table access.guesses (
    subject bytea primary key check (octet_length(subject) = 32),
    failures integer not null check (failures >= 0),
    last_at timestamptz not null,
    locked_until timestamptz
);
create index on access.guesses (last_at);

-- What happened to an account's ways in, for its owner and for operators.
create table access.security_events (
    id bigint generated always as identity primary key,
    account_id text not null references access.accounts,
    kind text not null check (char_length(kind) between 1 and 40),
    detail text not null check (char_length(detail) <= 200),
    ip inet,
    at timestamptz not null
);
create index on access.security_events (account_id, id);
create trigger append_only before update or delete on access.security_events
    for each row execute function public.refuse_change();
create trigger never_emptied before truncate on access.security_events
    for each statement execute function public.refuse_change();
