"""Routing counts, volumes and the house's exposure for thousands of settings on one flow, without an engine.

Exact, and equal to a run of each setting, where size, whitelist, mode and a symbol's own exposure cap decide alone:
while neither reserve, breaker nor the cap over all symbols binds, users' money suffices on either route, and
Hyperliquid fills whole what it is sent before its user's next order. Beyond that it is an estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from backtest.tuning.internal_flow import Floats, Integers, InternalFlow, SymbolFlow
from risk.routing import HouseState, forced_reason, size_limit
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

type Column = np.ndarray[tuple[Any, ...], np.dtype[Any]]
type Mask = np.ndarray[tuple[int, int], np.dtype[np.bool_]]

_CHUNK_CELLS = 2_000_000  # settings × moments held at once: bounds memory
_ZERO = Decimal(0)


class Kept(Protocol):
    """Say which decisions of one symbol each of K settings keeps INTERNAL."""

    def sums(self, column: Column) -> Column:
        """Return, by setting, the sum of ``column`` (one value per decision) over the decisions kept."""

    def running(self, column: Column, seen: Integers) -> Column:
        """Return (K × len(seen)) the sum of ``column`` (one value per change) over the first ``seen`` changes kept.

        ``seen`` ascends; of the column ``size`` this is the users' net INTERNAL size then.
        """


@dataclass(frozen=True)
class KeptBySize:
    """Keep the decisions whose notional is at most a limit that never changes: ``limits`` (K), flow's unit."""

    flow: SymbolFlow
    limits: Integers

    @cached_property
    def _order(self) -> Integers:
        return np.argsort(self.flow.notional, kind="stable")

    @cached_property
    def _rank(self) -> Integers:
        """Return how many decisions each setting keeps: those not above the limit, as ``decide`` has it."""
        return np.searchsorted(self.flow.notional[self._order], self.limits, side="right")

    def sums(self, column: Column) -> Column:
        """See ``Kept``: O((D + K) log D) by prefix sums."""
        total = np.cumsum(column[self._order])
        return np.concatenate((np.zeros(1, dtype=column.dtype), total))[self._rank]

    def running(self, column: Column, seen: Integers) -> Column:
        """See ``Kept``: each change is counted from its limit on and from its moment on, by two running sums."""
        limits, which = np.unique(self.limits, return_inverse=True)
        from_limit = np.searchsorted(limits, self.flow.notional[self.flow.decision], side="left")
        from_moment = np.searchsorted(seen, np.arange(len(column)), side="right")
        cells = np.zeros((len(limits) + 1, len(seen) + 1), dtype=column.dtype)
        np.add.at(cells, (from_limit, from_moment), column)
        np.cumsum(cells, axis=0, out=cells)
        np.cumsum(cells, axis=1, out=cells)
        return cells[which, :-1]


@dataclass(frozen=True, slots=True)
class KeptByMask:
    """Keep the decisions (D) that ``mask`` (D × K) says, whatever rule made it."""

    flow: SymbolFlow
    mask: Mask

    def sums(self, column: Column) -> Column:
        """See ``Kept``."""
        return column @ self.mask

    def running(self, column: Column, seen: Integers) -> Column:
        """See ``Kept``; block by block, since all changes of all settings would be too many."""
        settings = self.mask.shape[1]
        found = np.zeros((settings, len(seen)), dtype=column.dtype)
        block = max(1, _CHUNK_CELLS // max(1, len(column)))
        # Summed from one moment to the next; a moment without a change of its own adds nothing.
        starts = np.concatenate(([0], seen[:-1]))
        busy = np.flatnonzero(seen > starts)
        for first in range(0, settings if len(busy) else 0, block):
            part = slice(first, first + block)
            kept = column[: seen[-1], None] * self.mask[self.flow.decision[: seen[-1]], part]
            found[part, busy] = np.add.reduceat(kept, starts[busy], axis=0).T
        return np.cumsum(found, axis=1, out=found)


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold one value per setting; notionals, volumes and exposures in the flow's unit, exact.

    Records and notionals are those of opening orders' routing records; ``internal_volume`` is that of INTERNAL
    fills. ``max_exposure`` is the largest Σ |net exposure| of all symbols at a sample of the house,
    ``over_limit_ns`` the time it stood above the study's limit, as slots count it.
    Estimates (USDC): ``result`` of the INTERNAL positions and of builder fees on the other orders, its worst
    ``drawdown`` at those samples, and what is ``traded`` on Hyperliquid.
    """

    internal_records: Integers
    hyperliquid_records: Integers
    internal_notional: Integers
    hyperliquid_notional: Integers
    internal_volume: Integers
    max_exposure: Integers
    over_limit_ns: Integers
    result: Floats
    drawdown: Floats
    traded: Floats


def chunk_of(flow: InternalFlow) -> int:
    """Return how many settings may be looked at together in bounded memory."""
    return max(1, _CHUNK_CELLS // max(1, len(flow.snapshot_ns)))


def unforced_limit(flow: InternalFlow, mode: RoutingMode, config: RoutingConfig, risk: RiskConfig) -> int:
    """Return up to which notional the core keeps an order INTERNAL in ``mode``, in the flow's unit; −1: none.

    The house is otherwise as it begins: with its whole reserve, and nothing that forces orders out.
    """
    state = HouseState(
        whitelisted=config.internal_whitelisted,
        reserve=risk.reserve_capital,
        breaker_open=False,
        symbol_exposure=_ZERO,
        total_exposure=_ZERO,
        range_open=False,
        channel_unhealthy=False,
        quarantined=False,
    )
    if forced_reason(state, risk) is not None:
        return -1
    return flow.units(size_limit(mode, config, risk, risk.reserve_capital))


def exposures(flow: SymbolFlow, kept: Kept) -> Integers:
    """Return (K × C) the symbol's |net exposure| at its mark after each change of the flow."""
    return np.abs(kept.running(flow.size, np.arange(1, len(flow.size) + 1))) * flow.mark


def peaks(kept: KeptBySize, marks: Integers) -> Integers:
    """Return (K) the largest |net size| × mark, with one of ``marks`` for the time after each change."""
    moments = np.arange(1, len(marks) + 1)
    limits, which = np.unique(kept.limits, return_inverse=True)
    block = max(1, _CHUNK_CELLS // max(1, len(marks)))
    parts = [KeptBySize(kept.flow, limits[first : first + block]) for first in range(0, len(limits), block)]
    found = [(np.abs(part.running(part.flow.size, moments)) * marks).max(axis=1, initial=0) for part in parts]
    return np.concatenate(found)[which]


def house_paths(
    flow: InternalFlow, kept: Mapping[str, Kept], builder_rate: float = 0.0
) -> tuple[Integers, Floats]:
    """Return, by setting and sample of the house, Σ |net exposure| of all symbols and an estimate of what it made.

    The first is exact, in the flow's unit. The second is in USDC: INTERNAL positions at mark, and ``builder_rate`` on
    what the other orders trade; without funding and hedges.
    """
    exposure = np.zeros((1, len(flow.snapshot_ns)), dtype=np.int64)
    made = np.zeros((1, len(flow.snapshot_ns)))
    for name, symbol in flow.symbols.items():
        mirror = kept[name].running(symbol.size, symbol.seen)
        mirror *= symbol.snapshot_mark
        builder_fees = builder_rate * symbol.charged
        # Every order pays one; those kept give it back.
        gained = kept[name].running(symbol.gained - builder_fees, symbol.seen)
        gained -= mirror / 10.0**flow.places
        gained += np.concatenate(([0.0], np.cumsum(builder_fees)))[symbol.seen]
        made = made + gained
        exposure = exposure + np.abs(mirror, out=mirror)
    return exposure, made


def figures(
    flow: InternalFlow, kept: Mapping[str, Kept], exposure_limit: Decimal | None, builder_rate: float = 0.0
) -> Figures:
    """Return the figures of the settings that ``kept`` tells of, ``chunk_of(flow)`` of them at most."""
    exposure, made = house_paths(flow, kept, builder_rate)
    return Figures(
        internal_records=_total(flow, kept, "kept"),
        hyperliquid_records=_total(flow, kept, "kept_forced") + _left(flow, kept, "sent"),
        internal_notional=_total(flow, kept, "kept_notional"),
        hyperliquid_notional=_total(flow, kept, "kept_forced_notional") + _left(flow, kept, "sent_notional"),
        internal_volume=_total(flow, kept, "volume"),
        max_exposure=exposure.max(axis=1),
        over_limit_ns=_time_over(flow, exposure, exposure_limit),
        result=_total(flow, kept, "result") + builder_rate * _left(flow, kept, "charged"),
        drawdown=_drawdowns(made),
        traded=_left(flow, kept, "traded"),
    )


def _total(flow: InternalFlow, kept: Mapping[str, Kept], name: str) -> Column:
    """Return, by setting, the sum of a yield over the decisions kept."""
    return np.sum([kept[key].sums(getattr(each.yields, name)) for key, each in flow.symbols.items()], axis=0)


def _left(flow: InternalFlow, kept: Mapping[str, Kept], name: str) -> Column:
    """Return, by setting, the sum of a yield over the decisions sent away."""
    whole = sum(getattr(each.yields, name).sum() for each in flow.symbols.values())
    return whole - _total(flow, kept, name)


def _drawdowns(paths: Floats) -> Floats:
    """Return (K) the deepest fall of each path from its start, 0, or a later peak."""
    peak = np.maximum.accumulate(np.maximum(paths, 0.0), axis=1)
    return (peak - paths).max(axis=1)


def _time_over(flow: InternalFlow, totals: Integers, exposure_limit: Decimal | None) -> Integers:
    if exposure_limit is None:
        return np.zeros(len(totals), dtype=np.int64)
    over: Mask = totals[:, :-1] > flow.units(exposure_limit)
    return over.astype(np.int64) @ np.diff(flow.snapshot_ns)
