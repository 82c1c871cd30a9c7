"""Toxicity against an obvious loop over fills, and against the look-ahead it must not have."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.recorder import DECIMAL
from backtest.toxicity import HORIZONS_NS, moves, toxicity, weighted_mean
from risk.settings import MINUTE_NS, SECOND_NS

FIVE_MIN_NS = 5 * MINUTE_NS


def decimals(values: Sequence[Any]) -> pa.Array:
    return pa.array([Decimal(str(value)) for value in values], DECIMAL)


def marks_of(points: Sequence[tuple[int, Any]]) -> pa.Table:
    ts, marks = zip(*points, strict=True) if points else ((), ())
    columns = {"ts": pa.array(ts, pa.int64()), "symbol": pa.array(["BTC"] * len(ts)), "mark": decimals(marks)}
    return pa.table(columns)


def fills_of(rows: Sequence[tuple[int, int, Any]]) -> pa.Table:
    count = len(rows)
    return pa.table(
        {
            "ts": pa.array([row[0] for row in rows], pa.int64()),
            "symbol": pa.array(["BTC"] * count),
            "user": pa.array([f"u{i % 7}" for i in range(count)]),
            "side": pa.array([row[1] for row in rows], pa.int64()),
            "size": decimals([1] * count),
            "mark": decimals([row[2] for row in rows]),
            "maker": pa.array([i % 3 == 0 for i in range(count)]),
        }
    )


def slow_move(
    ts: int, side: int, mark: float, points: Sequence[tuple[int, float]], horizon: int, resolution: int
):
    """Look for the first mark at or after the horizon, one by one."""
    if horizon < resolution:
        return math.nan

    def first(wanted: int, late: int) -> float:
        if resolution >= MINUTE_NS:
            wanted = math.ceil(wanted / resolution) * resolution
        after = [(at, price) for at, price in points if at >= wanted]
        return after[0][1] if after and after[0][0] - wanted <= late else math.nan

    start = first(ts, 2 * resolution) if resolution >= MINUTE_NS else mark
    return side * (first(ts + horizon, max(horizon, 2 * resolution)) / start - 1) * 1e4


steps = st.lists(st.tuples(st.integers(1, 400), st.integers(90, 110)), min_size=1, max_size=40)
trades = st.lists(
    st.tuples(st.integers(0, 4_000), st.sampled_from((1, -1)), st.integers(90, 110)), max_size=12
)


@given(steps, trades, st.sampled_from((SECOND_NS, 5 * SECOND_NS, MINUTE_NS, FIVE_MIN_NS)))
def test_moves_are_those_of_the_obvious_loop(path: list, orders: list, resolution: int) -> None:
    at, points = 0, []
    for gap, price in path:
        at += gap * SECOND_NS
        points.append((at, price))
    rows = [(ts * SECOND_NS, side, price) for ts, side, price in orders]
    found = moves(fills_of(rows), marks_of(points), {"BTC": resolution})
    for name, horizon in HORIZONS_NS.items():
        expected = [slow_move(*row, points, horizon, resolution) for row in rows]
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-9)


def test_inside_a_bar_nothing_is_measured() -> None:
    """The low of a bar comes before its close only by our invention: buying it must not look clever."""
    bars = []
    for i in range(40):
        opening = i * FIVE_MIN_NS
        bars += [(opening, 100), (opening + 75 * SECOND_NS, 95), (opening + 150 * SECOND_NS, 105)]
    bought_low = [(i * FIVE_MIN_NS + 75 * SECOND_NS, 1, 95) for i in range(20)]
    found = moves(fills_of(bought_low), marks_of(bars), {"BTC": FIVE_MIN_NS})
    assert np.isnan(found["1 s"]).all()
    assert np.isnan(found["1 min"]).all()
    assert (found["5 min"] == 0).all()
    assert (found["1 h"] == 0).all()


def test_a_sell_before_a_fall_is_toxic_and_a_late_price_is_not_taken() -> None:
    points = [(0, 100), (60 * SECOND_NS, 99), (10_000 * SECOND_NS, 50)]
    found = moves(fills_of([(0, -1, 100)]), marks_of(points), {"BTC": SECOND_NS})
    assert found["1 min"][0] == pytest.approx(100)
    assert np.isnan(found["5 min"][0])


def test_the_interval_counts_users_not_fills() -> None:
    rng = np.random.default_rng(3)
    shocks = np.repeat(rng.normal(2, 10, 50), 40)
    clusters = np.repeat(np.arange(50), 40)
    ones = np.ones(len(shocks))
    by_user = weighted_mean(shocks, ones, clusters)
    by_fill = weighted_mean(shocks, ones, np.arange(len(shocks)))
    assert by_user is not None
    assert by_fill is not None
    assert by_user["bps"] == pytest.approx(shocks.mean())
    expected = 1.959964 * shocks[::40].std(ddof=1) / math.sqrt(50)
    assert by_user["high"] - by_user["bps"] == pytest.approx(expected)
    assert by_fill["high"] - by_fill["bps"] < by_user["high"] - by_user["bps"]


def test_few_users_have_a_mean_without_an_interval() -> None:
    found = weighted_mean(np.array([1.0, 3.0]), np.array([1.0, 3.0]), np.array([0, 1]))
    assert found is not None
    assert found["bps"] == 2.5
    assert found["low"] is found["high"] is None
    assert weighted_mean(np.array([np.nan]), np.ones(1), np.zeros(1, int)) is None


def test_groups_cover_all_fills() -> None:
    points = [(i * SECOND_NS, 100 + i % 3) for i in range(4_000)]
    rows = [(i * 10 * SECOND_NS, 1, 100 + 10 * i % 3) for i in range(50)]
    found = toxicity(fills_of(rows), marks_of(points), {"BTC": SECOND_NS})
    assert found["overall"]["1 s"]["fills"] == 50
    assert sum(found["roles"][role]["1 s"]["fills"] for role in ("taker", "maker")) == 50
    assert sum(row["1 s"]["fills"] for row in found["sizes"] if row["1 s"]) == 50
    assert sum(row["1 s"]["fills"] for row in found["users"]) == 50
