"""A fast look at thousands of routing settings before the search, to narrow the ranges that it begins with.

One run with everything INTERNAL gives the flow; what each setting would keep of it is worked out without an engine.
The best share of the settings, by those of the study's measures that have an estimate here, spans the new ranges.
A range is cut only where settings beyond were tried and none was kept; whatever else varies stays as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from backtest.counterfactuals import counterfactual
from backtest.estimates import ALL_INTERNAL
from backtest.scenario import Scenario
from backtest.scenario_overrides import path_keys, with_values
from backtest.tuning.exposure_paths import Figures, chunk_of, figures
from backtest.tuning.internal_flow import Floats, InternalFlow
from backtest.tuning.internal_run import FlowRecorder, internal_flow
from backtest.tuning.mode_paths import kept_by_symbol, rules
from backtest.tuning.space import Parameter, Space, text_of
from backtest.tuning.study import Study
from risk.errors import InvalidInput
from risk.events import Event
from risk.settings import HOUR_NS, Settings

# Runs a scenario, shows its observer the events of every input, and returns its tables.
type RunWatched = Callable[[Scenario, Callable[[Sequence[Event]], None]], Mapping[str, pa.Table]]

ESTIMATED = ("house_pnl", "max_drawdown", "max_exposure", "hours_over_limit", "internal_share")
_LOOKED_AT = 50  # settings at which a parameter is moved to see whether it matters at all


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Say what the pre-search made of a study's space.

    ``space`` is the whole space, ``ranges`` the changed ones by path. ``reason`` says why nothing was looked at,
    empty where it was. ``judged_by`` are the measures that had an estimate. ``tried`` has a row per setting: its
    values as text, its estimates, and whether it was kept.
    """

    space: Space
    ranges: Mapping[str, tuple[Any, Any]]
    reason: str
    judged_by: tuple[str, ...]
    tried: pa.Table


def narrow(study: Study, run_watched: RunWatched) -> Narrowing:
    """Return the study's space with the ranges of its routing thresholds narrowed; the same for equal studies.

    Only what is searched is looked at, never time or users held out. Raises what ``run_watched`` raises.
    """
    judged_by = tuple(name for name in ESTIMATED if name in (*study.objectives, *study.constraints))
    varied = {path: each for path, each in study.space.items() if path_keys(path)[0] == "routing"}
    base = study.searched({})
    reason = _reason(study, base, varied)
    if reason:
        return _unchanged(study, reason)
    recorder = FlowRecorder()
    tables = run_watched(reference(base), recorder.watch)
    try:
        flow = internal_flow(recorder, tables)
    except InvalidInput as error:
        return _unchanged(study, str(error))
    tried = list(_valid(base, _draw(study, varied)))
    if not tried:
        return _unchanged(study, "no setting that was drawn makes a scenario that can be run")
    settings = [each for _, each in tried]
    estimates = estimate(flow, settings, study.exposure_limit, float(base.risk.builder_fee_rate))
    kept = _best(study, estimates)
    values = [drawn for drawn, _ in tried]
    moving = [
        path for path, each in varied.items() if not each.choices and _matters(path, each, base, values, flow)
    ]
    ranges = {}
    for path in moving:
        new = _range(study.space[path], [drawn[path] for drawn in values], kept)
        if new != (study.space[path].low, study.space[path].high):
            ranges[path] = new
    return Narrowing(narrowed(study.space, ranges), ranges, "", judged_by, _table(values, estimates, kept))


def narrowed(space: Space, ranges: Mapping[str, tuple[Any, Any]]) -> dict[str, Parameter]:
    """Return ``space`` with the ranges named set anew; steps and logarithms stay."""
    changed = {
        path: Parameter.model_validate(space[path].model_dump() | {"low": low, "high": high})
        for path, (low, high) in ranges.items()
    }
    return {**space, **changed}


def reference(base: Scenario) -> Scenario:
    """Return ``base`` with everything INTERNAL but what the market alone forces out, as it does under any setting."""
    ranges = {
        f"risk.{name}": getattr(base.risk, name) for name in ("price_range_release", "price_range_limit")
    }
    return with_values(counterfactual(base, ALL_INTERNAL), ranges)


def estimate(
    flow: InternalFlow, settings: Sequence[Settings], exposure_limit: Decimal | None, builder_rate: float
) -> dict[str, Floats]:
    """Return an estimate of each of ESTIMATED for every one of ``settings``; ``builder_rate`` is that of all.

    ``house_pnl`` is what the INTERNAL positions brought in the run with everything INTERNAL, plus builder fees on the
    rest: without hedges, deviation, bad debt, and what users would do with another result.
    """
    chunk = chunk_of(flow)
    parts = [settings[first : first + chunk] for first in range(0, len(settings), chunk)]
    found = [
        _as_measures(flow, figures(flow, kept_by_symbol(flow, part), exposure_limit, builder_rate))
        for part in parts
    ]
    return {name: np.concatenate([part[name] for part in found]) for name in ESTIMATED}


def _as_measures(flow: InternalFlow, found: Figures) -> dict[str, Floats]:
    dollar = 10.0**flow.places
    volume = found.internal_volume / dollar
    traded = volume + found.traded
    return {
        "house_pnl": found.result,
        "max_drawdown": found.drawdown,
        "max_exposure": found.max_exposure / dollar,
        "hours_over_limit": found.over_limit_ns / HOUR_NS,
        "internal_share": np.divide(volume, traded, out=np.zeros_like(traded), where=traded > 0),
    }


def _reason(study: Study, base: Scenario, varied: Space) -> str:
    """Return why the pre-search cannot help a study, empty where it can."""
    if study.presearch is None:
        return "the study asks for no pre-search"
    if all(each.choices for each in varied.values()):
        return "no range of a routing setting is searched"
    if not any(name in ESTIMATED for name in study.objectives):
        return f"none of the objectives has an estimate; those that have are {', '.join(ESTIMATED)}"
    if base.risk.split_at_threshold:
        return "orders are split at the threshold, which the pre-search does not follow"
    return ""


def _unchanged(study: Study, reason: str) -> Narrowing:
    return Narrowing(dict(study.space), {}, reason, (), pa.table({}))


def _draw(study: Study, varied: Space) -> Iterator[dict[str, Any]]:
    """Draw settings of ``varied`` spread evenly over every parameter (Latin hypercube), by the study's seed."""
    assert study.presearch is not None  # told by _reason
    count = study.presearch.settings
    random = np.random.default_rng(study.seed)
    columns = {}
    for path, parameter in varied.items():
        shares = (random.permutation(count) + random.random(count)) / count
        columns[path] = [_value(parameter, share) for share in shares.tolist()]
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _value(parameter: Parameter, share: float) -> Any:
    """Return the value at a ``share`` in [0, 1) of a parameter's distribution."""
    distribution = parameter.distribution()
    if isinstance(distribution, CategoricalDistribution):
        return parameter.value(int(share * len(distribution.choices)))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        high += 1
    at = low * (high / low) ** share if distribution.log else low + share * (high - low)
    return parameter.value(
        min(at, distribution.high) if isinstance(distribution, FloatDistribution) else int(at)
    )


def _valid(base: Scenario, drawn: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Settings]]:
    for values in drawn:
        try:
            yield values, with_values(base, values).settings()
        except InvalidInput:
            continue  # the search will not run it either


def _matters(
    path: str, parameter: Parameter, base: Scenario, tried: Sequence[dict[str, Any]], flow: InternalFlow
) -> bool:
    """Tell whether a parameter's ends route differently, the others as in some of the settings tried."""
    for values in islice(tried, _LOOKED_AT):
        ends = [
            settings
            for _, settings in _valid(
                base, ({**values, path: end} for end in (parameter.low, parameter.high))
            )
        ]
        if len(ends) == 2 and any(
            rules(flow, ends[0], name) != rules(flow, ends[1], name) for name in flow.symbols
        ):
            return True
    return False


def _best(study: Study, estimates: Mapping[str, Floats]) -> np.ndarray:
    """Return which settings belong to the best share: those on a par with the last of them too.

    First come those that break the constraints least, then those that fewest others beat in every objective
    (Fonseca and Fleming 1993), then by their mean place.
    """
    assert study.presearch is not None  # told by _reason
    losses = np.array(
        [
            estimates[name] if direction == "minimize" else -estimates[name]
            for name, direction in study.objectives.items()
            if name in estimates
        ]
    ).T
    broken = sum((_excess(study, name, figure) for name, figure in estimates.items()), np.zeros(len(losses)))
    beaten = np.array([((losses <= one).all(axis=1) & (losses < one).any(axis=1)).sum() for one in losses])
    places = np.array([np.searchsorted(np.sort(column), column) for column in losses.T]).mean(axis=0)
    order = np.lexsort((places, beaten, broken))
    share = float(study.presearch.keep)
    last = order[max(1, int(np.ceil(share * len(order)))) - 1]
    keys = np.array([broken, beaten, places])
    kept = np.zeros(len(order), dtype=np.bool_)
    kept[order[: int(np.flatnonzero((keys[:, order] == keys[:, [last]]).all(axis=0))[-1]) + 1]] = True
    return kept


def _excess(study: Study, name: str, figure: Floats) -> Floats:
    """Return by how much each setting breaks the constraint on a measure, as a share of the worst."""
    limit = study.constraints.get(name)
    over = np.zeros(len(figure))
    if limit is not None and limit.max is not None:
        over = np.maximum(over, figure - float(limit.max))
    if limit is not None and limit.min is not None:
        over = np.maximum(over, float(limit.min) - figure)
    return over / over.max() if over.any() else over


def _range(parameter: Parameter, tried: Sequence[Any], kept: np.ndarray) -> tuple[Any, Any]:
    """Return a parameter's range from the value tried just below those kept to the one tried just above."""
    numbers = np.array([parameter.drawn(value) for value in tried])
    lowest, highest = numbers[kept].min(), numbers[kept].max()
    below, above = np.flatnonzero(numbers < lowest), np.flatnonzero(numbers > highest)
    low = tried[below[numbers[below].argmax()]] if len(below) else parameter.low
    high = tried[above[numbers[above].argmin()]] if len(above) else parameter.high
    return low, high


def _table(tried: Sequence[Mapping[str, Any]], estimates: Mapping[str, Floats], kept: np.ndarray) -> pa.Table:
    values = {path: pa.array([text_of(row[path]) for row in tried]) for path in tried[0]}
    return pa.table(
        {**values, **{name: pa.array(column) for name, column in estimates.items()}, "kept": kept}
    )
