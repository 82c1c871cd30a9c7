"""The books process: commands carried out once, committed before they are answered, and come back to."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from live.books.clock import SetClock, WallClock
from live.books.commands import Command, KeyReused, NotAnswered, Overloaded
from live.books.process import Limits
from live.ledger.inputs import DepositArrived, UserRegistered, WithdrawalProcessed, WithdrawalRequested
from live.ledger.writer import CommitFailed, DatabaseLost, Fenced
from risk.errors import InvalidInput
from risk.inputs import (
    CancelSubmitted,
    ChannelReported,
    ConfigChanged,
    HlAccount,
    MarginAdjusted,
    OrderSubmitted,
    OrderType,
    VenueFilled,
    VenueOrderEnded,
)
from risk.settings import DAY_NS, SECOND_NS, HedgeTier, RiskConfig, RoutingConfig
from tests.live.books import a_desk, books_options, database
from tests.postgres import postgres
from tests.risk.book_builder import CROSS, START_NS, D

__all__ = ["database", "postgres"]


def run(coroutine):
    return asyncio.run(coroutine)


async def rows(dsn: str, sql: str, *arguments):
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *arguments)]
    finally:
        await connection.close()


def test_order_is_in_the_tables_when_it_is_answered(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            answer = await desk.order("ann", "BTC", 1, "0.05", leverage=10)
            assert (answer.status, answer.fills[0].price) == ("DONE", "100000.0")
            assert await rows(database, "select id, status, route, filled_size from orders") == [
                (answer.id, "FILLED", "INTERNAL", D("0.05"))
            ]
            ((total, available, frozen),) = await rows(
                database, "select total_balance, available_balance, frozen_margin from wallets"
            )
            assert (total, available, frozen) == (D("99997.5"), D("99497.5"), D("500"))
            ((direction, size, entry, margin, source),) = await rows(
                database, "select direction, size, entry_price, margin, position_source from positions"
            )
            assert (direction, size, entry, margin, source) == (
                "LONG", D("0.05"), D("100000"), D("500"), "INTERNAL",
            )  # fmt: skip
            assert await rows(
                database, "select type, amount, before, after from balance_logs order by id"
            ) == [
                ("deposit", D(100_000), D(0), D(100_000)),
                ("open", D("-2.5"), D(100_000), D("99997.5")),
            ]

    run(scenario())


def test_same_key_gets_the_first_answer_and_does_nothing(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            first = await desk.order("ann", "BTC", 1, "0.05", key="once")
            again = await desk.order("ann", "BTC", 1, "0.05", key="once")
            assert again == first
        async with a_desk(database) as desk:  # another process knows it from the database
            assert await desk.order("ann", "BTC", 1, "0.05", key="once") == first
            with pytest.raises(KeyReused, match="'once'"):
                await desk.order("ann", "BTC", 1, "0.06", key="once")
        assert await rows(database, "select count(*) from orders") == [(1,)]

    run(scenario())


def test_twins_in_flight_together_are_one(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            asked = [desk.order("ann", "BTC", 1, "0.05", key="twin") for _ in range(20)]
            answers = await asyncio.gather(*asked)
            assert len(set(answers)) == 1
        assert await rows(database, "select count(*) from fills") == [(1,)]

    run(scenario())


def test_what_can_never_be_right_is_told_and_remembered(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            before = desk.process.machine.seq
            answer = await desk.order("ann", "BTC", 1, "0.000001", key="tiny")
            assert answer.status == "INVALID"
            assert "steps of 0.00001" in answer.detail
            unknown = await desk.order("nobody", "BTC", 1, "0.05")
            assert "user was 'nobody'" in unknown.detail
            assert desk.process.machine.seq == before + 2  # two answers in the journal, and nothing else
        async with a_desk(database) as desk:
            assert await desk.order("ann", "BTC", 1, "0.000001", key="tiny") == answer

    run(scenario())


def test_neighbours_of_a_bad_command_are_done(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            asked = [desk.order("ann", "BTC", 1, "0.01" if n % 2 else "-1") for n in range(10)]
            answers = await asyncio.gather(*asked)
            assert [answer.status for answer in answers] == ["INVALID", "DONE"] * 5

    run(scenario())


def test_deposit_is_credited_once_whatever_the_key(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 10)
            again = DepositArrived(0, "deposit-ann", "ann", D(10), "eth", "USDC", "0x1", 12)
            answer = await desk.ask(again)
            assert (answer.status, "credited" in answer.detail) == ("INVALID", True)
            assert (await desk.ask(UserRegistered(0, "ann"))).status == "INVALID"

    run(scenario())


def test_withdrawal_goes_through_its_states(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 100)
            request = WithdrawalRequested(0, "", "ann", D(60), "eth", "USDC", "0xa", D(1))
            asked = await desk.ask(request)
            pending = "select status, tx_hash from withdrawals where id = $1"
            assert await rows(database, pending, asked.id) == [("UNCONFIRMED", None)]
            assert await rows(database, "select cash, withdrawals_pending from wallets") == [(D(39), D(60))]
            assert (await desk.ask(request)).code == "WITHDRAWAL_EXCEEDS_FREE"
            await desk.send_withdrawal(asked.id)
            assert await rows(database, pending, asked.id) == [("SENT", f"0x{asked.id}")]
            again = await desk.ask(WithdrawalProcessed(0, asked.id, False, None, "lost"))
            assert again.status == "REFUSED"
            assert await rows(database, "select cash, withdrawals_pending from wallets") == [(D(39), D(0))]

    run(scenario())


def test_request_leaves_after_its_commit_and_its_fill_comes_back(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            answer = await desk.order("ann", "BTC", 1, "0.5", leverage=10)  # over the threshold
            (sent,) = desk.ports[HlAccount.TRADING].sent
            outbox = "select status from venue_orders where cloid = $1"
            assert await rows(database, outbox, sent.cloid) == [("REQUESTED",)]
            status = "select status, filled_size from orders where id = $1"
            assert await rows(database, status, answer.id) == [("PENDING", D(0))]
            desk.process.tell(VenueFilled(0, sent.cloid, D(100_010), D("0.2"), D("9")))
            await desk.user("bob")  # committed after it
            assert await rows(database, status, answer.id) == [("PARTIALLY_FILLED", D("0.2"))]
            desk.process.tell(VenueOrderEnded(0, sent.cloid))
            await desk.user("cyd")
            assert await rows(database, status, answer.id) == [("CANCELLED", D("0.2"))]
            assert await rows(database, outbox, sent.cloid) == [("ENDED",)]
            assert await rows(database, "select position_source, size from positions") == [
                ("HYPERLIQUID", D("0.2"))
            ]

    run(scenario())


def test_close_that_was_sent_is_no_refused_one_though_less_was_open(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            await desk.order("ann", "BTC", 1, "0.5", leverage=10)
            (opened,) = desk.ports[HlAccount.TRADING].sent
            desk.process.tell(VenueFilled(0, opened.cloid, D(100_000), D("0.5"), D("9")))
            await desk.user("bob")
            closed = await desk.order("ann", "BTC", -1, "0.7", reduce_only=True)
            assert desk.ports[HlAccount.TRADING].sent[-1].order_id == closed.id
            assert (closed.status, closed.code, closed.fills) == ("DONE", "NOTHING_TO_CLOSE", ())
            again = await desk.order("ann", "BTC", -1, "0.7", reduce_only=True)
            assert (again.status, again.code) == (
                "REFUSED",
                "NOTHING_TO_CLOSE",
            )  # all of it is on its way out

    run(scenario())


@pytest.mark.parametrize("held", [True, False])
def test_order_that_fires_at_once_does_not_wait(database, held):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            if held:
                await desk.order("ann", "BTC", 1, "0.05", leverage=10)
            stop = {"type": OrderType.STOP_LOSS, "trigger_price": D(100_500), "reduce_only": True}
            fired = await desk.order("ann", "BTC", -1, "0.05", **stop)
            told = (fired.status, fired.code, fired.resting, [fill.size for fill in fired.fills])
            expected = ("DONE", "", False, ["0.05"]) if held else ("REFUSED", "NOTHING_TO_CLOSE", False, [])
            assert told == expected

    run(scenario())


def test_requests_not_known_to_have_left_are_looked_up_again(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            await desk.order("ann", "BTC", 1, "0.5", leverage=10)
            (sent,) = desk.ports[HlAccount.TRADING].sent
        async with a_desk(database) as desk:
            assert [row.cloid for row in desk.process.in_flight()] == [sent.cloid]
            assert desk.ports[HlAccount.TRADING].sent == []  # never sent twice by itself

    run(scenario())


def test_resting_order_is_filled_by_a_quote_and_cancelled_by_its_user(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            limit = {"type": OrderType.LIMIT, "limit_price": D(99_000), "leverage": 10}
            first, second = [await desk.order("ann", "BTC", 1, "0.05", **limit) for _ in range(2)]
            assert (first.resting, second.resting) == (True, True)
            statuses = "select id, status from orders order by seq"
            assert await rows(database, statuses) == [(first.id, "RESTING"), (second.id, "RESTING")]
            assert (await desk.ask(CancelSubmitted(0, first.id, "ann"))).status == "DONE"
            desk.mark("BTC", 98_900.0)
            await desk.user("bob")
            assert await rows(database, statuses) == [(first.id, "CANCELLED"), (second.id, "FILLED")]

    run(scenario())


def test_liquidation_by_a_mark_is_written(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 1_000)
            await desk.order("ann", "BTC", 1, "0.05", leverage=20)
            desk.mark("BTC", 95_500.0)
            await desk.user("bob")
            assert await rows(database, "select status, size from positions") == [("LIQUIDATED", D(0))]
            ((trigger, zeroed),) = await rows(
                database, "select trigger_price, margin_zeroed from liquidations"
            )
            assert (trigger, zeroed) == (D(95_500), D(250))
            reserve = "select balance from house_accounts where account = 'risk_reserve'"
            assert await rows(database, reserve) == [(D(500_050),)]

    run(scenario())


@pytest.mark.parametrize("snapshot_every", [1, 1_000_000])
def test_books_come_back_as_they_were(database, snapshot_every):
    async def scenario():
        limits = Limits(snapshot_every=snapshot_every)
        async with a_desk(database, limits=limits) as desk:
            await desk.user("ann")
            await desk.user("bob")
            for n in range(30):
                desk.clock.advance(START_NS + n * SECOND_NS)
                desk.mark("ETH", 4_000.0 + n)
                await desk.order("ann", "ETH", 1, "1", leverage=5, margin_mode=CROSS)
                await desk.order("bob", "BTC", -1, "0.01", leverage=3)
            digest, seq = desk.process.machine.book.digest(), desk.process.machine.seq
        if snapshot_every > 1:
            connection = await asyncpg.connect(database)
            await connection.execute("delete from book_snapshots")
            await connection.close()
        clock = SetClock(START_NS + 100 * SECOND_NS)
        async with a_desk(database, limits=limits, clock=clock) as desk:
            assert (desk.process.machine.book.digest(), desk.process.machine.seq) == (digest, seq)
            assert (await desk.order("ann", "ETH", -1, "1", reduce_only=True)).status == "DONE"

    run(scenario())


def test_second_process_is_refused_and_a_take_over_fences_the_first(database):
    async def scenario():
        with pytest.raises(Fenced, match="taken over"):
            async with a_desk(database) as first:
                await first.user("ann")
                with pytest.raises(InvalidInput, match=r"are being written by .* pid"):
                    async with a_desk(database):
                        pass
                async with a_desk(database, take_over=True) as second:
                    await second.user("bob")
                    with pytest.raises(NotAnswered):
                        await first.user("cyd")
                    assert await rows(database, "select id from users order by id") == [("ann",), ("bob",)]

    run(scenario())


def test_full_queue_refuses_and_takes_again(database):
    async def scenario():
        async with a_desk(database, limits=Limits(queue=5)) as desk:
            asked = [desk.ask(UserRegistered(0, f"u{n}"), f"k{n}") for n in range(50)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, Overloaded)]
            assert 0 < len(refused) < 50
            done = sum(1 for answer in answers if not isinstance(answer, Exception))
            assert done + len(refused) == 50
            assert await rows(database, "select count(*) from users") == [(done,)]
            await desk.user("late")

    run(scenario())


def test_lost_connection_ends_the_process_and_nothing_it_answered_is_missing(database):
    async def scenario():
        with pytest.raises(DatabaseLost):
            async with a_desk(database) as desk:
                await desk.user("ann")
                connection = await asyncpg.connect(database)
                others = (
                    "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                )
                await connection.execute(f"{others} and datname = current_database()")
                await connection.close()
                with pytest.raises(NotAnswered):
                    await desk.user("bob")
        async with a_desk(database) as desk:
            assert await rows(database, "select id from users") == [("ann",)]
            await desk.user("bob")

    run(scenario())


def test_timer_of_the_book_is_journaled(database):
    async def scenario():
        options = books_options({"order_expiry_ns": 5 * SECOND_NS})
        async with a_desk(database, options) as desk:
            await desk.user("ann")
            order = await desk.order("ann", "BTC", 1, "0.05", type=OrderType.LIMIT, limit_price=D(90_000))
            desk.clock.advance(START_NS + 6 * SECOND_NS)
            await desk.user("bob")
            assert await rows(database, "select status, reason from orders where id = $1", order.id) == [
                ("EXPIRED", "EXPIRED")
            ]
        assert await rows(database, "select count(*) from input_journal where kind = 'TimerFired'") != [(0,)]

    run(scenario())


def test_money_is_decimal_to_the_last_place(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", "0.000001")
            ((total,),) = await rows(database, "select total_balance from wallets")
            assert total == Decimal("0.000001")

    run(scenario())


RISK = RiskConfig()
POISON = {
    "NUL in a user": UserRegistered(0, "a\0b"),
    "half a character in an address": WithdrawalRequested(0, "", "ann", D(1), "eth", "USDC", "\ud800"),
    "an endless e-mail": UserRegistered(0, "dan", "d" * 10_000),
    "money without end": DepositArrived(0, "d1", "ann", D("1e40"), "eth", "USDC", "0x1", 12),
    "no number": DepositArrived(0, "d1", "ann", D("NaN"), "eth", "USDC", "0x1", 12),
    "confirmations without end": DepositArrived(0, "d1", "ann", D(1), "eth", "USDC", "0x1", 2**31),
    "a position without end": OrderSubmitted(0, "", "ann", "BTC", 1, None, position_id=2**63),
    "a number no JSON holds": MarginAdjusted(0, "ann", 2**70, D(1)),
    "a size without end": OrderSubmitted(0, "", "ann", "BTC", 1, D("1e99999")),
    "a negative threshold": ConfigChanged(0, "op", "*", RoutingConfig(normal_threshold=D(-1))),
    "a threshold that is no number": ConfigChanged(0, "op", "*", RoutingConfig(normal_threshold=D("NaN"))),
    "no interval of funding": ConfigChanged(0, "op", risk=replace(RISK, funding_interval_hours=0)),
    "no leverage of hedges": ConfigChanged(0, "op", risk=replace(RISK, hedge_leverage=())),
    "an endless reserve": ConfigChanged(0, "op", risk=replace(RISK, reserve_normal=D("Infinity"))),
}


@pytest.mark.parametrize("what", POISON)
def test_what_cannot_be_written_sinks_nobody(database, what):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            answers = await asyncio.gather(
                desk.order("ann", "BTC", 1, "0.01"),
                desk.ask(POISON[what]),
                desk.order("ann", "BTC", 1, "0.01"),
            )
            assert [answer.status for answer in answers] == ["DONE", "INVALID", "DONE"]
            assert "was" in answers[1].detail or "had" in answers[1].detail or "must" in answers[1].detail
            await desk.user("bob")
        async with a_desk(database) as desk:
            assert len(desk.process.machine.book.positions) == 2

    run(scenario())


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "k" * 3_000])
def test_keys_that_cannot_be_written_are_invalid(database, key):
    async def scenario():
        async with a_desk(database) as desk:
            command = Command(key, UserRegistered(0, "ann"))
            assert (await desk.process.submit(command)).detail.startswith("key ")
            await desk.user("ann")

    run(scenario())


def test_all_that_was_handled_is_committed_at_the_end(database):
    """Also what is handled while the last commit is on its way; what comes later is not taken."""

    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            process = desk.process
            commit = process._commits.writer.commit

            async def slow(*batch):
                await asyncio.sleep(0.1)
                await commit(*batch)

            process._commits.writer.commit = slow
            asked = [asyncio.create_task(desk.order("ann", "BTC", 1, "0.01"))]
            await asyncio.sleep(0.05)
            asked += [asyncio.create_task(desk.order("ann", "BTC", 1, "0.01")) for _ in range(3)]
            await asyncio.sleep(0.02)
            ticks = asyncio.create_task(_ticks(desk))
        ticks.cancel()
        assert [answer.status for answer in await asyncio.gather(*asked)] == ["DONE"] * 4
        async with a_desk(database) as desk:
            assert len(desk.process.machine.book.positions) == 4

    async def _ticks(desk):
        while True:
            desk.mark("BTC", 100_000.0)
            desk.process.tell(ChannelReported(0, True))
            await asyncio.sleep(0.001)

    run(scenario())


def test_twin_of_a_command_whose_commit_failed_is_told(database):
    async def scenario():
        with pytest.raises(CommitFailed):
            async with a_desk(database) as desk:
                await desk.user("ann")

                async def lost(*batch):
                    await asyncio.sleep(0.05)
                    raise CommitFailed("lost")

                desk.process._commits.writer.commit = lost
                twins = [
                    asyncio.create_task(desk.order("ann", "BTC", 1, "0.01", key="twin")) for _ in range(3)
                ]
                found = await asyncio.wait_for(asyncio.gather(*twins, return_exceptions=True), 60)
                assert [type(each) for each in found] == [NotAnswered] * 3

    run(scenario())


def test_state_of_an_input_that_broke_half_way_is_never_kept(database, monkeypatch):
    """What is no InvalidInput may leave half of an input's changes in memory."""

    async def scenario():
        with pytest.raises(ZeroDivisionError):
            async with a_desk(database) as desk:
                await desk.user("ann")
                digest = desk.process.machine.book.digest()

                def breaks(*_):
                    desk.process.machine.book._core.ledger.balances["custody"] += 1
                    raise ZeroDivisionError

                monkeypatch.setattr(desk.process.machine.book, "handle", breaks)
                with pytest.raises(NotAnswered):
                    await asyncio.wait_for(desk.order("ann", "BTC", 1, "0.01"), 60)
        async with a_desk(database) as desk:
            assert desk.process.machine.book.digest() == digest

    run(scenario())


def test_a_refused_command_costs_no_tick_and_no_request(database):
    """What a quiet tick and the time have made due is done by the next input, even if a bad command comes first."""

    async def scenario():
        tier = (HedgeTier(D(20_000), D("0.5")),)
        options = books_options({"hedging_enabled": True, "hedge_tiers": tier}, normal_threshold=D("1e9"))
        async with a_desk(database, options) as desk:
            await desk.user("ann", 1_000_000)
            await desk.order("ann", "BTC", 1, "1", leverage=5)
            desk.clock._now_ns += 6 * SECOND_NS  # the timer is late
            desk.mark("BTC", 100_001.0)
            assert (await desk.order("nobody", "BTC", 1, "1")).status == "INVALID"
            await desk.user("bob")
            (hedge,) = desk.ports[HlAccount.HEDGE].sent
            assert hedge.size == D("0.5")
            assert [row.cloid for row in desk.process.in_flight()] == [hedge.cloid]

    run(scenario())


def test_a_receipt_that_no_table_could_hold_is_refused_and_the_books_go_on(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            await desk.order("ann", "BTC", 1, "0.5", leverage=10)
            (sent,) = desk.ports[HlAccount.TRADING].sent
            with pytest.raises(InvalidInput, match="reason was"):
                desk.process.tell(VenueOrderEnded(0, sent.cloid, True, "bad\0reason"))
            desk.process.tell(VenueOrderEnded(0, sent.cloid, True, "insufficient margin"))
            await desk.user("bob")
            assert await rows(database, "select status from orders") == [("CANCELLED",)]

    run(scenario())


def test_time_does_not_follow_a_step_of_the_machines_clock(monkeypatch):
    clock = WallClock()
    before = clock.now_ns()
    monkeypatch.setattr("time.time_ns", lambda: before + 400 * DAY_NS)
    assert 0 <= clock.now_ns() - before < DAY_NS
