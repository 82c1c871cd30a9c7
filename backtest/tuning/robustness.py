"""What it costs to be wrong: the recommended point moved a little, without some users, on other markets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backtest.scenario import Scenario
from backtest.scenario_overrides import with_values
from backtest.tuning.bootstrap import Interval
from backtest.tuning.check_runs import Ask, RunAll, ask, part_scenario, problem, run_named
from backtest.tuning.choice import broken
from backtest.tuning.findings import SEARCHED, Figures, Neighbour, Stress
from backtest.tuning.measures import MEASURES, measure_all
from backtest.tuning.space import text_of
from backtest.tuning.statistics import jackknife
from backtest.tuning.stress import StressCase, stress_cases
from backtest.tuning.study import Study
from backtest.tuning.trial import Finished, Outcome, Refused

_MOVED, _WITHOUT, _CHOSEN, _OWN = "moved", "without users", "chosen", "own"


@dataclass(frozen=True, slots=True)
class Robustness:
    """Hold what became of the recommended point; ``problems`` are sentences on what could not be looked at."""

    neighbours: tuple[Neighbour, ...] = ()
    stress: tuple[Stress, ...] = ()
    user_intervals: Mapping[str, Interval] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def shake(
    study: Study,
    values: Mapping[str, Any],
    figures: Figures,
    known: Mapping[str, Finished],
    run_all: RunAll,
    data_dir: Path | None = None,
    catalog_dir: Path | None = None,
) -> Robustness:
    """Run neighbours, groups of users left out, and stress scenarios of ``values``, all in one batch.

    ``figures``: the point's own on the searched part. ``known``: finished trials by ``settings_text``, used for
    neighbours that were tried already.
    """
    cases = stress_cases(study, values, data_dir, catalog_dir)
    moved, groups = _moved(study, values), _groups(study)
    asked: dict[tuple[str, int], Ask] = {}
    for number, (path, value) in enumerate(moved):
        near = {**values, path: value}
        make = partial(part_scenario, study, near, SEARCHED)
        asked[_MOVED, number] = known.get(settings_text(near)) or ask(study, make)
    for group in groups:
        asked[_WITHOUT, group] = ask(study, partial(_without, study, values, group))
    for number, case in enumerate(cases):
        asked[_CHOSEN, number] = _ask_case(study, case, case.chosen)
        asked[_OWN, number] = _ask_case(study, case, case.own)
    found = run_named(asked, run_all)
    left_out = {group: found[_WITHOUT, group] for group in groups}
    return Robustness(
        tuple(_neighbour(study, *each, found[_MOVED, number]) for number, each in enumerate(moved)),
        tuple(_stress(study, c, found[_CHOSEN, n], found[_OWN, n]) for n, c in enumerate(cases)),
        _user_intervals(study, figures, left_out),
        tuple(_without_group(group, problem(each)) for group, each in left_out.items() if problem(each)),
    )


def settings_text(values: Mapping[str, Any]) -> str:
    """Write settings so that equal ones, in whatever order, are equal text."""
    return text_of(dict(sorted(values.items())))


def _moved(study: Study, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the settings next to ``values``, one of them moved at a time."""
    if not study.checks.neighbours:
        return []
    return [(path, value) for path, each in study.space.items() for value in each.neighbours(values[path])]


def _groups(study: Study) -> list[int]:
    """Return the groups of users that are searched; one alone cannot be left out."""
    split = study.split
    searched = [group for group in range(split.user_groups) if group not in split.test_groups]
    return searched if len(searched) > 1 else []


def _without(study: Study, values: Mapping[str, Any], group: int) -> Scenario:
    kept = tuple(other for other in _groups(study) if other != group)
    cut = {"flow.user_groups": study.split.user_groups, "flow.keep_groups": kept}
    return with_values(part_scenario(study, values, SEARCHED), cut)


def _without_group(group: int, message: str) -> str:
    return f"Leaving out user group {group} could not be run: {message}."


def _ask_case(study: Study, case: StressCase, scenario: Scenario | None) -> Ask:
    return Refused(case.message) if scenario is None else ask(study, lambda: scenario)


def _neighbour(study: Study, path: str, value: Any, outcome: Outcome) -> Neighbour:
    figures = _figures(outcome)
    return Neighbour(path, value, figures, _broken(study, figures))


def _stress(study: Study, case: StressCase, chosen: Outcome, own: Outcome) -> Stress:
    figures = _figures(chosen)
    message = problem(chosen)
    if not message and problem(own):
        message = f"with its own settings: {problem(own)}"
    return Stress(case.scenario, case.description, figures, _figures(own), _broken(study, figures), message)


def _figures(outcome: Outcome) -> Figures | None:
    return measure_all(outcome.slots) if isinstance(outcome, Finished) else None


def _broken(study: Study, figures: Figures | None) -> Mapping[str, Any]:
    return {} if figures is None else broken(figures, study.constraints)


def _user_intervals(study: Study, whole: Figures, left_out: Mapping[int, Outcome]) -> dict[str, Interval]:
    """Return the jackknife interval of each objective that has a figure in every run."""
    runs = [figures for outcome in left_out.values() if (figures := _figures(outcome)) is not None]
    if len(runs) < max(2, len(left_out)):
        return {}
    found = {}
    for name in study.objectives:
        values = [figures[name] for figures in (whole, *runs)]
        if None not in values:
            own, *others = (float(value) for value in values if value is not None)
            low, high = jackknife(np.array(others) * _scale(name, len(runs)), own)
            found[name] = (max(low, _floor(name)), high)
    return found


def _scale(name: str, groups: int) -> float:
    """Return what makes up for the group left out: amounts grow with the users, shares and ratios do not."""
    grows = MEASURES[name].unit == "USDC" or name == "liquidations"
    return groups / (groups - 1) if grows else 1.0


def _floor(name: str) -> float:
    """Return what a measure cannot be under: what counts harm done begins at none."""
    return 0.0 if MEASURES[name].worsens and MEASURES[name].better == "minimize" else -math.inf
