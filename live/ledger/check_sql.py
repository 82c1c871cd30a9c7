"""What must hold between the tables, asked in SQL: none of the code that made the rows has a part in it."""

from collections.abc import Callable
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from live.ledger.findings import KEPT_PER_TABLE, Findings

_GAPLESS = (
    *(
        "journal",
        "balance_logs",
        "positions",
        "fills",
        "liquidations",
        "funding_settlements",
        "deviation_logs",
    ),
    *(
        "hedge_positions",
        "routing_records",
        "routing_mode_logs",
        "reconciliation_logs",
        "alerts",
        "book_events",
    ),
    *("service_levels", "audit_log", "liability_roots"),
)
_OF_A_USER = (
    *("wallets", "balance_logs", "orders", "positions", "fills", "liquidations", "funding_settlements"),
    *("deposits", "withdrawals", "routing_records"),
)
_WITH_SEQ = (
    *("idempotency_keys", "journal", "users", "balance_logs", "orders", "positions", "fills", "liquidations"),
    *("funding_settlements", "deviation_logs", "hedge_positions", "venue_orders", "deposits", "withdrawals"),
    *("routing_records", "routing_mode_logs", "reconciliation_logs", "alerts", "book_events", "audit_log"),
    *("service_levels", "hot_wallets", "symbol_modes", "liability_roots", "book_snapshots"),
)


class _Rule(NamedTuple):
    """A rule and the query of what breaks it: (table, key, what is wrong)."""

    name: str
    broken: LiteralString


_RULES = (
    _Rule(
        "transactions sum to zero",
        """select 'journal', id, 'its entries sum to ' || coalesce(total::text, 'nothing')
        from (select id, (select sum(amount) from unnest(amounts) as amount) as total from journal) as summed
        where total is distinct from 0""",
    ),
    _Rule(
        "balances are the sums of their entries",
        """with booked as (select account, sum(amount) as amount from journal_entries group by account),
        held as (
            select 'house_accounts' as place, account as key, account, balance from house_accounts
            union all select 'wallets', user_id, 'user_cash:' || user_id, cash from wallets
            union all select 'wallets', user_id, 'order_holds:' || user_id, order_holds from wallets
            union all select 'wallets', user_id, 'withdrawals_pending:' || user_id, withdrawals_pending from wallets
            union all select 'positions', id::text, 'isolated_margin:' || id, margin from positions
        )
        select coalesce(place, 'journal'), coalesce(key, account),
            format('%s is %s; its entries in the journal sum to %s', account, coalesce(balance, 0),
                coalesce(amount, 0))
        from booked full join held using (account) where coalesce(amount, 0) <> coalesce(balance, 0)""",
    ),
    _Rule(
        "all balances sum to zero",
        """select 'house_accounts', 'all', 'with what users have they sum to ' || total from (
            select (select coalesce(sum(balance), 0) from house_accounts)
                + (select coalesce(sum(total_balance + withdrawals_pending), 0) from wallets) as total
        ) as whole where total <> 0""",
    ),
    _Rule(
        "wallets add up",
        """select 'wallets', user_id, format('total is %s, frozen %s and available %s of cash %s, holds %s, margin %s',
            total_balance, frozen_margin, available_balance, cash, order_holds, isolated_margin)
        from wallets where total_balance <> cash + order_holds + isolated_margin
            or frozen_margin <> total_balance - available_balance""",
    ),
    _Rule(
        # Half-even at the sixth decimal, in whole numbers: round() would round halves away from zero.
        "available is cash without cross margin",
        """with parts as (
            select user_id, leverage, div(cost * 1000000, leverage) as whole,
                cost * 1000000 - div(cost * 1000000, leverage) * leverage as rest
            from positions where status = 'OPEN' and margin_mode = 'CROSS'
        ), margins as (
            select user_id, sum(whole + case when 2 * rest > leverage then 1 when 2 * rest < leverage then 0
                else mod(whole, 2) end) / 1000000 as margin
            from parts group by user_id
        )
        select 'wallets', user_id, format('available_balance is %s; cash %s without margin %s of cross positions is %s',
            available_balance, cash, coalesce(margin, 0), cash - coalesce(margin, 0))
        from wallets left join margins using (user_id) where available_balance <> cash - coalesce(margin, 0)""",
    ),
    _Rule(
        "isolated margins are those of open positions",
        """select 'wallets', user_id, format('isolated_margin is %s; those of its positions sum to %s',
            isolated_margin, coalesce(margin, 0))
        from wallets left join (
            select user_id, sum(margin) as margin from positions group by user_id
        ) as held using (user_id) where isolated_margin <> coalesce(margin, 0)""",
    ),
    _Rule(
        "balance logs follow one another",
        """select 'balance_logs', id, format('before is %s; after the log before it the balance was %s', before, known)
        from (
            select id, before, coalesce(lag(after) over (partition by user_id order by id), 0) as known
            from balance_logs
        ) as chained where before <> known or before is null""",
    ),
    _Rule(
        "the last balance log is the balance",
        """select 'wallets', user_id, format('total_balance is %s; its last balance log says %s', total_balance,
            coalesce(after, 0))
        from wallets left join (
            select distinct on (user_id) user_id, after from balance_logs order by user_id, id desc
        ) as ended using (user_id) where total_balance <> coalesce(after, 0)""",
    ),
    _Rule(
        "balance logs are of their transactions",
        """select 'balance_logs', log.id, format('no transaction %s of kind %s for %s at input %s is in the journal',
            journal_id, type, log.ref_id, log.seq)
        from balance_logs as log left join journal as made
            on (made.id, made.kind, made.ref_id, made.seq, made.ts)
                = (log.journal_id, log.type, log.ref_id, log.seq, log.ts)
        where made.id is null""",
    ),
    _Rule(
        "pending withdrawals are those on their way",
        """select 'wallets', user_id, format('withdrawals_pending is %s; its withdrawals on their way sum to %s',
            withdrawals_pending, coalesce(amount, 0))
        from wallets left join (
            select user_id, sum(amount) as amount from withdrawals where status not in ('SENT', 'REFUSED')
            group by user_id
        ) as sent using (user_id) where withdrawals_pending <> coalesce(amount, 0)""",
    ),
    _Rule(
        "what came and went is in the journal",
        """with chain as (
            select 'deposits' as place, id, 'deposit' as kind, amount from deposits where status = 'CREDITED'
            union all
            select 'withdrawals', id, 'withdrawal_sent', -amount from withdrawals where status = 'SENT'
        ), booked as (
            select kind, ref_id as id, -sum(amount) as amount from journal_entries
            where kind in ('deposit', 'withdrawal_sent') and account = 'custody' group by kind, ref_id
        )
        select coalesce(place, 'journal'), id, format('%s of %s; the journal moved %s through custody', kind,
            coalesce(chain.amount, 0), coalesce(booked.amount, 0))
        from chain full join booked using (kind, id)
        where chain.amount is distinct from booked.amount""",
    ),
    _Rule(
        "withdrawals have the approvals they need",
        """select 'withdrawals', id, format('is %s; %s were needed, %s given', status, approvals_needed,
            approvals_given)
        from withdrawals, lateral (
            select array(select split_part(each, ':', 1) from unnest(approvals_given) as each order by 1) as roles,
                array(select unnest(approvals_needed) order by 1) as needed,
                (select count(distinct substr(each, strpos(each, ':'))) from unnest(approvals_given) as each) as people
        ) as of where roles <> needed and status in ('APPROVED', 'QUEUED', 'SENDING', 'SENT')
            or people <> cardinality(approvals_given)""",
    ),
    _Rule(
        "symbols are in the mode they were last switched to",
        """select 'symbol_modes', symbol, format('is %s, pinned %s; its last switch led to %s, pinned %s', mode,
            modes.pinned, to_mode, logs.pinned)
        from symbol_modes as modes join (
            select distinct on (symbol) symbol, to_mode, pinned from routing_mode_logs order by symbol, id desc
        ) as logs using (symbol) where (mode, modes.pinned) <> (to_mode, logs.pinned)""",
    ),
    _Rule(
        "service levels follow one another",
        """select 'service_levels', id, format('previous is %s; the level before it was %s', previous, known)
        from (
            select id, previous, coalesce(lag(level) over (order by id), 0) as known from service_levels
        ) as chained where previous <> known""",
    ),
    _Rule(
        "every user has a wallet",
        """select 'users', users.id, 'has no wallet' from users left join wallets on user_id = users.id
        where user_id is null""",
    ),
    _Rule(
        "fills are of orders",
        """select 'fills', fills.id, format('order %s of %s is not among the orders', order_id, fills.user_id)
        from fills left join orders on orders.id = regexp_replace(order_id, '/hl$', '')
            and (orders.user_id, orders.symbol, orders.side) = (fills.user_id, fills.symbol, fills.side)
        where orders.id is null and action <> 'LIQUIDATION'""",
    ),
    _Rule(
        "orders are filled as their fills say",
        """with sums as (
            select regexp_replace(order_id, '/hl$', '') as id, sum(size) as size from fills
            where action <> 'LIQUIDATION' group by 1
        )
        select 'orders', id, format('filled_size is %s; its fills sum to %s', filled_size, coalesce(sums.size, 0))
        from orders left join sums using (id) where filled_size <> coalesce(sums.size, 0)""",
    ),
    _Rule(
        "positions are what their fills leave",
        """with sums as (
            select position_id as id, sum(case action when 'OPEN' then size else -size end) as size from fills
            group by position_id
        )
        select 'positions', id, format('size is %s; its fills leave %s', positions.size, coalesce(sums.size, 0))
        from positions left join sums using (id) where positions.size <> coalesce(sums.size, 0)""",
    ),
    _Rule(
        "users' net INTERNAL positions are what was filled",
        """with held as (
            select symbol, sum(case direction when 'LONG' then size else -size end) as size from positions
            where position_source = 'INTERNAL' group by symbol
        ), filled as (
            select symbol, sum(case side when 'BUY' then size else -size end) as size from fills
            where source = 'INTERNAL' group by symbol
        )
        select 'positions', symbol, format('are net %s; INTERNAL fills come to %s', coalesce(held.size, 0),
            coalesce(filled.size, 0))
        from held full join filled using (symbol) where coalesce(held.size, 0) <> coalesce(filled.size, 0)""",
    ),
    _Rule(
        "positions were opened by orders",
        """select 'positions', positions.id, format('its order %s is not among the orders', order_id)
        from positions left join orders on orders.id = regexp_replace(order_id, '/hl$', '')
            and orders.user_id = positions.user_id where orders.id is null""",
    ),
    _Rule(
        "the outbox's numbers are the writer's",
        """select 'books_writer', 'its row', format('is at input %s; the journal ends with %s', writer.seq, last)
        from books_writer as writer, (select coalesce(max(seq), -1) as last from input_journal) as journal
        where writer.seq <> last""",
    ),
)


def rules() -> list[tuple[str, str]]:
    """Return (name, query of what breaks it) of every rule."""
    found: list[tuple[str, str]] = [(rule.name, rule.broken) for rule in _RULES]
    found += [(f"{table} has no gaps", _gaps(table, "id", 1)) for table in _GAPLESS]
    found.append(("input_journal has no gaps", _gaps("input_journal", "seq", 0)))
    found += [(f"{table} is of users", _without_user(table)) for table in _OF_A_USER]
    found += [
        (f"{table} is of positions", _without_position(table))
        for table in ("fills", "liquidations", "funding_settlements")
    ]
    found += [(f"{table} has no input of the future", _beyond(table)) for table in _WITH_SEQ]
    return found


def check_rules(
    connection: psycopg.Connection[Any], findings: Findings, progress: Callable[[str, int, int], None]
) -> int:
    """Add what breaks a rule; return how many rules there are."""
    every = rules()
    for done, (name, query) in enumerate(every):
        progress(f"rules between tables: {name}", done, len(every))
        cursor = connection.cursor(row_factory=tuple_row)
        for table, key, wrong in cursor.execute(f"{query} limit {KEPT_PER_TABLE}".encode()):
            findings.add(table, key, wrong)
    return len(every)


def _gaps(table: str, key: str, first: int) -> str:
    return f"""select '{table}', {key}, 'comes after ' || coalesce(before::text, 'nothing') from (
            select {key}, lag({key}) over (order by {key}) as before from {table}
        ) as numbered where {key} <> coalesce(before + 1, {first})"""


def _without_user(table: str) -> str:
    key = "user_id" if table == "wallets" else "id"
    return f"""select '{table}', each.{key}, format('its user %s is not among the users', each.user_id)
        from {table} as each left join users on users.id = each.user_id where users.id is null"""


def _without_position(table: str) -> str:
    return f"""select '{table}', each.id, format('position %s of %s in %s is not among the positions', position_id,
            each.user_id, each.symbol)
        from {table} as each left join positions on (positions.id, positions.user_id, positions.symbol,
            positions.position_source) = (position_id, each.user_id, each.symbol, each.source)
        where positions.id is null"""


def _beyond(table: str) -> str:
    keys = {
        "idempotency_keys": "key",
        "venue_orders": "cloid",
        "book_snapshots": "seq",
        "symbol_modes": "symbol",
    }
    key = keys.get(table, "id")
    return f"""select '{table}', {key}, 'is of input ' || seq || ', which the books have not taken'
        from {table} where seq > (select seq from books_writer)"""
