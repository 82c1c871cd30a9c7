"""Coming back: from a snapshot and what followed, from the beginning, and from nothing that does not hold together."""

import asyncio
from typing import Any

import asyncpg
import psycopg
import pytest

from live.books.process import Limits
from live.ledger.recovery import BooksBroken, recover
from tests.live.books import a_desk, database
from tests.postgres import postgres

__all__ = ["database", "postgres"]

ORDERS = 12


async def fill(dsn: str, snapshot_every: int = 1_000_000) -> tuple[str, int]:
    """Trade a little, with a snapshot at the end and before as often as asked; return the digest and last input."""
    async with a_desk(dsn, limits=Limits(snapshot_every=snapshot_every)) as desk:
        await desk.user("ann")
        for place in range(ORDERS):
            await desk.order("ann", "BTC", 1 if place % 3 else -1, "0.01", leverage=5)
        machine = desk.process.machine
        return machine.book.digest(), machine.seq


async def back(dsn: str, seq: int) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return (await recover(connection, seq)).book.digest()
    finally:
        await connection.close()


def tamper(dsn: str, *statements: str) -> None:
    """Change what stands behind the guards' back."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount, statement


def filled(dsn: str, **how: Any) -> tuple[str, int]:
    return asyncio.run(fill(dsn, **how))


def recovered(dsn: str, seq: int) -> str:
    return asyncio.run(back(dsn, seq))


@pytest.mark.parametrize(
    "gone",
    [
        "false",
        "seq = (select max(seq) from book_snapshots)",  # another is older: what followed it is replayed
        "true",  # none: everything is replayed
    ],
)
def test_any_snapshot_or_none_leads_to_the_same_books(database, gone):
    digest, seq = filled(database, snapshot_every=5)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"delete from book_snapshots where {gone}".encode())
    assert recovered(database, seq) == digest


@pytest.mark.parametrize("which", ["seq = (select max(seq) from book_snapshots)", "true"])
def test_a_snapshot_of_other_code_is_left_alone_and_told_of(database, caplog, which):
    digest, seq = filled(database, snapshot_every=5)
    tamper(database, f"update book_snapshots set version = 'of another day' where {which}")
    with psycopg.connect(database) as connection:
        (readable,) = connection.execute(
            "select coalesce(max(seq), 0) from book_snapshots where version <> 'of another day'"
        ).fetchone()
    assert bool(readable) == (which != "true")
    assert recovered(database, seq) == digest
    assert caplog.messages == [
        f"the snapshot at input {seq} is of other code; all inputs after {readable} are replayed"
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("update book_snapshots set digest = 'other'", "snapshot at input"),
        ("update book_snapshots set state = '\\x00'", "snapshot at input"),
        ("update wallets set cash = cash + 1, total_balance = total_balance + 1, available_balance = "
         "available_balance + 1", "of 'ann' in wallets was"),
        ("update positions set size = size * 2 where status = 'OPEN' and id = 1", "size of 1 in positions"),
        ("insert into positions select 999, user_id, symbol, direction, size, entry_price, margin_mode, "
         "position_source, status, leverage, margin, cost, funding_index, order_id, seq, opened_at, updated_at, "
         "updated_seq from positions where id = 1", "positions has 999"),
        ("update house_accounts set balance = balance + 1 where account = 'fee_income'", "'fee_income' in house"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_named(database, change, named):
    _, seq = filled(database)
    tamper(database, change)
    with pytest.raises(BooksBroken, match=named):
        recovered(database, seq)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "update input_journal set body = replace(body, '0.01', '0.02') where seq = 8",
            "the journal has input 8 with link",
        ),
        ("update input_journal set ts = ts + 1 where seq = 8", "the journal has input 8 with link"),
        ("delete from input_journal where seq = 8", "the journal has input 9 with link"),
        ("delete from input_journal where seq >= 8", "the journal ends with input 7"),
        ("delete from input_journal where seq = 0", "no input 0"),
        ("update input_journal set kind = 'Nonsense' where seq = 8", "the journal has input 8 with link"),
    ],
)
def test_a_broken_journal_is_not_replayed(database, change, named):
    _, seq = filled(database)
    tamper(database, "delete from book_snapshots", change)
    with pytest.raises(BooksBroken, match=named):
        recovered(database, seq)


def test_books_go_on_without_the_months_before_the_last_snapshot(database):
    digest, seq = filled(database)
    with psycopg.connect(database, autocommit=True) as connection:
        months = connection.execute(
            "select inhrelid::regclass::text, inhparent::regclass::text from pg_inherits "
            "join pg_class on oid = inhrelid where relkind = 'r'"
        ).fetchall()
        assert months
        for month, parent in months:
            connection.execute(f"alter table {parent} detach partition {month}".encode())

    async def go_on() -> None:
        async with a_desk(database) as desk:
            assert (desk.process.machine.book.digest(), desk.process.machine.seq) == (digest, seq)

    assert recovered(database, seq) == digest
    with psycopg.connect(database, autocommit=True) as connection:
        for month, _ in months:
            connection.execute(f'alter table {month} rename to "archived_{month}"'.encode())
    asyncio.run(go_on())
