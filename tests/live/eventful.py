"""Books in which everything happened once: rows in every table that inputs can fill."""

import asyncio
import time
from dataclasses import replace

import psycopg

from live.books.clock import SetClock
from live.ledger.inputs import (
    BooksReleased,
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    KycChanged,
    ReconciliationDone,
    UserRegistered,
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.liabilities import publish
from risk.inputs import (
    Approval,
    BalanceAdjusted,
    CancelSubmitted,
    ChannelReported,
    ConfigChanged,
    FundingPublished,
    HlAccount,
    MarginAdjusted,
    OrderType,
    RoutingModeSet,
    ServiceLevelSet,
    VenueFilled,
    VenueOrderEnded,
)
from risk.settings import HOUR_NS, SECOND_NS, RoutingMode
from tests.live.books import Desk, a_desk, books_options
from tests.risk.book_builder import CROSS, D

OPTIONS = books_options({"hedging_enabled": True}, normal_threshold=D(20_000))


def fill_books(dsn: str) -> None:
    """Open books, let much happen, close and open them again, and publish liabilities."""
    clock = SetClock(time.time_ns())
    asyncio.run(_first_day(dsn, clock))
    asyncio.run(_second_day(dsn, clock))
    with psycopg.connect(dsn) as connection:
        publish(connection)


async def _first_day(dsn: str, clock: SetClock) -> None:
    async with a_desk(dsn, OPTIONS, clock=clock) as desk:
        await desk.ask(UserRegistered(0, "dee", "dee@example.org", "0xdee"))
        await desk.ask(KycChanged(0, "dee", "APPROVED", "operator-1"))
        await desk.ask(DepositArrived(0, "deposit-dee", "dee", D(5_000_000), "eth", "USDC", "0xd", 12))
        for user in ("ann", "bob", "cyd"):
            await desk.user(user)
        assert (await desk.ask(UserRegistered(0, "ann"))).status == "INVALID"
        await desk.order("ann", "BTC", 1, "0.05", leverage=20)
        await desk.order("ann", "ETH", 1, "0.5", leverage=5)
        await desk.order("bob", "ETH", -1, "1", leverage=3, margin_mode=CROSS)
        await desk.ask(MarginAdjusted(0, "ann", 2, D(25)))
        resting = await desk.order(
            "bob", "ETH", 1, "1", type=OrderType.LIMIT, limit_price=D(3_000), leverage=2
        )
        gone = await desk.order("cyd", "ETH", 1, "1", type=OrderType.LIMIT, limit_price=D(2_900), leverage=2)
        await desk.ask(CancelSubmitted(0, gone.id, "cyd"))
        assert resting.resting
        assert (await desk.order("cyd", "BTC", 1, "5", leverage=1)).status == "REFUSED"
        await _at_the_venue(desk)
        await _withdrawals(desk)


async def _at_the_venue(desk: Desk) -> None:
    """Fill an order at the venue, hedge, close at the venue at a price that deviates."""
    await desk.order("dee", "BTC", 1, "0.5", leverage=5)
    sent = desk.ports[HlAccount.TRADING].sent[-1]
    desk.process.tell(VenueFilled(0, sent.cloid, D(100_400), D("0.3"), D("9")))
    desk.process.tell(VenueFilled(0, sent.cloid, D(100_500), D("0.2"), D("9")))
    desk.process.tell(VenueOrderEnded(0, sent.cloid))
    for _ in range(8):  # a house that is short of 150 000
        await desk.order("dee", "ETH", 1, "4.9", leverage=10)
    for _ in range(10):
        desk.clock.advance(desk.clock.now_ns() + 5 * SECOND_NS)  # type: ignore[attr-defined]
        desk.process.tell(ChannelReported(0, True))
        desk.mark("ETH", 4_000.0)
    await desk.order("dee", "ETH", 1, "0.1", leverage=10)  # requests leave with its commit
    for hedge in desk.ports[HlAccount.HEDGE].sent:
        desk.process.tell(VenueFilled(0, hedge.cloid, D(4_001), hedge.size, D("1")))
        desk.process.tell(VenueOrderEnded(0, hedge.cloid))
    await desk.order("dee", "BTC", -1, "0.2", reduce_only=True, position_id=4)
    sent = desk.ports[HlAccount.TRADING].sent[-1]
    desk.process.tell(VenueFilled(0, sent.cloid, D(90_000), D("0.2"), D("9")))
    desk.process.tell(VenueOrderEnded(0, sent.cloid))
    await desk.order("dee", "BTC", 1, "0.4", leverage=5)  # stays at the venue


async def _withdrawals(desk: Desk) -> None:
    for amount in (10, 20, 30):
        await desk.ask(WithdrawalRequested(0, "", "cyd", D(amount), "eth", "USDC", "0xc", D(1)))
    sent, refused, _ = desk.process.machine.states.withdrawals.open
    for step in (
        WithdrawalConfirmed(0, sent, "LARGE", ("RISK_MANAGER", "OPERATIONS"), ("NEW_ADDRESS", "LARGE")),
        WithdrawalApproved(0, sent, "operator-1", "RISK_MANAGER"),
        WithdrawalApproved(0, sent, "operator-2", "OPERATIONS"),
        WithdrawalQueued(0, sent, "the hot wallet is short"),
        WithdrawalSending(0, sent),
        WithdrawalProcessed(0, sent, False, None, "no gas", again=True),
        WithdrawalSending(0, sent),
        WithdrawalProcessed(0, sent, True, "0xsent"),
        WithdrawalConfirmed(0, refused, "MEDIUM", ("OPERATIONS",)),
        WithdrawalRefused(0, refused, "operator-1", "address is blocked"),
        HotWalletReported(0, "eth", "0xhot", D(150_000)),
        HotWalletReported(0, "eth", "0xhot", D(90_000)),
        BalanceAdjusted(
            0, "", "cyd", D("12.5"), "a fee charged twice", "operator-1", Approval(1, "operator-2")
        ),
        DepositSeen(0, "deposit-late", "cyd", D(7), "eth", "USDC", "0x7", 1),
        DepositSeen(0, "deposit-gone", "cyd", D(7), "eth", "USDC", "0x8", 1),
        DepositSeen(0, "deposit-gone", "cyd", D(7), "eth", "USDC", "0x8", 2),
        DepositRejected(0, "deposit-gone", "its block was dropped"),
    ):
        answer = await desk.ask(step)
        assert answer.status == "DONE", answer
    await desk.ask(WithdrawalRequested(0, "", "cyd", D("1e9"), "eth", "USDC", "0xc"))


async def _second_day(dsn: str, clock: SetClock) -> None:
    async with a_desk(dsn, OPTIONS, clock=clock) as desk:
        process = desk.process
        clock.advance(clock.now_ns() + HOUR_NS)
        process.tell(FundingPublished(0, "ETH", D("0.0001"), D(4_000)))
        await desk.order("bob", "ETH", 1, "0.5", leverage=3, margin_mode=CROSS, netted=True)
        desk.mark("BTC", 95_000.0)  # ann's is under water
        await desk.ask(RoutingModeSet(0, "COIN", RoutingMode.BETTING_MODE, "operator-2"))
        await desk.ask(RoutingModeSet(0, "COIN", None, "operator-2"))
        await desk.ask(ServiceLevelSet(0, 2, "operator-2", "liquidations are late"))
        assert (await desk.order("bob", "ETH", 1, "0.5")).code == "SERVICE_LEVEL"
        await desk.ask(ServiceLevelSet(0, 0, "operator-2", "they are in time again"))
        book = process.machine.book
        await desk.ask(ConfigChanged(0, "operator-2", "ETH", OPTIONS.routing["*"], None))
        risk = replace(book.settings.risk, hedge_debounce_ns=book.settings.risk.hedge_debounce_ns + 1)
        await desk.ask(ConfigChanged(0, "operator-2", None, None, risk))
        process.tell(ReconciliationDone(0, "house_book", D(1), D(1), D(0), "OK"))
        process.tell(ReconciliationDone(0, "user_assets", D(100), D(99), D("0.01"), "CRITICAL"))
        await desk.order("ann", "ETH", 1, "0.5")
        await desk.ask(BooksReleased(0, "operator-2", "looked into"))
        await desk.order("ann", "ETH", 1, "0.5", leverage=2)
