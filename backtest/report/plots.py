"""The report's plots as plotly figures, written as plain dicts: importing plotly itself takes longer than the run.

What all share (fonts, colours, margins) is added in ``report.js``; here stand the data, the units and the heights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backtest.house_pnl import COMPONENTS
from backtest.report.series import floats, number, thin, times
from backtest.toxicity import HORIZONS_NS

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
MOST_SYMBOLS = 6
Figure = dict[str, Any]


def house_waterfall(house_pnl: Mapping[str, str]) -> Figure:
    """Draw the components of house PnL, those that are zero left out, and their sum."""
    parts = [(COMPONENTS[name], float(house_pnl[name])) for name in COMPONENTS if float(house_pnl[name])]
    values = [value for _, value in parts]
    bar = {
        "type": "waterfall",
        "x": [label for label, _ in parts] + ["House PnL"],
        "y": [*values, sum(values)],
        "measure": ["relative"] * len(parts) + ["total"],
        "increasing": {"marker": {"color": GREEN}},
        "decreasing": {"marker": {"color": RED}},
        "totals": {"marker": {"color": BLUE}},
        "texttemplate": "%{delta:+,.0f}",
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x}: %{delta:+,.2f} USDC<extra></extra>",
    }
    return _figure([bar], 400, yaxis=_usd("USDC"), showlegend=False)


def pnl_path(house: pa.Table, capital: float, reserve: float) -> Figure:
    """Draw the house's PnL over time and what it consists of."""
    house = thin(house, "solvency")
    at = times(house)
    column = {name: floats(house, name) for name in house.column_names if name != "ts"}
    lines = [
        ("House PnL", column["solvency"] - capital, BLUE, 2.6),
        ("Fees", column["fee_income"] + column["builder_income"], GREEN, 1.3),
        (
            "Clients and hedges, realised",
            column["platform_profit"] + column["risk_reserve"] - reserve,
            TEAL,
            1.3,
        ),
        ("Unrealised", column["house_unrealised"] + column["hedge_unrealised"], GREY, 1.3),
        ("Funding", column["funding_income"], AMBER, 1.3),
        ("Hedge cost", column["hedge_cost"], VIOLET, 1.3),
    ]
    return _figure(
        [_line(at, y, name, colour, width) for name, y, colour, width in lines], 380, yaxis=_usd("USDC")
    )


def exposure(table: pa.Table, symbols: Sequence[str]) -> Figure:
    """Draw users' net INTERNAL exposure and our hedge, one row per symbol."""
    traces, layout = [], {}
    shown = symbols[:MOST_SYMBOLS]
    for i, symbol in enumerate(shown):
        own = thin(table.filter(pc.equal(table["symbol"], symbol)), "net_exposure", "hedge_notional")
        axis = _axis_id(i)
        for name, column, colour in (
            ("Users' net", "net_exposure", BLUE),
            ("Hedge", "hedge_notional", VIOLET),
        ):
            line = _line(times(own), floats(own, column), name, colour, 1.4, unit="USDC", shape="hv")
            traces.append(line | {"yaxis": f"y{axis}", "legendgroup": name, "showlegend": i == 0})
        layout[f"yaxis{axis}"] = _usd(f"{symbol}<br>USDC") | {"domain": _row(i, len(shown))}
    layout["xaxis"] = {"anchor": f"y{_axis_id(len(shown) - 1)}"}
    return _figure(traces, 120 + 150 * max(1, len(shown)), **layout)


def coverage(table: pa.Table) -> Figure:
    """Draw the sums of absolute exposure and hedge over all symbols, and their ratio."""
    absolute = pa.table(
        {
            "ts": table["ts"],
            "net": pc.abs(pc.cast(table["net_exposure"], pa.float64())),
            "hedge": pc.abs(pc.cast(table["hedge_notional"], pa.float64())),
        }
    )
    sums = absolute.group_by("ts").aggregate([("net", "sum"), ("hedge", "sum")]).sort_by("ts")
    sums = thin(sums, "net_sum", "hedge_sum")
    net, hedge = floats(sums, "net_sum"), floats(sums, "hedge_sum")
    share = np.divide(100 * hedge, net, out=np.full(len(net), np.nan), where=net > 0)
    traces = [
        _line(times(sums), net, "Σ |users' net|", BLUE, 1.4, unit="USDC", shape="hv"),
        _line(times(sums), hedge, "Σ |hedge|", VIOLET, 1.4, unit="USDC", shape="hv"),
        _line(times(sums), share, "Coverage", GREY, 1.0, unit="%", shape="hv") | {"yaxis": "y2"},
    ]
    right = {
        "title": {"text": "%"},
        "overlaying": "y",
        "side": "right",
        "rangemode": "tozero",
        "showgrid": False,
    }
    return _figure(traces, 320, yaxis=_usd("USDC") | {"rangemode": "tozero"}, yaxis2=right)


def margin_ratios(house: pa.Table, thresholds: Sequence[tuple[str, float, str]]) -> Figure:
    """Draw equity over maintenance of both our accounts against their thresholds (logarithmic)."""
    traces = []
    for name, column, colour in (
        ("Trading account", "trading_ratio", AMBER),
        ("Hedge account", "hedge_ratio", VIOLET),
    ):
        ratios = thin(house.filter(pc.is_valid(house[column])), column)
        traces.append(_line(times(ratios), floats(ratios, column), name, colour, 1.6, unit="× maintenance"))
    axis = {"title": {"text": "equity / maintenance"}, "type": "log", "dtick": "D1"}
    return _figure(traces, 340, yaxis=axis) | {"lines": [_rule(*each) for each in thresholds]}


def reserve(path: Sequence[tuple[int, Any]], thresholds: Sequence[tuple[str, float, str]]) -> Figure:
    """Draw the risk reserve after each of its entries against its thresholds."""
    table = pa.table({"ts": [ts for ts, _ in path], "balance": [float(balance) for _, balance in path]})
    table = thin(table, "balance")
    line = _line(times(table), floats(table, "balance"), "Risk reserve", TEAL, 2.0, unit="USDC", shape="hv")
    return _figure([line], 300, yaxis=_usd("USDC")) | {"lines": [_rule(*each) for each in thresholds]}


def liquidations(table: pa.Table, marks: pa.Table) -> Figure:
    """Draw liquidations over the mark, symbols with the most notional first, areas by notional."""
    sums = table.group_by("symbol").aggregate([("notional", "sum")])
    order = sums.sort_by([("notional_sum", "descending"), ("symbol", "ascending")])["symbol"].to_pylist()
    shown = order[:4]
    largest = max(floats(table, "notional"), default=1.0)
    traces, layout = [], {}
    for i, symbol in enumerate(shown):
        axis = {"yaxis": f"y{_axis_id(i)}"}
        own = thin(marks.filter(pc.equal(marks["symbol"], symbol)), "mark")
        line = _line(times(own), floats(own, "mark"), "Mark", GREY, 1.0)
        traces.append(line | axis | {"legendgroup": "mark", "showlegend": i == 0})
        for source, colour in ROUTE_COLOURS.items():
            chosen = pc.and_(pc.equal(table["symbol"], symbol), pc.equal(table["source"], source))
            hit = table.filter(chosen)
            traces.append(_bubbles(hit, largest, source, colour) | axis | {"showlegend": i == 0})
        layout[f"yaxis{_axis_id(i)}"] = {
            "title": {"text": f"{symbol}<br>mark, USDC"},
            "domain": _row(i, len(shown)),
        }
    layout["xaxis"] = {"anchor": f"y{_axis_id(len(shown) - 1)}"}
    return _figure(traces, 120 + 190 * max(1, len(shown)), hovermode="closest", **layout)


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
    return _figure(
        traces,
        130 + 30 * len(ordered),
        showlegend=False,
        hovermode="closest",
        xaxis=axis | {"title": {"text": "share of orders"}, "domain": [0, 0.46]},
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
    return _figure(
        traces, 120 + 26 * len(symbols), barmode="overlay", hovermode="closest", yaxis={"automargin": True}
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
    return _figure(traces, 320, barmode="group", hovermode="closest", **_toxic_axes("after the fill"))


def toxicity_by_size(measured: Mapping[str, Any]) -> Figure:
    """Draw the mean move after fills per size of the fill, one series per horizon."""
    sizes = measured["sizes"]
    traces = [
        _with_errors([row["size"] for row in sizes], [row[horizon] for row in sizes], horizon, colour)
        for horizon, colour in zip(HORIZONS_NS, ("#bfdbfe", "#60a5fa", BLUE, "#1e3a8a"), strict=True)
        if any(row[horizon] for row in sizes)
    ]
    return _figure(
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
        "marker": {"color": colour},
        "error_y": {
            "type": "data",
            "array": [0 if each["high"] is None else each["high"] - each["bps"] for _, each in known],
            "color": "#374151",
            "thickness": 1.2,
        },
        "customdata": [[each["fills"], each["clusters"], each["notional"]] for _, each in known],
        "hovertemplate": (
            "%{x}: %{y:+.2f} bps<br>%{customdata[0]} fills, %{customdata[1]} users, "
            "%{customdata[2]:,.0f} USDC<extra>" + name + "</extra>"
        ),
    }


def counterfactuals(totals: Mapping[str, float]) -> Figure:
    """Draw the house PnL of this run beside those of its reruns."""
    bar = {
        "type": "bar",
        "x": list(totals),
        "y": list(totals.values()),
        "marker": {"color": [BLUE, *[GREY] * (len(totals) - 1)]},
        "texttemplate": "%{y:+,.0f}",
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x}: %{y:+,.2f} USDC<extra></extra>",
    }
    return _figure([bar], 320, showlegend=False, xaxis={"type": "category"}, yaxis=_usd("House PnL, USDC"))


def _figure(traces: list[Any], height: int, **layout: Any) -> Figure:
    return {"data": traces, "layout": {"height": height} | layout}


def _line(
    x: list[str], y: Any, name: str, colour: str, width: float, unit: str = "USDC", shape: str = "linear"
) -> Any:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": number(y),
        "line": {"color": colour, "width": width, "shape": shape},
        "hovertemplate": f"%{{y:,.2f}} {unit}",
    }


def _rule(label: str, value: float, colour: str) -> dict[str, Any]:
    return {"label": label, "y": value, "color": colour}


def _usd(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "tickformat": "~s"}


def _axis_id(i: int) -> str:
    return "" if i == 0 else str(i + 1)


def _row(i: int, count: int) -> list[float]:
    height = 1 / max(1, count)
    return [round(1 - (i + 0.9) * height, 4), round(1 - i * height, 4)]
