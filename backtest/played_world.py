"""What others do besides trading, played from data: funding, outages, money in and out, an operator's answer.

Live, these come from Hyperliquid's and the chain's own messages, and from a person. It knows no framework.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from risk.errors import InvalidInput
from risk.events import Event, OrderRefused
from risk.house_events import AlertRaised, GuardChanged
from risk.inputs import (
    ChannelReported,
    DepositCredited,
    FundingBooked,
    FundingPublished,
    HlAccount,
    HlHaltLifted,
    VenueAccountLiquidated,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from risk.numbers import round_money
from strategies.driver import CoreDriver
from strategies.flow_types import UserTransfer

OPERATOR = "simulated-operator"
_UNDER_WATER = {f"{account}_UNDER_WATER": account for account in HlAccount}
_ANSWERED = frozenset((GuardChanged, AlertRaised))


class FundingSettlement(NamedTuple):
    """Carry one funding settlement of a symbol: ``rate`` for the whole interval, at ``oracle``, else the mark."""

    ts_event: int
    ts_init: int
    symbol: str
    rate: Decimal
    oracle: Decimal | None


class ChannelChange(NamedTuple):
    """Carry the beginning or the end of an outage."""

    ts_event: int
    ts_init: int
    connected: bool
    round_trip_ns: int


class PlayedWorld:
    """Play funding, outages, deposits, withdrawals, and the liquidation of our own accounts.

    The operator played here answers a halt of a symbol's HL opens after ``response_ns`` by lifting it.
    ``alert`` calls back with the time once it has come, by a name of the alert's own; ``mark_of`` gives a
    symbol's last mark.
    """

    def __init__(
        self,
        driver: CoreDriver,
        response_ns: int,
        alert: Callable[[str, int, Callable[[int], None]], None],
        mark_of: Callable[[str], Decimal | None],
    ) -> None:
        self._driver = driver
        self._response_ns = response_ns
        self._alert = alert
        self._mark_of = mark_of
        self._liquidated: set[HlAccount] = set()
        self._transfers = 0

    def take(self, row: FundingSettlement | ChannelChange | UserTransfer, ts: int) -> None:
        """Let one row happen; a transfer that can never be right raises InvalidInput with its name."""
        if isinstance(row, FundingSettlement):
            self._settle_funding(row, ts)
        elif isinstance(row, ChannelChange):
            self._driver.command(ChannelReported(ts, row.connected, row.round_trip_ns))
        else:
            try:
                self._transfer(row, ts)
            except InvalidInput as error:
                raise InvalidInput(f"{row.kind} of {row.user!r} at {row.ts_event}: {error}") from error

    def watch(self, events: tuple[Event, ...]) -> None:
        """Answer events: take an account over, once, when it is under water; have a symbol's halt lifted."""
        if _ANSWERED.isdisjoint(map(type, events)):
            return
        for event in events:
            if isinstance(event, GuardChanged) and event.guard == "HL_HALT" and event.symbol:
                if event.state == "OPEN":
                    self._lift_later(event.symbol, event.ts + self._response_ns)
                continue
            account = _UNDER_WATER.get(event.code) if isinstance(event, AlertRaised) else None
            if account is not None and account not in self._liquidated:
                self._liquidated.add(account)
                self._driver.command(VenueAccountLiquidated(event.ts, account))

    def _lift_later(self, symbol: str, due_ns: int) -> None:
        def lift(ts: int) -> None:
            self._driver.command(HlHaltLifted(ts, symbol, OPERATOR))

        self._alert(f"lift:{symbol}", due_ns, lift)

    def _settle_funding(self, row: FundingSettlement, ts: int) -> None:
        mark = self._mark_of(row.symbol)
        if mark is None:
            return  # no price yet, so nobody holds the coin
        oracle = mark if row.oracle is None else row.oracle
        self._driver.command(FundingPublished(ts, row.symbol, row.rate, oracle))
        for account in HlAccount:
            size = self._driver.book.venue_position(account, row.symbol)
            if size:
                amount = round_money(-size * oracle * row.rate)
                self._driver.command(FundingBooked(ts, account, row.symbol, amount))

    def _transfer(self, row: UserTransfer, ts: int) -> None:
        self._transfers += 1
        ref = f"transfer:{self._transfers}"
        if row.amount > 0:
            self._driver.command(DepositCredited(ts, row.user, row.amount, ref, row.kind))
            return
        events = self._driver.command(WithdrawalSubmitted(ts, ref, row.user, -row.amount))
        if not any(isinstance(event, OrderRefused) and event.order_id == ref for event in events):
            self._driver.command(WithdrawalEnded(ts, ref, sent=True))
