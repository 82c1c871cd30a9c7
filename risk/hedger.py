"""When to hedge: the hedge account's orders from users' size changes, with debounce, limits and retries (§6).

A hedge is held in coins, so within a row of the hedge table the target moves with the users' size alone; the
mark changes it only through the row or through what the account can carry.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from risk.errors import InvariantBroken
from risk.hedging import HedgeDecision, HedgeLine, allocate, hedge_ratio, hedge_tier, ladder_leverage
from risk.settings import MINUTE_NS, RiskConfig

_ZERO = Decimal(0)


class HedgeAlarm(StrEnum):
    """Say that Hyperliquid keeps failing to fill a hedge, or that retrying has ended."""

    RETRYING = "RETRYING"
    GAVE_UP = "GAVE_UP"


@dataclass(slots=True)
class _SymbolState:
    tier: int = 0
    first_change_ns: int | None = None  # of the size changes not yet acted on
    last_change_ns: int = 0
    unnoticed: bool = False  # nobody is woken for these changes
    cloid: str | None = None
    sent: HedgeDecision | None = None
    failures: int = 0
    retry_ns: int | None = None
    suspended: bool = False  # gave up, or de-leveraged: left alone until the users' size changes
    uncovered: bool = False

    @property
    def is_at_work(self) -> bool:
        """Say whether a row is held, or an order is under way or to be tried again."""
        return bool(self.tier) or self.cloid is not None or self.retry_ns is not None

    @property
    def is_pending(self) -> bool:
        """Say whether a change of size, an order under way or a retry is still to be dealt with."""
        return not (self.first_change_ns is None and self.cloid is None and self.retry_ns is None)

    def settle(self) -> None:
        self.first_change_ns = self.retry_ns = None
        self.failures = 0


_DIGESTED = tuple(slot for slot in _SymbolState.__slots__ if slot != "sent")


@dataclass(slots=True)
class _Reduction:
    ts: int
    cloid: str
    notional: Decimal


class Hedger:
    """Decide hedge orders; its state follows from the calls alone.

    Reducing is limited over the whole account. It counts from sending, and what did not fill is given back.
    """

    __slots__ = ("_due_ns", "_reductions", "_symbols", "_wake_ns", "risk")

    def __init__(self, risk: RiskConfig) -> None:
        """Start with nothing to do; ``risk`` may be replaced at any time."""
        self.risk = risk
        self._symbols: dict[str, _SymbolState] = {}
        self._reductions: deque[_Reduction] = deque()
        self._wake_ns: dict[str, int] = {}
        self._due_ns: int | None = None  # the first of them

    def size_changed(self, symbol: str, ts: int, exposure_abs: Decimal, hedge_size: Decimal) -> None:
        """Note that the users' INTERNAL net size changed: to be acted on when it has settled.

        Where nothing stands and the exposure is well below the hedge table nothing can follow, so no one need
        be woken for it.
        """
        state = self._symbols.get(symbol)
        if state is None:
            state = self._symbols[symbol] = _SymbolState()
        first_ns = state.first_change_ns
        if first_ns is None or (state.unnoticed and ts >= self._settled_ns(state, first_ns)):
            state.first_change_ns = ts
        state.last_change_ns = ts
        state.suspended = False
        state.unnoticed = not (hedge_size or state.is_at_work or self._reaches_the_table(exposure_abs))
        if state.unnoticed:
            self._wake(symbol, None)
        else:
            self._schedule(symbol, state, ts)

    def _reaches_the_table(self, exposure_abs: Decimal) -> bool:
        tiers = self.risk.hedge_tiers
        return bool(tiers) and exposure_abs >= tiers[0].lower * self.risk.hedge_tier_release

    def next_due_ns(self) -> int | None:
        """Give when ``decide`` must be called even if nothing else happens; None without need."""
        return self._due_ns if self.risk.hedging_enabled else None

    def decide(
        self, ts: int, lines: Mapping[str, HedgeLine], equity: Decimal, *, may_increase: bool = True
    ) -> tuple[HedgeDecision, ...]:
        """Decide over ``lines``, all symbols with an INTERNAL exposure or a hedge.

        ``equity`` is the hedge account's in USDC. Without ``may_increase`` (the account is under pressure)
        hedges are only reduced. Each decision with an order is to be answered by ``order_sent``.
        """
        if not self.risk.hedging_enabled:
            return ()
        self._forget_gone(lines)
        wanted = {symbol: self._wanted(symbol, line) for symbol, line in lines.items()}
        allocation = allocate(wanted, {s: line.max_leverage for s, line in lines.items()}, equity, self.risk)
        budget = self._reduction_budget(ts)
        decisions = []
        for symbol in sorted(lines):
            line, state = lines[symbol], self._symbols[symbol]
            is_short = symbol in allocation.uncovered
            newly_short = is_short and not state.uncovered
            state.uncovered = is_short
            ratio = hedge_ratio(state.tier, self.risk)
            if not (ratio or line.hedge_size or state.is_pending):
                self._wake(symbol, None)  # nothing stands, nothing is wanted: most symbols, most of the time
                continue
            target = _ZERO
            if ratio:
                size = allocation.covered[symbol] / line.mark if is_short else ratio * abs(line.net_size)
                target = _sign(line.net_size) * (size // line.lot * line.lot) + _ZERO  # + 0: never −0
            order = self._order_size(ts, symbol, line, target, budget, may_increase)
            if order or newly_short:
                leverage = min(allocation.leverage, line.max_leverage)
                decisions.append(self._decision(symbol, line, target, order, leverage, newly_short))
                budget -= _reduced(line.hedge_size, order) * line.mark
        return tuple(decisions)

    def deleverage(
        self, ts: int, lines: Mapping[str, HedgeLine], share: Decimal
    ) -> tuple[HedgeDecision, ...]:
        """Decide to close ``share`` of every hedge at once: our account is about to be liquidated.

        It neither waits nor heeds the limit per minute, which exists to spare us slippage; it counts to it,
        though. The symbols are left alone afterwards until their users' size changes.
        """
        total = sum((abs(line.hedge_size) * line.mark for line in lines.values()), _ZERO)
        leverage = ladder_leverage(total, self.risk)
        decisions = []
        for symbol in sorted(lines):
            line, state = lines[symbol], self._symbols.setdefault(symbol, _SymbolState())
            waits = state.retry_ns is not None and ts < state.retry_ns
            if state.cloid is not None or waits or not line.hedgeable:
                continue
            lots = (abs(line.hedge_size) * share / line.lot).to_integral_value(ROUND_CEILING)
            order = -_sign(line.hedge_size) * min(abs(line.hedge_size), lots * line.lot)
            if order and abs(order) * line.mark >= self._min_notional(line):
                state.suspended = True
                target = line.hedge_size + order
                most = min(leverage, line.max_leverage)
                decisions.append(self._decision(symbol, line, target, order, most, False))
        return tuple(decisions)

    def order_sent(self, decision: HedgeDecision, ts: int, cloid: str) -> None:
        """Note that the decision's order left: nothing more is decided for its symbol until it ended."""
        state = self._symbols[decision.symbol]
        if state.cloid is not None:
            raise InvariantBroken(
                f"{decision.symbol}: hedge {cloid} was sent while {state.cloid} is in flight"
            )
        state.cloid, state.sent, state.retry_ns = cloid, decision, None
        reduced = _reduced(decision.current_size, decision.order_size)
        if reduced:
            self._reductions.append(_Reduction(ts, cloid, reduced * decision.mark))
        if decision.current_size + decision.order_size == decision.target_size:
            state.first_change_ns = None
        elif state.first_change_ns is None:
            state.first_change_ns = state.last_change_ns = ts  # the limited rest stays due
        self._schedule(decision.symbol, state, ts)

    def order_ended(self, symbol: str, ts: int, filled: Decimal) -> HedgeAlarm | None:
        """Note that the order in flight is done with ``filled`` ≥ 0 coins of it; 0 when it was refused.

        A part left open is sent again with a new mark after the first retry delay. An order without any fill
        is retried with doubling delays; after the last retry the symbol is left to the caller.
        """
        state, risk = self._symbols[symbol], self.risk
        sent, cloid = state.sent, state.cloid
        if sent is None:
            raise InvariantBroken(f"{symbol}: a hedge order ended, but none was in flight")
        state.cloid = state.sent = None
        for reduction in self._reductions:
            if reduction.cloid == cloid:
                reduction.notional = min(reduction.notional, filled * sent.mark)
        alarm = None
        if filled:
            state.failures = 0
            if filled < abs(sent.order_size):
                state.retry_ns = ts + risk.hedge_retry_first_ns
        else:
            state.failures += 1
            state.retry_ns = ts + risk.hedge_retry_first_ns * 2 ** (state.failures - 1)
            if state.failures == risk.hedge_retry_alert_at:
                alarm = HedgeAlarm.RETRYING
            elif state.failures > risk.hedge_retry_max:
                alarm = HedgeAlarm.GAVE_UP
                state.settle()
                state.suspended = True
        self._schedule(symbol, state, ts)
        return alarm

    def state(self) -> tuple[object, ...]:
        """Give the canonical values for the digest."""
        symbols = tuple(
            (name, *(getattr(state, slot) for slot in _DIGESTED))
            for name, state in sorted(self._symbols.items())
        )
        return symbols, tuple((r.ts, r.cloid, r.notional) for r in self._reductions)

    def _wanted(self, symbol: str, line: HedgeLine) -> Decimal:
        """Move the symbol to its row of the hedge table and give the notional to hedge."""
        state = self._symbols.get(symbol)
        if state is None:
            state = self._symbols[symbol] = _SymbolState()
        exposure = abs(line.net_size) * line.mark
        state.tier = hedge_tier(exposure, state.tier, self.risk)
        return hedge_ratio(state.tier, self.risk) * exposure if state.tier else _ZERO

    def _order_size(
        self, ts: int, symbol: str, line: HedgeLine, target: Decimal, budget: Decimal, may_increase: bool
    ) -> Decimal:
        """Give the signed coins to send now, and schedule what has to wait."""
        state = self._symbols[symbol]
        gap = target - line.hedge_size
        if state.cloid is not None or not line.hedgeable:
            self._wake(symbol, None)
            return _ZERO
        if not self._is_due(state, ts, gap, target):
            self._schedule(symbol, state, ts)
            return _ZERO
        if abs(gap) * line.mark < self._min_notional(line):
            state.settle()
            self._schedule(symbol, state, ts)
            return _ZERO
        reducing = _reduced(line.hedge_size, gap)
        size = min(reducing, max(budget, _ZERO) // (line.mark * line.lot) * line.lot)
        is_limited = size < reducing
        if may_increase and not is_limited:
            size = abs(gap)
        if size * line.mark >= self._min_notional(line):
            return _sign(gap) * size
        self._wake(symbol, None)
        if is_limited:
            oldest_ns = self._reductions[0].ts if self._reductions else ts
            self._wake(symbol, oldest_ns + MINUTE_NS)
        return _ZERO

    def _is_due(self, state: _SymbolState, ts: int, gap: Decimal, target: Decimal) -> bool:
        if state.suspended:
            return False
        if state.retry_ns is not None:
            return ts >= state.retry_ns
        if state.first_change_ns is not None:
            return ts >= self._settled_ns(state, state.first_change_ns)
        return abs(gap) > self.risk.hedge_drift_share * abs(target)

    def _settled_ns(self, state: _SymbolState, first_change_ns: int) -> int:
        risk = self.risk
        return min(state.last_change_ns + risk.hedge_debounce_ns, first_change_ns + risk.hedge_max_wait_ns)

    def _schedule(self, symbol: str, state: _SymbolState, ts: int) -> None:
        due = state.retry_ns
        if due is None and state.first_change_ns is not None:
            due = self._settled_ns(state, state.first_change_ns)
        is_left_alone = state.suspended and due is not None and due <= ts
        if due is None or is_left_alone or state.cloid is not None:
            self._wake(symbol, None)
        else:
            self._wake(symbol, max(due, ts))

    def _wake(self, symbol: str, due_ns: int | None) -> None:
        """Note when the symbol must be looked at even if nothing else happens."""
        if self._wake_ns.get(symbol) == due_ns:
            return
        if due_ns is None:
            del self._wake_ns[symbol]
        else:
            self._wake_ns[symbol] = due_ns
        self._due_ns = min(self._wake_ns.values(), default=None)

    def _reduction_budget(self, ts: int) -> Decimal:
        while self._reductions and self._reductions[0].ts <= ts - MINUTE_NS:
            self._reductions.popleft()
        return self.risk.dehedge_per_minute - sum((r.notional for r in self._reductions), _ZERO)

    def _forget_gone(self, lines: Mapping[str, HedgeLine]) -> None:
        gone = [s for s, state in self._symbols.items() if s not in lines and state.cloid is None]
        for symbol in gone:
            del self._symbols[symbol]
            self._wake(symbol, None)

    def _min_notional(self, line: HedgeLine) -> Decimal:
        return max(self.risk.hedge_min_notional, line.min_notional)

    def _decision(
        self, symbol: str, line: HedgeLine, target: Decimal, order: Decimal, leverage: int, uncovered: bool
    ) -> HedgeDecision:
        return HedgeDecision(
            symbol=symbol,
            net_exposure=line.net_size * line.mark,
            ratio=hedge_ratio(self._symbols[symbol].tier, self.risk),
            target_size=target,
            current_size=line.hedge_size,
            order_size=order,
            limit_price=line.mark * (1 + _sign(order) * self.risk.hedge_slippage_cap),
            mark=line.mark,
            leverage=leverage,
            uncovered=uncovered,
        )


def _sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _reduced(held: Decimal, order: Decimal) -> Decimal:
    """Give how much of ``order`` closes ``held``; the rest of it opens."""
    return min(abs(held), abs(order)) if held * order < 0 else _ZERO
