"""The bounds of settings, and what counts as an anomaly."""

from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.ledger.codec import plain
from live.operators.bounds import (
    FIXED,
    RISK_BOUNDS,
    ROUTING_BOUNDS,
    anomalies,
    check_risk,
    check_routing,
)
from live.operators.changes import changed, different, risk_config, shown
from risk.errors import InvalidInput
from risk.settings import HedgeTier, LeverageStep, RiskConfig, RoutingConfig, RoutingMode

D = Decimal
RISK = RiskConfig()
ROUTING = RoutingConfig()


def test_every_number_of_the_settings_has_bounds_and_the_defaults_lie_within() -> None:
    numbers = {each.name for each in fields(RISK) if type(getattr(RISK, each.name)) in (int, Decimal)}
    assert numbers == set(RISK_BOUNDS) | FIXED
    assert {each.name for each in fields(ROUTING) if type(getattr(ROUTING, each.name)) is Decimal} == set(
        ROUTING_BOUNDS
    )
    other = replace(
        RISK,
        **{name: getattr(RISK, name) + 1 for name in RISK_BOUNDS},
        hedging_enabled=False,
        hedge_tiers=(),
        hedge_leverage=(),
    )
    check_risk(other, RISK)
    check_routing(replace(ROUTING, **dict.fromkeys(ROUTING_BOUNDS, D(-1))), ROUTING)


@pytest.mark.parametrize("name", sorted(RISK_BOUNDS))
def test_a_risk_setting_out_of_its_bounds_is_refused_by_name(name: str) -> None:
    low, high = RISK_BOUNDS[name]
    step = 1 if isinstance(low, int) else D("0.000001")
    for value in (low - step, high + step):
        with pytest.raises(InvalidInput, match=name):
            check_risk(RISK, replace(RISK, **{name: value}))


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity"), D("-1"), D("10000000.000001")])
def test_a_threshold_out_of_its_bounds_is_refused(value: Decimal) -> None:
    with pytest.raises(InvalidInput, match="normal_threshold"):
        check_routing(ROUTING, replace(ROUTING, normal_threshold=value))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reserve_floor": D(600_000)}, "reserve_floor"),
        ({"symbol_exposure_cap": D(5_000_001)}, "symbol_exposure_cap"),
        ({"daily_loss_alert": D(500_001)}, "daily_loss_alert"),
        ({"price_range_release": D("0.06")}, "price_range_release"),
        ({"platform_capital": D(1)}, "platform_capital"),
        ({"hedge_tiers": ()}, "hedge_tiers"),
        ({"hedge_tiers": (HedgeTier(D(5), D("0.5")), HedgeTier(D(4), D("0.6")))}, "hedge_tiers"),
        ({"hedge_tiers": (HedgeTier(D(5), D("1.1")),)}, "hedge_tiers"),
        ({"hedge_tiers": (HedgeTier(D("NaN"), D("0.5")),)}, "hedge_tiers"),
        ({"hedge_leverage": (LeverageStep(D(5), 2),)}, "hedge_leverage"),
        ({"hedge_leverage": (LeverageStep(None, 6),)}, "hedge_leverage"),
        ({"hedge_leverage": (LeverageStep(None, 2), LeverageStep(None, 3))}, "hedge_leverage"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        check_risk(RISK, replace(RISK, **changes))


def test_thresholds_of_the_modes_must_not_cross() -> None:
    with pytest.raises(InvalidInput, match="betting_mode_exposure_threshold"):
        check_routing(ROUTING, replace(ROUTING, betting_mode_exposure_threshold=D(800_001)))


@pytest.mark.parametrize(
    ("last", "new", "anomaly"),
    [
        ("10000", "0", True),
        ("0", "1", True),
        ("0", "0", False),
        ("10000", "10000", False),
        ("10000", "99999.999999", False),
        ("10000", "100000", True),
        ("10000", "1000.000001", False),
        ("10000", "1000", True),
    ],
)
def test_nothing_and_ten_times_either_way_are_anomalies(last: str, new: str, anomaly: bool) -> None:
    before, after = replace(ROUTING, normal_threshold=D(last)), replace(ROUTING, normal_threshold=D(new))
    assert anomalies(before, after, before) == (("normal_threshold",) if anomaly else ())


def test_of_the_risk_config_switches_and_tables_always_need_a_second_person() -> None:
    after = replace(RISK, hedging_enabled=False, hedge_tiers=(HedgeTier(D(100_000), D("0.6")),))
    assert anomalies(RISK, after, RISK) == ("hedging_enabled", "hedge_tiers")
    switched = replace(ROUTING, routing_mode=RoutingMode.BETTING_MODE, auto_switch_enabled=True)
    assert anomalies(ROUTING, switched, ROUTING) == ()


@pytest.mark.parametrize(
    ("agreed", "last", "new", "anomaly"),
    [
        (True, True, False, False),  # as a mode that is pinned: one person stops it
        (True, False, True, False),  # and takes that back
        (False, False, True, True),  # as a threshold that was 0
        (False, True, True, False),
        (False, False, False, False),
    ],
)
def test_to_internalise_what_two_people_had_off_needs_two(
    agreed: bool, last: bool, new: bool, anomaly: bool
) -> None:
    base, before, after = (replace(ROUTING, internal_whitelisted=value) for value in (agreed, last, new))
    assert anomalies(before, after, base) == (("internal_whitelisted",) if anomaly else ())


@pytest.mark.parametrize(
    ("agreed", "new", "anomaly"),
    [
        ("10000", "99999", False),
        ("10000", "100000", True),
        ("500000", "50000", True),
        ("60000", "59000", False),
    ],
)
def test_small_steps_go_no_further_than_one(agreed: str, new: str, anomaly: bool) -> None:
    before, after, base = (replace(ROUTING, normal_threshold=D(value)) for value in ("60000", new, agreed))
    assert anomalies(before, after, base) == (("normal_threshold",) if anomaly else ())


@given(st.decimals(1, 10**6, places=6), st.lists(st.decimals("0.01", 100, places=4), max_size=20))
def test_whatever_one_person_does_stays_within_ten_times(agreed: Decimal, factors: list[Decimal]) -> None:
    base = now = replace(ROUTING, normal_threshold=agreed)
    for factor in factors:
        after = replace(now, normal_threshold=now.normal_threshold * factor)
        if not anomalies(now, after, base):
            now = after
        assert agreed / 10 < now.normal_threshold < agreed * 10


def test_what_did_not_change_is_no_anomaly_however_far_it_is_from_what_was_agreed() -> None:
    before = replace(ROUTING, normal_threshold=D(90_000), betting_threshold=D(1))
    after = replace(before, normal_threshold=D(90_001))
    assert anomalies(before, after, ROUTING) == ()


@given(st.decimals(0, 10**7, places=6), st.decimals(0, 10**7, places=6))
def test_an_anomaly_is_one_in_both_directions(last: Decimal, new: Decimal) -> None:
    before, after = replace(ROUTING, normal_threshold=last), replace(ROUTING, normal_threshold=new)
    assert anomalies(before, after, before) == anomalies(after, before, after)


def test_changes_are_read_with_every_digit() -> None:
    after = changed(RISK, {"reserve_floor": "250000.000001", "hedge_retry_max": 8, "hedging_enabled": False})
    assert after == replace(RISK, reserve_floor=D("250000.000001"), hedge_retry_max=8, hedging_enabled=False)
    assert different(RISK, after) == {
        "reserve_floor": "250000.000001",
        "hedge_retry_max": 8,
        "hedging_enabled": False,
    }
    tiers = [{"lower": "100000", "ratio": "0.4"}, {"lower": "500000", "ratio": "0.9"}]
    assert changed(RISK, {"hedge_tiers": tiers}).hedge_tiers[1] == HedgeTier(D(500_000), D("0.9"))
    assert changed(ROUTING, {"routing_mode": "HL_MODE"}).routing_mode is RoutingMode.HL_MODE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "empty"),
        ({"reserve": "1"}, "'reserve'"),
        ({"reserve_floor": 0.1}, "reserve_floor"),
        ({"reserve_floor": "much"}, "reserve_floor"),
        ({"reserve_floor": None}, "reserve_floor"),
        ({"hedging_enabled": "no"}, "hedging_enabled"),
        ({"hedge_tiers": [{"lower": "1"}]}, "hedge_tiers"),
    ],
)
def test_changes_that_cannot_be_read_are_refused_by_name(changes: dict, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        changed(RISK, changes)


def test_the_rows_of_the_table_give_the_config_back() -> None:
    rows = {each.name: plain(getattr(RISK, each.name)) for each in fields(RISK)}
    assert risk_config(rows) == RISK
    assert shown(RISK)["taker_fee_rate"] == "0.0005"


def test_what_was_outside_its_bounds_before_stands_in_no_other_s_way() -> None:
    before = replace(RISK, symbol_exposure_cap=D("1e12"))
    check_risk(before, replace(before, reserve_floor=D(1)))
    with pytest.raises(InvalidInput, match="symbol_exposure_cap"):
        check_risk(before, replace(before, symbol_exposure_cap=D("2e12")))
