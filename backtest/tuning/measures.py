"""What a study may aim for or insist on: each measure by its name, computed from the slots of a run alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from backtest.tuning.slots import Slots
from risk.settings import HOUR_NS

type Figure = Decimal | None
type Direction = Literal["maximize", "minimize"]

_ZERO = Decimal(0)
_PLACES = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True)
class Measure:
    """Say what a measure is called, in which unit it is, which way is better, and how slots give it.

    ``worsens``: while a run goes on it can only get worse, so that a constraint once broken stays broken.
    ``of`` returns None where there is nothing to measure: no margin was ever needed, nothing was traded.
    """

    title: str
    unit: str
    better: Direction
    worsens: bool
    of: Callable[[Slots], Figure]


def _drawdown(gains: Iterable[tuple[Decimal, Decimal, Decimal, Decimal]]) -> Decimal:
    """Return the deepest fall from a peak along slots of (gain, low, high, drawdown) put one after another."""
    at = peak = deepest = _ZERO
    for gain, low, high, inside in gains:
        # The peak before this slot against its low; a peak inside it is what ``inside`` is for.
        deepest = max(deepest, peak - (at + low), inside)
        peak = max(peak, at + high)
        at += gain
    return deepest


def _house_drawdown(slots: Slots) -> Decimal:
    return _drawdown(zip(slots.gain, slots.low, slots.high, slots.drawdown, strict=True))


def _lowest(gains: list[Decimal], lows: list[Decimal]) -> Decimal:
    """Return the lowest point of a path against its start, 0 or below."""
    at = lowest = _ZERO
    for gain, low in zip(gains, lows, strict=True):
        lowest = min(lowest, at + low)
        at += gain
    return lowest


def _least(values: Iterable[Decimal | None]) -> Figure:
    found = min((value for value in values if value is not None), default=None)
    return None if found is None else found.quantize(_PLACES)


def _internal_share(slots: Slots) -> Figure:
    volume = sum(slots.volume, _ZERO)
    return (sum(slots.internal_volume, _ZERO) / volume).quantize(_PLACES) if volume else None


def _pnl_bps(slots: Slots) -> Figure:
    volume = sum(slots.volume, _ZERO)
    return (sum(slots.gain, _ZERO) / volume * 10_000).quantize(_PLACES) if volume else None


def _hours_over_limit(slots: Slots) -> Figure:
    return (Decimal(sum(slots.over_limit_ns)) / HOUR_NS).quantize(_PLACES)


def _reserve_fall(slots: Slots) -> Figure:
    return -_lowest(slots.reserve_gain, slots.reserve_low)


# Name → (title, unit, better, only worsens as a run goes on, from slots).
_TABLE: dict[str, tuple[str, str, Direction, bool, Callable[[Slots], Figure]]] = {
    "house_pnl": ("House PnL", "USDC", "maximize", False, lambda s: sum(s.gain, _ZERO)),
    "pnl_bps": ("House PnL per volume traded", "bps", "maximize", False, _pnl_bps),
    "max_drawdown": ("Worst drawdown", "USDC", "minimize", True, _house_drawdown),
    "margin_ratio": (
        "Lowest margin ratio at Hyperliquid",
        "",
        "maximize",
        True,
        lambda s: _least((*s.trading_ratio, *s.hedge_ratio)),
    ),
    "trading_margin_ratio": (
        "Lowest margin ratio, trading account",
        "",
        "maximize",
        True,
        lambda s: _least(s.trading_ratio),
    ),
    "hedge_margin_ratio": (
        "Lowest margin ratio, hedge account",
        "",
        "maximize",
        True,
        lambda s: _least(s.hedge_ratio),
    ),
    "bad_debt": ("Bad debt", "USDC", "minimize", True, lambda s: sum(s.bad_debt, _ZERO)),
    "hedge_cost": ("Hedge cost", "USDC", "minimize", False, lambda s: sum(s.hedge_cost, _ZERO)),
    "hours_over_limit": ("Time above the exposure limit", "h", "minimize", True, _hours_over_limit),
    "max_exposure": (
        "Largest exposure, all symbols",
        "USDC",
        "minimize",
        True,
        lambda s: max(s.exposure, default=_ZERO),
    ),
    "reserve_fall": ("Deepest fall of the risk reserve", "USDC", "minimize", True, _reserve_fall),
    "internal_share": ("Share of volume kept INTERNAL", "", "maximize", False, _internal_share),
    "liquidations": ("Liquidations", "", "minimize", True, lambda s: Decimal(sum(s.liquidations))),
    "breaker_openings": (
        "Daily-loss breaker openings",
        "",
        "minimize",
        True,
        lambda s: Decimal(sum(s.breaker_openings)),
    ),
}
MEASURES = {name: Measure(*row) for name, row in _TABLE.items()}


def measure_all(slots: Slots) -> dict[str, Figure]:
    """Return every measure of ``slots`` by name."""
    return {name: measure.of(slots) for name, measure in MEASURES.items()}
