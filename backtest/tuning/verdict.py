"""What an outcome says on a study's own terms: its objectives, and by how much it breaks which constraint."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from backtest.tuning.measures import MEASURES, Figure
from backtest.tuning.study import Study
from backtest.tuning.trial import Finished, Outcome, Stopped

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold ``figures`` of the objectives in their order, None where no run came to its end.

    ``excess`` is by how much each constraint is broken, 0 or less where it holds; empty where nothing ran.
    """

    figures: tuple[Figure, ...] | None
    excess: Mapping[str, Decimal]

    @property
    def feasible(self) -> bool:
        """Say whether the run came to its end and broke nothing."""
        return self.figures is not None and all(over <= 0 for over in self.excess.values())


def judge(study: Study, outcome: Outcome) -> Verdict:
    """Judge ``outcome``; of a run stopped early only the constraint that stopped it is known to be broken."""
    match outcome:
        case Finished(slots=slots):
            figures = tuple(MEASURES[name].of(slots) for name in study.objectives)
            excess = {
                name: limit.excess(MEASURES[name].of(slots)) for name, limit in study.constraints.items()
            }
            return Verdict(figures, excess)
        case Stopped(measure=measure, figure=figure):
            return Verdict(
                None,
                {
                    name: limit.excess(figure) if name == measure else _ZERO
                    for name, limit in study.constraints.items()
                },
            )
        case _:
            return Verdict(None, {})
