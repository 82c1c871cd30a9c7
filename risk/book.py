"""``Book``: the deterministic core as one reducer, ``handle(input) -> events`` (see the architecture)."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from risk import (
    funding,
    hedge_desk,
    house,
    house_accounts,
    liquidation,
    operators,
    orders,
    reconciliation,
    service,
    users,
    venue,
)
from risk.book_view import BookView
from risk.checks import market_view
from risk.core import Core
from risk.errors import InvalidInput, InvariantBroken
from risk.events import Event
from risk.frozen import freeze, thaw
from risk.hedging import exposure_edges as hedge_edges
from risk.inputs import (
    BalanceAdjusted,
    CancelSubmitted,
    ChannelReported,
    ConfigChanged,
    DepositCredited,
    FundingBooked,
    FundingCorrected,
    FundingPublished,
    HlAccount,
    HlHaltLifted,
    Input,
    MarginAdjusted,
    MarketUpdated,
    OrderSubmitted,
    RoutingModeSet,
    ServiceLevelSet,
    SnapshotRequested,
    TimerFired,
    VenueAccountLiquidated,
    VenueFilled,
    VenueOrderEnded,
    VenuePositionsReported,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from risk.ledger import ZERO
from risk.market import SymbolSpec, SymbolView
from risk.modes import review_mode, set_mode
from risk.routing import exposure_edges as mode_edges
from risk.settings import Settings
from risk.state import SymbolState
from risk.triggers import Side
from risk.watch import Bands

type AnySide = Side[int] | Side[str]

INFINITY = float("inf")
_NUDGE = 1 - 1e-12  # by more than float arithmetic is off, by less than any price step


class Book(BookView):
    """Be the platform's books and rules: the same inputs in the same order give the same events and digest.

    No I/O, no clock, no random numbers: time arrives in the inputs, and requests for the shell leave as
    events. An input that can never be right raises InvalidInput and changes nothing.
    """

    def __init__(
        self,
        specs: dict[str, SymbolSpec],
        settings: Settings,
        *,
        opened_ns: int,
        ids_vouched_for: bool = False,
    ) -> None:
        """Open the books with the starting capital at ``opened_ns``; ``opening_events`` hold those entries.

        ``ids_vouched_for``: the shell guarantees that the ids of orders and of withdrawals are new. The book
        then remembers none, so it does not grow with every order there ever was.
        """
        core = Core(specs, settings, ids_vouched_for=ids_vouched_for)
        core.now = opened_ns
        core.ledger.open_books(opened_ns, settings.risk)
        core.breaker.check(opened_ns, ZERO, settings.risk)
        opening_events = tuple(core.events)
        core.events.clear()
        self._take_up(core, opening_events)

    def _take_up(self, core: Core, opening_events: tuple[Event, ...]) -> None:
        self._core, self.opening_events = core, opening_events
        self._edges = {name: _edges_of(core.settings, name) for name in core.symbols}
        self._triggers = {name: _triggers_of(core, name) for name in core.symbols}
        self._handlers: dict[type, Callable[[Any], None]] = {
            MarketUpdated: self._market_updated,
            OrderSubmitted: lambda i: orders.submit(self._core, i),
            CancelSubmitted: lambda i: orders.cancel(self._core, i),
            MarginAdjusted: lambda i: users.adjust_margin(self._core, i),
            DepositCredited: lambda i: users.deposit(self._core, i),
            WithdrawalSubmitted: lambda i: users.withdraw(self._core, i),
            WithdrawalEnded: lambda i: users.end_withdrawal(self._core, i),
            FundingPublished: lambda i: funding.publish(self._core, i),
            FundingBooked: lambda i: house_accounts.funding_booked(self._core, i),
            FundingCorrected: lambda i: funding.correct(self._core, i),
            VenueFilled: lambda i: venue.filled(self._core, i),
            VenueOrderEnded: lambda i: venue.ended(self._core, i),
            VenueAccountLiquidated: lambda i: venue.account_liquidated(self._core, i),
            ChannelReported: lambda i: venue.channel_reported(self._core, i),
            VenuePositionsReported: lambda i: reconciliation.compare_positions(self._core, i),
            HlHaltLifted: lambda i: venue.lift_halt(self._core, i),
            RoutingModeSet: lambda i: set_mode(self._core, i),
            ConfigChanged: self._config_changed,
            ServiceLevelSet: lambda i: service.set_level(self._core, i),
            BalanceAdjusted: lambda i: operators.adjust_balance(self._core, i),
            SnapshotRequested: lambda _: house.snapshot(self._core),
            TimerFired: lambda _: None,  # what is due is done after every input
        }

    def handle(self, given: Input, quiet: Sequence[SymbolView] = ()) -> tuple[Event, ...]:
        """Take one input and return what happened, in order.

        ``quiet`` are the views that changed since the last input without leaving their ``bands``: the market
        the input is decided on. Raises InvalidInput when the input can never be right, or its time lies
        before the last one's.
        """
        core = self._core
        if given.ts < core.now:
            raise InvalidInput(f"ts was {given.ts}; it must not lie before the last input's {core.now}")
        before, breaker = core.now, core.breaker
        core.now = core.trigger_ns = given.ts
        if given.ts >= breaker.ends_ns:
            # The day's result starts at the marks of 00:00, before anything of today.
            core.breaker = copy(breaker)
            house.check_day(core)
        try:
            if quiet:
                self._take_views(quiet)
                before, breaker = (
                    core.now,
                    core.breaker,
                )  # the market has moved, whatever is made of the input
            self._handlers[type(given)](given)
        except InvalidInput:
            core.now, core.breaker = before, breaker
            core.events.clear()
            raise
        self._follow_up()
        events = tuple(core.events)
        core.events.clear()
        return events

    def _take_views(self, views: Sequence[SymbolView]) -> None:
        core = self._core
        for view in views:
            core.symbol(view.symbol)
            market_view(view, core.now)
        for view in views:
            house.take_view(core, view)
            core.narrowed.add(view.symbol)

    def _market_updated(self, given: MarketUpdated) -> None:
        core = self._core
        self._take_views(given.views)
        core.trigger_ns = max((view.ts for view in given.views), default=given.ts)
        liquidation.sweep(core)
        for view in given.views:
            orders.fire_waiting(core, core.symbols[view.symbol])

    def _config_changed(self, given: ConfigChanged) -> None:
        operators.change_config(self._core, given)
        self._edges = {name: _edges_of(self._core.settings, name) for name in self._core.symbols}
        # Other limits may ask for another mode, hedge or guard at the same exposure.
        for state in self._core.symbols.values():
            state.reviewed = None
        self._core.narrowed.update(self._core.symbols)
        self._core.touched.update(self._core.symbols)
        self._core.accounts_touched.update(HlAccount)
        self._core.hedge_requested = True

    def _follow_up(self) -> None:
        """Do what any input may have made due, in a fixed order."""
        core = self._core
        if core.expiries:
            orders.expire(core)
        liquidation.retry(core)
        changed = sorted(core.touched | core.marks_moved)
        liquidation.sweep(core)
        for name in changed:
            self._review_exposure(core.symbols[name])
        house.check_guards(core)
        house_accounts.watch_accounts(core)
        hedge_desk.run_hedger(core)
        core.marks_moved.clear()
        core.narrowed.update(changed)
        for name in changed:
            state = core.symbols[name]
            if state.net_size + state.house_size:
                raise InvariantBroken(f"{name}: users hold {state.net_size}, the house {state.house_size}")

    def _review_exposure(self, state: SymbolState) -> None:
        edges, exposure = self._edges[state.spec.symbol], abs(state.exposure_float)
        edge = bisect_right(edges, exposure)
        # Strictly between the same two edges as at the last look, no mode is left or entered.
        between = edge if bisect_left(edges, exposure) == edge else None
        if between is None or between != state.reviewed or state.hedge_forced:
            review_mode(self._core, state)
            state.reviewed = between
        if edge != state.edge:
            state.edge = edge
            self._core.hedge_requested = True

    def bands(self, symbol: str) -> Bands:
        """Tell the shell which market of ``symbol`` is quiet: while inside, nothing could follow from it."""
        core = self._core
        state = core.symbol(symbol)
        low, high = self._house_band(state)
        ask, bid, on_mark = self._triggers[symbol]
        for below, above in on_mark:
            if below.nearest > low:
                low = below.nearest
            if above.nearest < high:
                high = above.nearest
        guard, range_guard = state.guard, state.range_guard
        return Bands(low, high, ask.nearest, bid.nearest, guard.quarantined, range_guard.open)

    def take_narrowed(self) -> list[str]:
        """Return, sorted and once, the symbols whose bands may have become narrower since the last call.

        The others' can only have widened: the shell's old ones still hold.
        """
        names = sorted(self._core.narrowed)
        self._core.narrowed.clear()
        return names

    def _house_band(self, state: SymbolState) -> tuple[float, float]:
        """Return the marks at which a symbol's exposure or its result reaches the house's next limit.

        That is the next edge of a mode or a hedge row for |net exposure|, and the next limit of the day's loss.
        """
        if not state.net_size:
            return -INFINITY, INFINITY
        mark, exposure = state.mark_float, abs(state.exposure_float)
        coins = exposure / mark
        edges = self._edges[state.spec.symbol]
        at = bisect_right(edges, exposure)
        low = edges[at - 1] / coins * _NUDGE if at else -INFINITY
        high = edges[at] / coins * _NUDGE if at < len(edges) else INFINITY
        ration = self._core.loss_ration
        if ration is None:
            return low, high
        reach = ration / coins * _NUDGE
        return (low, min(high, mark + reach)) if state.net_size > 0 else (max(low, mark - reach), high)

    def next_timer_ns(self) -> int | None:
        """Return when a ``TimerFired`` is needed even if nothing else happens; None without need."""
        core = self._core
        due = [core.breaker.ends_ns]
        hedging = core.hedger.next_due_ns()
        if hedging is not None:
            due.append(hedging)
        unreachable = core.channel.unreachable_ns(core.risk)
        if unreachable is not None and not core.unreachable_told:
            due.append(unreachable)
        if core.liquidation_retries:
            due.append(core.liquidation_retries[0][0])
        if core.expiries:
            due.append(core.expiries[0][0])
        return max(core.now, min(due))

    def freeze(self) -> bytes:
        """Put the whole state down, to be taken up by ``thaw``."""
        return freeze(self._core, self.opening_events)

    @classmethod
    def thaw(cls, data: bytes) -> "Book":
        """Take a book up where ``freeze`` put it down: it answers the same inputs with the same events.

        Raises InvalidInput for what ``freeze`` of this very state version did not make. Nothing in ``data``
        is executed, but someone who may write it can write any state: whether it is the state that the
        inputs led to is for its owner to check.
        """
        book = cls.__new__(cls)
        thaw(data, book._take_up)
        return book


def _triggers_of(core: Core, symbol: str) -> tuple[AnySide, AnySide, tuple[tuple[AnySide, AnySide], ...]]:
    """Return what the asks, the bids, and the marks of a symbol could trigger, the last BELOW and ABOVE."""
    below, above, cross_below, cross_above = core.index.sides(symbol)
    _, _, account_below, account_above = core.account_index.sides(symbol)
    on_mark = (
        (below, above),
        (cross_below, cross_above),
        (account_below, account_above),
        core.mark_triggers.sides(symbol),
    )
    return core.ask_triggers.sides(symbol)[0], core.bid_triggers.sides(symbol)[1], on_mark


def _edges_of(settings: Settings, symbol: str) -> list[float]:
    edges = {*mode_edges(settings.routing_of(symbol), settings.risk), *hedge_edges(settings.risk)}
    return sorted(float(edge) for edge in edges)
