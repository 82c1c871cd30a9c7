"""Plotly figures as plain dicts: importing plotly itself takes longer than a run.

What all share (fonts, grid, margins) is added in ``report.js``; here stand colours, units and panels.
"""

from typing import Any

from backtest.report.series import number

BLUE, AMBER, VIOLET, GREEN, RED, TEAL, GREY = (
    "#2563eb",
    "#d97706",
    "#7c3aed",
    "#15803d",
    "#b91c1c",
    "#0f766e",
    "#6b7280",
)
ROUTE_COLOURS = {"INTERNAL": BLUE, "HYPERLIQUID": AMBER}
MODE_COLOURS = {"HL_MODE": AMBER, "NORMAL_MODE": "#93c5fd", "BETTING_MODE": BLUE}
Figure = dict[str, Any]


def figure(traces: list[Any], height: int, **layout: Any) -> Figure:
    """Put traces and what is special of their layout together; ``height`` in pixels."""
    return {"data": traces, "layout": {"height": height} | layout}


def line(
    x: list[str], y: Any, name: str, colour: str, width: float, unit: str = "USDC", shape: str = "linear"
) -> Any:
    """Draw a line whose hover text names the unit."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": number(y),
        "line": {"color": colour, "width": width, "shape": shape},
        "hovertemplate": f"%{{y:,.2f}} {unit}",
    }


def rule(label: str, value: float, colour: str) -> dict[str, Any]:
    """Make a horizontal threshold with its label."""
    return {"label": label, "y": value, "color": colour}


def usd(title: str) -> dict[str, Any]:
    """Make an axis of USDC amounts, in thousands and millions."""
    return {"title": {"text": title}, "tickformat": "~s"}


def axis_id(i: int) -> str:
    """Return plotly's number of the i-th axis, counted from 0."""
    return "" if i == 0 else str(i + 1)


def stacked(i: int, count: int) -> list[float]:
    """Return the vertical stretch of the i-th of ``count`` panels, the first on top."""
    height = 1 / max(1, count)
    return [round(1 - (i + 0.9) * height, 4), round(1 - i * height, 4)]
