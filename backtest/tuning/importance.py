"""Which settings matter for which objective, by PED-ANOVA over the finished trials."""

import math
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from backtest.tuning.findings import Point
from backtest.tuning.measures import Direction
from backtest.tuning.study import Study

MIN_POINTS = 10
_TOP = 0.1  # what counts as good: the best tenth


def importance(study: Study, points: Sequence[Point]) -> dict[str, dict[str, float]]:
    """Return, for each objective, the share of each setting in reaching the best tenth of the points.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023) as Optuna has it: how far a setting's values among the best lie
    from those among all. An objective is left out under ten points with a figure, or where the best tenth is no
    better than the rest. Under a sampler that learns it speaks of the neighbourhood that was searched most.
    """
    return {
        name: shares
        for name, direction in study.objectives.items()
        if (shares := _of_objective(study, points, name, direction))
    }


def _of_objective(study: Study, points: Sequence[Point], name: str, direction: Direction) -> dict[str, float]:
    found = [(point, float(figure)) for point in points if (figure := point.figures[name]) is not None]
    losses = sorted(value if direction == "minimize" else -value for _, value in found)
    if len(found) < MIN_POINTS or losses[math.ceil(_TOP * len(losses)) - 1] == losses[-1]:
        return {}
    trials = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {path: parameter.distribution() for path, parameter in study.space.items()}
    for point, value in found:
        drawn = {path: parameter.drawn(point.values[path]) for path, parameter in study.space.items()}
        trials.add_trial(create_trial(params=drawn, distributions=distributions, value=value))
    return get_param_importances(trials, evaluator=PedAnovaImportanceEvaluator(target_quantile=_TOP))
