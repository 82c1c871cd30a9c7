"""``ledger check``: sound books pass it, and nothing changed behind the database's back gets past it."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from live.books.clock import WallClock
from live.ledger.check_guards import check_guards, guards
from live.ledger.check_sql import check_rules
from live.ledger.checks import Checked, check
from live.ledger.findings import Findings
from risk.errors import InvalidInput
from tests.live.books import a_desk, database
from tests.live.eventful import fill_books
from tests.live.tampering import Tamperer
from tests.postgres import Postgres, postgres

__all__ = ["database", "postgres"]


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:
    dsn = postgres.migrated_database("eventful")
    fill_books(dsn)
    return dsn


@pytest.fixture
def books(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def checked(dsn: str, *, quick: bool = False) -> Checked:
    with psycopg.connect(dsn) as connection:
        return check(connection, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
def test_sound_books_pass(dsn: str, quick: bool) -> None:
    found = checked(dsn, quick=quick)
    assert found.findings == []
    assert found.inputs == (0 if quick else found.seq + 1)


CHANGES: list[tuple[LiteralString, str, str, str]] = [
    ("update fills set fee = fee + 1 where id = 3", "fills", "3", "fee is"),
    ("delete from liquidations", "liquidations", "1", "is missing"),
    (
        "insert into alerts select 99, level, code, symbol, value, detail, seq, created_at from alerts where id = 1",
        "alerts", "99", "no input made it",
    ),
    (
        "update wallets set cash = cash + 1, total_balance = total_balance + 1, "
        "available_balance = available_balance + 1 where user_id = 'ann'",
        "wallets", "ann", "user_cash:ann is",
    ),
    ("update orders set status = 'CANCELLED' where id = (select min(id) from orders)", "orders", "o", "status is"),
    ("update idempotency_keys set answer = '{}' where answer like '%INVALID%'", "idempotency_keys", "key", "answer is"),
    ("update book_snapshots set state = state || '\\x00'", "book_snapshots", "", "audit_log"),
    ("update books_writer set holder = 'me'", "books_writer", "its row", "claimed"),
    ("update liability_leaves set balance = 1 where place = 1", "liability_leaves", "of root 1", "its leaves"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "table", "key", "wrong"), CHANGES)
def test_finding_names_table_key_and_what_is_wrong(
    dsn: str, books: psycopg.Connection[Any], change: LiteralString, table: str, key: str, wrong: str
) -> None:
    tamperer = Tamperer(books)
    tamperer.keep(table)
    assert tamperer.do([change])
    found = checked(dsn).findings
    tamperer.undo(table)
    assert [
        each for each in found if each.table == table and each.key.startswith(key) and wrong in each.wrong
    ]


def test_tampering_since_the_snapshot_is_found_quickly(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database, clock=WallClock()) as desk:
            await desk.user("ann")
            await desk.order("ann", "BTC", 1, "0.05", leverage=10)
        async with a_desk(database, clock=WallClock()) as desk:
            await desk.order("ann", "BTC", 1, "0.01", leverage=10)
            await desk.order("ann", "BTC", -1, "0.05", reduce_only=True, position_id=1)
            with psycopg.connect(database, autocommit=True) as books:
                found = checked(database, quick=True)
                assert (found.inputs, found.findings) == (2, [])
                books.execute("set session_replication_role = replica")
                books.execute(
                    "update positions set updated_at = now() where id = 1"
                )  # of before, and changed since
                books.execute("update fills set mark = mark + 1 where id = 2")
                assert {each.table for each in checked(database, quick=True).findings} == {
                    "positions",
                    "fills",
                }

    asyncio.run(scenario())


def test_check_is_of_one_instant_while_the_books_are_written(database: str) -> None:
    found: list[Checked] = []

    async def scenario() -> None:
        async with a_desk(database, clock=WallClock()) as desk:
            await desk.user("ann", 1_000_000)
            checking = threading.Thread(target=lambda: found.extend(checked(database) for _ in range(2)))
            checking.start()
            while checking.is_alive():
                await asyncio.gather(*(desk.order("ann", "BTC", 1, "0.001", leverage=20) for _ in range(20)))

    asyncio.run(scenario())
    assert [each.findings for each in found] == [[]] * 2
    assert found[-1].seq > found[0].seq


def test_broken_link_ends_the_replay_with_a_finding(dsn: str, books: psycopg.Connection[Any]) -> None:
    tamperer = Tamperer(books)
    tamperer.keep("input_journal")
    assert tamperer.do(["update input_journal set body = body || ' ' where seq = 20"])
    found = checked(dsn)
    tamperer.undo("input_journal")
    ((table, key, wrong),) = [each for each in found.findings if each.table == "input_journal"]
    assert (table, key) == ("input_journal", "input 20")
    assert "its link must be" in wrong


def test_guards_are_those_the_migrations_make(database: str) -> None:
    findings = Findings()
    with psycopg.connect(database) as connection:
        check_guards(connection, findings)
        made = guards(connection)
    assert findings.kept == [], (
        "after a migration, write guards.json anew from live.ledger.check_guards.guards"
    )
    assert len(made["constraints"]) > 80


GUARDS_GONE: list[tuple[LiteralString, str, str]] = [
    ("alter table fills disable trigger append_only", "fills", "append_only"),
    ("drop trigger forward on orders", "orders", "forward"),
    ("alter table wallets drop constraint wallets_check", "wallets", "wallets_check"),
    (
        "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'",
        "refuse_change", "",
    ),
    ("alter function append_audit security definer", "append_audit", "invoker"),
    ("alter function refuse_change set search_path = elsewhere", "refuse_change", "invoker"),
    (
        "create or replace trigger forward before update on orders for each row when (false) "
        "execute function order_moves_forward()",
        "orders", "forward",
    ),
    (
        "create or replace trigger append_only before delete on fills for each row execute function refuse_change()",
        "fills", "append_only",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "table", "named"), GUARDS_GONE)
def test_missing_guard_is_found(database: str, change: LiteralString, table: str, named: str) -> None:
    findings = Findings()
    with psycopg.connect(database) as connection:
        connection.execute(change)
        check_guards(connection, findings)
    assert [each for each in findings.kept if each.table == table and named in each.key]


ACTS_BESIDE: list[tuple[LiteralString, str, str]] = [
    ("create trigger more before insert on fills for each row execute function skims()", "fills", "more skims() 7"),
    (
        "create trigger more before update on orders for each row when (old.id <> new.id) execute function skims()",
        "orders", "more skims() 19 conditional",
    ),
    ("create trigger more after insert on journal_1970_01 execute function skims()", "journal_1970_01", "triggers"),
    ("create rule none_of_it as on insert to alerts do instead nothing", "alerts", "none_of_it"),
    (
        "create function append_audit(text, text, text, text, integer, bigint) returns void language sql as ''",
        "append_audit", "(text, text, text, text, integer, bigint)",
    ),
    (
        "create function ensure_partitions(integer, bigint) returns void language sql begin atomic select; end",
        "ensure_partitions", "(integer, bigint)",
    ),
    ("create function coalesce_(numeric) returns numeric language sql as 'select 0.0'", "", ""),
    (
        "create function concat(text, text) returns text language sql as $$select ''$$",
        "concat", "(text, text)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "table", "named"), ACTS_BESIDE)
def test_what_acts_beside_the_guards_is_found(
    database: str, change: LiteralString, table: str, named: str
) -> None:
    findings = Findings()
    with psycopg.connect(database) as connection:
        connection.execute("select ensure_partitions(0, 0)")
        connection.execute(
            "create function skims() returns trigger language plpgsql as 'begin return new; end'"
        )
        connection.execute(change)
        check_guards(connection, findings)
    assert [(each.table, each.key) for each in findings.kept] == ([(table, named)] if table else [])


def test_partition_without_its_guards_is_found(database: str) -> None:
    findings = Findings()
    with psycopg.connect(database) as connection:
        connection.execute("select ensure_partitions(0, 0)")
        connection.execute("drop trigger never_emptied on journal_1970_01")
        check_guards(connection, findings)
    assert [(each.table, each.key) for each in findings.kept] == [("journal_1970_01", "triggers")]


RULES_BROKEN: list[tuple[LiteralString, str]] = [
    ("update journal set amounts = array[1, -1], accounts = array['custody', 'rounding'] where id = 2", "journal"),
    ("update balance_logs set before = before + 1, after = after + 1 where id = 2", "balance_logs"),
    ("delete from fills where id = 2", "fills"),
    ("update positions set size = size + 1 where status = 'OPEN' and position_source = 'INTERNAL'", "positions"),
    ("delete from users where id = 'ann'", "wallets"),
    ("update funding_settlements set position_id = 999", "funding_settlements"),
    ("update orders set seq = 1000000, updated_seq = 1000000 where id = (select min(id) from orders)", "orders"),
    ("update positions set leverage = leverage + 1 where margin_mode = 'CROSS'", "wallets"),
    ("update withdrawals set amount = amount + 1 where status = 'UNCONFIRMED'", "wallets"),
    ("update withdrawals set amount = amount + 1 where status = 'SENT'", "withdrawals"),
    ("update deposits set status = 'CREDITED' where id = 'deposit-gone'", "deposits"),
    ("update withdrawals set approvals_given = '{OPERATIONS:x,OPERATIONS:y}' where status = 'SENT'", "withdrawals"),
    ("update withdrawals set approvals_given = '{RISK_MANAGER:x,OPERATIONS:x}' where status = 'SENT'", "withdrawals"),
    ("update symbol_modes set pinned = true where symbol = 'COIN'", "symbol_modes"),
    ("update service_levels set previous = 1 where id = 1", "service_levels"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "table"), RULES_BROKEN)
def test_rules_alone_find_what_does_not_fit(
    books: psycopg.Connection[Any], change: LiteralString, table: str
) -> None:
    findings = Findings()
    with books.transaction(force_rollback=True):
        books.execute("set local session_replication_role = replica")
        assert books.execute(change).rowcount
        check_rules(books, findings, lambda *_: None)
    assert findings.counts[table]


def test_database_without_books_is_told(database: str) -> None:
    with pytest.raises(InvalidInput, match="no books have been opened"):
        checked(database)
