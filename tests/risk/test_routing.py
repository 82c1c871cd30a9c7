"""Routing, splitting and auto-switch against the numbers of rulebook §1."""

from dataclasses import replace
from decimal import Decimal
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.events import RouteReason, Source
from risk.routing import HouseState, RouteDecision, auto_mode, decide, exposure_edges, forced_reason, split
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

D = Decimal
CONFIG, RISK = RoutingConfig(), RiskConfig()
HL, NORMAL, BETTING = RoutingMode.HL_MODE, RoutingMode.NORMAL_MODE, RoutingMode.BETTING_MODE
CALM = HouseState(
    whitelisted=True,
    reserve=D(500_000),
    breaker_open=False,
    symbol_exposure=D(0),
    total_exposure=D(0),
    range_open=False,
    channel_unhealthy=False,
    quarantined=False,
)
# One change each that forces an order to Hyperliquid, in the rulebook's precedence.
FORCES = [
    (RouteReason.NOT_WHITELISTED, {"whitelisted": False}),
    (RouteReason.RESERVE_FLOOR, {"reserve": D("199999.999999")}),
    (RouteReason.DAILY_LOSS_BREAKER, {"breaker_open": True}),
    (RouteReason.SYMBOL_EXPOSURE, {"symbol_exposure": D("1000000.01")}),
    (RouteReason.TOTAL_EXPOSURE, {"total_exposure": D("5000000.01")}),
    (RouteReason.PRICE_RANGE, {"range_open": True}),
    (RouteReason.CHANNEL_UNHEALTHY, {"channel_unhealthy": True}),
    (RouteReason.PRICE_SANITY, {"quarantined": True}),
]
money = st.decimals(0, 2_000_000, places=2)


def route(notional, mode=NORMAL, **changes):
    return decide(D(notional), mode, CONFIG, RISK, replace(CALM, **changes))


@pytest.mark.parametrize(
    ("notional", "mode", "expected"),
    [
        ("5000", NORMAL, RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, D(10_000))),
        ("10000", NORMAL, RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, D(10_000))),
        ("10000.01", NORMAL, RouteDecision(Source.HYPERLIQUID, RouteReason.OVER_THRESHOLD, D(10_000))),
        ("50000", BETTING, RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, D(50_000))),
        ("50000.01", BETTING, RouteDecision(Source.HYPERLIQUID, RouteReason.OVER_THRESHOLD, D(50_000))),
        ("10", HL, RouteDecision(Source.HYPERLIQUID, RouteReason.HL_MODE, None)),
    ],
)
def test_the_mode_and_its_threshold_decide_in_a_calm_house(notional, mode, expected):
    assert route(notional, mode) == expected


@pytest.mark.parametrize("mode", [HL, NORMAL, BETTING])
@pytest.mark.parametrize(("reason", "change"), FORCES)
def test_each_forced_reason_forces_whatever_the_mode(reason, change, mode):
    assert route("100", mode, **change) == RouteDecision(Source.HYPERLIQUID, reason, None)


def test_of_two_forced_reasons_the_one_of_higher_precedence_is_recorded():
    for (first, one), (_, other) in combinations(FORCES, 2):
        assert forced_reason(replace(CALM, **one, **other), RISK) is first


def test_exposure_and_reserve_exactly_at_their_limits_do_not_force():
    at_limits = replace(CALM, symbol_exposure=D(1_000_000), total_exposure=D(5_000_000), reserve=D(200_000))
    assert forced_reason(at_limits, RISK) is None


@pytest.mark.parametrize(
    ("reserve", "threshold"), [("500000", 10_000), ("499999.99", 5_000), ("200000", 5_000)]
)
def test_a_weakened_reserve_halves_the_threshold(reserve, threshold):
    assert route(threshold, reserve=D(reserve)).route is Source.INTERNAL
    assert route(D(threshold) + D("0.01"), reserve=D(reserve)).route is Source.HYPERLIQUID
    assert route(threshold, reserve=D(reserve)).threshold == threshold


@given(notional=money, mode=st.sampled_from(RoutingMode), reserve=money, exposure=money)
def test_smaller_orders_in_a_safer_house_are_internalised_too(notional, mode, reserve, exposure):
    """Monotony: what is taken stays taken when the order shrinks, the reserve grows or exposure falls."""
    if route(notional, mode, reserve=reserve, symbol_exposure=exposure).route is Source.INTERNAL:
        safer = route(notional / 2, mode, reserve=reserve + 1, symbol_exposure=exposure / 2)
        assert safer.route is Source.INTERNAL


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        ("0.1", ("0.1", "0")),  # exactly the threshold
        ("0.25", ("0.1", "0.15")),
        ("0.10005", ("0.09995", "0.0001")),  # 5 USDC over: the internal part makes room for HL's minimum
    ],
)
def test_an_order_is_split_at_the_threshold(size, parts):
    internal, forwarded = split(D(size), D(100_000), D(10_000), D("0.00005"), D(10))
    assert (internal, forwarded) == (D(parts[0]), D(parts[1]))


@given(
    lots=st.integers(1, 10**6),
    decimals=st.integers(0, 5),
    mark=st.decimals("0.0001", 200_000, places=4),
    threshold=st.decimals(10, 50_000, places=2),
)
def test_split_parts_sum_up_and_use_the_threshold_to_the_lot(lots, decimals, mark, threshold):
    lot = D(1).scaleb(-decimals)
    size = lots * lot
    internal, forwarded = split(size, mark, threshold, lot, D(10))
    assert internal + forwarded == size
    assert internal >= 0
    assert internal % lot == 0
    assert internal * mark <= threshold
    if forwarded:
        one_more = (internal + lot) * mark > threshold
        assert one_more or (forwarded - lot) * mark < 10  # else a lot more could have stayed
        assert forwarded * mark >= 10 or internal == 0


@pytest.mark.parametrize(
    ("current", "exposure", "expected"),
    [
        (NORMAL, "799999.99", NORMAL),
        (NORMAL, "800000", HL),
        (HL, "500000", HL),
        (HL, "499999.99", NORMAL),
        (HL, "50000", BETTING),
        (NORMAL, "50000", BETTING),
        (NORMAL, "50000.01", NORMAL),
        (BETTING, "60000", BETTING),
        (BETTING, "60000.01", NORMAL),
        (BETTING, "800000", HL),
    ],
)
def test_auto_switch_enters_and_leaves_modes_at_the_rulebooks_edges(current, exposure, expected):
    assert auto_mode(current, D(exposure), CONFIG, RISK) is expected


def test_an_hl_threshold_under_the_release_level_keeps_its_hysteresis():
    small = replace(CONFIG, hl_mode_exposure_threshold=D(400_000))
    assert auto_mode(NORMAL, D(400_000), small, RISK) is HL
    assert auto_mode(HL, D(250_000), small, RISK) is HL  # 5/8 of 400 000, as 500 000 is of 800 000
    assert auto_mode(HL, D("249999.99"), small, RISK) is NORMAL


configs = st.builds(
    RoutingConfig,
    hl_mode_exposure_threshold=st.decimals(100_000, 2_000_000, places=0),
    betting_mode_exposure_threshold=st.decimals(1_000, 80_000, places=0),
)


@given(config=configs, current=st.sampled_from(RoutingMode), exposure=money)
def test_a_mode_once_chosen_is_kept_at_the_same_exposure(config, current, exposure):
    chosen = auto_mode(current, exposure, config, RISK)
    assert auto_mode(chosen, exposure, config, RISK) is chosen


@given(
    config=configs,
    start=st.sampled_from(RoutingMode),
    edge=st.integers(0, 3),
    wobble=st.lists(st.integers(-50, 50), min_size=2, max_size=20),
)
def test_a_wobble_of_five_percent_around_an_edge_switches_at_most_once(config, start, edge, wobble):
    edges = exposure_edges(config, RISK)
    centre = edges[edge % len(edges)]
    modes = [auto_mode(start, centre, config, RISK)]
    for per_mille in wobble:
        modes.append(auto_mode(modes[-1], centre * (1000 + per_mille) / 1000, config, RISK))
    assert sum(before is not after for before, after in pairwise(modes)) <= 1


@given(config=configs, current=st.sampled_from(RoutingMode), low=money, high=money)
def test_between_two_edges_the_answer_does_not_change(config, current, low, high):
    low, high = sorted((low, high))
    if not any(low <= edge <= high for edge in exposure_edges(config, RISK)):
        assert auto_mode(current, low, config, RISK) is auto_mode(current, high, config, RISK)
