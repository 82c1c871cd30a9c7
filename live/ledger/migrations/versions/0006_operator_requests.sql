-- What an operator asked for under an idempotency key: the same key with another request is refused. The books keep
-- this for what they are asked themselves; most of what operators ask is made of how things stand then.

create table access.operator_requests (
    key text primary key,
    request bytea not null check (octet_length(request) = 32),
    created_at timestamptz not null
);
create trigger unchanged before update or delete on access.operator_requests
    for each row execute function public.refuse_change();

-- What two people last agreed on of a setting (or the books were opened with), where one person alone has moved it
-- since. `subject` is a symbol, * or risk_config.
create table access.agreed_settings (
    subject text not null,
    name text not null,
    value jsonb not null,
    primary key (subject, name)
);
