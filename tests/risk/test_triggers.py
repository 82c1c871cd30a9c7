import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import InvalidInput
from risk.triggers import PriceTriggers

prices = st.floats(0.001, 1e6)


def test_below_fires_at_and_under_its_price_only():
    triggers = PriceTriggers[int]()
    triggers.add_below("BTC", 100.0, 1)
    assert [triggers.hit("BTC", price) for price in (99.0, 100.0, 100.1)] == [[1], [1], []]


def test_above_fires_at_and_over_its_price_only():
    triggers = PriceTriggers[int]()
    triggers.add_above("BTC", 100.0, 1)
    assert [triggers.hit("BTC", price) for price in (99.9, 100.0, 101.0)] == [[], [1], [1]]


def test_a_hit_trigger_stays_until_it_is_removed():
    triggers = PriceTriggers[str]()
    triggers.add_above("BTC", 100.0, "a")
    triggers.add_below("ETH", 5.0, "a")
    assert triggers.hit("BTC", 100.0) == triggers.hit("BTC", 100.0) == ["a"]
    triggers.remove("a")
    assert "a" not in triggers
    assert triggers.hit("BTC", 100.0) == triggers.hit("ETH", 1.0) == []


def test_removing_an_unknown_id_is_no_error():
    PriceTriggers[int]().remove(7)


def test_an_id_owns_one_trigger_per_symbol_and_direction():
    triggers = PriceTriggers[int]()
    triggers.add_below("BTC", 100.0, 1)
    triggers.add_above("BTC", 200.0, 1)
    triggers.add_below("BTC", 50.0, 1)
    assert [triggers.hit("BTC", price) for price in (50.0, 100.0, 200.0)] == [[1], [], [1]]


def test_the_band_of_an_unknown_symbol_is_endless():
    assert PriceTriggers[int]().band("BTC") == (-math.inf, math.inf)


def test_the_band_lies_between_the_nearest_triggers():
    triggers = PriceTriggers[int]()
    for owner, price in enumerate((90.0, 95.0, 80.0)):
        triggers.add_below("BTC", price, owner)
    triggers.add_above("BTC", 110.0, 9)
    assert triggers.band("BTC") == pytest.approx((95.0, 110.0))
    triggers.drift("BTC", 1.0, -2.0)
    assert triggers.band("BTC") == pytest.approx((96.0, 108.0))


def test_a_later_trigger_takes_no_part_in_an_earlier_drift():
    triggers = PriceTriggers[int]()
    triggers.add_below("BTC", 90.0, 1)
    triggers.drift("BTC", 5.0, 5.0)
    triggers.add_below("BTC", 92.0, 2)
    assert triggers.hit("BTC", 93.0) == [1]
    assert sorted(triggers.hit("BTC", 92.0)) == [1, 2]


def test_a_trigger_replaced_many_times_fires_once_and_at_its_last_price():
    triggers = PriceTriggers[int]()
    for step in range(1000):
        triggers.add_below("BTC", 1.0 + step % 7, 1)
        triggers.add_below("BTC", 1.0 + step % 90, 2)
        assert triggers.band("BTC")[0] == pytest.approx(1.0 + max(step % 7, step % 90))
    assert sorted(triggers.hit("BTC", 1.0 + 999 % 7)) == [1, 2]  # 6.0, and 10.0
    assert triggers.hit("BTC", 7.0) == [2]


def test_an_infinite_trigger_fires_always():
    triggers = PriceTriggers[int]()
    triggers.add_below("BTC", math.inf, 1)
    triggers.add_above("BTC", -math.inf, 2)
    triggers.drift("BTC", -1e6, 1e6)
    assert triggers.hit("BTC", 100.0) == [1, 2]
    assert triggers.band("BTC") == (math.inf, -math.inf)


def test_nan_is_refused_and_changes_nothing():
    triggers = PriceTriggers[int]()
    triggers.add_below("BTC", 100.0, 1)
    with pytest.raises(InvalidInput, match="trigger price of 1 was nan"):
        triggers.add_below("BTC", math.nan, 1)
    with pytest.raises(InvalidInput, match="drift of BTC was nan"):
        triggers.drift("BTC", math.nan, 0.0)
    assert triggers.hit("BTC", 100.0) == [1]


@st.composite
def histories(draw):
    add = st.tuples(st.sampled_from(["below", "above"]), st.integers(0, 9), prices)
    drift = st.tuples(st.just("drift"), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
    remove = st.tuples(st.just("remove"), st.integers(0, 9))
    return draw(st.lists(st.one_of(add, drift, remove), max_size=40))


@given(histories(), prices)
def test_never_late_and_hardly_early_against_a_plain_list(history, price):
    triggers = PriceTriggers[int]()
    plain: dict[tuple[str, int], float] = {}
    for step in history:
        if step[0] == "drift":
            triggers.drift("X", step[1], step[2])
            for direction, owner in plain:
                plain[direction, owner] += step[1] if direction == "below" else step[2]
        elif step[0] == "remove":
            triggers.remove(step[1])
            plain.pop(("below", step[1]), None)
            plain.pop(("above", step[1]), None)
        else:
            direction, owner, key = step
            (triggers.add_below if direction == "below" else triggers.add_above)("X", key, owner)
            plain[direction, owner] = key

    hit = sorted(triggers.hit("X", price))
    slop = 1e-6
    below = {owner: key for (direction, owner), key in plain.items() if direction == "below"}
    above = {owner: key for (direction, owner), key in plain.items() if direction == "above"}
    surely = [o for o, key in below.items() if price <= key - slop]
    surely += [o for o, key in above.items() if price >= key + slop]
    maybe = [o for o, key in below.items() if price <= key + slop]
    maybe += [o for o, key in above.items() if price >= key - slop]
    assert set(surely) <= set(hit) <= set(maybe)
    low, high = triggers.band("X")
    if low < price < high:
        assert hit == []


@given(st.lists(prices, min_size=1, max_size=20), st.integers(0, 19))
def test_a_price_equal_to_a_key_always_fires(keys, chosen):
    triggers = PriceTriggers[int]()
    for owner, key in enumerate(keys):
        triggers.add_below("X", key, owner)
        triggers.add_above("X", key, owner)
    owner = chosen % len(keys)
    assert triggers.hit("X", keys[owner]).count(owner) == 2
    low, high = triggers.band("X")
    assert not low < keys[owner] < high
