"""What a HYPERLIQUID close really brought against what our reference promised (rulebook §3)."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from risk.settings import DAY_NS, RiskConfig


class DeviationGrade(StrEnum):
    """Grade one deviation; those too small to be logged have no grade."""

    LOGGED = "LOGGED"
    ALERT = "ALERT"
    CRITICAL = "CRITICAL"


class DayGrade(StrEnum):
    """Grade the sum of a day."""

    REVIEW = "REVIEW"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class Deviation:
    """Compare both results of one close: USDC, ``rate`` a fraction of the closed notional at reference."""

    xbit_pnl: Decimal
    actual_pnl: Decimal
    deviation: Decimal
    rate: Decimal
    grade: DeviationGrade | None


def deviation(
    side: int,
    reference_price: Decimal,
    receipt_price: Decimal,
    size: Decimal,
    cost_share: Decimal,
    risk: RiskConfig,
) -> Deviation:
    """Compare the PnL of closing ``size`` coins at the reference with that at Hyperliquid's receipt.

    ``side`` is the position's (+1 long); ``cost_share`` the part of its own cost that is closed, in USDC.
    The deviation is actual − ours: negative where Hyperliquid paid less than the reference promised.
    """
    reference_notional = reference_price * size
    ours = side * (reference_notional - cost_share)
    actual = side * (receipt_price * size - cost_share)
    difference = actual - ours
    rate = abs(difference) / reference_notional
    return Deviation(ours, actual, difference, rate, _grade(abs(difference), rate, risk))


def _grade(amount: Decimal, rate: Decimal, risk: RiskConfig) -> DeviationGrade | None:
    if amount <= risk.deviation_log_usd:
        return None
    if rate > risk.deviation_critical_rate:
        return DeviationGrade.CRITICAL
    return DeviationGrade.ALERT if rate > risk.deviation_alert_rate else DeviationGrade.LOGGED


class DeviationDay:
    """Add up |deviation| over all symbols and the UTC day; each grade is told once per day."""

    __slots__ = ("_day", "_told", "total")

    def __init__(self) -> None:
        self._day = 0
        self._told: tuple[DayGrade, ...] = ()
        self.total = Decimal(0)

    def add(self, ts: int, amount: Decimal, risk: RiskConfig) -> tuple[DayGrade, ...]:
        """Add a deviation of ``amount`` USDC (either sign), small ones too; give the grades newly reached."""
        day = ts // DAY_NS
        if day != self._day:
            self._day, self._told, self.total = day, (), Decimal(0)
        self.total += abs(amount)
        limits = (
            (DayGrade.REVIEW, risk.deviation_day_review_usd),
            (DayGrade.CRITICAL, risk.deviation_day_critical_usd),
        )
        reached = tuple(grade for grade, limit in limits if self.total > limit and grade not in self._told)
        self._told += reached
        return reached

    def state(self) -> tuple[int, Decimal, tuple[str, ...]]:
        """Give the canonical values for the digest."""
        return self._day, self.total, self._told
