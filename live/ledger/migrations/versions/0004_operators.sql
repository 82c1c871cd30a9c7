-- Operators, what they propose and who approved it; what a withdrawal is judged by besides the books.
--
-- The audit log tells who did what: these tables are the state as it stands. Times are timestamptz.

-- ------------------------------------------------------------------------------------------------ operators

create table access.operators (
    account_id text primary key references access.accounts,
    role text not null check (role in ('SUPER_ADMIN', 'RISK_MANAGER', 'OPERATIONS', 'ANALYST')),
    added_by text not null,
    added_at timestamptz not null,
    changed_by text not null,
    changed_at timestamptz not null
);

-- Without a super admin nobody could make one. The lock lets two that remove each other see one another.
create function access.super_admin_remains() returns trigger language plpgsql as $$
begin
    if old.role = 'SUPER_ADMIN' then
        perform pg_advisory_xact_lock(hashtext('access.operators'));
        if not exists (select from access.operators where role = 'SUPER_ADMIN') then
            raise exception 'operator % is the last super admin', old.account_id using errcode = 'restrict_violation';
        end if;
    end if;
    return null;
end $$;
create trigger super_admin_remains after update or delete on access.operators
    for each row execute function access.super_admin_remains();

-- ------------------------------------------------------------------------------------------------ four eyes

-- What needs a second person. An approval stands here before the books are asked, under the key `proposal:<id>`: so
-- what a crash left APPROVED is asked again, and done once.
create table access.proposals (
    id bigint generated always as identity primary key,
    kind text not null check (kind in
        ('ROUTING_CONFIG', 'RISK_CONFIG', 'BALANCE_ADJUSTMENT', 'BOOKS_RELEASE', 'OPERATOR_CHANGE')),
    subject text not null,
    body jsonb not null,
    reason text not null check (reason <> ''),
    status text not null default 'OPEN' check (status in
        ('OPEN', 'APPROVED', 'EXECUTED', 'FAILED', 'REJECTED', 'WITHDRAWN', 'EXPIRED')),
    request_key text not null unique,
    proposed_by text not null references access.accounts,
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    decided_by text references access.accounts,
    decided_at timestamptz,
    decision text,
    outcome text,
    ended_at timestamptz,
    check ((decided_by is null) = (status in ('OPEN', 'EXPIRED'))),
    check ((decided_by is null) = (decided_at is null)),
    check (decided_by <> proposed_by or status = 'WITHDRAWN'),
    check (decided_by = proposed_by or status <> 'WITHDRAWN'),
    check ((ended_at is null) = (status in ('OPEN', 'APPROVED')))
);
create index on access.proposals (id) where status in ('OPEN', 'APPROVED');

create function access.proposal_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status not in ('OPEN', 'APPROVED')
        or old.status = 'APPROVED' and new.status not in ('APPROVED', 'EXECUTED', 'FAILED')
        or old.status = 'OPEN' and new.status in ('EXECUTED', 'FAILED')
        or (new.id, new.kind, new.subject, new.body, new.reason, new.request_key, new.proposed_by, new.created_at,
            new.expires_at) is distinct from
            (old.id, old.kind, old.subject, old.body, old.reason, old.request_key, old.proposed_by, old.created_at,
            old.expires_at)
        or old.decided_by is not null and (new.decided_by, new.decided_at, new.decision)
            is distinct from (old.decided_by, old.decided_at, old.decision)
    then
        raise exception 'proposal % cannot go from % to %: what was proposed, and who decided, stays', old.id,
            old.status, new.status using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger forward before update on access.proposals
    for each row execute function access.proposal_moves_forward();

-- ------------------------------------------------------------------------------------------------ withdrawals

-- Where a user's money may go. An address that is removed and added again waits again.
create table access.address_book (
    id bigint generated always as identity primary key,
    account_id text not null references access.accounts,
    chain text not null,
    address text not null,
    label text not null,
    created_at timestamptz not null,
    usable_at timestamptz not null check (usable_at >= created_at),
    removed_at timestamptz
);
create unique index address_once on access.address_book (account_id, chain, address) where removed_at is null;

create function access.address_stays() returns trigger language plpgsql as $$
begin
    if old.removed_at is not null
        or (new.id, new.account_id, new.chain, new.address, new.created_at, new.usable_at) is distinct from
            (old.id, old.account_id, old.chain, old.address, old.created_at, old.usable_at)
    then
        raise exception 'address % of % stays as it is: add another', old.id, old.account_id
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger stays before update on access.address_book for each row execute function access.address_stays();

-- Addresses that withdrawals are not sent to without a look, on whatever chain.
create table access.blacklist (
    address text primary key,
    reason text not null check (reason <> ''),
    added_by text not null,
    added_at timestamptz not null
);

-- How a withdrawal came to be asked for, for whoever reviews it.
create table access.withdrawal_requests (
    withdrawal_id text primary key,
    account_id text not null references access.accounts,
    address_id bigint not null references access.address_book (id),
    credential text not null, -- the session or API key it came by
    ip inet,
    unusual_login boolean not null,
    created_at timestamptz not null,
    mailed_at timestamptz
);

-- ------------------------------------------------------------------------------------------------ guards

do $$
declare
    name text;
begin
    foreach name in array array['proposals', 'address_book', 'withdrawal_requests']
    loop
        execute format('create trigger never_deleted before delete on access.%I
            for each row execute function public.refuse_change()', name);
        execute format('create trigger never_emptied before truncate on access.%I
            for each statement execute function public.refuse_change()', name);
    end loop;
    execute 'create trigger never_emptied before truncate on access.operators
        for each statement execute function public.refuse_change()';
end $$;

-- Acts are few among the digests of routing decisions, one for each batch.
create index audit_of_acts on audit_log (id) where action <> 'ROUTING_DECIDED';
create index audit_by_subject on audit_log (subject, id) where action <> 'ROUTING_DECIDED';
