-- Deposits, withdrawals and hot wallets in every state they have, and what readers look rows up by.

-- Inputs mean more than before, so a replay of older ones would give other rows than those that are there.
do $$ begin
    if exists (select from input_journal) then
        raise exception 'these books were written by an earlier version, whose inputs this one cannot replay; '
            'begin new ones in an empty database';
    end if;
end $$;

-- ------------------------------------------------------------------------------------------------ chain

drop trigger forward on deposits;
drop trigger forward on withdrawals;
drop trigger stays on withdrawals;
drop function transfer_moves_forward();
drop function withdrawal_stays();

alter table deposits add column reason text;

create function deposit_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status <> 'PENDING' or new.confirmations < old.confirmations
        or (new.id, new.user_id, new.chain, new.asset, new.amount, new.tx_hash)
            is distinct from (old.id, old.user_id, old.chain, old.asset, old.amount, old.tx_hash)
    then
        raise exception 'deposit % cannot go from (%, % confirmations) to (%, % confirmations): an ended one is '
            'final, confirmations rise, and whose and what it is stays', old.id,
            old.status, old.confirmations, new.status, new.confirmations using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger forward before update on deposits for each row execute function deposit_moves_forward();

-- UNCONFIRMED → REVIEW or APPROVED → (QUEUED →) SENDING → SENT; REFUSED from any before SENDING. A sending that failed
-- goes back to APPROVED, or ends REFUSED. `approvals_given` are ROLE:operator.
alter table withdrawals
    drop constraint withdrawals_status_check,
    add check (status in ('UNCONFIRMED', 'REVIEW', 'APPROVED', 'QUEUED', 'SENDING', 'SENT', 'REFUSED')),
    add column tier text,
    add column approvals_needed text[] not null default '{}',
    add column approvals_given text[] not null default '{}',
    add column review_reasons text[] not null default '{}',
    add column confirmed_at timestamptz,
    add column approved_at timestamptz,
    add column queued_at timestamptz,
    add column sending_at timestamptz,
    add column refused_by text,
    add column updated_seq bigint not null,
    add check ((tier is null) = (confirmed_at is null)),
    add check (confirmed_at is null or status <> 'UNCONFIRMED'),
    add check (confirmed_at is not null or status in ('UNCONFIRMED', 'REFUSED')),
    add check (cardinality(approvals_given) <= cardinality(approvals_needed)),
    add check ((approved_at is null) = (confirmed_at is null
        or cardinality(approvals_given) < cardinality(approvals_needed))),
    add check (approved_at is not null or status in ('UNCONFIRMED', 'REVIEW', 'REFUSED')),
    add check (approved_at is null or status <> 'REVIEW'),
    add check (sending_at is not null or status not in ('SENDING', 'SENT')),
    add check ((processed_at is not null) = (status in ('SENT', 'REFUSED'))),
    add check (tx_hash is not null or status <> 'SENT'),
    add check ((refused_by is not null) = (status = 'REFUSED')),
    add check (updated_seq >= seq);

-- A commit may hold several steps of one row, so it is the way they may have led that is checked.
create function withdrawal_moves_forward() returns trigger language plpgsql as $$
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
        or new.updated_seq < old.updated_seq
    then
        raise exception 'withdrawal % of % to % with a fee of %: that stays, and so do decisions and approvals',
            old.id, old.amount, old.address, old.fee using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger forward before update on withdrawals for each row execute function withdrawal_moves_forward();

drop index withdrawals_user_id_idx;
create index on withdrawals (user_id, seq);
create index on withdrawals (address, seq);
create index on withdrawals (status, seq) where status not in ('SENT', 'REFUSED');

-- `id` is chain:address.
alter table hot_wallets
    drop constraint hot_wallets_pkey,
    add column id text primary key,
    add column seq bigint not null,
    add unique (chain, address),
    add check (id = chain || ':' || address);

-- ------------------------------------------------------------------------------------------------ service and modes

-- Rulebook §10: 0 normal, 1 everything to Hyperliquid, 2 close and withdraw only, 3 nothing for users. The last row
-- is in force; without any it is 0.
create table service_levels (
    id bigint primary key,
    level integer not null check (level between 0 and 3),
    previous integer not null check (previous between 0 and 3),
    operator_id text not null,
    reason text not null,
    seq bigint not null,
    created_at timestamptz not null,
    check (level <> previous)
);
create trigger append_only before update or delete on service_levels
    for each row execute function refuse_change();
create trigger never_emptied before truncate on service_levels
    for each statement execute function refuse_change();

-- Each symbol's mode in force, whether an operator has pinned it, and who or what set it so.
create table symbol_modes (
    symbol text primary key,
    mode text not null check (mode in ('HL_MODE', 'NORMAL_MODE', 'BETTING_MODE')),
    pinned boolean not null,
    updated_by text not null,
    seq bigint not null,
    updated_at timestamptz not null
);
create trigger never_deleted before delete on symbol_modes
    for each row execute function refuse_change();
create trigger never_emptied before truncate on symbol_modes
    for each statement execute function refuse_change();

-- Whether the symbol was pinned afterwards: setting or releasing a pin is a row too, also where the mode stays.
alter table routing_mode_logs add column pinned boolean not null;

-- ------------------------------------------------------------------------------------------------ readers

-- The last input that changed the row. Without an index: each update would have to write it.
alter table orders add column updated_seq bigint not null, add check (updated_seq >= seq);
alter table positions add column updated_seq bigint not null, add check (updated_seq >= seq);
alter table wallets add column updated_seq bigint not null;

create index on orders (user_id, seq);
create index on positions (user_id, id);
create index on fills (order_id);
create index on fills (user_id, id);
create index on routing_records (order_id);
