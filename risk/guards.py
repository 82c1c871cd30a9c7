"""The house's guards (rulebook §1 and §6): small state machines that say when internalising must stop.

Each takes its limits with the call, since an operator may change them while it runs, and gives ``state()``,
the plain values that belong into the book's digest.
"""

from decimal import Decimal
from enum import StrEnum

from risk.settings import DAY_NS, RiskConfig

_ZERO = Decimal(0)


class ReserveState(StrEnum):
    """Name what the reserve allows: full thresholds, half of them, or no internalising."""

    NORMAL = "NORMAL"
    HALVED = "HALVED"
    STOPPED = "STOPPED"


class LossChange(StrEnum):
    """Name what a look at the day's loss changed."""

    ALERTED = "ALERTED"
    OPENED = "OPENED"
    CLOSED = "CLOSED"


def reserve_state(reserve: Decimal, risk: RiskConfig) -> ReserveState:
    """Give what a reserve of that many USDC allows (§6)."""
    if reserve < risk.reserve_floor:
        return ReserveState.STOPPED
    return ReserveState.HALVED if reserve < risk.reserve_normal else ReserveState.NORMAL


class PriceGuard:
    """Keep a symbol's last valid mark and quarantine jumps (§6, price sanity)."""

    __slots__ = ("_calm_updates", "quarantined", "valid_mark")

    def __init__(self, mark: Decimal) -> None:
        """Start at ``mark``: the one received before the first that is judged."""
        self.valid_mark = mark
        self.quarantined = False
        self._calm_updates = 0

    def update(self, mark: Decimal, prev_mark: Decimal, limit: Decimal, updates_needed: int) -> bool:
        """Judge ``mark`` against ``prev_mark``, the one received before it; say whether quarantine changed.

        To be called once per received mark: never twice for one, and never leaving one out that was more
        than ``limit`` (a fraction) from its predecessor or came under quarantine. The level is accepted with
        the last of ``updates_needed`` marks in a row that were each within the limit.
        """
        if abs(mark - prev_mark) > limit * prev_mark:
            self._calm_updates = 0
            changed = not self.quarantined
            self.quarantined = True
            return changed
        if self.quarantined:
            self._calm_updates += 1
            if self._calm_updates < updates_needed:
                return False
            self.quarantined = False
            self.valid_mark = mark
            return True
        self.valid_mark = mark
        return False

    def state(self) -> tuple[Decimal, bool, int]:
        """Give the canonical values for the digest."""
        return self.valid_mark, self.quarantined, self._calm_updates


class RangeGuard:
    """Watch a symbol's price range over the last 60 minutes, with hysteresis (§1 reason 6)."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = False

    def update(self, low: Decimal, high: Decimal, limit: Decimal, release: Decimal) -> bool:
        """Open when (high − low) / low is above ``limit``, close under ``release``; say if that changed."""
        is_open = high - low >= release * low if self.open else high - low > limit * low
        changed = is_open is not self.open
        self.open = is_open
        return changed

    def state(self) -> tuple[bool]:
        """Give the canonical values for the digest."""
        return (self.open,)


class DailyLossBreaker:
    """Add up the house's INTERNAL loss of the UTC day and, beyond the limit, stop internalising (§6)."""

    __slots__ = ("_alerted", "_day", "_realised", "_unrealised_at_start", "ends_ns", "open")

    def __init__(self, ts: int = 0, unrealised: Decimal = _ZERO) -> None:
        """Start in the day of ``ts`` with the users' INTERNAL unrealised PnL in USDC."""
        self._start_day(ts, unrealised)

    def _start_day(self, ts: int, unrealised: Decimal) -> None:
        self._day = ts // DAY_NS
        self.ends_ns = (
            self._day + 1
        ) * DAY_NS  # 00:00 UTC, when ``check`` has to measure the next day's start
        self._realised = _ZERO
        self._unrealised_at_start = unrealised
        self._alerted = False
        self.open = False

    def realised(self, user_pnl: Decimal) -> None:
        """Add the price PnL of a users' INTERNAL close, as collected, in USDC (+ the user gained).

        It counts to the day last checked, so the first input at or after ``ends_ns`` has to check first.
        """
        self._realised += user_pnl

    def loss(self, unrealised: Decimal) -> Decimal:
        """Give the house's loss of the day (− a gain) at the users' INTERNAL ``unrealised`` PnL."""
        return self._realised + unrealised - self._unrealised_at_start

    def room(self, unrealised: Decimal, risk: RiskConfig) -> Decimal | None:
        """Give how much more USDC the house may lose before ``check`` has something to tell; None: no limit left."""
        if self.open:
            if self._alerted:
                return None
            limit = risk.daily_loss_alert
        elif self._alerted:
            limit = risk.daily_loss_breaker
        else:
            limit = min(risk.daily_loss_alert, risk.daily_loss_breaker)
        return limit - self.loss(unrealised)

    def check(self, ts: int, unrealised: Decimal, risk: RiskConfig) -> tuple[LossChange, ...]:
        """Start a new day if one began, then judge the loss; each change is told once per day."""
        changes = []
        if ts >= self.ends_ns:
            if self.open:
                changes.append(LossChange.CLOSED)
            self._start_day(ts, unrealised)
        loss = self.loss(unrealised)
        if not self._alerted and loss > risk.daily_loss_alert:
            self._alerted = True
            changes.append(LossChange.ALERTED)
        if not self.open and loss > risk.daily_loss_breaker:
            self.open = True
            changes.append(LossChange.OPENED)
        return tuple(changes)

    def state(self) -> tuple[int, Decimal, Decimal, bool, bool]:
        """Give the canonical values for the digest."""
        return self._day, self._realised, self._unrealised_at_start, self._alerted, self.open


class ChannelGuard:
    """Hold what the shell last reported about the Hyperliquid channel (§1 reason 7)."""

    __slots__ = ("_down_since_ns", "_round_trip_ns")

    def __init__(self) -> None:
        self._down_since_ns: int | None = None
        self._round_trip_ns = 0

    @property
    def connected(self) -> bool:
        """Say whether orders can be sent at all."""
        return self._down_since_ns is None

    def report(self, ts: int, connected: bool, round_trip_ns: int) -> bool:
        """Take a report; say whether the connection came or went with it."""
        changed = connected is not self.connected
        if changed:
            self._down_since_ns = None if connected else ts
        self._round_trip_ns = round_trip_ns
        return changed

    def unhealthy(self, ts: int, seen_ns: int, silence_ns: int, risk: RiskConfig) -> bool:
        """Say whether a symbol last heard of at ``seen_ns`` must not be internalised.

        Disconnected, too slow, or silent for more than ``silence_ns``, the limit of that symbol.
        """
        if self._down_since_ns is not None or self._round_trip_ns > risk.max_round_trip_ns:
            return True
        return ts - seen_ns > silence_ns

    def unreachable_ns(self, risk: RiskConfig) -> int | None:
        """Give when the channel counts as unreachable if it stays down; None while connected."""
        return None if self._down_since_ns is None else self._down_since_ns + risk.unreachable_after_ns

    def unreachable(self, ts: int, risk: RiskConfig) -> bool:
        """Say whether it was down so long that opens and closes are refused."""
        return self._down_since_ns is not None and ts >= self._down_since_ns + risk.unreachable_after_ns

    def state(self) -> tuple[int | None, int]:
        """Give the canonical values for the digest."""
        return self._down_since_ns, self._round_trip_ns
