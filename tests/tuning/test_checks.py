"""What a study is worth: made-up ones where every answer is known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.scenario import Scenario
from backtest.tuning.changes import changes, setting_at
from backtest.tuning.check_runs import parts_of
from backtest.tuning.checks import examine
from backtest.tuning.findings import LATER, LATER_OTHERS, OTHERS, PARTS, SEARCHED
from backtest.tuning.importance import importance
from backtest.tuning.measures import MEASURES, measure_all
from backtest.tuning.report.words import PART_TITLES
from backtest.tuning.robustness import shake
from backtest.tuning.significance import significance
from backtest.tuning.stress import stress_cases
from backtest.tuning.trial import Failed, Finished, Job, Outcome, Refused, Stopped
from backtest.tuning.walk import walk_forward
from risk.settings import HOUR_NS

from .made_checks import Answer, Kept, MadeStore, found, hl, made, part_of, quiet, threshold_of
from .made_studies import NORMAL, TINY, made_slots, made_study

D = Decimal
CAP = "risk.symbol_exposure_cap"


def test_the_best_point_that_holds_is_recommended() -> None:
    checks = {"stress": [], "finalists": 3, "bootstrap": 1_000}
    findings = found([5_000, 3_000, 0, 2_000], checks=checks)
    assert findings.recommended == 1
    assert findings.front == (1,)
    assert [finalist.point.number for finalist in findings.finalists] == [1, 3, 0]
    assert findings.changes == ((NORMAL, D(10_000), D(3_000)),)
    assert findings.significance is not None
    assert findings.significance.p_value < 0.05
    assert findings.significance.gain_per_slot == 101


def breaking(where: str, at: int) -> Answer:
    """Return runs like ``quiet`` in which bad debt of 7 USDC comes up on one part at one threshold."""

    def answer(scenario: Scenario) -> Outcome:
        outcome = quiet(scenario)
        assert isinstance(outcome, Finished)
        if part_of(scenario) == where and threshold_of(scenario) == at:
            return replace(outcome, slots=replace(outcome.slots, bad_debt=[D(7), *[D(0)] * 11]))
        return outcome

    return answer


@pytest.mark.parametrize("part", [LATER, OTHERS, LATER_OTHERS])
def test_a_point_that_breaks_a_constraint_where_it_was_not_searched_is_vetoed(part: str) -> None:
    findings = found([3_000, 2_000], breaking(part, 3_000), constraints={"bad_debt": {"max": 5}})
    words = f"breaks Bad debt at most 5.00 USDC by 2.00 USDC on {PART_TITLES[part]}"
    assert findings.finalists[0].veto == words
    assert findings.recommended == 1


def test_a_point_that_breaks_a_constraint_is_no_finalist() -> None:
    findings = found([3_000, 2_000], breaking(SEARCHED, 3_000), constraints={"bad_debt": {"max": 5}})
    assert [finalist.point.number for finalist in findings.finalists] == [1]
    assert findings.points[0].broken == {"bad_debt": 2}
    assert findings.front == (1,)


def test_where_no_finalist_holds_nothing_is_recommended() -> None:
    store, run, jobs = made([3_000], breaking(LATER, 3_000), constraints={"bad_debt": {"max": 5}})
    findings = examine(store, run)
    assert findings.recommended is None
    assert (
        "Trial 0 breaks Bad debt at most 5.00 USDC by 2.00 USDC on later time, same users" in findings.reason
    )
    assert findings.summary[0] == f"Nothing is recommended. {findings.reason}"
    assert findings.neighbours == findings.stress == findings.changes == ()
    assert findings.significance is None
    assert len(jobs) == 8  # no neighbour of a point that nobody should take


def test_a_point_that_everything_on_hyperliquid_beats_is_not_recommended() -> None:
    def losing(scenario: Scenario) -> Outcome:
        return Finished("rich", made_slots(*[100] * 12)) if hl(scenario) else quiet(scenario)

    findings = found([3_000, 2_000], losing)
    assert findings.recommended == 0  # it gains 101 per slot

    def as_good(scenario: Scenario) -> Outcome:
        return Finished("rich", made_slots(*[101] * 12)) if hl(scenario) else quiet(scenario)

    findings = found([3_000, 2_000], as_good)
    assert findings.recommended is None
    assert "Trial 0 is no better than everything on Hyperliquid in any objective" in findings.reason


def test_a_finalist_that_cannot_be_repeated_or_run_is_vetoed() -> None:
    runs = iter(range(100))

    def moody(scenario: Scenario) -> Outcome:
        outcome = quiet(scenario)
        assert isinstance(outcome, Finished)
        return outcome if hl(scenario) else replace(outcome, digest=str(next(runs)))

    (finalist,) = found([3_000], moody).finalists
    assert finalist.veto.startswith("run again it gave the digest")

    def silent(scenario: Scenario) -> Outcome:
        return Refused("no users") if part_of(scenario) == OTHERS else quiet(scenario)

    findings = found([3_000], silent)
    assert findings.finalists[0].veto == "could not be run on same time, other users: no users"
    assert tuple(findings.finalists[0].parts) == (SEARCHED, LATER, LATER_OTHERS)
    assert any("Everything on Hyperliquid could not be run" in words for words in findings.summary)


def test_a_study_that_cannot_be_satisfied_names_the_hardest_constraint_and_how_near_it_came() -> None:
    findings = found(
        [3_000, 2_000, 0],
        constraints={"house_pnl": {"min": 1_213}, "max_drawdown": {"max": 5}},
    )
    assert findings.recommended is None
    assert findings.finalists == findings.front == ()
    assert findings.reason == (
        "None of 3 trials met every constraint. Hardest to meet was House PnL at least +1 213 USDC: "
        "3 trials broke it, trial 0 by the least, with +1 212 USDC."
    )
    assert set(findings.baseline) == set(PARTS)


def test_reasons_without_a_finished_trial() -> None:
    limit = {"bad_debt": {"max": 5}}
    study = made_study(constraints=limit)
    run: Callable[[Sequence[Job]], list[Outcome]] = lambda jobs: [quiet(job.scenario) for job in jobs]  # noqa: E731
    stops = [Stopped("bad_debt", D(8), HOUR_NS), Stopped("bad_debt", D(6), 2 * HOUR_NS)]
    store = MadeStore(study, [Kept(number, {}, stop) for number, stop in enumerate(stops)])
    assert examine(store, run).reason.endswith("trial 1 the latest, on 1970-01-01 02:00 with 6.00 USDC.")
    store = MadeStore(study, [Kept(0, {}, Refused("no such row")), Kept(1, {}, Failed("out of memory", 3))])
    findings = examine(store, run)
    assert findings.reason == "None of 2 trials could be run; the first: no such row"
    assert findings.counts == {"finished": 0, "stopped": 0, "refused": 1, "failed": 1}
    assert examine(MadeStore(study, [Kept(0, {}, None)]), run).reason == "No trial has been run."


def test_parts_that_the_split_leaves_empty_are_absent() -> None:
    whole = {"test_share": 0, "test_groups": []}
    assert parts_of(made_study(split=whole)) == [SEARCHED]
    assert parts_of(made_study(split=whole | {"test_groups": [1]})) == [SEARCHED, OTHERS]
    assert parts_of(made_study(split=whole | {"test_share": D("0.5")})) == [SEARCHED, LATER]
    findings = found([3_000], split=whole | {"user_groups": 1})
    assert tuple(findings.finalists[0].parts) == tuple(findings.baseline) == (SEARCHED,)
    assert findings.user_intervals == {}  # one group cannot be left out
    assert findings.recommended == 0


def test_neighbours_that_were_tried_are_not_run_again() -> None:
    store, run, jobs = made([3_000, 4_000])
    findings = examine(store, run)
    assert [(each.value, each.figures["house_pnl"]) for each in findings.neighbours] == [
        (2_000, 12 * 91),
        (4_000, 12 * 91),
    ]
    near = [job for job in jobs if not job.cells and job.scenario.flow.keep_groups == (0, 1, 2)]
    assert [threshold_of(job.scenario) for job in near] == [2_000]
    assert found([3_000], checks={"neighbours": False, "stress": []}).neighbours == ()


def test_a_neighbour_that_cannot_be_run_has_no_figures() -> None:
    space = {CAP: {"low": 100_000, "high": 900_000, "step": 100_000}, NORMAL: {"choices": [1, 3_000]}}
    study = made_study(
        space=space,
        set=["risk.symbol_exposure_cap=250000", "risk.total_exposure_cap=250000"],
        checks={"stress": []},
    )
    shaken = shake(
        study,
        {CAP: 200_000, NORMAL: 3_000},
        measure_all(made_slots(1, 2)),
        {},
        lambda jobs: [quiet(job.scenario) for job in jobs],
    )
    assert [(each.path, each.value, each.figures is None) for each in shaken.neighbours] == [
        (CAP, 100_000, False),
        (CAP, 300_000, True),
        (NORMAL, 1, False),
    ]


def test_the_interval_over_users_leaves_out_each_searched_group() -> None:
    shares = {0: 30, 1: 60, 2: 120}  # what each group brings per run
    left_out = []

    def by_group(scenario: Scenario) -> Outcome:
        groups = scenario.flow.keep_groups
        if part_of(scenario) == SEARCHED and len(groups) == 2:
            left_out.append(groups)
        total = 0 if hl(scenario) else sum(shares.get(group, 0) for group in groups)
        return Finished(f"{groups}, {threshold_of(scenario)}", made_slots(*[D(total) / 2] * 2))

    findings = found([3_000], by_group, checks={"stress": [], "neighbours": False})
    assert left_out == [(1, 2), (0, 2), (0, 1)]
    # The sum of three has the standard error √3 times the deviation of the three; t with two degrees is 2.92.
    deviation = (sum((share - 70) ** 2 for share in shares.values()) / 2) ** 0.5
    reach = 2.91999 * 3**0.5 * deviation
    assert findings.user_intervals["house_pnl"] == pytest.approx((210 - reach, 210 + reach), rel=1e-4)


def test_a_group_without_users_leaves_no_interval_and_says_so() -> None:
    def empty(scenario: Scenario) -> Outcome:
        return Refused("nobody") if scenario.flow.keep_groups == (0, 1) else quiet(scenario)

    findings = found([3_000], empty)
    assert findings.user_intervals == {}
    assert "Leaving out user group 2 could not be run: nobody." in findings.summary


def test_each_walk_step_chooses_on_what_was_known_then() -> None:
    study = made_study(split={"folds": 2})
    slots = {
        0: made_slots(9, 0, -5, 0, 0, 7),
        1: made_slots(0, 5, 5, 1, 2, 0),
        2: made_slots(0, 9, 9, 9, 9, 9, bad_debt=[D(0), D(9), *[D(0)] * 4]),
    }
    base = made_slots(1, 1, 1, 1, 1, 1)
    limited = study.model_copy(
        update={"constraints": made_study(constraints={"bad_debt": {"max": 1}}).constraints}
    )
    first, second = walk_forward(limited, slots, base)
    assert (first.start_ns, first.edge_ns, first.end_ns) == (0, 2 * HOUR_NS, 4 * HOUR_NS)
    assert (first.chosen, first.before, first.after, first.baseline) == (0, 9, -5, 2)
    assert (second.edge_ns, second.end_ns) == (4 * HOUR_NS, 6 * HOUR_NS)
    assert (second.chosen, second.before, second.after, second.baseline) == (1, 11, 2, 2)
    assert [step.chosen for step in walk_forward(study, slots, None)] == [0, 2]
    assert walk_forward(study, {0: made_slots(1)}, base) == ()
    assert walk_forward(study, {}, base) == ()


def test_no_step_chooses_where_nothing_was_feasible_yet() -> None:
    study = made_study(split={"folds": 1}, constraints={"house_pnl": {"min": 100}})
    (step,) = walk_forward(study, {0: made_slots(1, 2)}, made_slots(3, 4))
    assert (step.chosen, step.before, step.after, step.baseline) == (None, None, None, 4)


def test_significance_needs_slots_and_resamples() -> None:
    slots, base = {0: made_slots(*range(8)), 4: made_slots(*[1] * 8)}, made_slots(*[0] * 8)
    assert significance(slots, 0, base, 0, 1) is None
    assert significance(slots, 0, base.take([0, 1]), 100, 1) is None
    sure = significance(slots, 4, base.take(range(2, 8)), 100, 1)
    assert sure is not None
    assert (sure.slots, sure.trials, sure.gain_per_slot) == (6, 2, 1)
    assert sure == significance(slots, 4, base.take(range(2, 8)), 100, 1)


def test_importance_is_where_the_figures_come_from() -> None:
    space = {NORMAL: {"low": 0, "high": 10_000}, "risk.hedging_enabled": {"choices": [False, True]}}
    study = made_study(space=space)
    points = found([], space=space).points
    assert importance(study, points) == {}
    store, run, _ = made([3_000])
    (point,) = examine(store, run).points
    many = [
        replace(
            point,
            number=n,
            values={NORMAL: n * 97 % 10_000, "risk.hedging_enabled": n % 2 == 0},
            figures={**point.figures, "house_pnl": D(n * 97 % 10_000)},
        )
        for n in range(80)
    ]
    shares = importance(study, many)["house_pnl"]
    assert shares[NORMAL] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(study, many[:9]) == {}
    assert importance(study, [replace(many[0], number=n) for n in range(20)]) == {}


def test_changes_are_told_from_what_is_in_force() -> None:
    study = made_study(
        set=["routing.BTC.normal_threshold=700", "routing.*.betting_threshold=900"],
        space={
            "routing.BTC.normal_threshold": {"choices": [700, 800]},
            "routing.BTC.betting_threshold": {"choices": [900, 950]},
            "routing.SOL.betting_threshold": {"choices": [900, 950]},
            "risk.hedge_debounce": {"choices": ["5000ms", "7s"]},
            "risk.hedge_tiers.0.ratio": {"choices": [D("0.25")]},
        },
    )
    base = study.base()
    assert setting_at(base, "routing.SOL.betting_threshold") == 900
    assert setting_at(base, "routing.BTC.betting_threshold") == 900
    values = {path: parameter.choices[-1] for path, parameter in study.space.items()}
    before = base.risk.hedge_tiers[0].ratio
    assert changes(study, values) == (
        ("routing.BTC.normal_threshold", 700, 800),
        ("routing.BTC.betting_threshold", 900, 950),
        ("routing.SOL.betting_threshold", 900, 950),
        ("risk.hedge_debounce", "5s", "7s"),
        ("risk.hedge_tiers.0.ratio", before, D("0.25")),
    )
    same = {"routing.BTC.normal_threshold": 700, "risk.hedge_debounce": "5000ms"}
    assert changes(study, same) == ()


def test_every_ready_crash_and_mood_is_a_stress_scenario_and_missing_data_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_study(set=["routing.XRP.normal_threshold=5", "routing.ETH.normal_threshold=6"])
    monkeypatch.setenv("HYBRID_PERPS_DATA", str(tmp_path))
    cases = {case.scenario: case for case in stress_cases(study, {NORMAL: 77}, None, tmp_path)}
    assert len(cases) == 10
    for name, case in cases.items():
        if name.startswith("crash-"):
            assert case.chosen is case.own is None
            assert str(tmp_path) in case.message
            assert case.description
        else:
            assert set(case.chosen.routing) == {"*", "ETH"}  # it has no XRP
            assert case.chosen.routing["*"].normal_threshold == 77
            assert case.chosen.data == case.own.data
            assert "XRP" not in case.own.routing


def test_findings_are_the_same_every_time() -> None:
    assert found([5_000, 3_000, 0, 2_000]) == found([5_000, 3_000, 0, 2_000])


def test_points_hold_every_measure() -> None:
    assert set(found([3_000]).points[0].figures) == set(MEASURES)


def test_the_summary_warns_where_doing_nothing_was_better_and_settings_break_under_stress(
    tmp_path: Path,
) -> None:
    (tmp_path / "hard.toml").write_text(TINY)

    def answer(scenario: Scenario) -> Outcome:
        if scenario.name == "hard":
            ours = "ETH" not in scenario.routing
            return Finished("hard", made_slots(-500 if ours else 20, bad_debt=[D(9 if ours else 0)]))
        if part_of(scenario) == LATER and hl(scenario):
            return Finished("lucky", made_slots(*[1_000] * 12))
        return quiet(scenario)

    checks = {"stress": [str(tmp_path / "hard.toml")], "bootstrap": 1_000}
    findings = found([3_000], answer, checks=checks, constraints={"bad_debt": {"max": 5}})
    said = " ".join(findings.summary)
    for words in (
        "change routing.*.normal_threshold from 10 000 to 3 000.",
        "Beware: in House PnL everything on Hyperliquid was better: later time, same users.",
        "that is unlikely to be luck (p = 0.0",
        "in 4 of 4 segments of time",
        "the worst of 2 neighbours is routing.*.normal_threshold = 2 000, House PnL +1 092 USDC; 0 of them",
        "stress scenarios is hard: House PnL −500.00 USDC (with that scenario's own settings: +20.00 USDC).",
        "On hard the recommended settings break Bad debt by 4.00 USDC.",
    ):
        assert words in said
    (hard,) = findings.stress
    assert (hard.chosen["house_pnl"], hard.own["house_pnl"], hard.broken) == (-500, 20, {"bad_debt": 4})


def test_the_summary_does_not_call_a_loss_luck() -> None:
    def losing(scenario: Scenario) -> Outcome:
        rich = Finished("rich", made_slots(*[300] * 12, bad_debt=[D(7), *[D(0)] * 11]))
        return rich if hl(scenario) else quiet(scenario)

    said = " ".join(found([3_000], losing, constraints={"bad_debt": {"max": 5}}).summary)
    assert "it earned 199.00 USDC less per slot of time" in said
    assert "there is no gain that could be luck." in said
    assert "p = " not in said


def test_stress_without_the_scenario_s_own_settings_to_compare_says_so(tmp_path: Path) -> None:
    (tmp_path / "hard.toml").write_text(TINY)

    def answer(scenario: Scenario) -> Outcome:
        return Failed("out of memory", 3) if "ETH" in scenario.routing else quiet(scenario)

    (hard,) = found([3_000], answer, checks={"stress": [str(tmp_path / "hard.toml")]}).stress
    assert hard.chosen is not None
    assert hard.own is None
    assert hard.message == "with its own settings: out of memory (tried 3 times)"
