"""Walk-forward: what choosing on the past alone would have brought, step by step through the searched time."""

from collections.abc import Mapping
from itertools import pairwise

from backtest.tuning.choice import broken, rank
from backtest.tuning.findings import Figures, WalkStep
from backtest.tuning.measures import MEASURES, Figure
from backtest.tuning.slots import Slots
from backtest.tuning.study import Study


def walk_forward(study: Study, slots: Mapping[int, Slots], baseline: Slots | None) -> tuple[WalkStep, ...]:
    """Return the study's walk-forward steps over an expanding window, from the slots of its finished trials.

    Time falls into ``folds`` + 1 segments of equally many slots; at the end of each but the last, the best
    feasible trial so far is chosen by the study's own rule and measured on the next segment. No run is repeated
    for this: a run knows nothing of its future, so its first slots are the run of that time alone. What this
    does not see: tpe and nsga2 proposed their points knowing the whole searched time (random and grid did not),
    and trials ended early for a constraint are left out even where they still held it at the edge.
    """
    starts = sorted({start for one in slots.values() for start in one.start_ns})
    steps = min(study.split.folds, len(starts) - 1)
    if steps < 1:
        return ()
    slot_ns = next(iter(slots.values())).slot_ns
    edges = [starts[len(starts) * step // (steps + 1)] for step in range(1, steps + 1)]
    ends = pairwise([*edges, starts[-1] + slot_ns])
    return tuple(_step(study, slots, baseline, (starts[0], edge, end)) for edge, end in ends)


def _step(
    study: Study, slots: Mapping[int, Slots], baseline: Slots | None, times: tuple[int, int, int]
) -> WalkStep:
    start, edge, end = times
    aim = next(iter(study.objectives))
    known = {number: _figures(study, one.between(start, edge)) for number, one in slots.items()}
    feasible = {number: found for number, found in known.items() if not broken(found, study.constraints)}
    chosen = next(iter(rank(feasible, study.objectives, 1)), None)
    after: Figure = None
    if chosen is not None:
        after = MEASURES[aim].of(slots[chosen].between(edge, end))
    return WalkStep(
        start_ns=start,
        edge_ns=edge,
        end_ns=end,
        chosen=chosen,
        before=None if chosen is None else known[chosen][aim],
        after=after,
        baseline=None if baseline is None else MEASURES[aim].of(baseline.between(edge, end)),
    )


def _figures(study: Study, slots: Slots) -> Figures:
    """Return what the choice needs: every measure would take several times as long."""
    return {name: MEASURES[name].of(slots) for name in {*study.objectives, *study.constraints}}
