import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import QuoteModel, bar_path, quotes_around
from data.frames import BARS, MARKS
from risk.errors import InvalidInput
from venues.hyperliquid.specs import bundled_specs
from venues.hyperliquid.ticks import price_steps

BAR = 300_000_000_000
BTC = bundled_specs()["BTC"]


def bars_of(*rows, starts=None):
    starts = starts or [index * BAR for index in range(len(rows))]
    columns = [starts, *zip(*rows, strict=True), [1.0] * len(rows)] if rows else [[]] * 6
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, BARS, strict=True)], BARS)


@st.composite
def bar_rows(draw):
    prices = st.floats(1.0, 1000.0)
    row = draw(st.tuples(prices, prices, prices, prices))
    return (row[0], max(row), min(row), row[3])


@st.composite
def bar_tables(draw):
    rows = draw(st.lists(bar_rows(), min_size=1, max_size=8))
    gaps = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    starts = [BAR * (index + sum(gaps[: index + 1])) for index in range(len(rows))]
    return bars_of(*rows, starts=starts)


def test_a_rising_bar_visits_its_low_first_and_a_falling_one_its_high():
    path = bar_path(bars_of((10.0, 14.0, 9.0, 12.0), (12.0, 13.0, 8.0, 11.0)), BAR)
    assert path["mark"].to_pylist() == [10.0, 9.0, 14.0, 12.0, 12.0, 13.0, 8.0, 11.0]
    assert path["ts"].to_pylist()[:5] == [0, BAR // 4, BAR // 2, BAR - 1, BAR]


@given(bar_tables())
def test_the_path_agrees_with_a_plain_loop(bars):
    expected = []
    for row in bars.to_pylist():
        start, opened, high, low, close = (row[n] for n in ("ts_open", "open", "high", "low", "close"))
        extremes = (low, high) if close >= opened else (high, low)
        times = (start, start + BAR // 4, start + BAR // 2, start + BAR - 1)
        expected += zip(times, (opened, *extremes, close), strict=True)
    path = bar_path(bars, BAR)
    assert list(zip(path["ts"].to_pylist(), path["mark"].to_pylist(), strict=True)) == expected


@given(bar_tables(), st.integers(0, 8))
def test_later_bars_never_change_what_was_known_before(bars, count):
    prefix = bar_path(bars.slice(0, count), BAR)
    whole = bar_path(bars, BAR)
    assert whole.slice(0, prefix.num_rows).equals(prefix)


@given(bar_tables())
def test_nothing_of_a_bar_is_seen_outside_it_and_gaps_stay_gaps(bars):
    path = bar_path(bars, BAR)
    starts = np.repeat(bars["ts_open"].to_numpy(), 4)
    inside = path["ts"].to_numpy() - starts
    assert path.num_rows == 4 * bars.num_rows
    assert inside.min() >= 0
    assert inside.max() < BAR
    assert np.all(np.diff(path["ts"].to_numpy()) > 0)


def test_overlapping_bars_are_refused():
    row = (1.0, 1.0, 1.0, 1.0)
    with pytest.raises(InvalidInput, match="bar at 5: it must open"):
        bar_path(bars_of(row, row, starts=[0, 5]), BAR)


@given(st.lists(st.floats(0.5, 200_000.0), min_size=1, max_size=20), st.floats(0.0, 100.0))
def test_quotes_lie_on_the_grid_around_the_mark(prices, spread_bps):
    marks = pa.table({"ts": range(len(prices)), "mark": prices}, MARKS)
    quotes = quotes_around(marks, BTC, QuoteModel(spread_bps, 50_000))
    bid, ask = quotes["bid"].to_numpy(), quotes["ask"].to_numpy()
    mids = np.array(prices)
    tick = 10.0**-BTC.price_decimals
    # Below the first tick there is no lower price left but zero; such coins have more decimals.
    assert np.all(bid <= mids * (1 - spread_bps / 20_000) + 1e-6 * tick)
    assert np.all(ask >= mids * (1 + spread_bps / 20_000) - 1e-6 * tick)
    assert np.all(ask - bid > tick / 2)
    for side in (bid, ask):
        steps = price_steps(side, BTC.price_decimals)
        assert np.allclose(side / steps, np.rint(side / steps), atol=1e-6)
    assert np.all(quotes["bid_size"].to_numpy() >= float(BTC.lot))


@pytest.mark.parametrize("values", [(-1.0, 1.0), (float("nan"), 1.0), (1.0, 0.0), (1.0, float("inf"))])
def test_an_impossible_quote_model_is_refused(values):
    with pytest.raises(InvalidInput, match="it must be"):
        QuoteModel(*values)


def test_a_mark_that_was_traded_is_the_price_of_both_sides() -> None:
    marks = pa.table({"ts": [1, 2], "mark": [20_000.0, 20_000.0]}, MARKS)
    quotes = quotes_around(marks, BTC, QuoteModel(10, 50_000), np.array([True, False]))
    assert (quotes["bid"][0].as_py(), quotes["ask"][0].as_py()) == (20_000.0, 20_000.0)
    assert (quotes["bid"][1].as_py(), quotes["ask"][1].as_py()) == (19_990.0, 20_010.0)
