"""How likely a result is luck: tests on gains per slot against a baseline, in floats and seeded.

``gains`` are arrays of (points, slots): what each point tried earned in each slot beyond the baseline, USDC.
"""

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backtest.tuning.bootstrap import LEVEL, Floats, Interval, counts, mean_block, stationary_indices

_EULER = 0.5772156649015329
_NORMAL = NormalDist()
_MOST_BLOCKS = 16  # 12 870 ways to halve them
_FEWEST_BLOCKS = 4
_SPLITS_AT_ONCE = 1_000
_ANGLES = 100_001
_ROUNDING = 1e-9  # sums of equal numbers in another order are equal


def sign_flip_p(differences: Floats, block: int, resamples: int, seed: int) -> float:
    """Return how likely a sum this large is when each block's sign is a coin's: one-sided permutation test.

    Slots near each other are not independent, so ``block`` neighbouring slots share a coin. The draw that was
    observed counts as one of them (Phipson and Smyth 2010), so that no p-value is 0.
    """
    edges = np.arange(0, len(differences), block)
    sums = np.add.reduceat(differences, edges)
    rng = _generator(seed)
    coins = rng.integers(2, size=(resamples, len(sums))) * 2.0 - 1.0
    slack = _ROUNDING * np.abs(sums).sum()
    return _p_value(coins @ sums, float(sums.sum() - slack))


def mean_interval(differences: Floats, resamples: int, seed: int) -> Interval:
    """Return the percentile interval of the mean over slots drawn anew by the stationary bootstrap."""
    slots = len(differences)
    drawn = stationary_indices(slots, mean_block(slots), resamples, _generator(seed))
    low, high = np.quantile(differences[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def reality_check_p(gains: Floats, chosen: int, block: int, resamples: int, seed: int) -> float:
    """Return how likely the best of all points gains as much as ``chosen`` did when none is worth anything.

    White (2000), A Reality Check for Data Snooping, with the stationary bootstrap; for a point that is not the
    best, its p-value adjusted for having been one of many (step one of Romano and Wolf 2005).
    """
    slots = gains.shape[1]
    means = gains.mean(axis=1)
    drawn = counts(stationary_indices(slots, block, resamples, _generator(seed)), slots)
    best = (drawn @ gains.T / slots - means).max(axis=1)
    return _p_value(best, float(means[chosen] - _ROUNDING * np.abs(gains).max()))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of ``trials`` worthless ones is expected to show.

    Bailey and López de Prado (2014), The Deflated Sharpe Ratio; ``variance`` is that of the trials' ratios.
    """
    if trials < 2:
        return 0.0
    first, second = (_NORMAL.inv_cdf(1 - 1 / (trials * factor)) for factor in (1, math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def probabilistic_sharpe(
    sharpe: float, above: float, slots: int, skew: float, kurtosis: float
) -> float | None:
    """Return the probability that the true Sharpe ratio per slot is above ``above`` (same source).

    None where the ratio is so large that its standard error has no meaning.
    """
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if variance <= 0 or slots < 2:
        return None
    return _NORMAL.cdf((sharpe - above) * math.sqrt(slots - 1) / math.sqrt(variance))


def deflated_sharpe(gains: Floats, chosen: int) -> float | None:
    """Return the probability that ``chosen`` has a Sharpe ratio above what the best of so many shows by luck.

    Correlated trials count in full, which errs on the side of doubt. None where its gains never vary.
    """
    own = gains[chosen]
    spread = own.std()
    if not spread > 0:
        return None
    deviations = gains.std(axis=1)
    ratios = np.divide(gains.mean(axis=1), deviations, out=np.zeros(len(gains)), where=deviations > 0)
    scaled = (own - own.mean()) / spread
    variance = float(ratios.var(ddof=1)) if len(gains) > 1 else 0.0
    above = expected_best_sharpe(variance, len(gains))
    skew, kurtosis = float((scaled**3).mean()), float((scaled**4).mean())
    return probabilistic_sharpe(float(ratios[chosen]), above, len(own), skew, kurtosis)


def overfit_probability(gains: Floats) -> float | None:
    """Return how often the point best in one half of the slots is under the median in the other half.

    Combinatorially symmetric cross-validation over every way to halve up to 16 blocks of time: Bailey, Borwein,
    López de Prado and Zhu (2017), The Probability of Backtest Overfitting; best is what gains most. Points with
    equal gains count once. None under two points or eight slots.
    """
    distinct = np.unique(gains, axis=0)
    points, slots = distinct.shape
    blocks = min(_MOST_BLOCKS, slots // 4 * 2)  # an even number of them, two slots or more in each
    if points < 2 or blocks < _FEWEST_BLOCKS:
        return None
    parts = np.array_split(np.arange(slots), blocks)
    sums = np.array([distinct[:, part].sum(axis=1) for part in parts])
    lengths = np.array([len(part) for part in parts])
    halves = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, half in enumerate(combinations(range(blocks), blocks // 2)):
        halves[row, half] = 1
    pieces = np.array_split(halves, math.ceil(len(halves) / _SPLITS_AT_ONCE))
    return sum(_losses(piece, sums, lengths) for piece in pieces) / len(halves)


def _losses(halves: Floats, sums: Floats, lengths: Floats) -> int:
    """Count the halvings whose best point inside is not above the median outside."""
    inside, outside = ((half @ sums) / (half @ lengths)[:, None] for half in (halves, 1 - halves))
    best = np.take_along_axis(outside, inside.argmax(axis=1)[:, None], axis=1)
    ranks = (outside < best).sum(axis=1) + ((outside == best).sum(axis=1) + 1) / 2
    return int((ranks / (outside.shape[1] + 1) <= 0.5).sum())


def jackknife(left_out: Floats, whole: float) -> Interval:
    """Return the interval around ``whole`` from the same figure with each group left out in turn.

    Tukey's standard error of the delete-one jackknife (Efron and Tibshirani 1993, chapter 11) and Student's
    quantile, wide when groups are few. ``left_out`` holds two figures or more, on the scale of ``whole``.
    """
    groups = len(left_out)
    error = math.sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
    reach = student_quantile((1 + LEVEL) / 2, groups - 1) * error
    return whole - reach, whole + reach


def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile, at ½ or above, of Student's t with ``freedom`` degrees of freedom.

    With t = √ν tan θ its density becomes cos^(ν-1) θ, which is summed over θ from 0 to π/2.
    """
    angles = np.linspace(0, np.pi / 2, _ANGLES)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = np.interp(2 * probability - 1, mass / mass[-1], angles)
    return float(math.sqrt(freedom) * np.tan(angle))


def _p_value(drawn: NDArray[np.floating], observed: float) -> float:
    return (1 + int((drawn >= observed).sum())) / (1 + len(drawn))


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
