"""Why nothing is recommended, in plain words."""

from collections import Counter
from collections.abc import Mapping, Sequence

from backtest.report.summary import when
from backtest.tuning.check_runs import problem
from backtest.tuning.findings import Finalist, Point
from backtest.tuning.report.words import broken_text, limit_text, said
from backtest.tuning.study import Study
from backtest.tuning.trial import Failed, Outcome, Refused, Stopped


def none_held(finalists: Sequence[Finalist]) -> str:
    """Say why each of the best points was vetoed."""
    vetoes = " ".join(f"Trial {finalist.point.number} {finalist.veto}." for finalist in finalists)
    return f"Of the {len(finalists)} best points none can be recommended. {vetoes}"


def none_feasible(study: Study, points: Mapping[int, Point], outcomes: Mapping[int, Outcome]) -> str:
    """Name the constraints hardest to meet and the nearest any trial came; or why no trial could be run."""
    stopped = {number: each for number, each in outcomes.items() if isinstance(each, Stopped)}
    judged = len(points) + len(stopped)
    if not judged:
        return _none_ran(outcomes)
    breaks = Counter(name for point in points.values() for name in point.broken)
    breaks.update(each.measure for each in stopped.values())
    most = max(breaks.values())
    lines = [f"None of {judged} trials met every constraint."]
    for name in study.constraints:
        if breaks[name] == most:
            hard = f"Hardest to meet was {limit_text(name, study.constraints[name])}: {most} trials broke it"
            lines.append(f"{hard}, {_nearest(name, points, stopped)}.")
    if most < judged and points:
        least = min(points.values(), key=lambda point: (len(point.broken), point.number))
        lines.append(f"Trial {least.number} broke fewest at once: {broken_text(least.broken)}.")
    return " ".join(lines)


def _none_ran(outcomes: Mapping[int, Outcome]) -> str:
    why = [problem(each) for each in outcomes.values() if isinstance(each, Refused | Failed)]
    return f"None of {len(why)} trials could be run; the first: {why[0]}" if why else "No trial has been run."


def _nearest(name: str, points: Mapping[int, Point], stopped: Mapping[int, Stopped]) -> str:
    """Say which trial came nearest; of trials ended at the first breach, which kept the constraint longest."""
    missed = {number: point for number, point in points.items() if name in point.broken}
    if missed:
        number = min(missed, key=lambda each: (missed[each].broken[name], each))
        return f"trial {number} by the least, with {said(name, missed[number].figures[name])}"
    ended = {number: each for number, each in stopped.items() if each.measure == name}
    number = max(ended, key=lambda each: (ended[each].ts, -each))
    last = ended[number]
    return f"trial {number} the latest, on {when(last.ts)} with {said(name, last.figure)}"
