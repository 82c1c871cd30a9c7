"""A study's file: what is wrong in it is named, and its four parts share out all time and all users."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtest.scenario_overrides import with_values
from backtest.sources import open_feed
from backtest.tuning.study import Limit, Study, load_study, parse_study
from risk.errors import InvalidInput

D = Decimal
THRESHOLD = "routing.*.normal_threshold"


def study(**changes: Any) -> Study:
    given = {
        "name": "small",
        "scenario": "synthetic-calm",
        "set": ["flow.users=40", "data.hours=4", "data.step=60s"],
        "space": {THRESHOLD: {"low": 100, "high": 10_000, "log": True}},
        "objectives": {"house_pnl": "maximize"},
    }
    return parse_study(given | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "synthetic-clam"}, "did you mean 'synthetic-calm'"),
        ({"trails": 5}, "unknown key trails: did you mean 'trials'?"),
        ({"trials": 0}, "trials was 0; it must be greater than or equal to 1"),
        ({"sampler": "tpee"}, "sampler was 'tpee'; it must be"),
        ({"space": {}}, "space was empty; name at least one setting to vary"),
        ({"space": {"risk.hedge_debouce": {"low": "1s", "high": "2s"}}}, "did you mean 'hedge_debounce'?"),
        ({"space": {"risk..x": {"low": 1, "high": 2}}}, "it must be a dotted path"),
        ({"space": {"risk.hedge_debounce": {"low": 1, "high": 2}}}, "it must be a duration"),
        ({"space": {THRESHOLD: {"low": 5, "high": 5}}}, f"space.{THRESHOLD}: the range was empty: low was 5"),
        ({"space": {THRESHOLD: {"low": 1, "hihg": 5}}}, "did you mean 'high'?"),
        ({"space": {"risk.taker_fee_rate": {"low": 2, "high": 5}}}, "it must be less than or equal to 1"),
        ({"space": {"risk.hedge_tiers.7.ratio": {"choices": [0, 1]}}}, "has the rows 0 to"),
        ({"objectives": {}}, "objectives was empty; name at least one of house_pnl"),
        (
            {"objectives": {"house_pn": "maximize"}},
            "'house_pn', which is no measure: did you mean 'house_pnl'?",
        ),
        ({"objectives": {"house_pnl": "up"}}, "objectives.house_pnl was 'up'; it must be 'maximize'"),
        ({"constraints": {"bad_dept": {"max": 0}}}, "constraints names 'bad_dept', which is no measure"),
        ({"constraints": {"bad_debt": {}}}, "a constraint needs min, max or both"),
        ({"constraints": {"bad_debt": {"min": 2, "max": 1}}}, "min was 2; it must not be above max, 1"),
        (
            {"objectives": {"hours_over_limit": "minimize"}},
            "exposure_limit was missing; hours_over_limit needs",
        ),
        ({"split": {"test_groups": [4]}}, "test_groups was 4; each must be named once and lie from 0 to 3"),
        ({"split": {"user_groups": 1, "test_groups": [0]}}, "holds out every user"),
        ({"split": {"test_share": 1}}, "leave some time to search on"),
        ({"sampler": "grid"}, f"space.{THRESHOLD}: a grid needs choices, or a step in every range"),
        (
            {"sampler": "grid", "trials": 9, "space": {THRESHOLD: {"low": 0, "high": 100, "step": 10}}},
            "the grid has 11 points and trials was 9",
        ),
        ({"space": {"risk.taker_fee_rate": {"choices": [0, 5]}}}, "risk.taker_fee_rate was 5; it must be"),
        ({"checks": {"stress": ["synthetic-clam"]}}, "did you mean 'synthetic-calm'"),
        ({"set": ["flow.user_groups=2", "flow.keep_groups=[0]"]}, "keeps some groups of users already"),
        ({"set": ["flow.users"]}, "it must be KEY=VALUE"),
    ],
)
def test_what_is_wrong_with_a_study_is_one_line_that_names_it(changes: dict, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        study(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_bound_may_clash_with_what_varies_too() -> None:
    """A floor above the default normal level is fine where the normal level is searched as well."""
    space = {
        "risk.reserve_floor": {"low": 100_000, "high": 600_000},
        "risk.reserve_normal": {"low": 500_000, "high": 900_000},
    }
    found = study(space=space)
    assert found.searched({"risk.reserve_floor": 600_000, "risk.reserve_normal": 700_000})
    with pytest.raises(InvalidInput, match="reserve_floor was 600000; it must not be above reserve_normal"):
        found.searched({"risk.reserve_floor": 600_000, "risk.reserve_normal": 500_000})


def test_the_four_parts_share_out_time_and_users() -> None:
    found = study(split={"test_share": D("0.25"), "user_groups": 4, "test_groups": [1]})
    feeds = {
        (later, others): open_feed(found.part({THRESHOLD: 7}, held_out_time=later, held_out_users=others))
        for later in (False, True)
        for others in (False, True)
    }
    whole = open_feed(found.base())
    start, end = whole.span
    edge = start + (end - start) * 3 // 4
    users = {key: set(feed.flow.users) for key, feed in feeds.items()}
    assert users[False, False] | users[False, True] == set(whole.flow.users)
    assert not users[False, False] & users[False, True]
    orders = [set(feed.flow.orders["order_id"].to_pylist()) for feed in feeds.values()]
    assert sum(map(len, orders)) == whole.flow.orders.num_rows == len(set.union(*orders))
    assert feeds[False, False].flow.span[1] < edge <= feeds[True, False].flow.span[0]
    assert found.searched({THRESHOLD: 7}).settings().routing_of("BTC").normal_threshold == 7


def test_a_study_may_hold_out_nothing() -> None:
    found = study(split={"test_share": 0, "test_groups": []})
    assert with_values(found.base(), {"report.counterfactuals": False}) == found.searched({})


@pytest.mark.parametrize(
    ("limit", "figure", "excess"),
    [
        (Limit(max=D(3)), D(5), 2),
        (Limit(max=D(3)), D(3), 0),
        (Limit(min=D("1.5")), D("1.2"), D("0.3")),
        (Limit(min=D(1), max=D(2)), D(3), 1),
        (Limit(min=D(1)), None, 0),
    ],
)
def test_a_limit_says_by_how_much_it_is_broken(limit: Limit, figure: Decimal | None, excess: Decimal) -> None:
    assert limit.excess(figure) == excess


def test_a_file_names_its_study_and_finds_a_scenario_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[data]\nprofile = "calm"\n[flow]\nusers = 7\n')
    path = tmp_path / "tuned.toml"
    text = 'scenario = "mine.toml"\n[space]\n"routing.*.normal_threshold" = {low = 1.5, high = 9}\n[objectives]\n'
    path.write_text(text + 'house_pnl = "maximize"\n')
    found = load_study(path)
    assert (found.name, found.base().flow.users) == ("tuned", 7)
    assert found.space[THRESHOLD].low == D("1.5")
    path.write_text(text + 'house_pnl = "maximize"\n[checks]\nstress = ["mine.toml"]\n')
    assert load_study(path).checks.stress == (str(tmp_path / "mine.toml"),)
    with pytest.raises(InvalidInput, match="a study in TOML was expected there"):
        load_study(tmp_path / "none.toml")
    path.write_text("trials = \n")
    with pytest.raises(InvalidInput, match="is not valid TOML"):
        load_study(path)
