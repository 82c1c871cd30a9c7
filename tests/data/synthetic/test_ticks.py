from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.synthetic.ticks import round_down, round_near, round_up
from venues.hyperliquid.ticks import ON_GRID

PRICES = st.floats(min_value=1e-4, max_value=1e7)
DECIMALS = st.integers(0, 6)


def slow(price: float, price_decimals: int, rounding: str) -> Decimal:
    """Round one price as the rule reads: five significant figures, but whole numbers always.

    What a float's error keeps off the grid is on it.
    """
    exact = Decimal(price)
    places = min(max(4 - exact.adjusted(), 0), price_decimals)
    step = Decimal(1).scaleb(-places)
    nearest = exact.quantize(step)
    return nearest if abs(nearest - exact) < Decimal(ON_GRID) * step else exact.quantize(step, rounding)


@given(PRICES, DECIMALS)
@example(1.2999999999999998, 1)
def test_rounds_as_the_slow_rule(price, price_decimals):
    for function, rounding in (
        (round_down, ROUND_FLOOR),
        (round_up, ROUND_CEILING),
        (round_near, ROUND_HALF_EVEN),
    ):
        assert function(np.array([price]), price_decimals)[0] == float(slow(price, price_decimals, rounding))


@given(PRICES, DECIMALS)
def test_a_valid_price_stays(price, price_decimals):
    valid = round_up(np.array([price]), price_decimals)
    for function in (round_down, round_up, round_near):
        assert function(valid, price_decimals)[0] == valid[0] or valid[0] == 0.0


@pytest.mark.parametrize(
    ("price", "down", "up"),
    [(104_217.4, 104_217, 104_218), (3_412.36, 3_412.3, 3_412.4), (0.2123456, 0.21234, 0.21235)],
)
def test_examples(price, down, up):
    prices = np.array([price])
    assert (round_down(prices, 6)[0], round_up(prices, 6)[0]) == (down, up)
