"""Statements and the trial balance say what an accountant can add up."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from live.books.clock import SetClock
from live.ledger.inputs import WithdrawalRequested
from live.ledger.statements import parse_time, statement, trial_balance
from risk.errors import InvalidInput
from risk.inputs import OrderType
from risk.settings import DAY_NS
from tests.live.books import a_desk, database
from tests.postgres import Postgres, postgres
from tests.risk.book_builder import START_NS, D

__all__ = ["database", "postgres"]


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:
    """Give books of two days: ann deposits and opens on the first, closes and withdraws on the second."""
    dsn = postgres.migrated_database("statements")

    async def two_days() -> None:
        clock = SetClock(START_NS)
        async with a_desk(dsn, clock=clock) as desk:
            await desk.user("ann", 10_000)
            await desk.user("bob", 500)
            await desk.order("ann", "BTC", 1, "0.05", leverage=10)
            await desk.order("ann", "ETH", 1, "1", leverage=4)
            clock.advance(START_NS + DAY_NS)
            desk.mark("BTC", 101_000.0)
            await desk.order("ann", "BTC", -1, "0.05", reduce_only=True, position_id=1)
            await desk.ask(WithdrawalRequested(0, "", "ann", D(100), "eth", "USDC", "0xa", D(1)))
            limit = {"type": OrderType.LIMIT, "limit_price": D(3_000), "leverage": 5}
            await desk.order("ann", "ETH", 1, "2", **limit)

    asyncio.run(two_days())
    return dsn


@pytest.fixture
def books(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn) as connection:
        yield connection


def test_statement_leads_from_opening_to_closing(books: psycopg.Connection[Any]) -> None:
    found = statement(books, "ann")
    balance = found.opening
    assert balance == 0
    for each in found.movements:
        balance += each.amount
        assert each.balance == balance
    assert found.closing == balance == found.wallet["total_balance"]
    assert [(each.type, each.amount) for each in found.movements] == [
        ("deposit", D(10_000)),
        ("open", D("-2.5")),
        ("open", D("-2")),
        ("close", D("47.475")),  # 50 of the mark, less the fee of 2.525
        ("withdrawal_requested", D(-100)),
        ("withdrawal_fee", D(-1)),
    ]
    assert found.totals == {
        "close": D("47.475"),
        "deposit": D(10_000),
        "open": D("-4.5"),
        "withdrawal_fee": D(-1),
        "withdrawal_requested": D(-100),
    }
    assert sum(found.totals.values()) == found.closing - found.opening


def test_statement_shows_what_stands_open(books: psycopg.Connection[Any]) -> None:
    found = statement(books, "ann")
    assert [(row["symbol"], row["size"], row["margin"]) for row in found.positions] == [("ETH", 1, 1_000)]
    assert [(row["type"], row["status"], row["price"]) for row in found.orders] == [
        ("LIMIT", "RESTING", 3_000)
    ]
    assert [(row["amount"], row["fee"]) for row in found.withdrawals] == [(100, 1)]
    assert found.wallet["order_holds"] > 0
    assert found.wallet["withdrawals_pending"] == 100  # its fee is earned at once


def test_statements_of_days_fit_together(books: psycopg.Connection[Any]) -> None:
    noon = START_NS + DAY_NS // 2
    first, second = statement(books, "ann", None, noon), statement(books, "ann", noon, None)
    assert len(first.movements) == 3
    assert len(second.movements) == 3
    assert first.closing == second.opening == D("9995.5")
    assert second.closing == statement(books, "ann").closing
    before = statement(books, "ann", None, START_NS)
    assert (before.opening, before.movements, before.closing) == (0, [], 0)
    after = statement(books, "ann", START_NS + 2 * DAY_NS, None)
    assert after.opening == after.closing == second.closing
    between = statement(books, "ann", noon, noon + 1)
    assert between.opening == between.closing == first.closing


def test_start_is_included_and_end_is_not(books: psycopg.Connection[Any]) -> None:
    ts = statement(books, "bob").movements[0].ts
    assert len(statement(books, "bob", ts, ts + 1).movements) == 1
    assert statement(books, "bob", None, ts).movements == []


def test_trial_balance_is_the_journal_by_account(books: psycopg.Connection[Any]) -> None:
    found = trial_balance(books)
    sums: dict[str, Decimal] = {}
    for account, amount in books.execute("select account, amount from journal_entries"):
        kind, colon, _ = account.partition(":")
        name = f"users: {kind.removeprefix('user_').replace('_', ' ')}" if colon else account
        sums[name] = sums.get(name, D(0)) + amount
    sums["users: withdrawals pending"] = sums.pop("users: withdrawals pending", D(0))
    assert {line.account: line.credit - line.debit for line in found.lines if line.credit != line.debit} == {
        name: amount for name, amount in sums.items() if amount
    }
    assert found.balances
    assert found.debit == found.credit > 0
    assert all(
        line.debit >= 0 and line.credit >= 0 and not (line.debit and line.credit) for line in found.lines
    )


def test_unknown_user_and_turned_times_are_refused(books: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidInput, match="user was 'zed'"):
        statement(books, "zed")
    with pytest.raises(InvalidInput, match="--from was not before --to"):
        statement(books, "ann", 5, 5)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-02", DAY_NS),
        ("1970-01-01T00:00:00.000001", 1_000),
        ("1970-01-02T02:00:00+02:00", DAY_NS),
        ("1969-12-31", -DAY_NS),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, ns: int) -> None:
    assert parse_time(text, "--from") == ns


def test_time_that_is_none_is_refused() -> None:
    assert parse_time(None, "--from") is None
    with pytest.raises(InvalidInput, match="--to was 'yesterday'"):
        parse_time("yesterday", "--to")
