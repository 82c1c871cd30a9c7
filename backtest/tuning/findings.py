"""Everything a study found out, as plain values: what the terminal, the report and ``--json`` show."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backtest.tuning.measures import Figure
from backtest.tuning.study import Study

# The four parts of data and users: searched on, and held out in time, in users, in both.
SEARCHED, LATER, OTHERS, LATER_OTHERS = "searched", "later", "other users", "later, other users"
PARTS = (SEARCHED, LATER, OTHERS, LATER_OTHERS)

type Figures = Mapping[str, Figure]  # by measure, all of MEASURES


@dataclass(frozen=True, slots=True)
class Point:
    """One finished trial on the part that is searched; ``broken`` says by how much it breaks which constraint."""

    number: int
    values: Mapping[str, Any]
    digest: str
    figures: Figures
    broken: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures on one part, 90 % intervals of the objectives (bootstrap), and the constraints broken there."""

    figures: Figures
    intervals: Mapping[str, tuple[float, float]]
    broken: Mapping[str, Decimal]
    digest: str


@dataclass(frozen=True, slots=True)
class Finalist:
    """One of the best points, run on every part; ``parts`` by name, those the split leaves empty are absent.

    ``veto`` says why it cannot be recommended, empty where it can.
    """

    point: Point
    parts: Mapping[str, Judged]
    veto: str


@dataclass(frozen=True, slots=True)
class WalkStep:
    """One walk-forward step: the trial chosen on [start, edge), and the first objective then and in [edge, end).

    ``baseline`` is the first objective of everything on Hyperliquid in [edge, end). Times in nanoseconds.
    """

    start_ns: int
    edge_ns: int
    end_ns: int
    chosen: int | None
    before: Figure
    after: Figure
    baseline: Figure


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The recommended point with one setting moved; ``figures`` are None where that could not be run."""

    path: str
    value: Any
    figures: Figures | None
    broken: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Stress:
    """The recommended settings on another scenario, beside that scenario's own; ``message`` if it could not run."""

    scenario: str
    description: str
    chosen: Figures | None
    own: Figures | None
    broken: Mapping[str, Decimal]
    message: str


@dataclass(frozen=True, slots=True)
class Significance:
    """How sure it is that the chosen point beats everything on Hyperliquid, by slots of the searched part.

    ``gain_per_slot`` USDC with its 90 % ``interval``; ``p_value``: sign-flip permutation of the differences of
    this point alone; ``p_best_of_all``: White's reality check over all ``trials`` points tried;
    ``deflated_sharpe``: probability that its Sharpe ratio is above what the best of so many would show by luck
    (Bailey and López de Prado 2014); ``overfit``: probability of backtest overfitting (CSCV). None where there
    are too few slots or points.
    """

    slots: int
    trials: int
    gain_per_slot: float
    interval: tuple[float, float]
    p_value: float
    p_best_of_all: float
    deflated_sharpe: float | None
    overfit: float | None


@dataclass(frozen=True, slots=True)
class Findings:
    """All of a study. ``recommended`` is a trial's number or None, then ``reason`` says why there is none.

    ``front`` are the numbers of the feasible points no other beats in every objective, best first.
    ``importance``: objective → setting → share. ``changes``: (setting, before, after) of the recommended point.
    ``user_intervals``: of the recommended point's objectives, by leaving out each group of users in turn
    (jackknife, whole runs). ``summary`` are plain sentences. ``provenance`` holds versions and input hashes.
    """

    study: Study
    counts: Mapping[str, int]  # finished, stopped, refused, failed, of the trials asked for
    points: tuple[Point, ...]
    front: tuple[int, ...]
    finalists: tuple[Finalist, ...]
    recommended: int | None
    reason: str
    baseline: Mapping[str, Judged]  # everything on Hyperliquid, by part
    walk: tuple[WalkStep, ...]
    neighbours: tuple[Neighbour, ...]
    stress: tuple[Stress, ...]
    significance: Significance | None
    user_intervals: Mapping[str, tuple[float, float]]
    importance: Mapping[str, Mapping[str, float]]
    changes: tuple[tuple[str, Any, Any], ...]
    narrowed: Mapping[str, tuple[Any, Any]]  # ranges after the pre-search, where there was one
    summary: tuple[str, ...]
    provenance: Mapping[str, Any]
