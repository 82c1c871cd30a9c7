"""The plots of the house: what it earned, its exposure and hedge, its accounts and its reserve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backtest.house_pnl import COMPONENTS
from backtest.report.series import floats, thin, times
from backtest.report.traces import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    RED,
    TEAL,
    VIOLET,
    Figure,
    axis_id,
    figure,
    line,
    rule,
    stacked,
    usd,
)

MOST_SYMBOLS = 6
MOST_RATIO_PERCENT = 10_000  # a nearly empty account's ratio would squeeze all that matters


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
    axis = {"automargin": True, "tickangle": -30, "type": "category"}
    return figure([bar], 460, xaxis=axis, yaxis=usd("USDC"), showlegend=False)


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
            RED,
            1.3,
        ),
        ("Unrealised", column["house_unrealised"] + column["hedge_unrealised"], GREY, 1.3),
        ("Funding", column["funding_income"], AMBER, 1.3),
        ("Hedge cost", column["hedge_cost"], VIOLET, 1.3),
    ]
    return figure(
        [line(at, y, name, colour, width) for name, y, colour, width in lines], 380, yaxis=usd("USDC")
    )


def exposure(table: pa.Table, symbols: Sequence[str]) -> Figure:
    """Draw users' net INTERNAL exposure and our hedge, one row per symbol."""
    traces, layout = [], {}
    shown = symbols[:MOST_SYMBOLS]
    for i, symbol in enumerate(shown):
        own = thin(table.filter(pc.equal(table["symbol"], symbol)), "net_exposure", "hedge_notional")
        axis = axis_id(i)
        for name, column, colour in (
            ("Users' net", "net_exposure", BLUE),
            ("Hedge", "hedge_notional", VIOLET),
        ):
            drawn = line(times(own), floats(own, column), name, colour, 1.4, unit="USDC", shape="hv")
            traces.append(drawn | {"yaxis": f"y{axis}", "legendgroup": name, "showlegend": i == 0})
        layout[f"yaxis{axis}"] = usd(f"{symbol}<br>USDC") | {"domain": stacked(i, len(shown))}
    layout["xaxis"] = {"anchor": f"y{axis_id(len(shown) - 1)}"}
    return figure(traces, 120 + 150 * max(1, len(shown)), **layout)


def coverage(table: pa.Table) -> Figure:
    """Draw the sums of absolute exposure and hedge over all symbols, and their ratio."""
    absolute = pa.table(
        {
            "ts": table["ts"],
            "symbol": table["symbol"],
            "net": pc.abs(pc.cast(table["net_exposure"], pa.float64())),
            "hedge": pc.abs(pc.cast(table["hedge_notional"], pa.float64())),
        }
    )
    # Of two snapshots at one time the later one counts.
    last = absolute.group_by(["ts", "symbol"], use_threads=False).aggregate(
        [("net", "last"), ("hedge", "last")]
    )
    sums = (
        last.rename_columns(["ts", "symbol", "net", "hedge"])
        .group_by("ts")
        .aggregate([("net", "sum"), ("hedge", "sum")])
        .sort_by("ts")
    )
    sums = thin(sums, "net_sum", "hedge_sum")
    net, hedge = floats(sums, "net_sum"), floats(sums, "hedge_sum")
    share = np.divide(100 * hedge, net, out=np.full(len(net), np.nan), where=net > 0)
    traces = [
        line(times(sums), net, "Σ |users' net|", BLUE, 1.4, unit="USDC", shape="hv"),
        line(times(sums), hedge, "Σ |hedge|", VIOLET, 1.4, unit="USDC", shape="hv"),
        line(times(sums), share, "Coverage", GREY, 1.0, unit="%", shape="hv") | {"yaxis": "y2"},
    ]
    right = {
        "title": {"text": "%"},
        "overlaying": "y",
        "side": "right",
        "range": [0, 150],
        "showgrid": False,
        "tickmode": "auto",
    }
    return figure(traces, 320, yaxis=usd("USDC") | {"rangemode": "tozero"}, yaxis2=right)


def margin_ratios(house: pa.Table, thresholds: Sequence[tuple[str, float, str]]) -> Figure:
    """Draw equity over maintenance of both our accounts against their thresholds (logarithmic)."""
    traces = []
    for name, column, colour in (
        ("Trading account", "trading_ratio", AMBER),
        ("Hedge account", "hedge_ratio", VIOLET),
    ):
        ratios = thin(house.filter(pc.is_valid(house[column])), column)
        traces.append(
            line(
                times(ratios),
                np.minimum(100 * floats(ratios, column), MOST_RATIO_PERCENT),
                name,
                colour,
                1.6,
                unit="%",
            )
        )
    ticks = [digit * 10**power for power in (2, 3, 4) for digit in (1, 2, 5)]
    axis = {"title": {"text": "equity / maintenance, %"}, "type": "log", "tickvals": ticks, "tickformat": ","}
    return figure(traces, 360, yaxis=axis) | {"lines": [rule(*each) for each in thresholds]}


def reserve(path: Sequence[tuple[int, Any]], thresholds: Sequence[tuple[str, float, str]]) -> Figure:
    """Draw the risk reserve after each of its entries against its thresholds."""
    table = pa.table({"ts": [ts for ts, _ in path], "balance": [float(balance) for _, balance in path]})
    table = thin(table, "balance")
    drawn = line(times(table), floats(table, "balance"), "Risk reserve", TEAL, 2.0, unit="USDC", shape="hv")
    return figure([drawn], 300, yaxis=usd("USDC")) | {"lines": [rule(*each) for each in thresholds]}


def counterfactuals(totals: Mapping[str, float]) -> Figure:
    """Draw the house PnL of this run beside those of what would have been."""
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
    return figure([bar], 320, showlegend=False, xaxis={"type": "category"}, yaxis=usd("House PnL, USDC"))
