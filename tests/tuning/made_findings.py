"""Findings of studies that never ran: seeded, with the sizes and the gaps that real ones have."""

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtest.tuning.findings import (
    LATER_OTHERS,
    PARTS,
    SEARCHED,
    Finalist,
    Findings,
    Judged,
    Neighbour,
    Point,
    Significance,
    Stress,
    WalkStep,
)
from backtest.tuning.study import Study, parse_study
from risk.settings import DAY_NS

D = Decimal
OBJECTIVES = {"house_pnl": "maximize", "max_drawdown": "minimize", "margin_ratio": "maximize"}
SPACE: dict[str, Any] = {
    "routing.*.normal_threshold": {"low": 200, "high": 20_000, "log": True},
    "risk.hedge_debounce": {"low": "1s", "high": "15s", "step": "1s"},
    "routing.ETH.betting_threshold": {"low": D("1000"), "high": D("50000"), "step": D("1000")},
    "risk.hedge_tiers": {
        "choices": [
            [{"lower": 10_000, "ratio": D("0.5")}, {"lower": 50_000, "ratio": D("0.8")}],
            [{"lower": 5_000, "ratio": D("0.9")}],
        ]
    },
    "risk.split_at_threshold": {"choices": [False, True]},
    "risk.hedge_drift_share": {"low": D("0.01"), "high": D("0.2")},
}
START_NS = 19_500 * DAY_NS


def made_study(objectives: int | dict[str, str] = 2, **changes: Any) -> Study:
    """Return a study of six settings of flow-2023, with two constraints."""
    values = {
        "name": "thresholds",
        "description": "How much <script>alert('x')</script> & what size to keep INTERNAL?",
        "scenario": "flow-2023",
        "space": SPACE,
        "objectives": objectives
        if isinstance(objectives, dict)
        else dict(list(OBJECTIVES.items())[:objectives]),
        "constraints": {"bad_debt": {"max": 0}, "margin_ratio": {"min": D("1.5")}},
    }
    return parse_study(values | changes)


def figures(rng: random.Random, values: Mapping[str, Any] | None = None, size: float = 1.0) -> dict[str, Any]:
    """Return every measure; more is kept and earned with a higher threshold, at more risk."""
    threshold = float((values or {}).get("routing.*.normal_threshold", 2_000))
    kept = threshold / (threshold + 3_000)
    earned = size * (40_000 * kept * (1.15 - kept) + rng.gauss(0, 1_500))
    return {
        "house_pnl": D(f"{earned:.6f}"),
        "pnl_bps": D(f"{earned / 4_000:.6f}"),
        "max_drawdown": D(f"{size * 9_000 * kept**1.5 + abs(rng.gauss(0, 400)):.6f}"),
        "margin_ratio": D(f"{max(1.05, 6 - 5.2 * kept + rng.gauss(0, 0.3)):.6f}"),
        "trading_margin_ratio": None,
        "hedge_margin_ratio": D(f"{max(1.05, 6 - 5.2 * kept):.6f}"),
        "bad_debt": D("0") if kept < 0.8 else D(f"{900 * kept:.6f}"),
        "hedge_cost": D(f"{2_500 * kept:.6f}"),
        "hours_over_limit": D(f"{30 * kept:.4f}"),
        "max_exposure": D(f"{size * 180_000 * kept:.2f}"),
        "reserve_fall": D(f"{3_000 * kept:.2f}"),
        "internal_share": D(f"{kept:.6f}"),
        "liquidations": D(int(400 * kept)),
        "breaker_openings": D(int(5 * kept)),
    }


def broken(study: Study, found: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return by how much ``found`` breaks which constraint."""
    excess = {name: limit.excess(found[name]) for name, limit in study.constraints.items()}
    return {name: by for name, by in excess.items() if by > 0}


def _points(study: Study, rng: random.Random, count: int) -> list[Point]:
    points = []
    for number in range(count):
        values = {}
        for path, parameter in study.space.items():
            drawn = parameter.distribution()
            if parameter.choices:
                at: float = rng.randrange(len(parameter.choices))
            elif parameter.log:
                at = int(200 * 100 ** rng.random())
            else:
                at = rng.uniform(drawn.low, drawn.high)  # type: ignore[attr-defined]
            values[path] = parameter.value(at)
        found = figures(rng, values)
        if number % 17 == 3:
            found["margin_ratio"] = None
        points.append(Point(number, values, f"{rng.getrandbits(256):064x}", found, broken(study, found)))
    return points


def _judged(study: Study, found: Mapping[str, Any], rng: random.Random, *, sure: bool) -> Judged:
    ends = {
        name: (float(found[name]) * 0.8, float(found[name]) * 1.25)
        for name in study.objectives
        if sure and found[name] is not None and name != "margin_ratio"
    }
    return Judged(found, ends, broken(study, found), f"{rng.getrandbits(256):064x}")


def _front(study: Study, points: list[Point]) -> tuple[int, ...]:
    """Return the feasible points no other beats, by comparing all with all."""

    def scores(point: Point) -> tuple[Any, ...]:
        return tuple(
            (point.figures[name] if way == "maximize" else -point.figures[name])
            for name, way in study.objectives.items()
        )

    kept = [
        p for p in points if not p.broken and all(p.figures[name] is not None for name in study.objectives)
    ]
    best = [
        p
        for p in kept
        if not any(
            scores(q) != scores(p) and all(a >= b for a, b in zip(scores(q), scores(p), strict=True))
            for q in kept
        )
    ]
    return tuple(p.number for p in sorted(best, key=scores, reverse=True))


def made_findings(
    objectives: int | dict[str, str] = 2,
    *,
    recommends: bool = True,
    held_out: bool = True,
    checked: bool = True,
    trials: int = 120,
    **changes: Any,
) -> Findings:
    """Return the findings of a made-up study.

    ``held_out``: parts beside the searched one; ``checked``: walk, neighbours, stress and significance;
    ``changes`` are of the study.
    """
    rng, study = random.Random(11), made_study(objectives, **changes)
    points = _points(study, rng, trials)
    front = _front(study, points)
    chosen = front[len(front) // 2] if recommends else None
    names = PARTS if held_out else (SEARCHED,)
    sizes = dict(zip(PARTS, (1.0, 0.3, 0.35, 0.12), strict=True))
    finalists = tuple(
        Finalist(
            points[number],
            {
                part: _judged(
                    study,
                    points[number].figures
                    if part == SEARCHED
                    else figures(rng, points[number].values, sizes[part]),
                    rng,
                    sure=part != LATER_OTHERS,
                )
                for part in names
            },
            "" if number == chosen or number != front[0] else "breaks Bad debt on later time, other users",
        )
        for number in dict.fromkeys([*front[:4], *([chosen] if chosen is not None else [])])
    )
    baseline = {}
    for part in names:
        found = figures(rng, {"routing.*.normal_threshold": 150}, sizes[part])
        baseline[part] = _judged(study, found | {"margin_ratio": D("7.5")}, rng, sure=True)
    return Findings(
        study=study,
        counts={"finished": trials, "stopped": 31, "refused": 4, "failed": 1},
        points=tuple(points),
        front=front,
        finalists=finalists,
        recommended=chosen,
        reason="" if recommends else "every one of the 5 finalists breaks a constraint on what was held out",
        baseline=baseline,
        walk=_walk(rng, chosen) if checked else (),
        neighbours=_neighbours(study, points, chosen, rng) if checked and chosen is not None else (),
        stress=_stress(study, rng) if checked and chosen is not None else (),
        significance=Significance(63, trials, 212.4, (-18.2, 431.0), 0.0004, 0.062, 0.81, 0.24)
        if checked and chosen is not None
        else None,
        user_intervals={"house_pnl": (6_100.0, 15_900.0)} if checked and chosen is not None else {},
        importance=_importance(study),
        changes=_changes(study, points, chosen),
        narrowed={"routing.*.normal_threshold": (350, 9_000)} if checked and len(study.space) > 2 else {},
        summary=(
            "Orders up to a few thousand USDC are kept instead of 1 000 USDC.",
            "Later users with <b>other habits</b> could undo the gain.",
        ),
        provenance={
            "versions": {"python": "3.13.1", "hybrid-perps": "0.1.0", "optuna": "5.0.0"},
            "inputs": {"flow": "a" * 64, "quotes": "b" * 64},
            "seed": 1,
        },
    )


def _walk(rng: random.Random, chosen: int | None) -> tuple[WalkStep, ...]:
    steps = []
    for i in range(1, 4):
        edge = START_NS + 16 * i * DAY_NS
        before, after, other = (D(f"{rng.gauss(mean, 900):.6f}") for mean in (3_000 * i, 2_000, 700))
        last = i == 3
        steps.append(
            WalkStep(
                START_NS,
                edge,
                edge + 16 * DAY_NS,
                None if last else chosen,
                None if last else before,
                None if last else after,
                other,
            )
        )
    return tuple(steps)


def _neighbours(study: Study, points: list[Point], chosen: int, rng: random.Random) -> tuple[Neighbour, ...]:
    found = []
    for path, parameter in study.space.items():
        for value in parameter.neighbours(points[chosen].values[path]):
            moved = figures(rng, dict(points[chosen].values) | {path: value})
            runs = path != "risk.split_at_threshold"
            found.append(
                Neighbour(path, value, moved if runs else None, broken(study, moved) if runs else {})
            )
    return tuple(found)


def _stress(study: Study, rng: random.Random) -> tuple[Stress, ...]:
    calm, crash = figures(rng), figures(rng, {"routing.*.normal_threshold": 18_000}, -1.0)
    missing = "no data for dataset 'crash-2025-10': run hybrid-perps data fetch, then data import"
    return (
        Stress("synthetic-calm", "A quiet day <without> direction", calm, figures(rng), {}, ""),
        Stress(
            "synthetic-flash-crash",
            "-15 % within a minute, half of it recovered: liquidations, reserve and margin of our accounts.",
            crash,
            figures(rng),
            broken(study, crash) | {"bad_debt": D("720.5")},
            "",
        ),
        Stress("crash-2025-10", "Real prices of the crash of 2025-10-10", None, None, {}, missing),
    )


def _importance(study: Study) -> dict[str, dict[str, float]]:
    shares = [0.61, 0.02, 0.17, 0.05, 0.04, 0.11]
    return {
        name: dict(zip(study.space, shares[i:] + shares[:i], strict=False))
        for i, name in enumerate(study.objectives)
    }


def _changes(study: Study, points: list[Point], chosen: int | None) -> tuple[tuple[str, Any, Any], ...]:
    if chosen is None:
        return ()
    before = {
        "routing.*.normal_threshold": D(1000),
        "risk.hedge_debounce": "5s",
        "routing.ETH.betting_threshold": None,
        "risk.split_at_threshold": False,
        "risk.hedge_drift_share": D("0.05"),
        "risk.hedge_tiers": [{"lower": D(10000), "ratio": D("0.5")}, {"lower": D(50000), "ratio": D("0.8")}],
    }
    return tuple((path, before.get(path), points[chosen].values[path]) for path in study.space)
