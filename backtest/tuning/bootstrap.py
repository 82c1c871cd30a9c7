"""Confidence intervals by drawing slots, and users, anew. Floats throughout: they describe, they decide nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.tuning.cells import Cells
from backtest.tuning.slots import Slots
from data.flow_scale import COPY_MARK
from risk.settings import HOUR_NS

LEVEL = 0.9  # of every interval
MIN_SLOTS = 5  # fewer say nothing about how slots differ
_DRAWS_AT_ONCE = 4_000_000  # keeps a few arrays of 32 MB at most

type Floats = NDArray[np.float64]
type Indices = NDArray[np.int64]
type Interval = tuple[float, float]
type Column = Callable[[str], Floats]  # a column of the slots by name, as drawn: (resamples, slots)


def mean_block(slots: int) -> int:
    """Return the mean length of blocks drawn from ``slots``: their cube root.

    That order of growth is best for the variance of a mean: Politis and White (2004), Automatic Block-Length
    Selection for the Dependent Bootstrap.
    """
    return max(1, round(slots ** (1 / 3)))


def stationary_indices(slots: int, block: int, resamples: int, rng: np.random.Generator) -> Indices:
    """Draw slots in blocks of geometric length around the end: (resamples, slots) numbers of slots.

    Politis and Romano (1994), The Stationary Bootstrap. ``block``: the mean length, 1 draws single slots.
    """
    at = np.arange(slots)
    begins = rng.random((resamples, slots)) < 1 / block
    begins[:, 0] = True
    first = rng.integers(slots, size=(resamples, slots))
    began = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    drawn: Indices = (np.take_along_axis(first, began, axis=1) + at - began) % slots
    return drawn


def slot_bootstrap(slots: Slots, names: Sequence[str], resamples: int, seed: int) -> dict[str, Interval]:
    """Return the percentile interval of each measure in ``names`` over slots drawn anew.

    Of a sum it says how far the result may lie from another period of the same kind. Of an extreme (drawdown,
    lowest ratio) it says only how much hangs on single slots: no draw is worse than the worst slots were.
    Left out: measures without a figure, and all of them under five slots or without resamples.
    """
    count = len(slots)
    if count < MIN_SLOTS or not resamples:
        return {}
    drawn = stationary_indices(
        count, mean_block(count), resamples, np.random.Generator(np.random.PCG64(seed))
    )
    figures = {name: measured(name, slots, drawn) for name in names}
    return {
        name: percentiles(known) for name, found in figures.items() if (known := found[~np.isnan(found)]).size
    }


def measured(name: str, slots: Slots, drawn: Indices) -> Floats:
    """Return the measure of each row of ``drawn``, as ``MEASURES[name].of(slots.take(row))``; NaN for None."""
    return _MEASURES[name](lambda column: column_of(slots, column)[drawn])


def column_of(slots: Slots, name: str) -> Floats:
    """Return a column of ``slots`` as floats, NaN for None."""
    return np.array([np.nan if value is None else float(value) for value in getattr(slots, name)])


def pigeonhole(slots: Slots, cells: Cells, resamples: int, seed: int) -> Interval | None:
    """Return the interval of the house PnL with users and slots both drawn anew, each by itself.

    Owen (2007), The Pigeonhole Bootstrap. A user drawn twice counts twice in every slot drawn. What has no user
    (hedges, results unrealised) is drawn by slot only. Copies of a scaled flow's user are one with it. None
    under five slots, two users or without resamples.
    """
    users = sorted({_original(user) for user in cells.users})
    if len(slots) < MIN_SLOTS or len(users) < 2 or not resamples:
        return None
    brought = _matrix(slots, cells, users)
    rest = column_of(slots, "gain") - brought.sum(axis=0)
    rng = np.random.Generator(np.random.PCG64(seed))
    totals = []
    for some in _batches(resamples, max(brought.shape)):
        by_slot = counts(stationary_indices(len(slots), mean_block(len(slots)), some, rng), len(slots))
        by_user = counts(rng.integers(len(users), size=(some, len(users))), len(users))
        totals.append((by_slot * (by_user @ brought + rest)).sum(axis=1))
    return percentiles(np.concatenate(totals))


def counts(drawn: Indices, kinds: int) -> Floats:
    """Return how often each number under ``kinds`` stands in each row: (rows, kinds)."""
    rows = len(drawn)
    flat = (drawn + np.arange(rows)[:, None] * kinds).ravel()
    return np.bincount(flat, minlength=rows * kinds).reshape(rows, kinds).astype(np.float64)


def percentiles(values: Floats) -> Interval:
    """Return the interval that holds LEVEL of ``values``, as much below it as above."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _original(user: str) -> str:
    return user.partition(COPY_MARK)[0]


def _matrix(slots: Slots, cells: Cells, users: list[str]) -> Floats:
    """Return what each user brought in each slot, USDC: (users, slots)."""
    rows = {user: row for row, user in enumerate(users)}
    columns = {start: column for column, start in enumerate(slots.start_ns)}
    found = np.zeros((len(users), len(slots)))
    for user, start, amount in zip(cells.users, cells.start_ns, cells.amounts, strict=True):
        if start in columns:
            found[rows[_original(user)], columns[start]] += float(amount)
    return found


def _batches(resamples: int, width: int) -> Iterator[int]:
    most = max(1, _DRAWS_AT_ONCE // width)
    while resamples > 0:
        yield min(most, resamples)
        resamples -= most


def _share(part: Floats, whole: Floats) -> Floats:
    sums = whole.sum(axis=1)
    found: Floats = np.divide(part.sum(axis=1), sums, out=np.full(len(sums), np.nan), where=sums != 0)
    return found


def _least(*columns: Floats) -> Floats:
    lowest: Any = np.fmin.reduce([np.fmin.reduce(column, axis=1) for column in columns])
    return lowest


def _lowest(gain: Floats, low: Floats) -> Floats:
    before = np.cumsum(gain, axis=1) - gain
    found: Floats = np.minimum((before + low).min(axis=1), 0)
    return found


def _drawdown(gain: Floats, low: Floats, high: Floats, inside: Floats) -> Floats:
    before = np.cumsum(gain, axis=1) - gain
    peaks = np.maximum(np.maximum.accumulate(before + high, axis=1), 0)
    peaks_before = np.concatenate([np.zeros((len(gain), 1)), peaks[:, :-1]], axis=1)
    found: Floats = np.maximum(np.maximum(peaks_before - (before + low), inside).max(axis=1), 0)
    return found


# The measures of ``measures.MEASURES`` for thousands of draws at once; the tests hold each against the exact one.
_MEASURES: dict[str, Callable[[Column], Floats]] = {
    "house_pnl": lambda of: of("gain").sum(axis=1),
    "pnl_bps": lambda of: _share(of("gain"), of("volume")) * 10_000,
    "max_drawdown": lambda of: _drawdown(of("gain"), of("low"), of("high"), of("drawdown")),
    "margin_ratio": lambda of: _least(of("trading_ratio"), of("hedge_ratio")),
    "trading_margin_ratio": lambda of: _least(of("trading_ratio")),
    "hedge_margin_ratio": lambda of: _least(of("hedge_ratio")),
    "bad_debt": lambda of: of("bad_debt").sum(axis=1),
    "hedge_cost": lambda of: of("hedge_cost").sum(axis=1),
    "hours_over_limit": lambda of: of("over_limit_ns").sum(axis=1) / HOUR_NS,
    "max_exposure": lambda of: of("exposure").max(axis=1),
    "reserve_fall": lambda of: -_lowest(of("reserve_gain"), of("reserve_low")),
    "internal_share": lambda of: _share(of("internal_volume"), of("volume")),
    "liquidations": lambda of: of("liquidations").sum(axis=1),
    "breaker_openings": lambda of: of("breaker_openings").sum(axis=1),
}
