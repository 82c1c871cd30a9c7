"""Made-up studies that were searched already, where every answer of the checks is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backtest.scenario import Scenario
from backtest.tuning.checks import examine
from backtest.tuning.findings import LATER, LATER_OTHERS, OTHERS, SEARCHED, Findings
from backtest.tuning.study import Study
from backtest.tuning.trial import Finished, Job, Outcome

from .made_studies import NORMAL, made_slots, made_study


@dataclass
class Kept:
    """A trial as a store gives it."""

    number: int
    values: Mapping[str, Any]
    outcome: Outcome | None


@dataclass
class MadeStore:
    """A study whose trials are made up."""

    study: Study
    kept: list[Kept] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    space: Any = None

    def trials(self) -> list[Kept]:
        return self.kept


type Answer = Callable[[Scenario], Outcome]


def pnl_of(threshold: Any) -> int:
    """Return the made-up gain: best at 3 000."""
    return 100 - abs(int(threshold) - 3_000) // 100


def threshold_of(scenario: Scenario) -> Any:
    return scenario.routing["*"].normal_threshold


def hl(scenario: Scenario) -> bool:
    return scenario.routing["*"].routing_mode == "HL_MODE"


def part_of(scenario: Scenario) -> str:
    later, others = scenario.data.from_share > 0, scenario.flow.keep_groups == (3,)
    return {(False, False): SEARCHED, (True, False): LATER, (False, True): OTHERS}.get(
        (later, others), LATER_OTHERS
    )


def quiet(scenario: Scenario) -> Outcome:
    """Return a run of twelve slots that gains by its threshold alone, and nothing on Hyperliquid."""
    if hl(scenario):
        return Finished("all on HL", made_slots(*[0] * 12))
    gain = pnl_of(threshold_of(scenario))
    slots = made_slots(*[gain + n % 3 for n in range(12)])
    return Finished(f"digest at {threshold_of(scenario)}", slots)


def made(
    thresholds: Sequence[int], answer: Answer = quiet, **changed: Any
) -> tuple[MadeStore, Callable[[Sequence[Job]], list[Outcome]], list[Job]]:
    """Return a store of trials at ``thresholds``, what answers jobs, and the jobs asked for so far."""
    study = made_study(
        **{
            "space": {NORMAL: {"low": 0, "high": 10_000, "step": 1_000}},
            "checks": {"stress": [], "bootstrap": 100, "finalists": 3},
        }
        | changed
    )
    kept = [
        Kept(number, {NORMAL: threshold}, answer(study.searched({NORMAL: threshold})))
        for number, threshold in enumerate(thresholds)
    ]
    jobs: list[Job] = []

    def run(asked: Sequence[Job]) -> list[Outcome]:
        jobs.extend(asked)
        return [answer(job.scenario) for job in asked]

    return MadeStore(study, kept), run, jobs


def found(thresholds: Sequence[int], answer: Answer = quiet, **changed: Any) -> Findings:
    store, run, _ = made(thresholds, answer, **changed)
    return examine(store, run)
