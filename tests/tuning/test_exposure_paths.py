"""What is worked out without an engine is what the engine does, to the last digit, where nothing else binds."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.scenario import Scenario
from backtest.scenario_overrides import with_values
from backtest.tuning.exposure_paths import (
    Kept,
    KeptByMask,
    KeptBySize,
    exposures,
    figures,
    house_paths,
    peaks,
    unforced_limit,
)
from backtest.tuning.internal_flow import NEVER, InternalFlow
from backtest.tuning.mode_paths import kept_by_symbol
from risk.events import Source
from risk.routing import HouseState, decide
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

from .internal_runs import TREND, flow_of, run, unbound

D = Decimal
CRASH = "synthetic-flash-crash"
LIMIT = D(5_000)
AUTO = {
    "routing.*.auto_switch_enabled": True,
    "routing.*.hl_mode_exposure_threshold": 60_000,
    "routing.*.betting_mode_exposure_threshold": 20_000,
    "risk.hl_mode_release": 40_000,
}


def thresholds(normal: Decimal | int) -> dict[str, Any]:
    return {
        "routing.*.normal_threshold": normal,
        "routing.*.betting_threshold": 3 * normal,
        "routing.*.auto_switch_enabled": False,
    }


def changed(values: Mapping[str, Any], name: str = TREND) -> Scenario:
    return with_values(unbound(name)[0], dict(values))


def openings(tables: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    return [row for row in tables["routing_records"].to_pylist() if row["reason"] != "POSITION_SOURCE"]


def mask_of(kept: Kept) -> np.ndarray:
    if isinstance(kept, KeptByMask):
        return kept.mask
    assert isinstance(kept, KeptBySize)
    return kept.flow.notional[:, None] <= kept.limits


def assert_as_the_engine(scenario: Scenario, name: str = TREND) -> Mapping[str, pa.Table]:
    """Compare routing records, volumes and every exposure with a run of the engine; return its tables."""
    flow, tables = flow_of(name), run(scenario, unbound(name)[1])
    kept = kept_by_symbol(flow, [scenario.settings()])
    found = figures(flow, kept, LIMIT)
    for source, records, notional in (
        ("INTERNAL", found.internal_records, found.internal_notional),
        ("HYPERLIQUID", found.hyperliquid_records, found.hyperliquid_notional),
    ):
        rows = [row["notional"] for row in openings(tables) if row["route"] == source]
        assert len(rows) == records[0]
        assert sum(rows, D(0)) == flow.money(notional[0])
    internal = [row for row in tables["fills"].to_pylist() if row["source"] == "INTERNAL"]
    assert sum((row["price"] * row["size"] for row in internal), D(0)) == flow.money(found.internal_volume[0])
    assert_equal_paths(flow, kept, internal)
    totals = tables["house"]["total_exposure"].to_pylist()
    assert [flow.money(each) for each in house_paths(flow, kept)[0][0]] == totals
    assert flow.money(found.max_exposure[0]) == max(totals)
    assert found.over_limit_ns[0] == time_over(tables["house"]["ts"].to_pylist(), totals)
    return tables


def assert_equal_paths(flow: InternalFlow, kept: Mapping[str, Kept], fills: list[dict[str, Any]]) -> None:
    for name, symbol in flow.symbols.items():
        net, theirs = D(0), []
        for row in fills:
            if row["symbol"] == name:
                net += row["side"] * row["size"]
                theirs.append((row["ts"], abs(net) * row["mark"]))
        inside = mask_of(kept[name])[symbol.decision, 0]
        path = zip(symbol.changed_ns, exposures(symbol, kept[name])[0], inside, strict=True)
        assert [(ts, flow.money(each)) for ts, each, is_inside in path if is_inside] == theirs


def time_over(times: Sequence[int], totals: Sequence[Decimal]) -> int:
    return sum(
        after - before
        for before, after, total in zip(times, times[1:], totals, strict=False)
        if total > LIMIT
    )


@pytest.mark.parametrize("name", [TREND, CRASH])
@pytest.mark.parametrize("normal", [500, 3_000, 10_000])
@pytest.mark.parametrize("auto", [False, True])
def test_routing_volumes_and_exposures_are_the_engines(name: str, normal: int, auto: bool) -> None:
    scenario = changed(thresholds(normal) | (AUTO if auto else {}), name)
    tables = assert_as_the_engine(scenario, name)
    assert {row["route"] for row in openings(tables)} == {"INTERNAL", "HYPERLIQUID"}
    assert (tables["routing_mode_logs"].num_rows > 0) is auto


def test_a_market_that_moves_too_far_forces_orders_out_here_as_there() -> None:
    tables = assert_as_the_engine(changed(thresholds(10_000), CRASH), CRASH)
    assert "PRICE_RANGE" in {row["reason"] for row in openings(tables)}


@settings(max_examples=10)
@given(data=st.data())
def test_any_threshold_even_one_on_an_orders_own_notional_is_the_engines(data: st.DataObject) -> None:
    flow = flow_of()
    on_an_order = {
        name: st.sampled_from([flow.money(each) for each in symbol.notional if each < NEVER])
        for name, symbol in flow.symbols.items()
    }
    ether = data.draw(on_an_order["ETH"])
    bitcoin = data.draw(on_an_order["BTC"] | st.decimals(10, 30_000, places=3))
    values = thresholds(1) | {"routing.ETH.normal_threshold": ether, "routing.BTC.normal_threshold": bitcoin}
    assert_as_the_engine(changed(values))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"routing.ETH.internal_whitelisted": False}, "NOT_WHITELISTED"),
        ({"routing.BTC.routing_mode": "HL_MODE"}, "HL_MODE"),
        ({"routing.BTC.routing_mode": "BETTING_MODE"}, "OVER_THRESHOLD"),
        ({"risk.symbol_exposure_cap": 8_000}, "SYMBOL_EXPOSURE"),
        ({"risk.symbol_exposure_cap": 9_000, **AUTO}, "SYMBOL_EXPOSURE"),
        # The reserve begins under its normal level, which halves every threshold.
        ({"risk.reserve_normal": 1e9}, "OVER_THRESHOLD"),
    ],
)
def test_whitelist_modes_caps_and_a_low_reserve_are_the_engines(values: dict[str, Any], reason: str) -> None:
    tables = assert_as_the_engine(changed(thresholds(5_000) | values))
    assert reason in {row["reason"] for row in openings(tables)}


money = st.decimals(0, 100_000, places=2)


@given(
    notionals=st.lists(st.integers(1, 2_000_000), min_size=1, max_size=30),
    normal=money,
    betting=money,
    mode=st.sampled_from(RoutingMode),
    whitelisted=st.booleans(),
    reserve=st.decimals(0, 1_000_000, places=0),
)
def test_what_is_kept_is_what_decide_keeps_one_order_at_a_time(
    notionals: list[int],
    normal: Decimal,
    betting: Decimal,
    mode: RoutingMode,
    whitelisted: bool,
    reserve: Decimal,
) -> None:
    flow = InternalFlow({}, np.zeros(0, dtype=np.int64), places=1)
    config = RoutingConfig(mode, normal, betting, internal_whitelisted=whitelisted)
    risk = RiskConfig(reserve_capital=reserve)
    # Whatever was drawn, one order stands exactly on the threshold, and one a tenth of a dollar above.
    edge = flow.units(normal)
    notionals = [*notionals, max(1, edge), edge + 1]
    limit = unforced_limit(flow, mode, config, risk)
    state = HouseState(whitelisted, reserve, False, D(0), D(0), False, False, False)
    for notional in notionals:
        decision = decide(flow.money(notional), mode, config, risk, state)
        assert (notional <= limit) is (decision.route is Source.INTERNAL)


@settings(max_examples=15)
@given(st.lists(st.integers(-1, 40_000 * 10**6), min_size=1, max_size=8))
def test_both_ways_to_add_up_agree_with_adding_one_by_one(limits: list[int]) -> None:
    flow = flow_of()
    for symbol in flow.symbols.values():
        by_size = KeptBySize(symbol, np.array(limits))
        by_mask = KeptByMask(symbol, symbol.notional[:, None] <= np.array(limits))
        some = np.array([0, 1, 1, len(symbol.size) // 2, len(symbol.size)])
        for kept in (by_size, by_mask):
            for row, limit in enumerate(limits):
                sizes = [
                    int(size) if symbol.notional[decision] <= limit else 0
                    for size, decision in zip(symbol.size, symbol.decision, strict=True)
                ]
                assert kept.running(symbol.size, some)[row].tolist() == [sum(sizes[:count]) for count in some]
                volume = [
                    int(amount)
                    for amount, notional in zip(symbol.yields.volume, symbol.notional, strict=True)
                    if notional <= limit
                ]
                assert kept.sums(symbol.yields.volume)[row] == sum(volume)


def test_thousands_of_settings_together_give_what_each_gives_alone() -> None:
    flow = flow_of()
    for auto in ({}, AUTO):
        all_settings = [changed(thresholds(100 + 150 * n) | auto).settings() for n in range(60)]
        together = figures(flow, kept_by_symbol(flow, all_settings), LIMIT)
        for number in (0, 17, 59):
            alone = figures(flow, kept_by_symbol(flow, [all_settings[number]]), LIMIT)
            assert together.internal_records[number] == alone.internal_records[0]
            assert together.max_exposure[number] == alone.max_exposure[0]
            assert together.over_limit_ns[number] == alone.over_limit_ns[0]


def test_peaks_are_never_under_the_exposure_at_any_change() -> None:
    for symbol in flow_of().symbols.values():
        kept = KeptBySize(symbol, np.arange(0, 40_000 * 10**6, 10**9))
        assert (peaks(kept, symbol.highest) >= exposures(symbol, kept).max(axis=1)).all()
