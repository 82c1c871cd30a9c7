"""From a finished search to what it is worth: which point to take, how sure that is, and what could go wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backtest.tuning.changes import changes
from backtest.tuning.check_runs import RunAll, run_parts
from backtest.tuning.choice import broken, front, rank
from backtest.tuning.findings import Figures, Finalist, Findings, Point
from backtest.tuning.importance import importance
from backtest.tuning.measures import measure_all
from backtest.tuning.refusal import none_feasible, none_held
from backtest.tuning.robustness import Robustness, settings_text, shake
from backtest.tuning.significance import significance
from backtest.tuning.space import Space
from backtest.tuning.store import StoredStudy, StoredTrial
from backtest.tuning.study import Study
from backtest.tuning.summary import summarise
from backtest.tuning.trial import Failed, Finished, Refused, Stopped
from backtest.tuning.walk import walk_forward

_KINDS = {Finished: "finished", Stopped: "stopped", Refused: "refused", Failed: "failed"}


def examine(
    stored: StoredStudy, run_all: RunAll, *, data_dir: Path | None = None, catalog_dir: Path | None = None
) -> Findings:
    """Judge the study's trials and run what that takes, in two batches; ``run_all`` answers jobs in their order.

    First the finalists and everything on Hyperliquid on every part; a finalist that breaks a constraint on any
    of them, cannot be run there, or gives another digest than its trial did, is vetoed. Then, if one is left,
    its neighbours, groups of users and the stress scenarios. ``data_dir`` and ``catalog_dir`` as for a run.
    """
    study, trials = stored.study, stored.trials()
    done = {trial.number: trial.outcome for trial in trials if isinstance(trial.outcome, Finished)}
    points = {
        trial.number: _point(study, trial, done[trial.number]) for trial in trials if trial.number in done
    }
    feasible = {number: point.figures for number, point in points.items() if not point.broken}
    best = [points[number] for number in rank(_distinct(points), study.objectives, study.checks.finalists)]

    held_out = run_parts(study, best, done, run_all)
    slots = {number: outcome.slots for number, outcome in done.items()}
    chosen = next((finalist.point for finalist in held_out.finalists if not finalist.veto), None)
    sure, shaken = None, Robustness()
    if chosen is not None:
        checks, seed = study.checks, study.seed
        sure = significance(slots, chosen.number, held_out.base_slots, checks.bootstrap, seed)
        tried = {settings_text(trial.values): done[trial.number] for trial in trials if trial.number in done}
        shaken = shake(study, chosen.values, chosen.figures, tried, run_all, data_dir, catalog_dir)
    findings = Findings(
        study=study,
        counts=_counts(trials),
        points=tuple(points.values()),
        front=tuple(front(feasible, study.objectives)),
        finalists=held_out.finalists,
        recommended=None if chosen is None else chosen.number,
        reason="" if chosen else _reason(study, trials, points, held_out.finalists),
        baseline=held_out.baseline,
        walk=walk_forward(study, slots, held_out.base_slots),
        neighbours=shaken.neighbours,
        stress=shaken.stress,
        significance=sure,
        user_intervals=shaken.user_intervals,
        importance=importance(study, tuple(points.values())),
        changes=() if chosen is None else changes(study, chosen.values),
        narrowed=_narrowed(study, stored.space),
        summary=(),
        provenance=stored.provenance,
    )
    return replace(findings, summary=summarise(findings, [*held_out.problems, *shaken.problems]))


def _counts(trials: Sequence[StoredTrial]) -> dict[str, int]:
    found = Counter(_KINDS[type(trial.outcome)] for trial in trials if trial.outcome is not None)
    return {kind: found[kind] for kind in _KINDS.values()}


def _point(study: Study, trial: StoredTrial, outcome: Finished) -> Point:
    figures = measure_all(outcome.slots)
    return Point(trial.number, trial.values, outcome.digest, figures, broken(figures, study.constraints))


def _distinct(points: Mapping[int, Point]) -> dict[int, Figures]:
    """Return the feasible points, of those that ran alike in everything the first: the others would add nothing."""
    firsts: dict[str, int] = {}
    for number in sorted(points):
        firsts.setdefault(points[number].digest, number)
    return {number: points[number].figures for number in firsts.values() if not points[number].broken}


def _narrowed(study: Study, space: Space | None) -> dict[str, tuple[Any, Any]]:
    """Return the ranges that the search was narrowed to."""
    searched = {} if space is None else space
    changed = {path: each for path, each in searched.items() if each != study.space[path]}
    return {path: (each.low, each.high) for path, each in changed.items()}


def _reason(
    study: Study, trials: Sequence[StoredTrial], points: Mapping[int, Point], finalists: Sequence[Finalist]
) -> str:
    if finalists:
        return none_held(finalists)
    outcomes = {trial.number: trial.outcome for trial in trials if trial.outcome is not None}
    return none_feasible(study, points, outcomes)
