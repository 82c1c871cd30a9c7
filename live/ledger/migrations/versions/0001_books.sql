-- The platform's books. One process writes them, a batch a statement; everybody else reads.
--
-- Money is numeric(38, 6) USDC; sizes and prices are numeric, as exact as they came. Times are timestamptz, or `ts` in
-- UTC nanoseconds where a replay needs every digit. `seq` is the input that caused a row: 0 opened the books. Foreign
-- keys between tables of the hot path are left to `ledger check`: with one writer they would only cost time.

-- ------------------------------------------------------------------------------------------------ guards

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% refused: rows of % stay as they are', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;

create function sums_to_zero(amounts numeric[]) returns boolean language sql immutable parallel safe
    return (select coalesce(sum(amount), 0) = 0 and count(amount) = count(*) from unnest(amounts) as amount);

create function order_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status in ('FILLED', 'CANCELLED', 'EXPIRED', 'REFUSED')
        or new.filled_size < old.filled_size
        or (old.status = 'PARTIALLY_FILLED' and new.status in ('PENDING', 'RESTING'))
        or (new.id, new.user_id, new.symbol, new.side, new.price, new.type, new.leverage, new.margin_mode)
            is distinct from
            (old.id, old.user_id, old.symbol, old.side, old.price, old.type, old.leverage, old.margin_mode)
        or new.size is distinct from old.size and old.size is not null
    then
        raise exception 'order % cannot go from (%, % filled) to (%, % filled)', old.id,
            old.status, old.filled_size, new.status, new.filled_size using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create function position_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status <> 'OPEN'
        or (new.id, new.user_id, new.symbol, new.direction, new.margin_mode, new.position_source)
            is distinct from (old.id, old.user_id, old.symbol, old.direction, old.margin_mode, old.position_source)
    then
        raise exception 'position % cannot go from % to %: a closed one is final, and whose and what it is stays',
            old.id, old.status, new.status using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create function withdrawal_stays() returns trigger language plpgsql as $$
begin
    if (new.address, new.fee) is distinct from (old.address, old.fee) then
        raise exception 'withdrawal % goes to % with a fee of %: that stays', old.id, old.address, old.fee
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create function request_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status = 'ENDED'
        or old.status = 'CANCEL_REQUESTED' and new.status = 'REQUESTED'
        or (new.cloid, new.account, new.symbol, new.side, new.size, new.limit_price, new.order_id)
            is distinct from (old.cloid, old.account, old.symbol, old.side, old.size, old.limit_price, old.order_id)
    then
        raise exception 'request % cannot go from % to %: an ended one is final, and what was asked for stays',
            old.cloid, old.status, new.status using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create function transfer_moves_forward() returns trigger language plpgsql as $$
begin
    if old.status <> 'PENDING'
        or (new.id, new.user_id, new.chain, new.asset, new.amount)
            is distinct from (old.id, old.user_id, old.chain, old.asset, old.amount)
    then
        raise exception 'row % of % cannot go from % to %: an ended one is final, and whose and what it is stays',
            old.id, tg_table_name, old.status, new.status using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

-- ------------------------------------------------------------------------------------------------ inputs and writer

-- Every input the books took, in order: a replay of them gives the books. `link` chains each row to the one before.
create table input_journal (
    seq bigint not null,
    ts bigint not null,
    kind text not null,
    idempotency_key text,
    body text not null,
    link bytea not null check (octet_length(link) = 32),
    primary key (seq, ts)
) partition by range (ts);

-- The first answer to each command, for whoever asks again.
create table idempotency_keys (
    key text primary key,
    request bytea not null check (octet_length(request) = 32),
    answer text not null,
    seq bigint not null,
    created_at timestamptz not null
);
create index on idempotency_keys (created_at);
create trigger unchanged before update on idempotency_keys for each row execute function refuse_change();

-- Who writes: only the holder of the latest epoch can commit, and only right after the last committed input.
create table books_writer (
    singleton boolean primary key default true check (singleton),
    epoch bigint not null,
    holder text not null,
    since timestamptz not null default now(),
    seq bigint not null,
    link bytea not null check (octet_length(link) = 32)
);
insert into books_writer (epoch, holder, seq, link) values (0, 'nobody', -1, decode(repeat('00', 32), 'hex'));

create function advance_writer(my_epoch bigint, from_seq bigint, to_seq bigint, new_link bytea)
    returns void language plpgsql as $$
declare
    writer books_writer;
begin
    update books_writer set seq = to_seq, link = new_link where epoch = my_epoch and seq = from_seq;
    if not found then
        select * into writer from books_writer;
        raise exception 'epoch % after input % may not write: epoch % of % does, after input %', my_epoch, from_seq,
            writer.epoch, writer.holder, writer.seq using errcode = 'serialization_failure';
    end if;
end $$;

-- The whole state at an input, so that a start need not replay everything.
create table book_snapshots (
    seq bigint primary key,
    ts bigint not null,
    version text not null,
    digest text not null,
    link bytea not null check (octet_length(link) = 32),
    state bytea not null
);

-- ------------------------------------------------------------------------------------------------ money

-- The double-entry journal: a row a transaction, its entries as two arrays.
create table journal (
    id bigint not null,
    kind text not null,
    ref_id text not null,
    accounts text[] not null,
    amounts numeric(38, 6)[] not null,
    seq bigint not null,
    ts bigint not null,
    primary key (id, ts),
    check (cardinality(accounts) = cardinality(amounts)),
    check (sums_to_zero(amounts))
) partition by range (ts);

create view journal_entries as
    select id, kind, ref_id, account, amount, seq, ts
    from journal cross join lateral unnest(accounts, amounts) as entry (account, amount);

-- What is no user's: with every wallet and its pending withdrawals it sums to zero.
create table house_accounts (
    account text primary key,
    balance numeric(38, 6) not null
);

create table users (
    id text primary key,
    email text unique,
    wallet_address text unique,
    kyc_status text not null check (kyc_status in ('NONE', 'PENDING', 'APPROVED', 'REJECTED')),
    seq bigint not null,
    created_at timestamptz not null
);

-- total_balance = cash + isolated_margin + order_holds; available_balance = cash − Σ cross initial margin at cost.
create table wallets (
    user_id text primary key,
    total_balance numeric(38, 6) not null,
    available_balance numeric(38, 6) not null,
    frozen_margin numeric(38, 6) not null,
    cash numeric(38, 6) not null,
    order_holds numeric(38, 6) not null check (order_holds >= 0),
    isolated_margin numeric(38, 6) not null check (isolated_margin >= 0),
    withdrawals_pending numeric(38, 6) not null check (withdrawals_pending >= 0),
    check (frozen_margin = total_balance - available_balance),
    check (total_balance = cash + order_holds + isolated_margin)
) with (fillfactor = 70);

-- A row for each transaction that changed a user's total_balance, which before and after are.
create table balance_logs (
    id bigint not null,
    user_id text not null,
    type text not null,
    amount numeric(38, 6) not null check (amount <> 0),
    before numeric(38, 6) not null,
    after numeric(38, 6) not null,
    ref_id text not null,
    journal_id bigint not null,
    seq bigint not null,
    ts bigint not null,
    primary key (id, ts),
    check (before + amount = after)
) partition by range (ts);
create index on balance_logs (user_id, id);

-- ------------------------------------------------------------------------------------------------ trading

create table orders (
    id text primary key,
    user_id text not null,
    symbol text not null,
    side text not null check (side in ('BUY', 'SELL')),
    size numeric check (size > 0),
    price numeric check (price > 0),
    route text check (route in ('INTERNAL', 'HYPERLIQUID')),
    status text not null check (status in
        ('PENDING', 'RESTING', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED', 'EXPIRED', 'REFUSED')),
    type text not null check (type in ('MARKET', 'LIMIT', 'TAKE_PROFIT', 'STOP_LOSS')),
    leverage integer not null check (leverage > 0),
    margin_mode text not null check (margin_mode in ('ISOLATED', 'CROSS')),
    reduce_only boolean not null,
    position_id bigint,
    filled_size numeric not null check (filled_size >= 0),
    reason text,
    seq bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
) with (fillfactor = 85);
create index on orders (user_id, seq) where status in ('PENDING', 'RESTING', 'PARTIALLY_FILLED');
create trigger forward before update on orders for each row execute function order_moves_forward();

create table positions (
    id bigint primary key,
    user_id text not null,
    symbol text not null,
    direction text not null check (direction in ('LONG', 'SHORT')),
    size numeric not null check (size >= 0),
    entry_price numeric not null check (entry_price > 0),
    margin_mode text not null check (margin_mode in ('ISOLATED', 'CROSS')),
    position_source text not null check (position_source in ('INTERNAL', 'HYPERLIQUID')),
    status text not null check (status in ('OPEN', 'CLOSED', 'LIQUIDATED')),
    leverage integer not null check (leverage > 0),
    margin numeric(38, 6) not null check (margin >= 0),
    cost numeric not null check (cost >= 0),
    funding_index numeric not null,
    order_id text not null,
    seq bigint not null,
    opened_at timestamptz not null,
    updated_at timestamptz not null,
    check (margin = 0 or margin_mode = 'ISOLATED'),
    check ((size = 0) = (status <> 'OPEN'))
) with (fillfactor = 85);
create index on positions (user_id) where status = 'OPEN';
create trigger forward before update on positions for each row execute function position_moves_forward();

create table fills (
    id bigint primary key,
    order_id text not null,
    price numeric not null check (price > 0),
    size numeric not null check (size > 0),
    fee numeric(38, 6) not null,
    source text not null check (source in ('INTERNAL', 'HYPERLIQUID')),
    hl_fill_price numeric not null,
    position_id bigint not null,
    user_id text not null,
    symbol text not null,
    side text not null check (side in ('BUY', 'SELL')),
    action text not null check (action in ('OPEN', 'CLOSE', 'LIQUIDATION')),
    maker boolean not null,
    pnl numeric(38, 6) not null,
    mark numeric not null,
    seq bigint not null,
    created_at timestamptz not null
);

create table liquidations (
    id bigint primary key,
    position_id bigint not null,
    user_id text not null,
    trigger_price numeric not null,
    close_price numeric not null,
    margin_zeroed numeric(38, 6) not null,
    symbol text not null,
    size numeric not null check (size > 0),
    source text not null,
    margin_mode text not null,
    pnl numeric(38, 6) not null,
    bad_debt numeric(38, 6) not null,
    seq bigint not null,
    triggered_at timestamptz not null,
    created_at timestamptz not null
);
create index on liquidations (user_id, id);

-- A position settles when it is touched, and then for every hour since the last time: `rate` is their sum.
create table funding_settlements (
    id bigint primary key,
    position_id bigint not null,
    rate numeric not null,
    payment numeric(38, 6) not null,
    settled_at timestamptz not null,
    user_id text not null,
    symbol text not null,
    uncollected numeric(38, 6) not null,
    source text not null,
    seq bigint not null
);
create index on funding_settlements (user_id, id);

create table deviation_logs (
    id bigint primary key,
    position_id bigint not null,
    xbit_pnl numeric(38, 6) not null,
    hl_actual_pnl numeric(38, 6) not null,
    deviation numeric(38, 6) not null,
    deviation_rate numeric not null,
    resolved_at timestamptz,
    symbol text not null,
    grade text not null check (grade in ('LOGGED', 'ALERT', 'CRITICAL')),
    seq bigint not null,
    created_at timestamptz not null
);

-- A row for each time a hedge was opened from nothing.
create table hedge_positions (
    id bigint primary key,
    symbol text not null,
    direction text not null check (direction in ('LONG', 'SHORT')),
    size numeric not null check (size >= 0),
    entry_price numeric not null check (entry_price > 0),
    hl_position_id text not null,
    seq bigint not null,
    updated_at timestamptz not null
);
create unique index on hedge_positions (symbol) where size > 0;

-- The outbox: what the books asked Hyperliquid for. A request leaves after its commit, and is looked up at the venue
-- before it is ever sent again.
create table venue_orders (
    cloid text primary key,
    account text not null check (account in ('TRADING', 'HEDGE')),
    symbol text not null,
    side text not null check (side in ('BUY', 'SELL')),
    size numeric not null check (size > 0),
    limit_price numeric not null,
    resting boolean not null,
    order_id text not null,
    mark numeric not null,
    status text not null check (status in ('REQUESTED', 'CANCEL_REQUESTED', 'ENDED')),
    seq bigint not null,
    requested_at timestamptz not null,
    updated_at timestamptz not null
);
create index on venue_orders (seq) where status <> 'ENDED';
create trigger forward before update on venue_orders for each row execute function request_moves_forward();

-- ------------------------------------------------------------------------------------------------ chain

create table deposits (
    id text primary key,
    user_id text not null,
    chain text not null,
    asset text not null,
    amount numeric(38, 6) not null check (amount > 0),
    tx_hash text not null,
    status text not null check (status in ('PENDING', 'CREDITED', 'REJECTED')),
    confirmations integer not null check (confirmations >= 0),
    seq bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on deposits (user_id);
create trigger forward before update on deposits for each row execute function transfer_moves_forward();

create table withdrawals (
    id text primary key,
    user_id text not null,
    chain text not null,
    asset text not null,
    amount numeric(38, 6) not null check (amount > 0),
    address text not null,
    status text not null check (status in ('PENDING', 'SENT', 'REFUSED')),
    tx_hash text,
    processed_at timestamptz,
    fee numeric(38, 6) not null check (fee >= 0),
    reason text,
    seq bigint not null,
    created_at timestamptz not null
);
create index on withdrawals (user_id) where status = 'PENDING';
create trigger forward before update on withdrawals for each row execute function transfer_moves_forward();
create trigger stays before update on withdrawals for each row execute function withdrawal_stays();

create table aggregations (
    id text primary key,
    from_address text not null,
    to_address text not null,
    chain text not null,
    amount numeric(38, 6) not null check (amount > 0),
    gas_used numeric,
    tx_hash text,
    status text not null check (status in ('PENDING', 'SENT', 'CONFIRMED', 'FAILED'))
);

create table hot_wallets (
    chain text not null,
    address text not null,
    balance numeric(38, 6) not null check (balance >= 0),
    last_updated timestamptz not null,
    primary key (chain, address)
);

-- ------------------------------------------------------------------------------------------------ routing and risk

create table routing_records (
    id bigint not null,
    order_id text not null,
    user_id text not null,
    symbol text not null,
    side text not null check (side in ('BUY', 'SELL')),
    notional numeric not null,
    mode text not null,
    threshold numeric,
    route text not null,
    reason text not null,
    latency_ns bigint not null,
    digest bytea not null check (octet_length(digest) = 32),
    seq bigint not null,
    ts bigint not null,
    primary key (id, ts)
) partition by range (ts);

create table routing_config (
    symbol text primary key,
    routing_mode text not null check (routing_mode in ('HL_MODE', 'NORMAL_MODE', 'BETTING_MODE')),
    normal_threshold numeric not null check (normal_threshold >= 0),
    betting_threshold numeric not null check (betting_threshold >= 0),
    hl_mode_exposure_threshold numeric not null check (hl_mode_exposure_threshold >= 0),
    betting_mode_exposure_threshold numeric not null check (betting_mode_exposure_threshold >= 0),
    auto_switch_enabled boolean not null,
    updated_at timestamptz not null,
    internal_whitelisted boolean not null,
    updated_by text not null
);

create table routing_mode_logs (
    id bigint primary key,
    symbol text not null,
    from_mode text not null,
    to_mode text not null,
    trigger text not null check (trigger in ('MANUAL', 'AUTO')),
    operator_id text not null,
    net_exposure_at_switch numeric not null,
    created_at timestamptz not null,
    seq bigint not null
);

create table risk_config (
    key text primary key,
    value text not null,
    updated_by text not null,
    updated_at timestamptz not null
);

create table reconciliation_logs (
    id bigint primary key,
    dimension text not null,
    expected numeric not null,
    actual numeric not null,
    deviation_rate numeric not null,
    status text not null check (status in ('OK', 'ALERT', 'CRITICAL')),
    seq bigint not null,
    created_at timestamptz not null
);

create table alerts (
    id bigint primary key,
    level text not null check (level in ('INFO', 'ALERT', 'CRITICAL', 'P0')),
    code text not null,
    symbol text not null,
    value numeric not null,
    detail text not null,
    seq bigint not null,
    created_at timestamptz not null
);

-- What else happened, whole: guards, hedge targets, fills on our own accounts, published funding, moved margin.
create table book_events (
    id bigint not null,
    kind text not null,
    body text not null,
    seq bigint not null,
    ts bigint not null,
    primary key (id, ts)
) partition by range (ts);

-- Every sensitive act, and for each batch the digest over its routing decisions. Each row's link is the SHA-256 of the
-- link before it and the row's fields, each written as its length in bytes, a colon and itself.
create table audit_log (
    id bigint primary key,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    seq bigint not null,
    ts bigint not null,
    link bytea not null check (octet_length(link) = 32)
);

create table audit_head (
    singleton boolean primary key default true check (singleton),
    id bigint not null,
    link bytea not null check (octet_length(link) = 32)
);
insert into audit_head (id, link) values (0, decode(repeat('00', 32), 'hex'));

create function audit_link(before bytea, fields text[]) returns bytea language sql immutable parallel safe
    return (
        select sha256(before || convert_to(string_agg(octet_length(field) || ':' || field, '' order by place), 'UTF8'))
        from unnest(fields) with ordinality as each (field, place)
    );

-- Whoever acts appends, from any process: the head's row lock keeps the chain single.
create function append_audit(
    actor text, action text, subject text, detail text, seq bigint, ts bigint
) returns bigint language plpgsql as $$
declare
    head audit_head;
begin
    select * into strict head from audit_head for update;
    head.id := head.id + 1;
    head.link := audit_link(head.link,
        array[head.id::text, actor, action, subject, detail, seq::text, ts::text]);
    insert into audit_log values (head.id, actor, action, subject, detail, seq, ts, head.link);
    update audit_head set id = head.id, link = head.link;
    return head.id;
end $$;

-- ------------------------------------------------------------------------------------------------ proof of liabilities

create table liability_roots (
    id bigint primary key,
    root bytea not null check (octet_length(root) = 32),
    total numeric(38, 6) not null check (total >= 0),
    users integer not null check (users >= 0),
    seq bigint not null,
    created_at timestamptz not null
);

create table liability_leaves (
    root_id bigint not null references liability_roots (id),
    place integer not null,
    user_id text not null,
    balance numeric(38, 6) not null check (balance >= 0),
    salt bytea not null check (octet_length(salt) = 32),
    primary key (root_id, place),
    unique (root_id, user_id)
);

-- ------------------------------------------------------------------------------------------------ what never changes

do $$
declare
    name text;
begin
    foreach name in array array['input_journal', 'journal', 'balance_logs', 'fills', 'liquidations',
        'funding_settlements', 'routing_records', 'routing_mode_logs', 'reconciliation_logs', 'alerts',
        'book_events', 'audit_log', 'liability_roots', 'liability_leaves']
    loop
        execute format('create trigger append_only before update or delete on %I
            for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I
            for each statement execute function refuse_change()', name);
    end loop;
    foreach name in array array['users', 'wallets', 'orders', 'positions', 'deposits', 'withdrawals', 'venue_orders',
        'hedge_positions', 'house_accounts', 'routing_config', 'risk_config', 'deviation_logs', 'books_writer', 'audit_head',
        'aggregations', 'hot_wallets']
    loop
        execute format('create trigger never_deleted before delete on %I
            for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I
            for each statement execute function refuse_change()', name);
    end loop;
end $$;

-- ------------------------------------------------------------------------------------------------ a partition a month

create function ensure_partitions(from_ns bigint, to_ns bigint) returns void language plpgsql as $$
declare
    month timestamp := date_trunc('month', timestamp 'epoch' + (from_ns / 1000) * interval '1 microsecond');
    following timestamp;
    parent text;
    part text;
begin
    perform pg_advisory_xact_lock(hashtext('ensure_partitions'));
    while extract(epoch from month) * 1000000000 <= to_ns loop
        following := month + interval '1 month';
        foreach parent in array array['input_journal', 'journal', 'balance_logs', 'routing_records', 'book_events']
        loop
            part := parent || to_char(month, '_YYYY_MM');
            continue when to_regclass(part) is not null;
            execute format('create table %I partition of %I for values from (%s) to (%s)', part, parent,
                (extract(epoch from month) * 1000000000)::bigint, (extract(epoch from following) * 1000000000)::bigint);
            -- A partition inherits its parent's triggers for rows, but not those for statements.
            execute format('create trigger never_emptied before truncate on %I
                for each statement execute function refuse_change()', part);
        end loop;
        month := following;
    end loop;
end $$;
