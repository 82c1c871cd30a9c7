"""What a taker pays at the simulated venue."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from risk.margin import MarginTiers
from risk.market import SymbolSpec
from venues.hyperliquid.simulation import Slippage, taker_levels

D = Decimal
BTC = SymbolSpec("BTC", 5, 1, MarginTiers.of([(0, 40)]))


def test_without_slippage_any_size_trades_at_the_quote():
    assert taker_levels(D(100_000), 1, D(7), Slippage(), BTC) == [(D(100_000), D(7))]


def test_a_taker_pays_the_slippage_once_when_there_is_no_depth():
    assert taker_levels(D(100_000), 1, D(7), Slippage(D(2)), BTC) == [(D(100_020), D(7))]
    assert taker_levels(D(100_000), -1, D(7), Slippage(D(2)), BTC) == [(D(99_980), D(7))]


def test_a_taker_pays_as_much_again_per_further_depth():
    levels = taker_levels(D(100_000), 1, D("0.6"), Slippage(D(2), D(25_000)), BTC)
    assert levels == [(D(100_020), D("0.25")), (D(100_040), D("0.25")), (D(100_060), D("0.1"))]


def test_depth_without_slippage_leaves_nothing_unfilled():
    assert taker_levels(D(100_000), 1, D(700), Slippage(D(0), D(2000)), BTC) == [(D(100_000), D(700))]


def test_steps_finer_than_the_grid_of_prices_share_a_level():
    """Half a dollar per step on a grid of whole dollars: each level has the depth of two steps."""
    levels = taker_levels(D(100_000), 1, D("0.9"), Slippage(D("0.05"), D(25_000)), BTC)
    assert levels == [(D(100_001), D("0.5")), (D(100_002), D("0.4"))]


@given(
    best=st.decimals("0.5", "99999", places=1, allow_nan=False),
    side=st.sampled_from([1, -1]),
    lots=st.integers(1, 10**7),
    bps=st.decimals(0, 50, places=2),
    depth=st.decimals(0, 10**6, places=0),
)
def test_levels_never_better_than_the_quote_worsen_steadily_and_sum_to_no_more_than_wanted(
    best, side, lots, bps, depth
):
    best = BTC.limit_on_grid(best, side)
    levels = taker_levels(best, side, lots * BTC.lot, Slippage(bps, depth), BTC)
    prices = [side * price for price, _ in levels]
    assert prices[0] >= side * best
    assert prices == sorted(set(prices))
    assert sum(size for _, size in levels) <= lots * BTC.lot
    assert all(size > 0 and size % BTC.lot == 0 for _, size in levels)
