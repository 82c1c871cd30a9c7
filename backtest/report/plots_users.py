"""The plots of what users did: liquidations, routes, modes, and how prices moved after their fills."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backtest.report.series import MOST_POINTS, floats, number, thin, times
from backtest.report.traces import (
    BLUE,
    GREY,
    MODE_COLOURS,
    ROUTE_COLOURS,
    TEAL,
    Figure,
    axis_id,
    figure,
    line,
    stacked,
)
from backtest.toxicity import HORIZONS_NS


def liquidations(table: pa.Table, marks: pa.Table) -> Figure:
    """Draw liquidations over the mark, symbols with the most notional first, areas by notional."""
    sums = table.group_by("symbol").aggregate([("notional", "sum")])
    order = sums.sort_by([("notional_sum", "descending"), ("symbol", "ascending")])["symbol"].to_pylist()
    shown = order[:4]
    largest = max(floats(table, "notional"), default=1.0)
    traces, layout = [], {}
    for i, symbol in enumerate(shown):
        axis = {"yaxis": f"y{axis_id(i)}"}
        own = thin(marks.filter(pc.equal(marks["symbol"], symbol)), "mark")
        drawn = line(times(own), floats(own, "mark"), "Mark", GREY, 1.0)
        traces.append(drawn | axis | {"legendgroup": "mark", "showlegend": i == 0})
        for source, colour in ROUTE_COLOURS.items():
            chosen = pc.and_(pc.equal(table["symbol"], symbol), pc.equal(table["source"], source))
            hit = table.filter(chosen).sort_by([("notional", "descending"), ("position_id", "ascending")])
            hit = hit.slice(0, MOST_POINTS)
            traces.append(_bubbles(hit, largest, source, colour) | axis | {"showlegend": i == 0})
        layout[f"yaxis{axis_id(i)}"] = {
            "title": {"text": f"{symbol}<br>mark, USDC"},
            "domain": stacked(i, len(shown)),
        }
    layout["xaxis"] = {"anchor": f"y{axis_id(len(shown) - 1)}"}
    return figure(traces, 120 + 190 * max(1, len(shown)), hovermode="closest", **layout)


def _bubbles(hit: pa.Table, largest: float, source: str, colour: str) -> dict[str, Any]:
    notional = floats(hit, "notional")
    texts = [
        f"{user}, {mode.lower()}: {value:,.0f} USDC"
        for user, mode, value in zip(
            hit["user"].to_pylist(), hit["margin_mode"].to_pylist(), notional.tolist(), strict=True
        )
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": source,
        "legendgroup": source,
        "x": times(hit),
        "y": number(floats(hit, "trigger_price")),
        "text": texts,
        "hovertemplate": "%{x}<br>%{text} at %{y:,}<extra></extra>",
        "marker": {"color": colour, "opacity": 0.55, "size": number(5 + 20 * np.sqrt(notional / largest))},
    }


def routing(reasons: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the share of orders and of notional per route and reason."""
    merged: dict[tuple[str, str], list[float]] = {}
    for row in reasons:
        sums = merged.setdefault((row["route"], row["reason"]), [0.0, 0.0])
        sums[0] += row["orders_share"]
        sums[1] += row["notional_share"]
    ordered = sorted(merged.items(), key=lambda item: item[1][1])
    traces = []
    for panel, title in enumerate(("orders", "notional")):
        bar = {
            "type": "bar",
            "orientation": "h",
            "y": [f"{reason} → {route}" for (route, reason), _ in ordered],
            "x": number([100 * shares[panel] for _, shares in ordered]),
            "marker": {"color": [ROUTE_COLOURS[route] for (route, _), _ in ordered]},
            "texttemplate": "%{x:.1f} %",
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": f"%{{y}}: %{{x:.2f}} % of {title}<extra></extra>",
        }
        traces.append(bar | ({"xaxis": "x2"} if panel else {}))
    axis = {"ticksuffix": " %", "rangemode": "tozero", "type": "linear"}
    return figure(
        traces,
        130 + 30 * len(ordered),
        showlegend=False,
        hovermode="closest",
        xaxis=axis | {"title": {"text": "share of decisions"}, "domain": [0, 0.46]},
        xaxis2=axis | {"title": {"text": "share of notional"}, "domain": [0.54, 1]},
        yaxis={"automargin": True},
    )


def modes(table: pa.Table, end: str) -> Figure:
    """Draw which routing mode each symbol was in; only stretches are drawn, from one change to the next."""
    symbols = sorted(table["symbol"].unique().to_pylist(), reverse=True)
    bars: dict[str, list[tuple[str, str, float]]] = {mode: [] for mode in MODE_COLOURS}
    for symbol in symbols:
        own = table.filter(pc.equal(table["symbol"], symbol)).sort_by("ts")
        at, mode = own["ts"].to_numpy(), np.array(own["mode"].to_pylist())
        starts = np.flatnonzero(np.r_[True, mode[1:] != mode[:-1]])
        ends = np.r_[at[starts[1:]], np.datetime64(end, "ns").astype("int64")]
        written = times(own.take(pa.array(starts)))
        for row, begin, until in zip(starts.tolist(), written, ends.tolist(), strict=True):
            bars[str(mode[row])].append((symbol, begin, (until - int(at[row])) / 1e6))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": mode,
            "y": [symbol for symbol, _, _ in rows],
            "base": [begin for _, begin, _ in rows],
            "x": [length for _, _, length in rows],
            "customdata": [f"{length / 3.6e6:,.2f} h" for _, _, length in rows],
            "marker": {"color": MODE_COLOURS[mode]},
            "hovertemplate": f"%{{y}}: {mode} from %{{base}} for %{{customdata}}<extra></extra>",
        }
        for mode, rows in bars.items()
        if rows
    ]
    return figure(
        traces,
        120 + 26 * len(symbols),
        barmode="overlay",
        xaxis={"type": "date"},
        hovermode="closest",
        yaxis={"automargin": True},
    )


def toxicity_by_horizon(measured: Mapping[str, Any]) -> Figure:
    """Draw the mean move after fills per horizon, takers and makers apart."""
    traces = [
        _with_errors(
            list(HORIZONS_NS),
            [measured["roles"][role][horizon] for horizon in HORIZONS_NS],
            f"{role}s",
            colour,
        )
        for role, colour in (("taker", BLUE), ("maker", TEAL))
    ]
    return figure(traces, 320, barmode="group", hovermode="closest", **_toxic_axes("after the fill"))


def toxicity_by_size(measured: Mapping[str, Any]) -> Figure:
    """Draw the mean move after fills per size of the fill, one series per horizon."""
    sizes = measured["sizes"]
    traces = [
        _with_errors([row["size"] for row in sizes], [row[horizon] for row in sizes], horizon, colour)
        for horizon, colour in zip(HORIZONS_NS, ("#bfdbfe", "#60a5fa", BLUE, "#1e3a8a"), strict=True)
        if any(row[horizon] for row in sizes)
    ]
    return figure(
        traces, 320, barmode="group", hovermode="closest", **_toxic_axes("notional of the fill, USDC")
    )


def _toxic_axes(title: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": title}, "type": "category"},
        "yaxis": {"title": {"text": "move to the user's side, bps"}, "zeroline": True},
    }


def _with_errors(x: list[str], found: Sequence[Any], name: str, colour: str) -> dict[str, Any]:
    known = [(label, each) for label, each in zip(x, found, strict=True) if each]
    return {
        "type": "bar",
        "name": name,
        "x": [label for label, _ in known],
        "y": number([each["bps"] for _, each in known]),
        # Faint where too few users traded for an interval.
        "marker": {"color": colour, "opacity": [0.3 if each["high"] is None else 1.0 for _, each in known]},
        "error_y": {
            "type": "data",
            # Plotly draws nothing for what is no number; for null it would draw an interval of zero.
            "array": ["none" if each["high"] is None else each["high"] - each["bps"] for _, each in known],
            "color": "#374151",
            "thickness": 1.2,
        },
        "customdata": [[each["fills"], each["clusters"], each["notional"]] for _, each in known],
        "hovertemplate": (
            "%{x}: %{y:+.2f} bps<br>%{customdata[0]} fills, %{customdata[1]} users, "
            "%{customdata[2]:,.0f} USDC<extra>" + name + "</extra>"
        ),
    }
