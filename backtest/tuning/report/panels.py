"""Figures of several panels in a grid, and the axes that measures and settings are drawn on."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtest.report.series import number
from backtest.report.traces import Figure, axis_id, figure
from backtest.scenario_values import parse_duration
from backtest.tuning.report.words import heading, scale, setting_unit, short, unit
from backtest.tuning.space import Parameter, text_of
from risk.settings import SECOND_NS

_LONGEST_CHOICE = 16  # characters
GAP_PX = 78  # between two rows of panels: tick labels and axis title
_MARGIN = {"l": 78, "r": 56, "t": 34, "b": 62}  # px; titles below may have two lines


class Panels:
    """Place traces in a grid of panels, row by row, each with axes of its own."""

    def __init__(self, count: int, columns: int, height: int = 220, gap: float = 0.09) -> None:
        """Make room for ``count`` panels, each ``height`` px high, columns ``gap`` of the width apart."""
        self._columns = min(columns, count)
        self._panel_px, self._gap = height, gap
        self._rows = -(-count // self._columns)
        self._traces: list[dict[str, Any]] = []
        self._axes: dict[str, Any] = {}
        self._placed = 0

    def place(self, traces: list[dict[str, Any]], xaxis: Mapping[str, Any], yaxis: Mapping[str, Any]) -> None:
        """Fill the next panel; what has a ``name`` is in the legend once, with the first panel that shows it."""
        name, (row, column) = axis_id(self._placed), divmod(self._placed, self._columns)
        self._placed += 1
        width = (1 - self._gap * (self._columns - 1)) / self._columns
        left = column * (width + self._gap)
        top = 1 - row * (self._panel_px + GAP_PX) / self._height
        across, down = [left, left + width], [max(0.0, top - self._panel_px / self._height), top]
        self._axes[f"xaxis{name}"] = {**xaxis, "domain": across, "anchor": f"y{name}"}
        self._axes[f"yaxis{name}"] = {**yaxis, "domain": down, "anchor": f"x{name}"}
        shown = {trace.get("legendgroup") for trace in self._traces}
        for trace in traces:
            group = trace.get("name")
            own = {"legendgroup": group, "showlegend": group is not None and group not in shown}
            self._traces.append(own | trace | {"xaxis": f"x{name}", "yaxis": f"y{name}"})

    @property
    def _height(self) -> int:
        return self._rows * (self._panel_px + GAP_PX) - GAP_PX

    def figure(self, **layout: Any) -> Figure:
        """Return the figure of all panels placed."""
        height = self._height + _MARGIN["t"] + _MARGIN["b"]
        return figure(
            self._traces, height, **({"hovermode": "closest", "margin": _MARGIN} | self._axes | layout)
        )


def measure_axis(measure: str, title: str = "") -> dict[str, Any]:
    """Return the axis of a measure, titled with its unit."""
    axis = {"title": {"text": title or heading(measure), "font": {"size": 11}}}
    return axis | ({"tickformat": "~s"} if unit(measure) == "USDC" else {})


def scaled(measure: str, values: Any) -> list[float | None]:
    """Return figures in the unit of their axis; None stays None."""
    return number([float("nan") if value is None else scale(measure) * float(value) for value in values])


def setting_axis(path: str, parameter: Parameter) -> dict[str, Any]:
    """Return the axis of a setting: numbers, logarithmic if so searched, or its choices in the study's order."""
    of = "s" if isinstance(parameter.low, str) else setting_unit(path)
    axis: dict[str, Any] = {
        "title": {"text": ", ".join(filter(None, [short(path), of])), "font": {"size": 11}}
    }
    if parameter.choices:
        names = choice_names(parameter)
        return axis | {"type": "category", "categoryorder": "array", "categoryarray": names}
    if parameter.log:
        return axis | {"type": "log", "tickvals": _log_ticks(parameter), "tickformat": "~s"}
    return axis | {"nticks": 6} | ({"tickformat": "~s"} if _end(parameter.high) >= 1_000 else {})


def choice_names(parameter: Parameter) -> list[str]:
    """Name the choices as they are written or, where that is too long for an axis, by their place in the study."""
    texts = [text_of(choice) for choice in parameter.choices]
    if max(map(len, texts)) <= _LONGEST_CHOICE:
        return texts
    return [f"choice {place}" for place in range(1, len(texts) + 1)]


def _log_ticks(parameter: Parameter) -> list[float]:
    low, high = _end(parameter.low), _end(parameter.high)
    digits = (1, 2, 5) if high / low <= 1_000 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def on_axis(parameter: Parameter, value: Any) -> float | str:
    """Return where a setting's value lies on its axis: a number, seconds, or the name of a choice."""
    if parameter.choices:
        return choice_names(parameter)[int(parameter.drawn(value))]
    return _end(value)


def _end(value: Any) -> float:
    if isinstance(value, str):
        return parse_duration(value) / SECOND_NS
    return float(f"{Decimal(value):.7g}")
