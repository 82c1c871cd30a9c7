from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import InvalidInput
from venues.hyperliquid.instruments import HEDGE_VENUE, instrument_id, perpetual, symbol_of
from venues.hyperliquid.specs import bundled_specs, specs_from_meta
from venues.hyperliquid.ticks import ceil_prices, floor_prices


def test_the_bundled_snapshots_describe_majors_and_the_coins_of_2023():
    now, then = bundled_specs(), bundled_specs("meta_2023")
    btc = now["BTC"]
    assert (btc.size_decimals, btc.price_decimals, btc.tiers.leverages) == (5, 1, (40, 20))
    assert now["DOGE"].tiers.lowers == (0, 20_000_000)
    assert len(then) == 14
    assert {spec.tiers.leverages for spec in then.values()} == {(50,)}


@pytest.mark.parametrize("snapshot", ["meta_snapshot", "meta_2023"])
def test_every_coin_becomes_an_instrument_of_both_venues(snapshot):
    for symbol, spec in bundled_specs(snapshot).items():
        instrument = perpetual(spec, HEDGE_VENUE)
        assert instrument.id == instrument_id(symbol, HEDGE_VENUE)
        assert symbol_of(instrument.id) == symbol
        assert Decimal(str(instrument.size_increment)) == spec.lot


def test_delisted_coins_are_left_out_and_a_wrong_shape_refused():
    row = {"name": "A", "szDecimals": 2, "maxLeverage": 3}
    assert list(specs_from_meta({"universe": [row, row | {"name": "B", "isDelisted": True}]})) == ["A"]
    for meta, message in (
        ({}, "no list 'universe'"),
        ({"universe": [row | {"szDecimals": 9}]}, "szDecimals 9"),
        ({"universe": [{"szDecimals": 2}]}, "name was None"),
        ({"universe": [7]}, "universe"),
    ):
        with pytest.raises(InvalidInput, match=message):
            specs_from_meta(meta)


@given(st.floats(1e-3, 1e6), st.integers(0, 6))
def test_rounding_lands_on_five_figures_beside_the_price(price, decimals):
    low, high = (f(np.array([price]), decimals)[0] for f in (floor_prices, ceil_prices))
    assert low <= price * (1 + 1e-9)
    assert high >= price * (1 - 1e-9)
    for rounded in (low, high):
        exact = Decimal(repr(round(float(rounded), decimals))).normalize()
        assert abs(exact - Decimal(float(rounded))) < Decimal("1e-9")
        assert exact == exact.to_integral_value() or len(exact.as_tuple().digits) <= 5
        assert -exact.as_tuple().exponent <= decimals
