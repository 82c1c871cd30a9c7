"""The books compared with themselves: what holds is written down, what does not is told, graded and halts them."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest

from live.books.chores import Chores
from live.books.clock import SetClock
from live.books.process import Limits
from live.books.reconciliation import HOUSE_BOOK, JOURNAL, USER_ASSETS, compared
from live.ledger.inputs import BooksReleased, WithdrawalRefused, WithdrawalRequested
from risk.inputs import FundingPublished, HlAccount, MarginAdjusted, VenueFilled, VenueOrderEnded
from risk.settings import DAY_NS, HOUR_NS, MINUTE_NS
from tests.live.books import a_desk, books_options, database
from tests.postgres import postgres
from tests.risk.book_builder import CROSS, START_NS, D

__all__ = ["database", "postgres"]

FINE = [(HOUSE_BOOK, "OK"), (JOURNAL, "OK"), (USER_ASSETS, "OK")]
SMALL_CAPITAL = {
    "platform_capital": D(1_000),
    "reserve_capital": D(500_000),
    "trading_account_capital": D(1_000),
    "hedge_account_capital": D(1_000),
}


@asynccontextmanager
async def connected(dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def tampered(dsn: str, *statements: str) -> None:
    """Change tables as only a superuser can who turns the guards off."""
    async with connected(dsn) as connection:
        await connection.execute("set session_replication_role = replica")
        for sql in statements:
            await connection.execute(sql)


async def until(condition, patience_s: float = 60) -> None:
    for _ in range(int(patience_s / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to pass")


async def an_hour_later(desk, dsn: str) -> list[tuple]:
    """Let an hour go by; return what its reconciliation found."""
    async with connected(dsn) as connection:
        before = await connection.fetchval("select coalesce(max(id), 0) from reconciliation_logs")
        sql = "select dimension, status from reconciliation_logs where id > $1 order by dimension"

        async def is_done():
            return len(await connection.fetch(sql, before)) >= 3

        desk.clock.advance((desk.clock.now_ns() // HOUR_NS + 1) * HOUR_NS)
        await until(is_done)
        return [tuple(row) for row in await connection.fetch(sql, before)]


async def alerts(dsn: str) -> list[tuple]:
    async with connected(dsn) as connection:
        return [tuple(row) for row in await connection.fetch("select level, code from alerts order by id")]


async def some_trades(desk) -> None:
    """Let users gain, lose, be liquidated on both sides, owe funding and have money on its way out."""
    for user in ("ann", "bob", "cyd"):
        await desk.user(user, 10_000)
    await desk.order("ann", "BTC", 1, "0.05", leverage=20)
    await desk.order("bob", "ETH", -1, "2", leverage=10, margin_mode=CROSS)
    await desk.order("cyd", "BTC", 1, "0.5", leverage=20)
    (sent,) = desk.ports[HlAccount.TRADING].sent
    desk.process.tell(VenueFilled(0, sent.cloid, D(100_000), D("0.5"), D("22.5")))
    desk.process.tell(VenueOrderEnded(0, sent.cloid))
    desk.process.tell(FundingPublished(0, "ETH", D("-0.0003"), D(4_000)))
    desk.mark("BTC", 96_000.0)  # ann is liquidated here, cyd at the venue
    await desk.ask(WithdrawalRequested(0, "", "ann", D(100), "eth", "USDC", "0xa", D(1)))
    liquidation = desk.ports[HlAccount.TRADING].sent[-1]
    desk.process.tell(VenueFilled(0, liquidation.cloid, D(95_900), D("0.5"), D("21.6")))
    desk.process.tell(VenueOrderEnded(0, liquidation.cloid))
    await desk.order("bob", "ETH", -1, "1.5", leverage=5)
    desk.mark("ETH", 3_900.0)
    await desk.order("bob", "ETH", 1, "1", netted=True, leverage=5)


def test_books_in_order_say_so_every_hour(database):
    async def scenario():
        async with a_desk(database) as desk:
            await some_trades(desk)
            assert await an_hour_later(desk, database) == FINE
            await desk.order("bob", "ETH", 1, "0.5", leverage=5)
            assert await an_hour_later(desk, database) == FINE
            assert desk.process.machine.halted is None
        async with a_desk(database, clock=SetClock(desk.clock.now_ns())) as desk:
            assert await an_hour_later(desk, database) == FINE

        async with connected(database) as connection:
            kinds = {row["kind"] for row in await connection.fetch("select distinct kind from journal")}
            assert {"close", "liquidation", "withdrawal_requested"} <= kinds
            assert await connection.fetchval("select count(*) from liquidations") == 2
            figures = await connection.fetchrow(
                "select expected, actual from reconciliation_logs where dimension = $1 order by id",
                HOUSE_BOOK,
            )
            assert figures["expected"] == figures["actual"] != 0

    asyncio.run(scenario())


def test_reconciliation_goes_on_under_load(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 10_000_000)
            stop = asyncio.Event()

            async def trade(client):
                while not stop.is_set():
                    side = client % 2 * 2 - 1
                    await desk.order("ann", "ETH", side, "0.1", leverage=5, margin_mode=CROSS, netted=True)

            async with asyncio.TaskGroup() as group:
                for client in range(8):
                    group.create_task(trade(client))
                for _ in range(3):
                    assert await an_hour_later(desk, database) == FINE
                stop.set()

    asyncio.run(scenario())


def assets_off_by(amount: int, user: str = "ann") -> str:
    return f"update wallets set cash = cash + {amount}, total_balance = total_balance + {amount}, \
        available_balance = available_balance + {amount} where user_id = '{user}'"


TAMPERINGS = {
    "a wallet, a little": (assets_off_by(2), USER_ASSETS, "OK"),
    "a wallet": (assets_off_by(8), USER_ASSETS, "ALERT"),
    "a wallet, a lot": (assets_off_by(-80), USER_ASSETS, "CRITICAL"),
    "a position": ("update positions set cost = cost + 100 where status = 'OPEN'", USER_ASSETS, "CRITICAL"),
    "a fill's result": (
        "update fills set pnl = pnl - 0.000001 where source = 'INTERNAL' and pnl <> 0",
        HOUSE_BOOK,
        "CRITICAL",
    ),
    "the reserve": (
        "update house_accounts set balance = balance + 0.000001 where account = 'risk_reserve'",
        HOUSE_BOOK,
        "CRITICAL",
    ),
    "a transaction missing": ("delete from journal where id = 5", JOURNAL, "CRITICAL"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_does_not_agree_is_graded_and_a_critical_one_halts(database, what):
    sql, dimension, grade = TAMPERINGS[what]

    async def scenario():
        async with a_desk(database) as desk:
            await some_trades(desk)
            assert await alerts(database) == []
            await tampered(database, sql)
            assert dict(await an_hour_later(desk, database))[dimension] == grade
            wanted = {
                "OK": [],
                "ALERT": [("ALERT", "RECONCILIATION")],
                "CRITICAL": [("P0", "RECONCILIATION")],
            }
            told = await alerts(database)
            assert sorted(set(told)) == wanted[grade]
            order = await desk.order("bob", "ETH", 1, "0.5", leverage=5)
            assert order.code == ("books-halted" if grade == "CRITICAL" else "")

    asyncio.run(scenario())


def test_halted_books_take_nothing_but_what_is_safe_until_released(database):
    async def scenario():
        async with a_desk(database) as desk:
            await some_trades(desk)
            await tampered(database, assets_off_by(500, "cyd"))
            await an_hour_later(desk, database)
            (position,) = [p for p in desk.process.machine.book.positions.values() if p.isolated]
            asked = [
                await desk.order("bob", "ETH", 1, "0.5", leverage=5),
                await desk.ask(WithdrawalRequested(0, "", "bob", D(1), "eth", "USDC", "0xb")),
                await desk.ask(MarginAdjusted(0, "bob", position.position_id, D(1))),
            ]
            assert {(answer.status, answer.code) for answer in asked} == {("REFUSED", "books-halted")}
            assert all("halted: USER_ASSETS" in answer.detail for answer in asked)
            (pending,) = desk.process.machine.states.withdrawals.open
            assert (await desk.ask(WithdrawalRefused(0, pending, "op", "halted"))).status == "DONE"
            await desk.user("dan", 5)
            await tampered(database, assets_off_by(-500, "cyd"))
        async with a_desk(database, clock=SetClock(desk.clock.now_ns())) as desk:
            still = await desk.order("bob", "ETH", 1, "0.5", leverage=5)
            assert "halted" in still.detail
            assert (await desk.ask(BooksReleased(0, "op", "a wallet was put right"))).status == "DONE"
            assert (await desk.order("bob", "ETH", 1, "0.5", leverage=5)).status == "DONE"
            assert await an_hour_later(desk, database) == FINE

    asyncio.run(scenario())


def test_commit_finds_at_once_what_is_wrong_in_memory(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 10_000)
            desk.process.machine.book._core.ledger.balances["custody"] -= D(5)
            for _ in range(3):
                await desk.order("ann", "ETH", 1, "0.1", leverage=5)

            async def is_told():
                return bool(await alerts(database))

            await until(is_told)
            assert await alerts(database) == [("ALERT", "RECONCILIATION")]
            desk.process.machine.book._core.ledger.balances["custody"] -= D(500)
            await desk.order("ann", "ETH", 1, "0.1", leverage=5)
            assert (await desk.order("ann", "ETH", 1, "0.1", leverage=5)).code == "books-halted"
            assert await alerts(database) == [("ALERT", "RECONCILIATION"), ("P0", "RECONCILIATION")]

    asyncio.run(scenario())


def test_months_put_away_are_no_difference(database):
    async def scenario():
        async with a_desk(database) as desk:
            await some_trades(desk)
        await tampered(database, "delete from journal where id < 20")
        async with a_desk(database, clock=SetClock(START_NS + MINUTE_NS)) as desk:
            await desk.order("bob", "ETH", 1, "0.5", leverage=5, netted=True)
            assert await an_hour_later(desk, database) == FINE
            await tampered(database, "update fills set pnl = pnl + 1 where id = (select max(id) from fills)")
            await desk.order("bob", "ETH", 1, "0.1", leverage=5, netted=True)
            assert (
                await an_hour_later(desk, database) == FINE
            )  # what was read once is `ledger check`'s to find

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("actual", "grade"),
    [
        (1_000_000, "OK"),
        (1_000_100, "OK"),
        ("999899.99", "ALERT"),
        (1_001_000, "ALERT"),
        (998_999, "CRITICAL"),
    ],
)
def test_user_assets_are_graded_by_how_far_they_are_off(actual, grade):
    done = compared(USER_ASSETS, D(1_000_000), D(actual))
    assert done.status == grade
    assert done.deviation_rate == abs(D(actual) - 1_000_000) / 1_000_000
    for dimension in (HOUSE_BOOK, JOURNAL):
        assert compared(dimension, D(1_000_000), D(actual)).status == (
            "CRITICAL" if actual != 1_000_000 else "OK"
        )


def test_something_where_nothing_is_owed_is_critical():
    assert compared(USER_ASSETS, D(0), D("0.000001")).status == "CRITICAL"
    assert compared(USER_ASSETS, D(0), D(0)).status == "OK"


def test_keys_are_kept_a_day(database):
    async def scenario():
        async with a_desk(database, limits=Limits(remembered=1)) as desk, connected(database) as connection:
            await desk.user("ann")
            old = await desk.order("ann", "ETH", 1, "0.1", key="old")
            desk.clock.advance(START_NS + HOUR_NS)
            await desk.order("ann", "ETH", 1, "0.1", key="young")

            async def keys():
                found = await connection.fetch(
                    "select key from idempotency_keys where key = any($1)", both_keys
                )
                return sorted(row["key"] for row in found)

            desk.clock.advance(START_NS + DAY_NS)
            await asyncio.sleep(0.2)
            assert await desk.order("ann", "ETH", 1, "0.1", key="old") == old
            assert await keys() == ["old", "young"]
            desk.clock.advance(START_NS + DAY_NS + MINUTE_NS)

            async def is_gone():
                return await keys() == ["young"]

            await until(is_gone)
            assert (await desk.order("ann", "ETH", 1, "0.1", key="old")).id != old.id

    both_keys = ["old", "young"]
    asyncio.run(scenario())


def test_months_are_made_ahead(database):
    async def scenario():
        async with a_desk(database) as desk, connected(database) as connection:
            await desk.user("ann")

            async def months_until_2024_12():
                return await connection.fetchval("select to_regclass('journal_2024_12')") is not None

            assert not await months_until_2024_12()
            desk.clock.advance(START_NS + 10 * DAY_NS)
            await until(months_until_2024_12)

    asyncio.run(scenario())


class Unreachable:
    """Fail to connect a number of times."""

    def __init__(self, dsn: str, errors: list[Exception]) -> None:
        self.dsn, self.errors, self.tries = dsn, errors, 0

    @asynccontextmanager
    async def __call__(self):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        async with connected(self.dsn) as connection:
            yield connection


def test_chores_are_tried_again_when_the_database_comes_back(database, caplog):
    async def scenario():
        async with a_desk(database) as desk, connected(database) as connection:
            await desk.user("ann")
            clock, connect = (
                SetClock(START_NS),
                Unreachable(database, [OSError("refused"), OSError("refused")]),
            )
            chores = asyncio.create_task(Chores(desk.process, connect, clock).run())
            for tries, minute in enumerate((60, 61, 62), start=1):
                clock.advance(START_NS + minute * MINUTE_NS)

                async def is_tried(tries=tries):
                    return connect.tries == tries

                await until(is_tried)

            async def is_done():
                return await connection.fetchval("select count(*) from reconciliation_logs") == 3

            await until(is_done)
            assert connect.tries == 3
            chores.cancel()

    asyncio.run(scenario())
    assert "wait for the database: refused" in caplog.text


def test_books_that_cannot_be_reconciled_for_a_fault_of_ours_end(database, monkeypatch):
    async def broken(self, connection):
        raise ZeroDivisionError

    async def scenario():
        monkeypatch.setattr("live.books.reconciliation.Reconciler.full_pass", broken)
        with pytest.raises(ZeroDivisionError):
            async with a_desk(database) as desk:
                await desk.user("ann")
                desk.clock.advance(START_NS + HOUR_NS)
                await desk.process.ended.wait()

    asyncio.run(scenario())


def test_bad_debt_and_hedges_are_no_result_of_clients(database):
    async def scenario():
        options = books_options({**SMALL_CAPITAL, "hedging_enabled": True})
        async with a_desk(database, options) as desk:
            await desk.user("ann", 6_000)
            for _ in range(15):
                await desk.order("ann", "ETH", 1, "2", leverage=25, margin_mode=CROSS)
            desk.clock.advance(START_NS + 20 * 10**9)

            async def is_hedged():
                return bool(desk.ports[HlAccount.HEDGE].sent)

            await until(is_hedged)
            for sent in list(desk.ports[HlAccount.HEDGE].sent):
                desk.process.tell(VenueFilled(0, sent.cloid, sent.mark + 1, sent.size, D("1.5")))
                desk.process.tell(VenueOrderEnded(0, sent.cloid))
            desk.mark("ETH", 3_850.0)
            desk.mark("ETH", 3_700.0)  # ann's account is below zero here
            await desk.user("bob")
            assert await an_hour_later(desk, database) == FINE
        async with connected(database) as connection:
            kinds = {row["kind"] for row in await connection.fetch("select distinct kind from journal")}
            assert {"liquidation", "deficit_forgiven", "hedge_fill"} <= kinds

    asyncio.run(scenario())
