"""Whether a point's gain over everything on Hyperliquid can be told from luck."""

from collections.abc import Mapping

import numpy as np

from backtest.tuning.bootstrap import MIN_SLOTS, Floats, mean_block
from backtest.tuning.findings import Significance
from backtest.tuning.slots import Slots
from backtest.tuning.statistics import (
    deflated_sharpe,
    mean_interval,
    overfit_probability,
    reality_check_p,
    sign_flip_p,
)


def significance(
    slots: Mapping[int, Slots], chosen: int, baseline: Slots | None, resamples: int, seed: int
) -> Significance | None:
    """Judge trial ``chosen`` among all of ``slots`` by house PnL per slot, whatever the study's objectives are.

    None without a baseline, under five slots that the runs share, or without resamples.
    """
    if baseline is None:
        return None
    starts = sorted(set(baseline.start_ns).intersection(*(one.start_ns for one in slots.values())))
    if len(starts) < MIN_SLOTS or not resamples:
        return None
    numbers = sorted(slots)
    gains = np.array([_gains(slots[number], baseline, starts) for number in numbers])
    row, block = numbers.index(chosen), mean_block(len(starts))
    return Significance(
        slots=len(starts),
        trials=len(numbers),
        gain_per_slot=float(gains[row].mean()),
        interval=mean_interval(gains[row], resamples, seed),
        p_value=sign_flip_p(gains[row], block, resamples, seed),
        p_best_of_all=reality_check_p(gains, row, block, resamples, seed),
        deflated_sharpe=deflated_sharpe(gains, row),
        overfit=overfit_probability(gains),
    )


def _gains(slots: Slots, baseline: Slots, starts: list[int]) -> Floats:
    own, other = (dict(zip(one.start_ns, one.gain, strict=True)) for one in (slots, baseline))
    return np.array([float(own[start] - other[start]) for start in starts])
