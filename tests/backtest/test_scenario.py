from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.scenario import load_scenario, parse_scenario, ready_scenarios
from backtest.scenario_overrides import apply_overrides
from backtest.scenario_settings import RiskSection, RoutingRow
from backtest.scenario_toml import dump_toml
from backtest.scenario_values import format_duration, format_time, parse_duration, parse_time
from risk.errors import InvalidInput
from risk.settings import HedgeTier, LeverageStep, RiskConfig, RoutingConfig, RoutingMode, Settings

READY = [scenario.name for scenario in ready_scenarios()]


def test_an_empty_scenario_is_the_rulebook() -> None:
    assert parse_scenario({"name": "x"}).settings() == Settings()


def test_every_setting_of_the_rulebook_has_its_key() -> None:
    assert list(RiskSection.model_fields) == [
        field.name.removesuffix("_ns") for field in fields(RiskConfig) if field.name != "hot_wallet_floor"
    ]
    assert list(RoutingRow.model_fields) == [field.name for field in fields(RoutingConfig)]


@pytest.mark.parametrize("name", READY)
def test_a_written_scenario_loads_to_the_same(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    path = tmp_path / "again.toml"
    path.write_text(dump_toml(scenario))
    again = load_scenario(str(path))
    assert again.settings() == scenario.settings()
    assert dump_toml(again) == dump_toml(scenario)


def test_the_ready_scenarios_are_the_promised_ones() -> None:
    synthetic = ["calm", "trend", "one-way-crowd", "flash-crash", "funding-spike", "hl-outage", "thin-book"]
    crashes = ["crash-2025-10", "crash-2024-08", "crash-2020-03"]
    real = ["flow-2023", "flow-2023-x20", "flow-2023-reality"]
    promised = [f"synthetic-{mood}" for mood in synthetic] + real + crashes
    assert sorted(promised) == READY
    assert all(scenario.description for scenario in ready_scenarios())
    for name in crashes:
        assert "synthetic" in load_scenario(name).description


def test_flow_2023_has_limits_at_its_own_scale() -> None:
    settings = load_scenario("flow-2023").settings()
    routing, risk = settings.routing_of("ARB"), settings.risk
    assert (routing.normal_threshold, routing.betting_threshold) == (1000, 5000)
    assert [tier.lower for tier in risk.hedge_tiers] == [10_000, 50_000]
    assert (risk.symbol_exposure_cap, risk.total_exposure_cap) == (100_000, 200_000)
    assert (risk.daily_loss_alert, risk.daily_loss_breaker) == (500, 1000)


def test_x20_differs_from_the_rulebook_only_by_switching_modes() -> None:
    settings = load_scenario("flow-2023-x20").settings()
    assert settings == Settings(routing={"*": RoutingConfig(auto_switch_enabled=True)})


def test_a_symbols_row_starts_from_the_default_row() -> None:
    rows = {"*": {"normal_threshold": 1}, "BTC": {"routing_mode": "HL_MODE"}}
    settings = parse_scenario({"name": "x", "routing": rows}).settings()
    assert settings.routing_of("BTC").normal_threshold == 1
    assert settings.routing_of("BTC").routing_mode is RoutingMode.HL_MODE
    assert settings.routing_of("ETH").routing_mode is RoutingMode.NORMAL_MODE


def test_tables_reach_the_core_as_its_own_types() -> None:
    risk = {
        "hedge_tiers": [{"lower": 5, "ratio": 1}],
        "hedge_leverage": [{"upto": 9, "leverage": 2}, {"leverage": 4}],
    }
    config = parse_scenario({"name": "x", "risk": risk}).settings().risk
    assert config.hedge_tiers == (HedgeTier(Decimal(5), Decimal(1)),)
    assert config.hedge_leverage == (LeverageStep(Decimal(9), 2), LeverageStep(None, 4))


def test_overrides_reach_every_depth_and_stay_exact() -> None:
    scenario = apply_overrides(
        load_scenario("synthetic-calm"),
        [
            "risk.hedge_debounce=3s",
            "routing.*.normal_threshold=0.1",
            'routing."*".betting_threshold=0.2',
            "routing . 'ETH'.normal_threshold = 0.3",
            'routing.BTC.routing_mode = "HL_MODE"',
            "seed=7",
        ],
    )
    settings = scenario.settings()
    assert settings.risk.hedge_debounce_ns == 3_000_000_000
    assert settings.routing_of("BTC").normal_threshold == Decimal("0.1")
    assert settings.routing_of("BTC").betting_threshold == Decimal("0.2")
    assert settings.routing_of("ETH").normal_threshold == Decimal("0.3")
    assert scenario.routing.keys() == {"*", "BTC", "ETH"}
    assert settings.routing_of("BTC").routing_mode is RoutingMode.HL_MODE
    assert scenario.seed == 7


def test_overrides_reach_the_rows_of_lists() -> None:
    before = load_scenario("synthetic-calm")
    scenario = apply_overrides(before, ["risk.hedge_tiers.0.ratio=0.3", "risk.hedge_leverage.0.leverage=1"])
    tiers, steps = scenario.settings().risk.hedge_tiers, scenario.settings().risk.hedge_leverage
    assert tiers[0].ratio == Decimal("0.3")
    assert tiers[1:] == before.settings().risk.hedge_tiers[1:]
    assert steps[0].leverage == 1
    with pytest.raises(InvalidInput, match=r"risk\.hedge_tiers has the rows 0 to 1, not '9'"):
        apply_overrides(before, ["risk.hedge_tiers.9.ratio=0.3"])


def test_loading_the_same_name_reads_decimals_exactly(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[risk]\ntaker_fee_rate = 0.00035000000000000001\n")
    scenario = load_scenario(str(path))
    assert scenario.name == "mine"
    assert scenario.settings().risk.taker_fee_rate == Decimal("0.00035000000000000001")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"naem": 1}, "unknown key naem: did you mean 'name'?"),
        ({"risk": {"hedge_debouce": "5s"}}, "unknown key risk.hedge_debouce: did you mean 'hedge_debounce'?"),
        ({"routing": {"*": {"normal_treshold": 1}}}, "did you mean 'normal_threshold'?"),
        ({"risk": {"hedge_tiers": [{"lowr": 1, "ratio": 1}]}}, "did you mean 'lower'?"),
        ({"outages": [{"aftr": "1h", "lasts": "1m"}]}, "did you mean 'after'?"),
        ({"risk": {"hedge_debounce": 5}}, "risk.hedge_debounce was 5; it must be a duration"),
        ({"risk": {"taker_fee_rate": 2}}, "risk.taker_fee_rate was 2; it must be less than or equal to 1"),
        (
            {"risk": {"platform_capital": Decimal("nan")}},
            "risk.platform_capital was NaN; it must be a finite",
        ),
        (
            {"risk": {"reserve_floor": 10**6}},
            "reserve_floor was 1000000; it must not be above reserve_normal",
        ),
        ({"risk": {"hedge_debounce": "1m"}}, "hedge_debounce was 1m; it must not be above hedge_max_wait"),
        ({"risk": {"liquidation_widest_cap": 0.001}}, "it must not be above liquidation_widest_cap"),
        ({"risk": {"hedge_tiers": [{"lower": 2, "ratio": 1}, {"lower": 1, "ratio": 1}]}}, "began at 2, 1"),
        ({"risk": {"hedge_leverage": [{"upto": 3, "leverage": 2}]}}, "end with a step that has none"),
        ({"routing": {"*": {"routing_mode": "HLMODE"}}}, "was 'HLMODE'; it must be 'HL_MODE'"),
        ({"data": {"source": "dataset"}}, "needs its name"),
        ({"data": {"start": "2024-02-01", "end": "2024-01-01"}}, "end was not after start"),
        ({"data": {"start": "tomorrow"}}, "data.start was 'tomorrow'; it must be a UTC time"),
        (
            {"flow": {"user_groups": 2, "keep_groups": [2]}},
            "keep_groups was 2; each must be named once and lie",
        ),
        ({"flow": {"user_groups": 2, "keep_groups": [1, 1]}}, "keep_groups was 1, 1; each must"),
        ({"seed": -1}, "seed was -1; it must be greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(values: dict, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_scenario({"name": "x"} | values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        "risk.hedge_debounce",
        "=3",
        "risk..x=1",
        "name.x=1",
        "risk.unknown=1",
        'routing."*.x=1',
        'routing."".x=1',
    ],
)
def test_an_unusable_override_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        apply_overrides(load_scenario("synthetic-calm"), [bad])


def test_an_unknown_name_suggests_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'flow-2023'"):
        load_scenario("flow-2032")
    with pytest.raises(InvalidInput, match="no file at"):
        load_scenario(str(tmp_path / "none.toml"))
    (tmp_path / "broken.toml").write_text("name = \n")
    with pytest.raises(InvalidInput, match="is not valid TOML"):
        load_scenario(str(tmp_path / "broken.toml"))


@given(st.integers(0, 10**18))
def test_durations_round_trip(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.integers(0, 4 * 10**15))
def test_times_round_trip_to_the_microsecond(microseconds: int) -> None:
    assert parse_time(format_time(microseconds * 1000)) == microseconds * 1000


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert parse_time("2023-04-10") == parse_time("2023-04-10T02:00:00+02:00") == 1_681_084_800_000_000_000
