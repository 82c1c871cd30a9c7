"""The plots of the search: what the trials traded off, and what each setting does to the objectives."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.series import number
from backtest.report.traces import AMBER, BLUE, GREEN, GREY, TEAL, VIOLET, Figure, figure
from backtest.tuning.findings import SEARCHED, Findings, Point
from backtest.tuning.measures import MEASURES
from backtest.tuning.report.panels import (
    Panels,
    choice_names,
    measure_axis,
    on_axis,
    scaled,
    setting_axis,
)
from backtest.tuning.report.words import first_objective, said, setting, short
from backtest.tuning.space import Parameter

MOST_SLICES = 8
MOST_CELLS = 12  # of the map, along either side
OBJECTIVE_COLOURS = (BLUE, TEAL, VIOLET, AMBER, GREY, GREEN)
_LIGHT_BLUE = "#93c5fd"


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    points: Sequence[Point]
    marker: dict[str, Any]


def _groups(findings: Findings) -> list[_Group]:
    """Sort the trials into those that break a constraint, keep all, are on the front, and the recommended one."""
    front = set(findings.front) - {findings.recommended}
    points = {
        "breaks a constraint": [p for p in findings.points if p.broken],
        "keeps every constraint": [
            p for p in findings.points if not p.broken and p.number not in {*front, findings.recommended}
        ],
        "on the front": [p for p in findings.points if p.number in front],
        "recommended": [p for p in findings.points if p.number == findings.recommended],
    }
    markers: tuple[dict[str, Any], ...] = (
        {"color": "#9ca3af", "symbol": "x", "size": 6, "opacity": 0.7},
        {"color": _LIGHT_BLUE, "size": 7},
        {"color": BLUE, "size": 9},
        {"color": GREEN, "symbol": "star", "size": 15, "line": {"color": "#ffffff", "width": 1}},
    )
    pairs = zip(points.items(), markers, strict=True)
    return [_Group(name, found, marker) for (name, found), marker in pairs if found]


def _dots(group: _Group, x: list[Any], y: list[Any], texts: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": group.name,
        "x": x,
        "y": y,
        "text": list(texts),
        "marker": group.marker,
        "hovertemplate": "%{text}<extra></extra>",
    }


def trade_offs(findings: Findings) -> Figure:
    """Draw every pair of objectives against each other."""
    pairs = list(combinations(findings.study.objectives, 2))
    panels = Panels(len(pairs), 3 if len(pairs) == 3 else 2)
    texts = {p.number: _hover(p, list(findings.study.objectives)) for p in findings.points}
    for across, up in pairs:
        traces = []
        for group in _groups(findings):
            found = [p for p in group.points if None not in (p.figures[across], p.figures[up])]
            x, y = (scaled(name, [p.figures[name] for p in found]) for name in (across, up))
            traces.append(_dots(group, x, y, [texts[p.number] for p in found]))
        if len(pairs) == 1:
            traces.insert(0, _front_line(findings, across, up))
        traces += _baseline_mark(findings, across, up)
        panels.place(traces, measure_axis(across), measure_axis(up))
    return panels.figure()


def _hover(point: Point, measures: Sequence[str]) -> str:
    figures = [f"{MEASURES[name].title} {said(name, point.figures[name])}" for name in measures]
    settings = [f"{short(path)} = {setting(value)}" for path, value in point.values.items()]
    return "<br>".join([f"<b>trial {point.number}</b>", *figures, *settings])


def _front_line(findings: Findings, across: str, up: str) -> dict[str, Any]:
    """Draw the border of what was reached: along it, one objective gets better only as the other gets worse."""
    front = {p.number: p for p in findings.points if p.number in findings.front}
    found = [p.figures for p in front.values() if None not in (p.figures[across], p.figures[up])]
    found.sort(key=lambda figures: figures[across] or 0)
    shape = "vh" if findings.study.objectives[across] == "maximize" else "hv"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": scaled(across, [figures[across] for figures in found]),
        "y": scaled(up, [figures[up] for figures in found]),
        "line": {"color": BLUE, "width": 1, "shape": shape, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _baseline_mark(findings: Findings, across: str, up: str) -> list[dict[str, Any]]:
    if SEARCHED not in findings.baseline:
        return []
    figures = findings.baseline[SEARCHED].figures
    if None in (figures[across], figures[up]):
        return []
    text = f"<b>{ALL_HYPERLIQUID}</b><br>{said(across, figures[across])}<br>{said(up, figures[up])}"
    marker = {"color": AMBER, "symbol": "diamond", "size": 11}
    group = _Group(ALL_HYPERLIQUID, (), marker)
    return [_dots(group, scaled(across, [figures[across]]), scaled(up, [figures[up]]), [text])]


def history(findings: Findings) -> Figure:
    """Draw the only objective over the trials in their order, and the best feasible one so far."""
    aim = first_objective(findings)
    traces = []
    for group in _groups(findings):
        found = [p for p in group.points if p.figures[aim] is not None]
        y = scaled(aim, [p.figures[aim] for p in found])
        traces.append(_dots(group, [p.number for p in found], y, [_hover(p, (aim,)) for p in found]))
    best = max if findings.study.objectives[aim] == "maximize" else min
    steps: list[tuple[int, Any]] = []
    for point in sorted(findings.points, key=lambda p: p.number):
        figure_now = point.figures[aim]
        if not point.broken and figure_now is not None:
            steps.append((point.number, best(figure_now, steps[-1][1]) if steps else figure_now))
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [at for at, _ in steps],
        "y": scaled(aim, [value for _, value in steps]),
        "line": {"color": BLUE, "width": 1.6, "shape": "hv"},
        "hoverinfo": "skip",
    }
    title = {"title": {"text": "trial, in the order proposed"}, "zeroline": False}
    return figure([line, *traces], 360, hovermode="closest", xaxis=title, yaxis=measure_axis(aim))


def importance(findings: Findings) -> Figure:
    """Draw the share of each objective's variation that each setting accounts for."""
    order = by_importance(findings)[::-1]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": MEASURES[aim].title,
            "y": [short(path) for path in order],
            "x": number([100 * findings.importance[aim].get(path, 0.0) for path in order]),
            "marker": {"color": OBJECTIVE_COLOURS[i % len(OBJECTIVE_COLOURS)]},
            "texttemplate": "%{x:.0f} %",
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": "%{y}: %{x:.1f} %<extra>" + MEASURES[aim].title + "</extra>",
        }
        for i, aim in reversed(list(enumerate(findings.importance)))
    ]
    return figure(
        traces,
        110 + len(order) * (16 + 18 * len(traces)),
        barmode="group",
        hovermode="closest",
        xaxis={"title": {"text": "share of the objective's variation over the trials, %"}, "range": [0, 105]},
        yaxis={"automargin": True, "title": {"text": "setting", "standoff": 12}},
        legend={"traceorder": "reversed", "orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )


def by_importance(findings: Findings) -> list[str]:
    """Return the settings, the most important for the first objective first."""
    shares = findings.importance.get(first_objective(findings), {})
    return sorted(findings.study.space, key=lambda path: -shares.get(path, 0.0))


def slices(findings: Findings) -> Figure:
    """Draw each setting against each objective: rows of settings, columns of objectives."""
    aims, paths = list(findings.study.objectives), by_importance(findings)[:MOST_SLICES]
    columns = min(3, len(aims))
    # One row per setting where that fits; with more objectives they follow each other.
    panels = Panels(len(paths) * len(aims), columns if len(aims) <= columns else 2)
    for path in paths:
        parameter = findings.study.space[path]
        places = {p.number: on_axis(parameter, p.values[path]) for p in findings.points}
        texts = {p.number: f"<b>trial {p.number}</b><br>{setting(p.values[path])}" for p in findings.points}
        for aim in aims:
            traces = []
            for group in _groups(findings):
                found = [p for p in group.points if p.figures[aim] is not None]
                x, y = [places[p.number] for p in found], scaled(aim, [p.figures[aim] for p in found])
                said_of = [f"{texts[p.number]}<br>{said(aim, p.figures[aim])}" for p in found]
                traces.append(_dots(group, x, y, said_of))
            panels.place(traces, setting_axis(path, parameter), measure_axis(aim))
    return panels.figure()


def has_landscape(findings: Findings) -> bool:
    """Say whether there are two settings and any trial to draw them over."""
    aim = first_objective(findings)
    return len(findings.study.space) > 1 and any(p.figures[aim] is not None for p in findings.points)


def landscape(findings: Findings) -> Figure:
    """Draw the first objective over the two most important settings: medians of the trials in each cell.

    A cell no trial fell into stays empty: nothing is interpolated.
    """
    aim, (across, up) = first_objective(findings), by_importance(findings)[:2]
    found = [p for p in findings.points if p.figures[aim] is not None]
    grids = [_Grid.of(findings.study.space[path], path, found) for path in (across, up)]
    cells: dict[tuple[int, int], list[float]] = {}
    for point, value in zip(found, scaled(aim, [p.figures[aim] for p in found]), strict=True):
        place = (grids[1].cell(point.values[up]), grids[0].cell(point.values[across]))
        cells.setdefault(place, []).append(value or 0.0)
    rows, columns = grids[1].count, grids[0].count
    values = [[median(cells[i, j]) if (i, j) in cells else None for j in range(columns)] for i in range(rows)]
    counts = [[len(cells.get((i, j), [])) for j in range(columns)] for i in range(rows)]
    heat = {
        "type": "heatmap",
        "x": grids[0].places,
        "y": grids[1].places,
        "z": values,
        "customdata": counts,
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": measure_axis(aim)["title"]["text"], "side": "right"}, "thickness": 14},
        "hovertemplate": "median %{z:,.3s}, %{customdata} trials<extra></extra>",
        "hoverongaps": False,
    }
    traces: list[dict[str, Any]] = [heat]
    for group in _groups(findings):
        kept = [p for p in group.points if p.figures[aim] is not None]
        x, y = ([on_axis(findings.study.space[path], p.values[path]) for p in kept] for path in (across, up))
        texts = [_hover(p, (aim,)) for p in kept]
        marker = {**group.marker, "line": {"color": "#ffffff", "width": 1}}
        traces.append(_dots(group, x, y, texts) | {"marker": marker})
    axes = [setting_axis(path, findings.study.space[path]) for path in (across, up)]
    return figure(
        traces,
        440,
        hovermode="closest",
        xaxis=axes[0] | {"showgrid": False},
        yaxis=axes[1] | {"showgrid": False, "automargin": True},
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cut a setting's axis into cells: one per choice, else of equal width on the axis as it is drawn."""

    parameter: Parameter
    places: list[Any]  # names of choices, or the edges of the cells
    count: int

    @classmethod
    def of(cls, parameter: Parameter, path: str, points: Sequence[Point]) -> "_Grid":
        if parameter.choices:
            names = choice_names(parameter)
            return cls(parameter, names, len(names))
        seen = np.array([on_axis(parameter, point.values[path]) for point in points], float)
        count = int(np.clip(np.sqrt(len(points)), 2, MOST_CELLS))
        spaced = np.geomspace if parameter.log else np.linspace
        ends = on_axis(parameter, parameter.low), on_axis(parameter, parameter.high)
        low, high = (float(end) for end in ends)
        edges = spaced(min(low, seen.min()), max(high, seen.max()), count + 1)
        return cls(parameter, number(edges), count)

    def cell(self, value: Any) -> int:
        at = on_axis(self.parameter, value)
        if self.parameter.choices:
            return self.places.index(at)
        return int(np.clip(np.searchsorted(self.places, at, side="right") - 1, 0, self.count - 1))
