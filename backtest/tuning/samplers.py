"""Proposing points to try, the same ones whatever runs where and however often it is interrupted.

Optuna's samplers work on a study in memory that is told outcomes in order of their trials' numbers only. Each
proposal has a sampler of its own, seeded by the study's seed and the trial's number. So a proposal depends on
nothing but the trials before it and the outcomes told, and going on after a stop is asking for all of them again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from backtest.tuning.measures import MEASURES, Figure
from backtest.tuning.space import Space, grid
from backtest.tuning.study import Limit, Study
from backtest.tuning.trial import Failed, Outcome, Refused
from backtest.tuning.verdict import judge

POPULATION = 20  # of a generation of NSGA-II, at the least
_RUNS = "runs"  # the constraint that settings can be run at all
_FAR = 1e9  # further from feasible than anything that ran


@dataclass(frozen=True, slots=True)
class Proposal:
    """Hold a point: exact ``values``, and ``drawn``, the sampler's own numbers behind them."""

    values: Mapping[str, Any]
    drawn: Mapping[str, float]


class Proposer(Protocol):
    """Propose points one after another, learning from outcomes."""

    def ask(self, number: int, drawn: Mapping[str, float] | None) -> Proposal | None:
        """Return point ``number``, made of ``drawn`` if it was drawn before; None when there are no more."""

    def tell(self, number: int, outcome: Outcome) -> None:
        """Learn what became of point ``number``."""


def open_proposer(study: Study, space: Space) -> Proposer:
    """Return the proposer that ``study`` asks for, over ``space``."""
    return _Grid(study, space) if study.sampler == "grid" else _Sampled(study, space)


class _Grid:
    """Propose every combination in order, whatever the outcomes."""

    def __init__(self, study: Study, space: Space) -> None:
        self._space = space
        self._points: Iterator[dict[str, Any]] = islice(grid(space), study.trials)

    def ask(self, number: int, drawn: Mapping[str, float] | None) -> Proposal | None:
        values = next(self._points, None)
        if values is None:
            return None
        return Proposal(values, {path: self._space[path].drawn(value) for path, value in values.items()})

    def tell(self, number: int, outcome: Outcome) -> None:
        """Learn nothing."""


class _Sampled:
    """Propose by one of Optuna's samplers.

    To the sampler a run that was stopped, and settings that were refused, are points that break a constraint:
    it learns to keep away from them. A run that failed says nothing. A figure that is None (nothing happened)
    counts as the best known so far of what can only get worse, else as the worst: never beyond what was seen.
    """

    def __init__(self, study: Study, space: Space) -> None:
        self._study, self._space = study, space
        self._distributions = {path: parameter.distribution() for path, parameter in space.items()}
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        self._optuna = optuna.create_study(directions=list(study.objectives.values()))
        self._asked: dict[int, Trial] = {}
        self._known: list[list[float]] = [[] for _ in study.objectives]

    def ask(self, number: int, drawn: Mapping[str, float] | None) -> Proposal:
        self._optuna.sampler = _sampler(self._study, number)
        if drawn is not None:
            self._optuna.enqueue_trial(dict(drawn))
        trial = self._asked[number] = self._optuna.ask(self._distributions)
        if drawn is not None and self._study.sampler == "nsga2":
            _ = (
                trial.relative_params
            )  # sampling gives a trial its generation: what was drawn before needs one too
        values = {path: parameter.value(trial.params[path]) for path, parameter in self._space.items()}
        return Proposal(values, trial.params)

    def tell(self, number: int, outcome: Outcome) -> None:
        trial = self._asked.pop(number)
        verdict = judge(self._study, outcome)
        for name, limit in self._study.constraints.items():
            trial.set_constraint(name, float(verdict.excess.get(name, 0)) / _scale(limit))
        trial.set_constraint(_RUNS, _FAR if isinstance(outcome, Refused) else 0)
        if verdict.figures is not None:
            values = self._values(verdict.figures)
        else:  # points that break constraints are compared by how much alone
            values = None if isinstance(outcome, Failed) else [0.0] * len(self._known)
        self._optuna.tell(trial, values, TrialState.FAIL if values is None else TrialState.COMPLETE)

    def _values(self, figures: Sequence[Figure]) -> list[float] | None:
        found = []
        for figure, known, (name, direction) in zip(
            figures, self._known, self._study.objectives.items(), strict=True
        ):
            if figure is not None:
                known.append(float(figure))
                found.append(float(figure))
            elif known:
                best, worst = (max, min) if direction == "maximize" else (min, max)
                found.append((best if MEASURES[name].worsens else worst)(known))
            else:
                return None
        return found


def _sampler(study: Study, number: int) -> BaseSampler:
    seed = int(np.random.SeedSequence((study.seed, number)).generate_state(1)[0])
    match study.sampler:
        case "nsga2":
            # A generation is at least as large as what is under way, or its parents would come too late.
            return NSGAIISampler(population_size=max(POPULATION, study.lag), seed=seed)
        case "random":
            return RandomSampler(seed)
        case _:
            return TPESampler(seed=seed)  # multivariate for one objective, where it helps


def _scale(limit: Limit) -> float:
    """Return the limit's own size, so that excesses in USDC and in ratios can be added."""
    sizes = [abs(float(bound)) for bound in (limit.min, limit.max) if bound]
    return max(sizes, default=1.0)
