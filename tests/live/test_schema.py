"""The database itself refuses what would falsify the books, whoever asks."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors, sql

from live.ledger.migrate import upgrade

from ..postgres import Postgres, postgres  # noqa: F401

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NS = int(NOW.timestamp()) * 10**9
LINK = bytes(32)
AT = {"seq": 1, "created_at": NOW}
ENDS = {"seq": 1, "created_at": NOW, "updated_at": NOW}
WHOSE = {"user_id": "u", "symbol": "BTC"}

# A row each table takes.
ROWS: dict[str, dict[str, Any]] = {
    "input_journal": {"seq": 1, "ts": NS, "kind": "k", "body": "{}", "link": LINK},
    "idempotency_keys": {"key": "k", "request": LINK, "answer": "{}", **AT},
    "book_snapshots": {"seq": 1, "ts": NS, "version": "v", "digest": "d", "link": LINK, "state": b""},
    "journal": {"id": 1, "kind": "k", "ref_id": "r", "seq": 1, "ts": NS}
    | {"accounts": ["a", "b"], "amounts": [5, -5]},
    "house_accounts": {"account": "a", "balance": -3},
    "users": {"id": "u", "kyc_status": "NONE", **AT},
    "wallets": {"user_id": "u", "total_balance": 10, "available_balance": 4, "frozen_margin": 6}
    | {"cash": 7, "order_holds": 1, "isolated_margin": 2, "withdrawals_pending": 0, "updated_seq": 1},
    "balance_logs": {"id": 1, "user_id": "u", "type": "FEE", "amount": -1, "before": 5, "after": 4}
    | {"ref_id": "r", "journal_id": 1, "seq": 1, "ts": NS},
    "orders": {"id": "o", **WHOSE, "side": "BUY", "status": "PENDING", "type": "MARKET", "leverage": 5}
    | {"margin_mode": "CROSS", "reduce_only": False, "filled_size": 0, "updated_seq": 1, **ENDS},
    "positions": {
        "id": 1,
        **WHOSE,
        "direction": "LONG",
        "size": 2,
        "entry_price": 100,
        "margin_mode": "ISOLATED",
    }
    | {"position_source": "INTERNAL", "status": "OPEN", "leverage": 5, "margin": 40, "cost": 200}
    | {"funding_index": 0, "order_id": "o", "seq": 1, "opened_at": NOW, "updated_at": NOW}
    | {"updated_seq": 1},
    "fills": {"id": 1, "order_id": "o", "price": 100, "size": 2, "fee": 1, "source": "INTERNAL", **WHOSE}
    | {"hl_fill_price": 0, "position_id": 1, "side": "BUY", "action": "OPEN", "maker": False}
    | {"pnl": 0, "mark": 100, **AT},
    "liquidations": {
        "id": 1,
        "position_id": 1,
        **WHOSE,
        "trigger_price": 80,
        "close_price": 79,
        "margin_zeroed": 40,
    }
    | {"size": 2, "source": "INTERNAL", "margin_mode": "ISOLATED", "pnl": -42, "bad_debt": 2}
    | {"triggered_at": NOW, **AT},
    "funding_settlements": {"id": 1, "position_id": 1, "rate": 0, "payment": 0, "settled_at": NOW, **WHOSE}
    | {"uncollected": 0, "source": "INTERNAL", "seq": 1},
    "deviation_logs": {"id": 1, "position_id": 1, "xbit_pnl": 1, "hl_actual_pnl": 2, "deviation": 1}
    | {"deviation_rate": 1, "symbol": "BTC", "grade": "ALERT", **AT},
    "hedge_positions": {"id": 1, "symbol": "BTC", "direction": "LONG", "size": 1, "entry_price": 100}
    | {"hl_position_id": "BTC", "seq": 1, "updated_at": NOW},
    "venue_orders": {
        "cloid": "c",
        "account": "HEDGE",
        "symbol": "BTC",
        "side": "BUY",
        "size": 1,
        "limit_price": 100,
    }
    | {"resting": False, "order_id": "o", "mark": 100, "status": "REQUESTED", "seq": 1}
    | {"requested_at": NOW, "updated_at": NOW},
    "deposits": {"id": "d", "user_id": "u", "chain": "c", "asset": "USDC", "amount": 5, "tx_hash": "t"}
    | {"status": "PENDING", "confirmations": 0, **ENDS},
    "withdrawals": {"id": "w", "user_id": "u", "chain": "c", "asset": "USDC", "amount": 5, "address": "a"}
    | {"status": "UNCONFIRMED", "fee": 0, "updated_seq": 1, **AT},
    "aggregations": {
        "id": "a",
        "from_address": "f",
        "to_address": "t",
        "chain": "c",
        "amount": 1,
        "status": "PENDING",
    },
    "hot_wallets": {"id": "c:a", "chain": "c", "address": "a", "balance": 1, "last_updated": NOW, "seq": 1},
    "service_levels": {"id": 1, "level": 2, "previous": 0, "operator_id": "u", "reason": "r", **AT},
    "symbol_modes": {"symbol": "BTC", "mode": "HL_MODE", "pinned": True, "updated_by": "u", "seq": 1}
    | {"updated_at": NOW},
    "routing_records": {
        "id": 1,
        "order_id": "o",
        **WHOSE,
        "side": "BUY",
        "notional": 200,
        "mode": "NORMAL_MODE",
    }
    | {"route": "INTERNAL", "reason": "r", "latency_ns": 1, "digest": LINK, "seq": 1, "ts": NS},
    "routing_config": {
        "symbol": "BTC",
        "routing_mode": "HL_MODE",
        "normal_threshold": 1,
        "betting_threshold": 1,
    }
    | {"hl_mode_exposure_threshold": 1, "betting_mode_exposure_threshold": 1, "updated_by": "u"}
    | {"auto_switch_enabled": True, "updated_at": NOW, "internal_whitelisted": True},
    "routing_mode_logs": {"id": 1, "symbol": "BTC", "from_mode": "a", "to_mode": "b", "trigger": "AUTO"}
    | {"operator_id": "", "net_exposure_at_switch": 0, "pinned": False, **AT},
    "risk_config": {"key": "k", "value": "v", "updated_by": "u", "updated_at": NOW},
    "reconciliation_logs": {
        "id": 1,
        "dimension": "d",
        "expected": 1,
        "actual": 1,
        "deviation_rate": 0,
        "status": "OK",
        **AT,
    },
    "alerts": {"id": 1, "level": "P0", "code": "c", "symbol": "", "value": 0, "detail": "", **AT},
    "book_events": {"id": 1, "kind": "k", "body": "{}", "seq": 1, "ts": NS},
    "audit_log": {"id": 1, "actor": "a", "action": "b", "subject": "c", "detail": "d", "seq": 1, "ts": NS}
    | {"link": LINK},
    "liability_roots": {"id": 1, "root": LINK, "total": 0, "users": 0, **AT},
    "liability_leaves": {"root_id": 1, "place": 0, "user_id": "u", "balance": 0, "salt": LINK},
}
SINGLETONS = {"books_writer", "audit_head"}
PRUNABLE = {"idempotency_keys", "book_snapshots"}
CHANGING = SINGLETONS | {
    *(
        "users",
        "wallets",
        "orders",
        "positions",
        "deposits",
        "withdrawals",
        "venue_orders",
        "hedge_positions",
    ),
    *("house_accounts", "routing_config", "risk_config", "deviation_logs", "aggregations", "hot_wallets"),
    "symbol_modes",
}
PARTITIONED = {"input_journal", "journal", "balance_logs", "routing_records", "book_events"}
APPEND_ONLY = set(ROWS) - CHANGING - PRUNABLE

type Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:  # noqa: F811
    dsn = postgres.new_database("schema")
    upgrade(dsn)
    return dsn


@pytest.fixture
def books(dsn: str) -> Iterator[Connection]:
    """Give a connection whose work is undone."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select ensure_partitions(%s, %s)", [NS, NS])
        yield connection
        connection.rollback()


def put(books: Connection, table: str, **changes: Any) -> None:
    row = ROWS[table] | changes
    books.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Literal, row.values())),
        )
    )


def change(books: Connection, table: str, **changes: Any) -> None:
    pairs = (sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(changes[name])) for name in changes)
    books.execute(sql.SQL("update {} set {}").format(sql.Identifier(table), sql.SQL(", ").join(pairs)))


def refused(books: Connection, command: LiteralString, table: str) -> None:
    with pytest.raises(errors.RestrictViolation), books.transaction():
        books.execute(sql.SQL(command).format(sql.Identifier(table)))


def test_every_table_is_one_of_these_kinds(books: Connection) -> None:
    found = books.execute(
        "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
        " and relnamespace = 'public'::regnamespace"
    )
    assert {name for (name,) in found} == set(ROWS) | SINGLETONS | {"alembic_version"}


@pytest.mark.parametrize("who", ["superuser", "with every privilege"])
@pytest.mark.parametrize("table", sorted(APPEND_ONLY | CHANGING))
def test_rows_of_money_stay(books: Connection, table: str, who: str) -> None:
    if table == "liability_leaves":
        put(books, "liability_roots")
    if table not in SINGLETONS:
        put(books, table)
    if who != "superuser":
        books.execute("create role plain; grant all on all tables in schema public to plain; set role plain")
    refused(books, "delete from {}", table)
    refused(books, "truncate {} cascade", table)
    if table in APPEND_ONLY:
        (column,) = books.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum = 1", [table]
        ).fetchone() or ("",)
        with pytest.raises(errors.RestrictViolation, match=f"rows of {table}"), books.transaction():
            books.execute(
                sql.SQL("update {} set {} = {}").format(*map(sql.Identifier, (table, column, column)))
            )
    if table in PARTITIONED:
        refused(books, "delete from {}", f"{table}_2026_03")
        refused(books, "truncate {}", f"{table}_2026_03")


def test_what_can_be_forgotten_can_be_deleted(books: Connection) -> None:
    for table in PRUNABLE:
        put(books, table)
        assert books.execute(sql.SQL("delete from {}").format(sql.Identifier(table))).rowcount == 1


CONFIRMED = {"tier": "LARGE", "confirmed_at": NOW, "approvals_needed": ["A"]}
APPROVED = CONFIRMED | {"status": "APPROVED", "approvals_given": ["A:x"], "approved_at": NOW}
SENDING = APPROVED | {"status": "SENDING", "sending_at": NOW}
SENT = SENDING | {"status": "SENT", "tx_hash": "t", "processed_at": NOW}
ENDED = {"status": "REFUSED", "processed_at": NOW, "refused_by": "u"}

BAD: list[tuple[str, dict[str, Any]]] = [
    ("balance_logs", {"after": 5}),
    ("balance_logs", {"amount": 0, "after": 5}),
    ("journal", {"amounts": [5, -4]}),
    ("journal", {"amounts": [5]}),
    ("journal", {"accounts": ["a"]}),
    ("journal", {"amounts": [5, -5, None], "accounts": ["a", "b", "c"]}),
    ("wallets", {"order_holds": -1, "cash": 9}),
    ("wallets", {"isolated_margin": -1, "cash": 10}),
    ("wallets", {"withdrawals_pending": -1}),
    ("wallets", {"cash": 8}),
    ("wallets", {"frozen_margin": 5}),
    ("positions", {"margin": -1}),
    ("positions", {"margin_mode": "CROSS"}),
    ("positions", {"size": 0}),
    ("positions", {"status": "CLOSED"}),
    ("positions", {"entry_price": 0}),
    ("positions", {"cost": -1}),
    ("orders", {"filled_size": -1}),
    ("orders", {"size": 0}),
    ("orders", {"status": "LOST"}),
    ("orders", {"leverage": 0}),
    ("fills", {"size": 0}),
    ("fills", {"source": "BINANCE"}),
    ("deposits", {"amount": 0}),
    ("withdrawals", {"amount": -1}),
    ("withdrawals", {"fee": -1}),
    ("withdrawals", CONFIRMED | {"status": "UNCONFIRMED"}),
    ("withdrawals", {"status": "REVIEW"}),
    ("withdrawals", {"tier": "LARGE"}),
    ("withdrawals", CONFIRMED | {"status": "REVIEW", "approved_at": NOW}),
    ("withdrawals", CONFIRMED | {"status": "APPROVED"}),
    ("withdrawals", CONFIRMED | {"status": "APPROVED", "approved_at": NOW}),
    ("withdrawals", CONFIRMED | {"status": "REVIEW", "approvals_given": ["A:x", "B:y"]}),
    ("withdrawals", APPROVED | {"status": "SENDING"}),
    ("withdrawals", SENDING | {"status": "SENT", "processed_at": NOW}),
    ("withdrawals", SENDING | {"status": "SENT", "tx_hash": "t"}),
    ("withdrawals", {"status": "REFUSED", "processed_at": NOW}),
    ("withdrawals", {"refused_by": "u"}),
    ("withdrawals", {"updated_seq": 0}),
    ("orders", {"updated_seq": 0}),
    ("positions", {"updated_seq": 0}),
    ("service_levels", {"level": 4}),
    ("service_levels", {"level": 0}),
    ("symbol_modes", {"mode": "NO_MODE"}),
    ("hot_wallets", {"id": "other"}),
    ("hot_wallets", {"balance": -1}),
    ("hedge_positions", {"size": -1}),
    ("liability_roots", {"total": -1}),
    ("input_journal", {"link": b"short"}),
    ("routing_config", {"normal_threshold": -1}),
    ("users", {"kyc_status": "MAYBE"}),
]


@pytest.mark.parametrize(("table", "wrong"), BAD)
def test_wrong_values_are_refused(books: Connection, table: str, wrong: dict[str, Any]) -> None:
    put(books, table)
    with pytest.raises(errors.CheckViolation), books.transaction():
        # Its key may be taken, but checks come first.
        put(books, table, **wrong)


def test_a_symbol_has_one_hedge_and_a_second_writer_row_is_refused(books: Connection) -> None:
    put(books, "hedge_positions", size=0)
    put(books, "hedge_positions", id=2)
    with pytest.raises(errors.UniqueViolation), books.transaction():
        put(books, "hedge_positions", id=3)
    for singleton in (True, False):
        with pytest.raises((errors.UniqueViolation, errors.CheckViolation)), books.transaction():
            books.execute(
                "insert into books_writer (singleton, epoch, holder, seq, link) values (%s, 1, 'me', 1, %s)",
                [singleton, LINK],
            )


CLOSED = {"status": "CLOSED", "size": 0, "margin": 0}
BACKWARDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(("orders", {"status": end}, {"reason": "r"}) for end in ("FILLED", "CANCELLED", "EXPIRED", "REFUSED")),
    ("orders", {"status": "FILLED"}, {"status": "RESTING"}),
    ("orders", {"status": "PARTIALLY_FILLED", "filled_size": 2}, {"filled_size": 1}),
    ("orders", {"status": "PARTIALLY_FILLED"}, {"status": "RESTING"}),
    ("orders", {"status": "PARTIALLY_FILLED"}, {"status": "PENDING"}),
    *(
        ("orders", {}, other)
        for other in ({"id": "p"}, {"user_id": "v"}, {"symbol": "ETH"}, {"side": "SELL"})
    ),
    ("positions", CLOSED, {"status": "OPEN", "size": 1}),
    ("positions", CLOSED, {"cost": 1}),
    ("positions", {"status": "LIQUIDATED", "size": 0, "margin": 0}, {"status": "CLOSED"}),
    *(("positions", {}, other) for other in ({"id": 2}, {"user_id": "v"}, {"direction": "SHORT"})),
    *(("positions", {}, other) for other in ({"symbol": "ETH"}, {"position_source": "HYPERLIQUID"})),
    ("positions", {}, {"margin_mode": "CROSS", "margin": 0}),
    *(("deposits", {"status": end}, {"status": "PENDING"}) for end in ("CREDITED", "REJECTED")),
    ("deposits", {"status": "REJECTED"}, {"status": "CREDITED"}),
    *(("deposits", {}, other) for other in ({"id": "e"}, {"user_id": "v"}, {"amount": 6}, {"chain": "d"})),
    ("deposits", {"confirmations": 3}, {"confirmations": 2}),
    ("deposits", {}, {"tx_hash": "u"}),
    *(("withdrawals", SENT, then) for then in (ENDED, {"status": "SENDING"}, {"reason": "r"})),
    ("withdrawals", ENDED, {"status": "UNCONFIRMED", "processed_at": None, "refused_by": None}),
    ("withdrawals", APPROVED, {"status": "REVIEW"}),
    ("withdrawals", {"passed": ["UNCONFIRMED:1"]}, {"passed": ["UNCONFIRMED:2"]}),
    ("withdrawals", SENDING, {"status": "UNCONFIRMED"}),
    *(
        ("withdrawals", APPROVED, other)
        for other in (
            {"tier": "SMALL"},
            {"confirmed_at": NOW.replace(hour=1)},
            {"approvals_needed": []},
            {"approvals_given": ["A:y"]},
            {"approvals_given": []},
            {"review_reasons": ["OTHER"]},
            {"updated_seq": 0},
        )
    ),
    *(
        ("withdrawals", {}, other)
        for other in (
            {"id": "x"},
            {"user_id": "v"},
            {"amount": 6},
            {"asset": "ETH"},
            {"address": "b"},
            {"fee": 1},
        )
    ),
    *(
        ("orders", {"size": 2}, other)
        for other in (
            {"size": 3},
            {"leverage": 40},
            {"price": 1},
            {"type": "LIMIT"},
            {"margin_mode": "ISOLATED"},
        )
    ),
    ("venue_orders", {"status": "ENDED"}, {"status": "REQUESTED"}),
    ("venue_orders", {"status": "CANCEL_REQUESTED"}, {"status": "REQUESTED"}),
    *(("venue_orders", {}, other) for other in ({"size": 2}, {"symbol": "ETH"}, {"account": "TRADING"})),
    ("idempotency_keys", {}, {"answer": "another"}),
]


@pytest.mark.parametrize(("table", "start", "then"), BACKWARDS)
def test_states_never_go_backwards(
    books: Connection, table: str, start: dict[str, Any], then: dict[str, Any]
) -> None:
    put(books, table, **start)
    with pytest.raises(errors.RestrictViolation), books.transaction():
        change(books, table, **then)


@pytest.mark.parametrize(
    ("table", "steps"),
    [
        (
            "orders",
            [{"status": "RESTING"}, {"status": "PARTIALLY_FILLED", "filled_size": 1}, {"status": "FILLED"}],
        ),
        ("positions", [{"size": 1, "margin": 20}, {"size": 3}, CLOSED]),
        ("deposits", [{"confirmations": 3}, {"status": "CREDITED"}]),
        (
            "withdrawals",
            [
                CONFIRMED | {"status": "REVIEW"},
                APPROVED,
                {"status": "QUEUED", "queued_at": NOW},
                SENDING,
                {"status": "APPROVED"},
                SENDING,
                SENT,
            ],
        ),
        ("withdrawals", [SENDING, ENDED]),
        ("venue_orders", [{"status": "CANCEL_REQUESTED"}, {"status": "ENDED"}]),
    ],
)
def test_states_go_forward(books: Connection, table: str, steps: list[dict[str, Any]]) -> None:
    put(books, table)
    for step in steps:
        change(books, table, **step)


def test_only_the_holder_of_the_epoch_writes_and_only_what_follows(books: Connection) -> None:
    books.execute("update books_writer set epoch = 2, holder = 'me'")
    advance: LiteralString = "select advance_writer(%s, %s, %s, %s)"
    books.execute(advance, [2, -1, 4, LINK])
    for epoch, start in ((1, 4), (3, 4), (2, 3), (2, 5), (2, -1)):
        with (
            pytest.raises(errors.SerializationFailure, match="epoch 2 of me does, after input 4"),
            books.transaction(),
        ):
            books.execute(advance, [epoch, start, 9, LINK])
    books.execute(advance, [2, 4, 5, b"\1" * 32])
    assert books.execute("select epoch, seq, link from books_writer").fetchone() == (2, 5, b"\1" * 32)


def expected_link(before: bytes, *fields: object) -> bytes:
    told = b"".join(b"%d:%b" % (len(raw), raw) for raw in (str(field).encode() for field in fields))
    return hashlib.sha256(before + told).digest()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def test_audit_links_are_what_anyone_can_compute(dsn: str) -> None:
    with psycopg.connect(dsn) as books:
        said: list[tuple[Any, ...]] = []

        @given(TEXT, TEXT, TEXT, TEXT, st.integers(-1, 2**63 - 1), st.integers(0, 2**63 - 1))
        def append(actor: str, action: str, subject: str, detail: str, seq: int, ts: int) -> None:
            row = (actor, action, subject, detail, seq, ts)
            said.append(row)
            assert books.execute("select append_audit(%s, %s, %s, %s, %s, %s)", row).fetchone() == (
                len(said),
            )

        append()
        rows = books.execute("select * from audit_log order by id").fetchall()
        link = bytes(32)
        for number, (row, fields) in enumerate(zip(rows, said, strict=True), 1):
            link = expected_link(link, number, *fields)
            assert row == (number, *fields, link)
        assert books.execute("select id, link from audit_head").fetchone() == (len(said), link)
        books.rollback()


def test_a_role_that_may_only_read_appends_nothing_to_the_audit_log(dsn: str) -> None:
    """The function has the rights of who calls it: those of the tables decide, whoever may call it."""
    with psycopg.connect(dsn) as books:
        books.execute("create role reader")  # all of this is rolled back
        books.execute("grant usage on schema public to reader")
        books.execute("grant select on all tables in schema public to reader")
        books.execute("set local role reader")
        with pytest.raises(errors.InsufficientPrivilege), books.transaction():
            books.execute("select append_audit('rita', 'SERVICE_LEVEL_SET', 'service', '3 to 0: r', 0, 0)")
        books.rollback()


def ns(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 10**9


def partitions(books: Connection) -> list[str]:
    found = books.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'journal'::regclass order by 1"
    )
    return [name for (name,) in found]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_a_partition_a_month_over_the_end_of_a_year(books: Connection, zone: LiteralString) -> None:
    books.execute(sql.SQL("set local timezone = {}").format(zone))
    ends_ns = ns(2027, 2)
    for _ in range(2):
        books.execute(
            "select ensure_partitions(%s, %s)", [ns(2026, 11, 30) + 86_399_999_999_999, ends_ns - 1]
        )
        assert partitions(books) == [
            f"journal_{month}" for month in ("2026_03", "2026_11", "2026_12", "2027_01")
        ]
    for number, ts in enumerate((ns(2026, 11), ns(2027, 1) - 1, ns(2027, 1), ends_ns - 1)):
        put(books, "journal", id=number, ts=ts)
    held = books.execute("select tableoid::regclass::text, id from journal order by id").fetchall()
    months = ("2026_11", "2026_12", "2027_01", "2027_01")
    assert held == [(f"journal_{month}", number) for number, month in enumerate(months)]
    with pytest.raises(errors.CheckViolation), books.transaction():
        put(books, "journal", id=9, ts=ends_ns)
    books.execute("select ensure_partitions(%s, %s)", [ends_ns, ends_ns])
    put(books, "journal", id=9, ts=ends_ns)
    assert partitions(books)[-1] == "journal_2027_02"
