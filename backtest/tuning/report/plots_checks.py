"""The plots of what was checked after the search: held-out parts, intervals, steps forward, neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.traces import AMBER, BLUE, GREEN, RED, TEAL, Figure, figure
from backtest.tuning.findings import PARTS, SEARCHED, Finalist, Findings, Judged
from backtest.tuning.measures import MEASURES
from backtest.tuning.report.panels import Panels, measure_axis, scaled
from backtest.tuning.report.words import (
    MISSING,
    PART_TITLES,
    day,
    first_objective,
    heading,
    in_order,
    interval,
    number,
    recommended,
    said,
    scale,
    setting,
    short,
    trial_name,
    unit,
)

_NARROW = 0.03  # of the width, between columns that share their row's labels


def parts(findings: Findings) -> Figure:
    """Draw each objective of the finalists and of everything on Hyperliquid with intervals, a column per part.

    Every panel has its own scale: parts differ in length and users, and are compared within themselves alone.
    """
    aims, runs = list(findings.study.objectives), in_order(findings)
    shown = [part for part in PARTS if any(part in found for _, found in runs)]
    panels = Panels(len(aims) * len(shown), len(shown), height=70 + 26 * len(runs), gap=_NARROW)
    for aim in aims:
        for part in shown:
            traces = [
                _marks(aim, name, _run_colour(findings, name), found[part])
                for name, found in runs
                if part in found
            ]
            title = f"{heading(aim)}<br>{PART_TITLES[part]}"
            panels.place(
                traces,
                measure_axis(aim, title) | {"nticks": 5},
                _names([name for name, _ in runs], part == shown[0]),
            )
    return panels.figure(showlegend=False)


def _run_colour(findings: Findings, name: str) -> str:
    chosen = recommended(findings)
    if chosen is not None and name == trial_name(findings, chosen.point):
        return GREEN
    return AMBER if name == ALL_HYPERLIQUID else BLUE


def intervals(findings: Findings, chosen: Finalist) -> Figure:
    """Draw how sure the recommended point's objectives are where it was searched, by what is resampled."""
    aims = list(findings.study.objectives)
    panels = Panels(len(aims), 3, height=130, gap=_NARROW)
    chosen_here, baseline = chosen.parts[SEARCHED], findings.baseline.get(SEARCHED)
    rows = [("recommended,<br>time resampled", GREEN, chosen_here)]
    if findings.user_intervals:
        without = replace(chosen_here, intervals=findings.user_intervals)
        rows.append(("recommended, without<br>each group of users", TEAL, without))
    if baseline is not None:
        rows.append((f"{ALL_HYPERLIQUID},<br>time resampled", AMBER, baseline))
    names = [name for name, _, _ in rows]
    for i, aim in enumerate(aims):
        traces = [_marks(aim, name, colour, judged) for name, colour, judged in rows]
        panels.place(traces, measure_axis(aim) | {"nticks": 6}, _names(names, i % 3 == 0))
    return panels.figure(showlegend=False)


def _names(names: Sequence[str], shown: bool) -> dict[str, Any]:
    """Return the axis that lists runs from top to bottom, its labels in the first column alone."""
    axis: dict[str, Any] = {"type": "category", "categoryorder": "array", "categoryarray": list(names)[::-1]}
    # All names and no others, so that rows of panels line up where one of them has nothing to show.
    axis |= {"range": [-0.6, len(names) - 0.4], "tickfont": {"size": 11}}
    return axis | ({"automargin": True} if shown else {"showticklabels": False})


def _marks(aim: str, name: str, colour: str, judged: Judged) -> dict[str, Any]:
    """Draw one run's figure with its interval, if it has any."""
    figure_now, ends = judged.figures[aim], judged.intervals.get(aim)
    known = [] if figure_now is None else [figure_now]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": scaled(aim, known),
        "y": [name] * len(known),
        "error_x": _whiskers(aim, known, ends, colour),
        "text": [f"{name}<br>{said(aim, figure_now)}<br>90 %: {interval(aim, ends) or MISSING}"],
        "marker": {"color": colour, "size": 9},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _whiskers(
    aim: str, known: Sequence[Decimal], ends: tuple[float, float] | None, colour: str
) -> dict[str, Any]:
    if ends is None or not known:
        return {"visible": False}
    below, above = (scale(aim) * abs(end - float(known[0])) for end in ends)
    bars: dict[str, Any] = {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below]}
    return bars | {"color": colour, "thickness": 1.3, "width": 4}


def walk(findings: Findings) -> Figure:
    """Draw the first objective in the time after each choice, beside everything on Hyperliquid."""
    aim = first_objective(findings)
    labels = [f"{day(findings, step.edge_ns)}<br>– {day(findings, step.end_ns)}" for step in findings.walk]
    runs = [
        ("chosen on all time before", [step.after for step in findings.walk], BLUE),
        (ALL_HYPERLIQUID, [step.baseline for step in findings.walk], AMBER),
    ]
    bars = [
        {
            "type": "bar",
            "name": name,
            "x": labels,
            "y": scaled(aim, figures),
            "text": [number(aim, each) for each in figures],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": colour},
            "hovertemplate": "%{x}: %{text} " + unit(aim) + "<extra>" + name + "</extra>",
        }
        for name, figures, colour in runs
    ]
    title = {"title": {"text": "time it was tested on"}, "type": "category", "automargin": True}
    return figure(bars, 340, barmode="group", hovermode="closest", xaxis=title, yaxis=measure_axis(aim))


def neighbours(findings: Findings, chosen: Finalist) -> Figure:
    """Draw by how much each objective changes when one setting moves to its next value."""
    aims = list(findings.study.objectives)
    found = [(each, each.figures) for each in findings.neighbours if each.figures is not None]
    names = [f"{short(each.path)} = {setting(each.value)}" for each, _ in found]
    panels = Panels(len(aims), 3, height=60 + 19 * len(found), gap=_NARROW)
    for i, aim in enumerate(aims):
        kept: list[tuple[str, Decimal]] = []
        broken: list[tuple[str, Decimal]] = []
        base = chosen.point.figures[aim]
        for name, (each, figures) in zip(names, found, strict=True):
            moved = figures[aim]
            if moved is not None and base is not None:
                (broken if each.broken else kept).append((name, moved - base))
        sorts = [("keeps every constraint", BLUE, kept), ("breaks a constraint", RED, broken)]
        traces = [_moves(aim, name, colour, rows) for name, colour, rows in sorts if rows]
        title = f"change of {MEASURES[aim].title}<br>{unit(aim)}"
        panels.place(
            traces, measure_axis(aim, title) | {"zeroline": True, "nticks": 6}, _names(names, i % 3 == 0)
        )
    return panels.figure()


def _moves(aim: str, name: str, colour: str, rows: Sequence[tuple[str, Decimal]]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": scaled(aim, [move for _, move in rows]),
        "y": [label for label, _ in rows],
        "marker": {"color": colour},
        "text": [said(aim, move) for _, move in rows],
        "textposition": "none",
        "hovertemplate": "%{y}: %{text}<extra>" + name + "</extra>",
    }
