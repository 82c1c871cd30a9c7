"""Toxicity: how the mark moves after users' INTERNAL fills, signed to the user's side (+ costs the house).

The move runs from the fill's mark to the first mark at or after the horizon; nothing is interpolated. Marks
no finer than a minute come from bars, whose inner path is invented: there both ends are the first marks
of a later bar, so that the move lies wholly after the fill. A horizon finer than the marks is left out,
and so is a fill whose next mark comes more than a horizon (or two resolutions) late.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from risk.settings import HOUR_NS, MINUTE_NS, SECOND_NS

HORIZONS_NS = {"1 s": SECOND_NS, "1 min": MINUTE_NS, "5 min": 5 * MINUTE_NS, "1 h": HOUR_NS}
SIZE_EDGES_USD = (0, 100, 500, 1_000, 5_000, 10_000, 50_000)
BARS_FROM_NS = MINUTE_NS
LEAST_CLUSTERS = 5  # under this many, a confidence interval would mean nothing
_Z95 = 1.959964

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


def moves(fills: pa.Table, marks: pa.Table, resolution_ns: Mapping[str, int]) -> dict[str, Floats]:
    """Return per horizon the signed move after each fill in bps, NaN where the data does not tell.

    ``fills`` has ts, symbol, side and mark; ``marks`` has ts, symbol and mark, in time order.
    """
    found = {name: np.full(fills.num_rows, np.nan) for name in HORIZONS_NS}
    for symbol in sorted(fills["symbol"].unique().to_pylist()):
        rows = np.flatnonzero(pc.equal(fills["symbol"], symbol).to_numpy(zero_copy_only=False))
        own = marks.filter(pc.equal(marks["symbol"], symbol))
        if not own.num_rows or symbol not in resolution_ns:
            continue
        times, prices = own["ts"].to_numpy(), _floats(own["mark"])
        ts, side = fills["ts"].to_numpy()[rows], fills["side"].to_numpy()[rows]
        resolution = resolution_ns[symbol]
        bar = resolution if resolution >= BARS_FROM_NS else 0
        start = _price_at(times, prices, ts, bar, 2 * resolution) if bar else _floats(fills["mark"])[rows]
        for name, horizon in HORIZONS_NS.items():
            if horizon >= resolution:
                late = max(horizon, 2 * resolution)
                end = _price_at(times, prices, ts + horizon, bar, late)
                found[name][rows] = side * (end / start - 1.0) * 1e4
    return found


def _price_at(times: Ints, prices: Floats, wanted: Ints, bar: int, late: int) -> Floats:
    """Return the first price at or after each wanted time (of a later bar), NaN if more than ``late`` later."""
    if bar:
        wanted = -(-wanted // bar) * bar
    index = np.searchsorted(times, wanted)
    inside = np.minimum(index, len(times) - 1)
    known = (index < len(times)) & (times[inside] - wanted <= late)
    return np.where(known, prices[inside], np.nan)


def weighted_mean(values: Floats, weights: Floats, clusters: Ints) -> dict[str, float | int | None] | None:
    """Return the weighted mean, its 95 % interval clustered by ``clusters``, and counts; None without values.

    The standard error is the cluster-robust one of a ratio: fills of one cluster count as one draw.
    """
    known = np.isfinite(values) & (weights > 0)
    values, weights, clusters = values[known], weights[known], clusters[known]
    if not len(values):
        return None
    total = weights.sum()
    mean = float((weights * values).sum() / total)
    labels, index = np.unique(clusters, return_inverse=True)
    groups = len(labels)
    margin = None
    if groups >= LEAST_CLUSTERS:
        scores = np.bincount(index, weights * (values - mean))
        margin = float(_Z95 * np.sqrt(groups / (groups - 1) * (scores**2).sum()) / total)
    return {
        "bps": mean,
        "low": None if margin is None else mean - margin,
        "high": None if margin is None else mean + margin,
        "fills": len(values),
        "clusters": groups,
        "notional": float(total),
    }


def toxicity(
    fills: pa.Table, marks: pa.Table, resolution_ns: Mapping[str, int], most_users: int = 25
) -> dict[str, Any]:
    """Measure ``fills`` (users' INTERNAL fills, liquidations left out): overall, by role, size and user.

    Overall, roles and sizes are clustered by user, users by UTC hour. Users are the largest by notional.
    """
    after = moves(fills, marks, resolution_ns)
    notional = _floats(fills["size"]) * _floats(fills["mark"])
    encoded = pc.dictionary_encode(fills["user"]).combine_chunks()
    user = encoded.indices.to_numpy() if fills.num_rows else np.zeros(0, np.int64)
    names = encoded.dictionary.to_pylist()
    hour = fills["ts"].to_numpy() // HOUR_NS
    maker = fills["maker"].to_numpy(zero_copy_only=False).astype(bool)
    everything = np.ones(fills.num_rows, bool)

    def measured(where: Any, clusters: Ints) -> dict[str, Any]:
        return {
            horizon: weighted_mean(values[where], notional[where], clusters[where])
            for horizon, values in after.items()
        }

    totals = np.bincount(user, notional, len(names))
    largest = sorted(range(len(names)), key=lambda i: (-totals[i], names[i]))[:most_users]
    return {
        "overall": measured(everything, user),
        "roles": {"taker": measured(~maker, user), "maker": measured(maker, user)},
        "sizes": [{"size": label} | measured(where, user) for label, where in _buckets(notional)],
        "users": [
            {"user": names[i], "notional": float(totals[i])} | measured(user == i, hour) for i in largest
        ],
    }


def _buckets(notional: Floats) -> Iterable[tuple[str, Any]]:
    edges = (*SIZE_EDGES_USD, np.inf)
    for lower, upper in pairwise(edges):
        label = f"{lower:,} – {upper:,}" if np.isfinite(upper) else f"from {lower:,}"
        yield label.replace(",", " "), (notional >= lower) & (notional < upper)


def _floats(column: pa.ChunkedArray) -> Floats:
    return pc.cast(column, pa.float64()).to_numpy()
