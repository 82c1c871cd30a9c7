"""One trial: the same digest as the backtest's, and an early end only where no later day could mend it."""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from backtest.run import run_backtest
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.tuning.measures import MEASURES, measure_all
from backtest.tuning.study import Limit
from backtest.tuning.trial import (
    Failed,
    Finished,
    Job,
    Material,
    Refused,
    Stopped,
    material_key,
    outcome_from_json,
    outcome_to_json,
    run_trial,
)

D = Decimal
SMALL = ["flow.users=60", "data.hours=4", "data.step=30s"]


def scenario(*overrides: str) -> Scenario:
    return apply_overrides(load_scenario("synthetic-flash-crash"), [*SMALL, *overrides])


@cache
def material() -> Material:
    return Material.of(open_feed(scenario()))


@cache
def whole() -> Finished:
    found = run_trial(Job(scenario(), cells=True), material())
    assert isinstance(found, Finished)
    return found


def test_a_trial_has_the_digest_of_the_backtest_of_its_scenario(tmp_path: Path) -> None:
    changed = scenario("routing.*.normal_threshold=3000")
    found = run_trial(Job(changed), material())
    alone = run_backtest(apply_overrides(changed, ["report.counterfactuals=false"]), tmp_path / "out")
    assert isinstance(found, Finished)
    assert found.digest == alone.facts["digest"] != whole().digest
    assert measure_all(found.slots)["house_pnl"] == D(alone.metrics["house_pnl"]["total"])


def test_a_trial_leaves_its_material_as_it_was() -> None:
    again = run_trial(Job(scenario(), cells=True), material())
    assert again == whole()  # all but the seconds


@pytest.mark.parametrize(
    "name", ["max_drawdown", "margin_ratio", "trading_margin_ratio", "bad_debt", "max_exposure"]
)
def test_a_run_ends_early_only_when_it_would_have_broken_the_limit_anyway(name: str) -> None:
    figure = measure_all(whole().slots)[name]
    assert figure
    worse_by = 1 if MEASURES[name].better == "minimize" else -1
    inside, beyond = figure + worse_by * abs(figure) / 1000, figure - worse_by * abs(figure) / 2
    kept, cut = (
        run_trial(Job(scenario(), limits={name: Limit(**{side: edge})}), material())
        for side in ("max" if worse_by > 0 else "min",)
        for edge in (inside, beyond)
    )
    assert isinstance(kept, Finished)
    assert kept.digest == whole().digest
    assert isinstance(cut, Stopped)
    assert cut.measure == name
    assert (cut.figure - beyond) * worse_by > 0
    assert (figure - cut.figure) * worse_by >= 0


def test_a_run_is_not_ended_for_what_may_still_be_mended() -> None:
    found = run_trial(Job(scenario(), limits={"house_pnl": Limit(min=D(10**12))}), material())
    assert isinstance(found, Finished)


def test_material_is_shared_by_settings_and_not_by_worlds() -> None:
    key = material_key(scenario())
    assert (
        material_key(scenario("risk.hedge_debounce=2s", "routing.*.normal_threshold=5", "name=other")) == key
    )
    for world in (
        "flow.users=61",
        "seed=2",
        "data.to_share=0.5",
        "venue.taker_fee_rate=0.001",
        "data.step=20s",
    ):
        assert material_key(scenario(world)) != key


def test_jobs_are_known_by_what_they_ask_for() -> None:
    job = Job(scenario())
    assert job.key == Job(scenario()).key
    others = [
        Job(scenario("seed=3")),
        Job(scenario(), cells=True),
        Job(scenario(), exposure_limit=D(1)),
        Job(scenario(), limits={"bad_debt": Limit(max=D(0))}),
    ]
    assert len({job.key, *(other.key for other in others)}) == 5


def test_outcomes_survive_being_stored() -> None:
    outcomes = [whole(), Stopped("bad_debt", D("1.50"), 7, 0.5), Refused("no"), Failed("it broke", 3)]
    for outcome in outcomes:
        assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome
