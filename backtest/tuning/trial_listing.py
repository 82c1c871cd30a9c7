"""A study's trials in the terminal: figures in columns, each trial's settings on the line below."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from backtest.tuning.report.words import short
from backtest.tuning.study import Study

MOST_SHOWN = 50
_INDENT, _STATE, _FIGURE = 7, 12, 16


def print_trials(console: Console, study: Study, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of ``trial_rows``, the first objective's best first."""
    if not rows:
        console.print("no trials yet")
        return
    first, direction = next(iter(study.objectives.items()))
    sign = -1 if direction == "maximize" else 1
    ordered = sorted(rows, key=lambda row: (row[first] is None, sign * float(row[first] or 0), row["trial"]))
    names = [*study.objectives, *(name for name in study.constraints if name not in study.objectives)]
    heads = "".join(f"{name:>{_FIGURE}}" for name in names)
    console.print(Text(f"{'trial':>{_INDENT - 2}}  {'state':<{_STATE}}{heads}", style="bold"), soft_wrap=True)
    for row in ordered[:MOST_SHOWN]:
        infeasible = row["state"] == "finished" and not row["feasible"]
        state = "infeasible" if infeasible else row["state"]
        figures = "".join(f"{_figure(row[name]):>{_FIGURE}}" for name in names)
        line = f"{row['trial']:>{_INDENT - 2}}  {state:<{_STATE}}{figures}"
        console.print(Text(line, style="red" if row["feasible"] is False else ""), soft_wrap=True)
        told = ", ".join(f"{short(path)} {row[path]}" for path in study.space)
        console.print(Padding(Text(told, style="dim"), (0, 0, 0, _INDENT)))
        if row["note"]:
            console.print(Padding(Text(row["note"]), (0, 0, 0, _INDENT)))
    if len(rows) > MOST_SHOWN:
        console.print(f"… and {len(rows) - MOST_SHOWN} more: --json prints all, export writes them")


def _figure(value: str | None) -> str:
    return "–" if value is None else f"{float(value):,.2f}"
