-- Every state that a withdrawal went through, and when; its fee is an entry of its own in the journal.

-- Withdrawals of before have no such rows and entries, so a replay would give others than those that are there.
do $$ begin
    if exists (select from withdrawals) then
        raise exception 'these books have withdrawals of an earlier version, which this one cannot replay; '
            'begin new ones in an empty database';
    end if;
end $$;

-- Each is STATUS:nanoseconds, in their order: one may come again when a sending failed.
alter table withdrawals add column passed text[] not null default '{}';

create or replace function withdrawal_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status in ('SENT', 'REFUSED')
        or new.status = 'UNCONFIRMED' and old.status <> 'UNCONFIRMED'
        or new.status = 'REVIEW' and old.status not in ('UNCONFIRMED', 'REVIEW')
    then
        raise exception 'withdrawal % cannot go from % to %', old.id, old.status, new.status
            using errcode = 'restrict_violation';
    end if;
    if (new.id, new.user_id, new.chain, new.asset, new.amount, new.address, new.fee)
            is distinct from (old.id, old.user_id, old.chain, old.asset, old.amount, old.address, old.fee)
        or old.confirmed_at is not null
            and (new.confirmed_at, new.tier, new.approvals_needed, new.review_reasons)
            is distinct from (old.confirmed_at, old.tier, old.approvals_needed, old.review_reasons)
        or new.approvals_given[:cardinality(old.approvals_given)] <> old.approvals_given
        or new.passed[:cardinality(old.passed)] <> old.passed
        or new.updated_seq < old.updated_seq
    then
        raise exception 'withdrawal % of % to % with a fee of %: that stays, and so do decisions, approvals and the '
            'states it went through', old.id, old.amount, old.address, old.fee using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
