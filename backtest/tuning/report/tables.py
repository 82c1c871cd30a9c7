"""The tables of a tuning report: settings, parts, steps, neighbours, stress, trials."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.html import table
from backtest.tuning.findings import PARTS, Figures, Findings, Judged
from backtest.tuning.report.panels import on_axis
from backtest.tuning.report.words import (
    DIGEST_SHOWN,
    MISSING,
    PART_TITLES,
    broken_text,
    day,
    first_objective,
    heading,
    in_order,
    interval,
    limit_text,
    meaning,
    number,
    setting,
    shown_measures,
)
from backtest.tuning.space import Parameter

_KEPT = "kept"


def changes(findings: Findings) -> str:
    """Set each setting before and after beside each other, with its meaning."""
    rows = [
        [path, _value(before), _value(after), (meaning(path) or MISSING, "", "words")]
        for path, before, after in findings.changes
    ]
    return table(
        ["setting", "before", "after", "what it is, where the scenario file says"],
        rows,
        text_columns=3,
        red=False,
    )


def constraints(findings: Findings) -> list[str]:
    """Write every constraint."""
    return [limit_text(name, limit) for name, limit in findings.study.constraints.items()]


def parts(findings: Findings) -> str:
    """Set the finalists' figures on every part beside each other, and those of everything on Hyperliquid."""
    measures = shown_measures(findings.study)
    rows = [
        [name, *_judged_cells(findings, measures, part, found[part])]
        for name, found in in_order(findings)
        for part in PARTS
        if part in found
    ]
    columns = [
        column
        for name in measures
        for column in ([heading(name), "90 %"] if name in findings.study.objectives else [heading(name)])
    ]
    return table(["run", "part", *columns], rows, text_columns=2, red=False)


def _judged_cells(findings: Findings, measures: list[str], part: str, judged: Judged) -> list[Any]:
    cells: list[Any] = [PART_TITLES[part]]
    for name in measures:
        cells.append(figure_cell(name, judged.figures, judged.broken))
        if name in findings.study.objectives:
            cells.append(interval(name, judged.intervals.get(name)) or MISSING)
    return cells


def vetoes(findings: Findings) -> list[str]:
    """Say of each finalist that cannot be recommended why."""
    return [f"Trial {each.point.number}: {each.veto}" for each in findings.finalists if each.veto]


def walk(findings: Findings) -> str:
    """List the steps forward in time."""
    aim = first_objective(findings)
    rows = [
        [
            f"{day(findings, step.start_ns)} – {day(findings, step.edge_ns)}",
            f"{day(findings, step.edge_ns)} – {day(findings, step.end_ns)}",
            "none kept the constraints" if step.chosen is None else f"trial {step.chosen}",
            *(number(aim, each) for each in (step.before, step.after, step.baseline)),
        ]
        for step in findings.walk
    ]
    title = heading(aim)
    head = [
        "chosen on",
        "tested on",
        "chosen",
        f"{title}, chosen on",
        f"{title}, tested on",
        f"{ALL_HYPERLIQUID}, tested on",
    ]
    return table(head, rows, text_columns=3)


def neighbours(findings: Findings) -> str:
    """List the recommended point's neighbours with every measure the study is about."""
    measures = shown_measures(findings.study)
    point = next(each for each in findings.points if each.number == findings.recommended)
    rows: list[list[Any]] = [
        [
            "as recommended",
            "",
            _words(_KEPT),
            *(figure_cell(name, point.figures, point.broken) for name in measures),
        ]
    ]
    for each in findings.neighbours:
        cells = [figure_cell(name, each.figures, each.broken) for name in measures]
        verdict = "could not be run" if each.figures is None else broken_text(each.broken) or _KEPT
        rows.append([each.path, _value(each.value), _words(verdict, bad=verdict != _KEPT), *cells])
    head = ["setting moved", "to", "constraints", *map(heading, measures)]
    return table(head, rows, text_columns=2, red=False)


def stress(findings: Findings) -> str:
    """Set the recommended settings beside each scenario's own."""
    aims = list(findings.study.objectives)
    others = [name for name in findings.study.constraints if name not in aims]
    rows = []
    for each in findings.stress:
        cells: list[Any] = []
        for name in aims:
            cells.append(figure_cell(name, each.chosen, each.broken))
            cells.append(figure_cell(name, each.own, {}))
        cells += [figure_cell(name, each.chosen, each.broken) for name in others]
        verdict = each.message or broken_text(each.broken) or _KEPT
        rows.append([each.scenario, _words(verdict, bad=verdict != _KEPT), *cells, _words(each.description)])
    head = ["scenario", "constraints, or why not run"]
    for name in aims:
        head += [heading(name), "with its own settings"]
    return table([*head, *map(heading, others), "what it is"], rows, text_columns=2, red=False)


def trials(findings: Findings) -> str:
    """List every finished trial, sortable."""
    measures = shown_measures(findings.study)
    front = set(findings.front)
    rows = []
    for point in findings.points:
        state = "broken" if point.broken else "front" if point.number in front else "kept"
        mark = " ★" if point.number == findings.recommended else ""
        rows.append(
            [
                (f"{point.number}{mark}", str(point.number)),
                (state, state, "bad") if point.broken else state,
                *(figure_cell(name, point.figures, point.broken) for name in measures),
                *(_tried(each, point.values[path]) for path, each in findings.study.space.items()),
                point.digest[:DIGEST_SHOWN],
            ]
        )
    head = ["trial", "constraints", *map(heading, measures), *map(_breakable, findings.study.space), "digest"]
    return table(head, rows, text_columns=2, sort=True, red=False)


def narrowed(findings: Findings) -> str:
    """Set the ranges of the study beside those the pre-search left."""
    rows = []
    for path, (low, high) in findings.narrowed.items():
        asked = findings.study.space[path]
        given = f"{setting(asked.low)} … {setting(asked.high)}"
        rows.append([path, given, f"{setting(low)} … {setting(high)}"])
    return table(["setting", "range in the study", "range searched"], rows, red=False)


def facts(found: Mapping[str, Any], above: str = "") -> Iterator[list[str]]:
    """Yield the rows of nested facts, names joined by spaces."""
    for name, value in found.items():
        title = f"{above} {name}".strip()
        if isinstance(value, Mapping):
            yield from facts(value, title)
        else:
            listed = isinstance(value, list | tuple)
            yield [title, ", ".join(map(str, value)) if listed else str(value)]


def figure_cell(measure: str, figures: Figures | None, broken: Mapping[str, Decimal]) -> Any:
    """Make the cell of a figure, red where it breaks a constraint."""
    value = None if figures is None else figures[measure]
    cell = number(measure, value), "" if value is None else str(value)
    return (*cell, "bad") if measure in broken else cell


def _value(value: Any) -> tuple[str, ...]:
    if value is None:
        return "not set", ""
    text = setting(value)
    return (text, text, "words") if isinstance(value, list | tuple) else (text, str(value))


def _tried(parameter: Parameter, value: Any) -> tuple[str, ...]:
    """Make the cell of a setting that was tried, sorted by its place on its axis, so that 500ms comes before 2s."""
    text, _, *kind = _value(value)
    return (text, str(on_axis(parameter, value)), *kind)


def _breakable(path: str) -> str:
    """Let a long setting's name wrap after its dots and underscores."""
    return path.replace(".", ".\u200b").replace("_", "_\u200b")


def _words(text: str, *, bad: bool = False) -> tuple[str, str, str]:
    return text, text, "words bad" if bad else "words"
