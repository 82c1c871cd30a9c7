"""Which points are worth having: those that break nothing, are beaten by none, and come near the best of each.

Exact throughout. Points are known by their trial's number; ties go to the lower number.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from backtest.tuning.findings import Figures
from backtest.tuning.measures import MEASURES, Direction, Figure
from backtest.tuning.study import Limit

type Objectives = Mapping[str, Direction]
type Losses = tuple[Decimal, ...]  # one per objective, the smaller the better

_BEST, _WORST = Decimal("-Infinity"), Decimal("Infinity")


def broken(figures: Figures, constraints: Mapping[str, Limit]) -> dict[str, Decimal]:
    """Return by how much which constraints are broken; empty for a feasible point."""
    excess = {name: limit.excess(figures[name]) for name, limit in constraints.items()}
    return {name: over for name, over in excess.items() if over > 0}


def front(points: Mapping[int, Figures], objectives: Objectives) -> list[int]:
    """Return the points that no other beats: at least as good in every objective, and better in one; best first."""
    losses = {number: _losses(figures, objectives) for number, figures in points.items()}
    return _by_distance(_unbeaten(losses))


def rank(points: Mapping[int, Figures], objectives: Objectives, count: int) -> list[int]:
    """Return the ``count`` best points, best first: the front, then the front of the rest, and so on.

    Within a front the nearer to its ideal point is better: the best of each objective anywhere on the front,
    with every objective scaled to [0, 1] over it (Zeleny 1973, compromise programming).
    """
    left = {number: _losses(figures, objectives) for number, figures in points.items()}
    found: list[int] = []
    while left and len(found) < count:
        layer = _unbeaten(left)
        found += _by_distance(layer)
        left = {number: losses for number, losses in left.items() if number not in layer}
    return found[:count]


def equals_or_beats(one: Figures, other: Figures, objectives: Objectives) -> bool:
    """Say whether ``one`` is worse in no objective."""
    pairs = zip(_losses(one, objectives), _losses(other, objectives), strict=True)
    return all(ours <= theirs for ours, theirs in pairs)


def _losses(figures: Figures, objectives: Objectives) -> Losses:
    return tuple(loss(name, figures[name], direction) for name, direction in objectives.items())


def loss(name: str, figure: Figure, direction: Direction) -> Decimal:
    """Return ``figure`` turned so that less is better, infinite where there is none.

    No figure means that nothing happened: the best there is of what can only get worse, the worst of what must
    be earned first.
    """
    if figure is None:
        return _BEST if MEASURES[name].worsens else _WORST
    return figure if direction == "minimize" else -figure


def _unbeaten(losses: Mapping[int, Losses]) -> dict[int, Losses]:
    """Return the non-dominated points. Sorted, a point can be beaten only by those before it."""
    kept: dict[int, Losses] = {}
    for number, own in sorted(losses.items(), key=lambda item: (item[1], item[0])):
        if not any(_beats(other, own) for other in kept.values()):
            kept[number] = own
    return kept


def _beats(one: Losses, other: Losses) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _by_distance(layer: Mapping[int, Losses]) -> list[int]:
    scaled = [_scaled(column) for column in zip(*layer.values(), strict=True)]
    squares = [sum(share * share for share in shares) for shares in zip(*scaled, strict=True)]
    ordered = sorted(zip(squares, layer, strict=True))
    return [number for _, number in ordered]


def _scaled(column: tuple[Decimal, ...]) -> list[Fraction]:
    """Scale to [0, 1] between the best and the worst; endless losses go to the finite one next to them."""
    finite = [loss for loss in column if loss.is_finite()] or [Decimal(0)]
    low, high = min(finite), max(finite)
    span = Fraction(high) - Fraction(low) or Fraction(1)
    return [(Fraction(min(max(loss, low), high)) - Fraction(low)) / span for loss in column]
