"""The tables of the books worked out slowly: plain dictionaries, each figure derived anew whenever it is asked for.

Money and positions come from the naive books of the core's tests, which know only what was traded; what waits at
the venue or here is looked up, never kept. Nothing of the projections is used.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from live.ledger.inputs import (
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    KycChanged,
    LedgerInput,
    UserRegistered,
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
    book_input,
)
from risk.events import (
    Event,
    FillAction,
    FundingSettled,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRested,
    PositionLiquidated,
    PositionOpened,
    Transferred,
)
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import MarketUpdated, OrderSubmitted, ServiceLevelSet, VenueOrderEnded
from risk.market import SymbolSpec
from risk.settings import RiskConfig
from tests.risk.oracle import NaiveBooks
from tests.risk.oracle_holdings import ZERO, cents

_SPLIT = "/hl"
_ENDED = ("SENT", "REFUSED")
_STEPS = {  # of a withdrawal, with the states they start from
    WithdrawalConfirmed: "UNCONFIRMED",
    WithdrawalApproved: "REVIEW",
    WithdrawalRefused: "UNCONFIRMED REVIEW APPROVED QUEUED",
    WithdrawalQueued: "APPROVED",
    WithdrawalSending: "APPROVED QUEUED",
    WithdrawalProcessed: "SENDING",
}


class NaiveLedger:
    """Follow the committed inputs with their events; each ``..._rows`` method gives a table as it must be."""

    def __init__(self, risk: RiskConfig, specs: dict[str, SymbolSpec]) -> None:
        self.books = NaiveBooks(risk, specs)
        self.users: dict[str, tuple[str | None, str | None, str]] = {}
        self.events: list[Event] = []
        self.orders: dict[str, OrderSubmitted] = {}
        self.owners: dict[int, str] = {}
        self.opened: dict[int, PositionOpened] = {}
        self.last_close: dict[int, FillAction] = {}
        self.deposits: dict[str, tuple[str, Decimal, str, int]] = {}
        self.withdrawals: dict[str, tuple[str, Decimal, str]] = {}
        self.approvals: dict[
            str, tuple[list[str], list[str]]
        ] = {}  # roles still needed, operators who gave theirs
        self.level = 0
        self.hot: dict[str, Decimal] = {}
        self.at_venue: dict[str, VenueOrderRequested] = {}
        self.cancel_asked: set[str] = set()
        self.ended: dict[str, VenueOrderRequested] = {}
        self.moved: list[tuple[str, str, Decimal, str]] = []  # user, kind, amount, ref
        self.holds: defaultdict[str, Decimal] = defaultdict(Decimal)

    def take(self, given: LedgerInput, events: tuple[Event, ...], marks: dict[str, Decimal]) -> None:
        """Take an input that was accepted; ``marks`` are the valid ones since then."""
        inner = book_input(given)
        # The core hears of the market before an input that is none of its business.
        self.books.take(MarketUpdated(given.ts, ()) if inner is None else inner, events, marks)
        match given:
            case UserRegistered():
                self.users[given.user] = given.email, given.wallet_address, "NONE"
            case KycChanged():
                self.users[given.user] = (*self.users[given.user][:2], given.kyc_status)
            case DepositSeen() | DepositArrived():
                status = "CREDITED" if isinstance(given, DepositArrived) else "PENDING"
                self.deposits[given.deposit_id] = given.user, given.amount, status, given.confirmations
            case DepositRejected():
                user, amount, _, confirmations = self.deposits[given.deposit_id]
                self.deposits[given.deposit_id] = user, amount, "REJECTED", confirmations
            case HotWalletReported():
                self.hot[f"{given.chain}:{given.address}"] = given.balance
            case ServiceLevelSet():
                self.level = given.level
            case OrderSubmitted():
                self.orders[given.order_id] = given
            case WithdrawalRequested():
                refused = any(isinstance(event, OrderRefused) for event in events)
                status = "REFUSED" if refused else "UNCONFIRMED"
                self.withdrawals[given.withdrawal_id] = given.user, given.amount, status
            case _ if type(given) in _STEPS:
                self._step(given)
            case VenueOrderEnded():
                self.ended[given.cloid] = self.at_venue.pop(given.cloid)
        self._take_events(events)

    def may(self, given: Any) -> bool:
        """Tell whether a step of a withdrawal may be taken now."""
        _, _, status = self.withdrawals[given.withdrawal_id]
        if self.level == 3 and isinstance(given, WithdrawalConfirmed | WithdrawalSending):
            return False
        if isinstance(given, WithdrawalApproved) and status == "REVIEW":
            needed, operators = self.approvals[given.withdrawal_id]
            return given.role in needed and given.operator_id not in operators
        return status in _STEPS[type(given)].split()

    def _step(self, given: Any) -> None:
        assert self.may(given)
        user, amount, status = self.withdrawals[given.withdrawal_id]
        match given:
            case WithdrawalConfirmed():
                status = "REVIEW" if given.approvals_needed else "APPROVED"
                self.approvals[given.withdrawal_id] = list(given.approvals_needed), []
            case WithdrawalApproved():
                needed, operators = self.approvals[given.withdrawal_id]
                needed.remove(given.role)
                operators.append(given.operator_id)
                status = "REVIEW" if needed else "APPROVED"
            case WithdrawalRefused():
                status = "REFUSED"
            case WithdrawalQueued():
                status = "QUEUED"
            case WithdrawalSending():
                status = "SENDING"
            case WithdrawalProcessed():
                status = "SENT" if given.sent else "APPROVED" if given.again else "REFUSED"
        self.withdrawals[given.withdrawal_id] = user, amount, status

    def _take_events(self, events: tuple[Event, ...]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, PositionOpened):
                self.owners[event.position_id] = event.user
                self.opened.setdefault(event.position_id, event)
        for event in events:
            match event:
                case OrderFilled() if event.action is not FillAction.OPEN:
                    self.last_close[event.position_id] = event.action
                case VenueOrderRequested():
                    self.at_venue[event.cloid] = event
                case VenueCancelRequested():
                    self.cancel_asked.add(event.cloid)
                case Transferred():
                    self._move(event)

    def _move(self, event: Transferred) -> None:
        changes: defaultdict[str, Decimal] = defaultdict(Decimal)
        for account, amount in event.entries:
            kind, _, name = account.partition(":")
            if kind == "order_holds":
                self.holds[name] += amount
            if kind in ("user_cash", "order_holds"):
                changes[name] += amount
            elif kind == "isolated_margin":
                changes[self.owners[int(name)]] += amount
        self.moved += [(user, event.kind, amount, event.ref) for user, amount in changes.items() if amount]

    # -- tables

    def user_rows(self) -> dict[str, tuple[Any, ...]]:
        """Give email, wallet address and KYC status by user."""
        return dict(self.users)

    def wallet_rows(self) -> dict[str, tuple[Decimal, ...]]:
        """Give total, available, frozen, cash, holds, isolated margin and pending by user."""
        found = {}
        for user in self.users:
            holdings = [h for h in self.books.holdings.values() if h.user == user]
            margin = sum((h.margin for h in holdings if h.isolated), ZERO)
            initial = sum((cents(h.cost / h.leverage) for h in holdings if not h.isolated), ZERO)
            wallet = self.books.users[user].wallet
            cash, total = wallet - self.holds[user], wallet + margin
            available = cash - initial
            pending = sum(
                (a for u, a, status in self.withdrawals.values() if u == user and status not in _ENDED), ZERO
            )
            found[user] = total, available, total - available, cash, self.holds[user], margin, pending
        return found

    def log_rows(self) -> list[tuple[Any, ...]]:
        """Give user, type, amount, before, after and ref of each balance log, in order."""
        totals: defaultdict[str, Decimal] = defaultdict(Decimal)
        found = []
        for user, kind, amount, ref in self.moved:
            before = totals[user]
            totals[user] += amount
            found.append((user, kind, amount, before, totals[user], ref))
        return found

    def house_rows(self) -> dict[str, Decimal]:
        """Give the house's balances that are not zero."""
        return {account: amount for account, amount in self.books.house.items() if amount}

    def position_rows(self) -> dict[int, tuple[Any, ...]]:
        """Give user, symbol, direction, size, cost, margin, leverage, mode, source and status by position."""
        found = {}
        for position_id, opened in self.opened.items():
            held = self.books.holdings.get(position_id)
            figures = (held.size, held.cost, held.margin) if held else (ZERO, ZERO, ZERO)
            status = "OPEN"
            if held is None:
                by_force = self.last_close[position_id] is FillAction.LIQUIDATION
                status = "LIQUIDATED" if by_force else "CLOSED"
            direction = "LONG" if opened.side > 0 else "SHORT"
            of = opened.leverage, opened.margin_mode.value, opened.source.value, status
            found[position_id] = (opened.user, opened.symbol, direction, *figures, *of)
        return found

    def order_rows(self, waiting: set[str]) -> dict[str, tuple[str, Decimal]]:
        """Give status and filled size by order; ``waiting`` rest in the book or at the venue."""
        waiting = waiting | {sent.order_id.removesuffix(_SPLIT) for sent in self.at_venue.values()}
        about: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if isinstance(event, OrderFilled | OrderRefused | OrderCancelled | OrderRested):
                about[event.order_id.removesuffix(_SPLIT)].append(event)
        return {name: self._order(name, about[name], name in waiting) for name in self.orders}

    def _order(self, name: str, events: list[Event], waits: bool) -> tuple[str, Decimal]:
        filled = sum((event.size for event in events if isinstance(event, OrderFilled)), ZERO)
        ends = [event for event in events if isinstance(event, OrderRefused | OrderCancelled)]
        if filled and filled == self.orders[name].size:
            status = "FILLED"
        elif waits:
            rested = any(isinstance(event, OrderRested) for event in events)
            status = "PARTIALLY_FILLED" if filled else "RESTING" if rested else "PENDING"
        elif filled and not ends and self.orders[name].size is None:
            status = "FILLED"
        elif not filled and ends and isinstance(ends[-1], OrderRefused):
            status = "REFUSED"
        else:
            status = "EXPIRED" if ends and getattr(ends[-1], "reason", "") == "EXPIRED" else "CANCELLED"
        return status, filled

    def fill_rows(self) -> list[tuple[Any, ...]]:
        """Give every fill."""
        return [
            (
                e.fill_id,
                e.order_id,
                e.price,
                e.size,
                e.fee,
                e.source,
                e.hl_fill_price,
                e.position_id,
                e.user,
                e.pnl,
            )
            for e in self.events
            if isinstance(e, OrderFilled)
        ]

    def liquidation_rows(self) -> list[tuple[Any, ...]]:
        """Give every liquidation."""
        return [
            (e.position_id, e.user, e.trigger_price, e.close_price, e.margin_zeroed, e.bad_debt)
            for e in self.events
            if isinstance(e, PositionLiquidated)
        ]

    def funding_rows(self) -> list[tuple[Any, ...]]:
        """Give every funding payment."""
        return [
            (e.position_id, e.payment, e.user, e.uncollected)
            for e in self.events
            if isinstance(e, FundingSettled)
        ]

    def venue_rows(self) -> dict[str, tuple[str, Decimal, str]]:
        """Give account, size and status of each order at the venue."""
        found = {}
        for cloid, sent in (self.at_venue | self.ended).items():
            asked = "CANCEL_REQUESTED" if cloid in self.cancel_asked else "REQUESTED"
            found[cloid] = sent.account.value, sent.size, "ENDED" if cloid in self.ended else asked
        return found

    def hedge_rows(self) -> dict[str, tuple[str, Decimal, Decimal]]:
        """Give direction, size and cost of the open hedge of each symbol."""
        return {
            symbol: ("LONG" if size > 0 else "SHORT", abs(size), abs(cost))
            for symbol, (size, cost) in self.books.hedges.items()
            if size
        }
