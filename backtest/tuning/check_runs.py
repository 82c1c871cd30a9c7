"""The runs that judge a study's points: on which part of data and users, and what came of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from backtest.counterfactuals import counterfactual
from backtest.estimates import ALL_HYPERLIQUID
from backtest.scenario import Scenario
from backtest.tuning.bootstrap import pigeonhole, slot_bootstrap
from backtest.tuning.choice import broken, equals_or_beats
from backtest.tuning.findings import LATER, LATER_OTHERS, OTHERS, PARTS, SEARCHED, Finalist, Judged, Point
from backtest.tuning.measures import measure_all
from backtest.tuning.report.words import PART_TITLES, limit_text, said
from backtest.tuning.slots import Slots
from backtest.tuning.space import text_of
from backtest.tuning.study import Study
from backtest.tuning.trial import Failed, Finished, Job, Outcome, Refused, Stopped
from risk.errors import InvalidInput

type RunAll = Callable[[Sequence[Job]], list[Outcome]]
type Ask = Job | Outcome  # a run to make, or what is known of it

_HELD_OUT = {
    SEARCHED: (False, False),
    LATER: (True, False),
    OTHERS: (False, True),
    LATER_OTHERS: (True, True),
}


def run_named[K](asked: Mapping[K, Ask], run_all: RunAll) -> dict[K, Outcome]:
    """Run all jobs in one batch; return the outcome of each by its name, beside those known."""
    jobs = {name: each for name, each in asked.items() if isinstance(each, Job)}
    known = {name: each for name, each in asked.items() if not isinstance(each, Job)}
    return known | dict(zip(jobs, run_all(list(jobs.values())), strict=True))


def ask(study: Study, make: Callable[[], Scenario], *, cells: bool = False) -> Ask:
    """Ask for a run, to its end, of the scenario that ``make`` gives; what it refuses is the answer."""
    try:
        scenario = make()
    except InvalidInput as error:
        return Refused(str(error))
    limit = Decimal("Infinity") if study.exposure_limit is None else study.exposure_limit
    return Job(scenario, exposure_limit=limit, cells=cells)


def problem(outcome: Outcome) -> str:
    """Return why there is no result, empty where there is one."""
    match outcome:
        case Finished():
            return ""
        case Refused(message):
            return message
        case Failed(message, attempts):
            return f"{message} (tried {attempts} times)" if attempts else message
        case Stopped(measure, figure, _):
            return f"ended early with {measure} at {text_of(figure)}"


def parts_of(study: Study) -> list[str]:
    """Return the parts that the study's split leaves."""
    time, users = bool(study.split.test_share), bool(study.split.test_groups)
    return [part for part, (later, others) in _HELD_OUT.items() if time >= later and users >= others]


def part_scenario(study: Study, values: Mapping[str, Any], part: str) -> Scenario:
    """Return the scenario with ``values`` on one of PARTS."""
    held_out_time, held_out_users = _HELD_OUT[part]
    return study.part(values, held_out_time=held_out_time, held_out_users=held_out_users)


def judge(study: Study, outcome: Finished) -> Judged:
    """Return figures, constraints broken, and the objectives' intervals; of house PnL over users and slots."""
    figures = measure_all(outcome.slots)
    checks, names = study.checks, list(study.objectives)
    intervals = slot_bootstrap(outcome.slots, names, checks.bootstrap, study.seed)
    if "house_pnl" in names and outcome.cells is not None:
        both = pigeonhole(outcome.slots, outcome.cells, checks.bootstrap, study.seed)
        intervals |= {} if both is None else {"house_pnl": both}
    return Judged(figures, intervals, broken(figures, study.constraints), outcome.digest)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Hold the finalists as judged, and everything on Hyperliquid by part, with its slots on the searched part.

    ``problems`` are sentences on where everything on Hyperliquid could not be run.
    """

    finalists: tuple[Finalist, ...]
    baseline: Mapping[str, Judged]
    base_slots: Slots | None
    problems: tuple[str, ...]


def run_parts(
    study: Study, points: Sequence[Point], known: Mapping[int, Finished], run_all: RunAll
) -> HeldOut:
    """Run ``points`` and everything on Hyperliquid on every part, all in one batch.

    ``known`` are the trials' own runs by number: where one kept its users' results it is not run again.
    """
    asked: dict[tuple[int | None, str], Ask] = {}
    for part in parts_of(study):
        asked[None, part] = ask(study, partial(_baseline, study, part), cells=True)
        for point in points:
            trial = known[point.number]
            if part == SEARCHED and trial.cells is not None:
                asked[point.number, part] = trial
            else:
                make = partial(part_scenario, study, point.values, part)
                asked[point.number, part] = ask(study, make, cells=True)
    found = run_named(asked, run_all)
    base = _by_part(found, None)
    searched, baseline = base[SEARCHED], _judged(study, base)
    return HeldOut(
        tuple(
            _finalist(study, point, _by_part(found, point.number), baseline.get(SEARCHED)) for point in points
        ),
        baseline,
        searched.slots if isinstance(searched, Finished) else None,
        tuple(_unrun(part, problem(each)) for part, each in base.items() if problem(each)),
    )


def _baseline(study: Study, part: str) -> Scenario:
    return counterfactual(part_scenario(study, {}, part), ALL_HYPERLIQUID)


def _by_part(found: Mapping[tuple[int | None, str], Outcome], number: int | None) -> dict[str, Outcome]:
    return {part: found[number, part] for part in PARTS if (number, part) in found}


def _judged(study: Study, outcomes: Mapping[str, Outcome]) -> dict[str, Judged]:
    return {part: judge(study, each) for part, each in outcomes.items() if isinstance(each, Finished)}


def _unrun(part: str, message: str) -> str:
    return f"Everything on Hyperliquid could not be run on {PART_TITLES[part]}: {message}."


def _finalist(
    study: Study, point: Point, outcomes: Mapping[str, Outcome], baseline: Judged | None
) -> Finalist:
    parts = _judged(study, outcomes)
    why = {part: problem(outcome) for part, outcome in outcomes.items()}
    vetoes = [f"could not be run on {PART_TITLES[part]}: {words}" for part, words in why.items() if words]
    if SEARCHED in parts and parts[SEARCHED].digest != point.digest:
        vetoes.append(f"run again it gave the digest {parts[SEARCHED].digest}, not {point.digest}")
    if (
        baseline
        and not baseline.broken
        and equals_or_beats(baseline.figures, point.figures, study.objectives)
    ):
        vetoes.append("is no better than everything on Hyperliquid in any objective where it was searched")
    for part, judged in parts.items():
        for name, over in judged.broken.items():
            limit, by = limit_text(name, study.constraints[name]), said(name, over).removeprefix("+")
            vetoes.append(f"breaks {limit} by {by} on {PART_TITLES[part]}")
    return Finalist(point, parts, "; ".join(vetoes))
