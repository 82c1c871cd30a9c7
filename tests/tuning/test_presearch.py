"""The pre-search: estimates against whole runs, and what becomes of a study's ranges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from backtest.engine import run_engine
from backtest.scenario import Scenario
from backtest.sources import open_feed
from backtest.tuning.internal_run import FlowRecorder, internal_flow
from backtest.tuning.measures import measure_all
from backtest.tuning.presearch import ESTIMATED, Narrowing, estimate, narrow, narrowed, reference
from backtest.tuning.slots import cut, slot_length
from backtest.tuning.space import Parameter
from backtest.tuning.study import Study
from data.flow import Flow
from risk.errors import InvalidInput
from risk.events import Event

from .internal_runs import unbound
from .made_studies import DEBOUNCE, NORMAL, made_study

D = Decimal
BETTING = "routing.*.betting_threshold"
AUTO = "routing.*.auto_switch_enabled"
SPACE = {
    NORMAL: {"low": 100, "high": 50_000, "log": True},
    BETTING: {"low": 1_000, "high": 50_000},
    DEBOUNCE: {"low": "1s", "high": "15s"},
}


def study(**changes: Any) -> Study:
    values = {
        "set": ["flow.users=40", "data.hours=3", f"{AUTO}=false", "routing.*.routing_mode=NORMAL_MODE"],
        "space": SPACE,
        "presearch": {"settings": 60, "keep": 0.2},
        "split": {"test_groups": [], "test_share": 0},
    }
    return made_study(**values | changes)


def run_watched(scenario: Scenario, observe: Callable[[Sequence[Event]], None]) -> Mapping[str, pa.Table]:
    return run_engine(scenario, open_feed(scenario), observe=observe).recorder.tables()


def refuse_to_run(scenario: Scenario, observe: object) -> Mapping[str, pa.Table]:
    raise AssertionError("no run was needed")


def numbers(found: Narrowing, path: str) -> np.ndarray:
    return np.array([float(text) for text in found.tried[path].to_pylist()])


def kept(found: Narrowing) -> np.ndarray:
    return found.tried["kept"].to_numpy()


def test_estimates_of_everything_internal_are_the_measures_of_that_run() -> None:
    scenario, feed = unbound()
    recorder = FlowRecorder()
    # Without what the estimate leaves out: the moments of funding, and withdrawal fees, the same in every setting.
    transfers = feed.flow.transfers.filter(pc.field("kind") != "WITHDRAWAL")
    calm = replace(feed, funding={}, flow=Flow(feed.flow.orders, transfers))
    everything = reference(scenario)
    tables = run_engine(everything, calm, observe=recorder.watch).recorder.tables()
    risk = scenario.risk
    capital = risk.platform_capital + risk.reserve_capital
    capital += risk.trading_account_capital + risk.hedge_account_capital
    slots = cut(tables, capital, risk.reserve_capital, D(20_000), slot_length(feed.span))
    measured = measure_all(slots)
    found = estimate(internal_flow(recorder, tables), [everything.settings()], D(20_000), 0.0)
    assert found.keys() == set(ESTIMATED)
    assert measured["max_exposure"] > 20_000
    for name, figures in found.items():
        assert figures[0] == pytest.approx(float(measured[name]), rel=1e-6), name


def test_a_smaller_exposure_is_found_at_lower_thresholds_and_its_range_ends_there() -> None:
    found = narrow(study(objectives={"max_exposure": "minimize"}), run_watched)
    assert found.reason == ""
    assert found.judged_by == ("max_exposure",)
    low, high = found.ranges[NORMAL]
    assert low == 100
    assert high < 50_000
    tried, best = numbers(found, NORMAL), kept(found)
    assert best.sum() >= 12
    assert (
        found.tried["max_exposure"].to_numpy()[best].max()
        <= found.tried["max_exposure"].to_numpy()[~best].min()
    )
    assert float(high) == tried[tried > tried[best].max()].min()


def test_what_does_not_matter_or_is_not_routing_stays_as_it_was() -> None:
    found = narrow(study(objectives={"max_exposure": "minimize"}), run_watched)
    # BETTING_MODE is never entered here, and the hedger's settings are no part of routing.
    assert set(found.ranges) == {NORMAL}
    assert set(found.space) == set(SPACE)
    assert found.space[BETTING] == study().space[BETTING]
    assert found.space[DEBOUNCE] == study().space[DEBOUNCE]
    assert DEBOUNCE not in found.tried.column_names


def test_where_modes_may_switch_the_other_threshold_matters_too() -> None:
    space = SPACE | {AUTO: {"choices": [False, True]}}
    found = narrow(study(objectives={"max_exposure": "minimize"}, space=space), run_watched)
    assert set(found.tried[AUTO].to_pylist()) == {"false", "true"}
    assert AUTO not in found.ranges
    assert BETTING in found.ranges


def test_the_same_study_is_narrowed_the_same_way_and_another_seed_otherwise() -> None:
    first, again, other = (narrow(study(seed=seed), run_watched) for seed in (7, 7, 8))
    assert first.ranges == again.ranges
    assert first.tried.equals(again.tried)
    assert not first.tried.equals(other.tried)


def test_a_constraint_comes_before_every_objective() -> None:
    free = narrow(study(objectives={"internal_share": "maximize"}), run_watched)
    bound = narrow(
        study(objectives={"internal_share": "maximize"}, constraints={"max_exposure": {"max": 2_000}}),
        run_watched,
    )
    assert free.ranges[NORMAL][1] == 50_000
    assert bound.ranges[NORMAL][1] < 50_000
    exposure = bound.tried["max_exposure"].to_numpy()
    share = bound.tried["internal_share"].to_numpy()
    held = exposure <= 2_000
    assert held.sum() >= kept(bound).sum() - 1
    assert exposure[kept(bound)].max() <= 2_000
    assert share[kept(bound)].min() >= np.sort(share[held])[-kept(bound).sum()]


def test_two_objectives_keep_both_ends_of_what_neither_beats() -> None:
    found = narrow(
        study(
            objectives={"internal_share": "maximize", "max_exposure": "minimize"},
            presearch={"settings": 40, "keep": 0.1},
        ),
        run_watched,
    )
    share, exposure = (found.tried[name].to_numpy() for name in ("internal_share", "max_exposure"))
    best = kept(found)
    beaten_by = np.array(
        [
            ((share >= one) & (exposure <= other) & ((share > one) | (exposure < other))).sum()
            for one, other in zip(share, exposure, strict=True)
        ]
    )
    assert best[beaten_by == 0].sum() == min((beaten_by == 0).sum(), best.sum())
    assert beaten_by[best].max() <= beaten_by[~best].min()


@pytest.mark.parametrize("parameter", [
    {"low": 500, "high": 20_000, "step": 500},
    {"low": 500, "high": 20_000},
    {"low": D("500.5"), "high": D("20000.5")},
    {"low": 1_000, "high": 10_300, "step": 3_000},
])  # fmt: skip
def test_a_narrowed_range_lies_within_the_old_one_with_the_same_values(parameter: dict[str, Any]) -> None:
    found = narrow(study(space={NORMAL: parameter}, objectives={"max_exposure": "minimize"}), run_watched)
    before, after = Parameter.model_validate(parameter), found.space[NORMAL]
    assert before.low <= after.low < after.high <= before.high
    assert (after.step, after.log) == (before.step, before.log)
    for text in found.tried.filter(pc.field("kept"))[NORMAL].to_pylist():
        value = before.value(before.drawn(D(text)))
        assert after.low <= value <= after.high
        assert after.value(after.drawn(value)) == value


def test_ranges_set_anew_keep_steps_and_logarithms() -> None:
    space = {name: Parameter.model_validate(each) for name, each in SPACE.items()}
    found = narrowed(space, {NORMAL: (200, 900)})
    assert found[NORMAL] == Parameter(low=200, high=900, log=True)
    assert found[BETTING] is space[BETTING]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"presearch": None}, "no pre-search"),
        (
            {"space": {DEBOUNCE: SPACE[DEBOUNCE], AUTO: {"choices": [False, True]}}},
            "no range of a routing setting",
        ),
        ({"objectives": {"bad_debt": "minimize"}}, "none of the objectives"),
        ({"set": ["risk.split_at_threshold=true"]}, "split at the threshold"),
    ],
)
def test_what_cannot_be_looked_at_is_said_and_left_alone(changes: dict[str, Any], reason: str) -> None:
    asked = study(**changes)
    found = narrow(asked, refuse_to_run)
    assert reason in found.reason
    assert found.space == asked.space
    assert not found.ranges


def test_only_what_is_searched_is_looked_at() -> None:
    seen: list[Scenario] = []

    def watched(scenario: Scenario, observe: Callable[[Sequence[Event]], None]) -> Mapping[str, pa.Table]:
        seen.append(scenario)
        return run_watched(scenario, observe)

    narrow(study(split={"test_share": D("0.25"), "test_groups": [3]}), watched)
    (scenario,) = seen
    assert scenario.data.to_share == D("0.75")
    assert scenario.flow.keep_groups == (0, 1, 2)


def test_a_flow_too_fine_for_64_bits_narrows_nothing() -> None:
    def too_fine(scenario: Scenario, observe: Callable[[Sequence[Event]], None]) -> Mapping[str, pa.Table]:
        tables = run_watched(scenario, observe)
        marks = tables["marks"]
        finer = pc.add(marks["mark"], 1 / 3000)
        return {**tables, "marks": marks.set_column(2, "mark", finer)}

    found = narrow(study(), too_fine)
    assert "decimals" in found.reason
    assert found.space == study().space


def test_what_a_run_raises_is_raised() -> None:
    def refused(scenario: Scenario, observe: object) -> Mapping[str, pa.Table]:
        raise InvalidInput("ts was 3; it must not lie before the last one's 4")

    with pytest.raises(InvalidInput, match="ts was 3"):
        narrow(study(), refused)
