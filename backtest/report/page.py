"""The report: one HTML file that needs nothing else, with the headlines first and the provenance last."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

import pyarrow as pa

from backtest.house_pnl import COMPONENTS, reserve_path
from backtest.report import plots_house, plots_users, traces
from backtest.report.html import Figures, interval, money, page, plot, section, table
from backtest.report.source import order_section, real_liquidations
from backtest.report.summary import cards, columns, count, counterfactuals, verdict, when
from backtest.scenario import Scenario
from backtest.scenario_toml import dump_toml
from backtest.toxicity import HORIZONS_NS
from backtest.views import connect

_COUNTERFACTUALS = {
    "estimate": "Estimates from this run's own fills: no hedging, and nobody behaves otherwise. Everything on "
    "Hyperliquid earns the builder fee on all that users traded, without the bad debt it might bring; everything "
    "INTERNAL collects their results, fees and funding on both routes. Run with --counterfactuals to have both "
    "run again.",
    "rerun": "Both were run again from the start, everything INTERNAL without hedges: users' results "
    "changed their later orders.",
}


def render_report(scenario: Scenario, tables: Mapping[str, pa.Table], summary: Mapping[str, Any]) -> str:
    """Return the report's HTML from a run's tables and the values of its ``result.json``."""
    metrics = summary["metrics"]
    figures = _figures(scenario, tables, summary)
    body = [
        f"<h1>{escape(scenario.name)}</h1><p class='note'>{escape(scenario.description)}<br>"
        f"{when(summary['span_ns'][0])} – {when(summary['span_ns'][1])} UTC, digest {summary['digest'][:16]}</p>",
        f"<p class='lead'>{escape(verdict(summary))}</p>",
        _cards(scenario, summary),
        _house_section(summary, figures),
        section(
            "PnL path",
            "What the house has gained since the start, and what it is made of.",
            plot("path", figures),
        ),
        section(
            "Exposure and hedge",
            "Users' net INTERNAL position per symbol (positive: users long, the house short) and our hedge on "
            "Hyperliquid in the same direction. Symbols with the largest exposure first.",
            plot("exposure", figures),
            plot("coverage", figures),
        ),
        section(
            "Our Hyperliquid accounts",
            "Equity over maintenance margin, logarithmic, at every snapshot with a position open; cut off at 10 000 %.",
            plot("ratios", figures),
        ),
        section("Risk reserve", "Its balance after every entry.", plot("reserve", figures)),
        _liquidation_section(metrics["liquidations"], summary["extra"], figures),
        _routing_section(metrics, figures),
        order_section(summary),
        section(
            "Routing modes", _mode_text(metrics["modes"]), plot("modes", figures), _alerts(metrics["guards"])
        ),
        _toxicity_section(metrics["toxicity"], figures),
        _people_sections(metrics),
        _provenance(scenario, summary),
    ]
    return page(scenario.name, "\n".join(body), figures)


def _figures(scenario: Scenario, tables: Mapping[str, pa.Table], summary: Mapping[str, Any]) -> Figures:
    metrics, risk = summary["metrics"], scenario.risk
    house = tables["house"]
    symbols = [row["symbol"] for row in metrics["exposure"]["symbols"]]
    ratios = [
        ("normal", float(100 * risk.margin_ratio_normal), traces.GREEN),
        ("top up", float(100 * risk.margin_ratio_topup), traces.AMBER),
        ("hedge critical", float(100 * risk.hedge_ratio_critical), traces.RED),
        ("trading critical", float(100 * risk.trading_ratio_critical), traces.RED),
    ]
    floors = [
        ("thresholds halved", float(risk.reserve_normal), traces.AMBER),
        ("no internalisation", float(risk.reserve_floor), traces.RED),
    ]
    with connect(tables) as connection:
        path = [
            (summary["span_ns"][0], risk.reserve_capital),
            *reserve_path(connection, risk.reserve_capital),
        ]
    found = {
        "waterfall": plots_house.house_waterfall(metrics["house_pnl"]),
        "counterfactuals": plots_house.counterfactuals(
            {name: float(each["house_pnl"]["total"]) for name, each in columns(summary).items()}
        ),
        "path": plots_house.pnl_path(house, float(risk.capital), float(risk.reserve_capital)),
        "exposure": plots_house.exposure(tables["exposure"], symbols),
        "coverage": plots_house.coverage(tables["exposure"]),
        "ratios": plots_house.margin_ratios(house, ratios),
        "reserve": plots_house.reserve(path, floors),
        "routing": plots_users.routing(metrics["routing"]["reasons"]),
        "modes": plots_users.modes(tables["exposure"], summary["span_ns"][1]),
        "horizons": plots_users.toxicity_by_horizon(metrics["toxicity"]),
        "sizes": plots_users.toxicity_by_size(metrics["toxicity"]),
    }
    if tables["liquidations"].num_rows:
        found["liquidations"] = plots_users.liquidations(tables["liquidations"], tables["marks"])
    return found


def _cards(scenario: Scenario, summary: Mapping[str, Any]) -> str:
    made = [
        f"<div class='card {card.tone}'><div class='label'>{escape(card.label)}</div>"
        f"<div class='value'>{escape(card.value)} <small>{escape(card.unit)}</small></div>"
        f"<div class='more'>{escape(card.more)}</div></div>"
        for card in cards(scenario, summary)
    ]
    return f"<div class='cards'>{''.join(made)}</div>"


def _house_section(summary: Mapping[str, Any], figures: Figures) -> str:
    runs = columns(summary)
    names = [name for name in COMPONENTS if any(Decimal(run["house_pnl"][name]) for run in runs.values())]
    rows = [[COMPONENTS[name], *(money(run["house_pnl"][name]) for run in runs.values())] for name in names]
    rows.append(["House PnL", *(money(run["house_pnl"]["total"]) for run in runs.values())])
    return section(
        "What the house earned",
        "Every entry on the house's accounts, by cause.",
        plot("waterfall", figures),
        table(["component, USDC", *runs], rows),
        "<h3>Had everything been routed differently</h3>",
        f"<p class='note'>{escape(_COUNTERFACTUALS[counterfactuals(summary)[0]])}</p>",
        plot("counterfactuals", figures),
    )


def _liquidation_section(found: Mapping[str, Any], extra: Mapping[str, Any], figures: Figures) -> str:
    head = [
        "counterparty",
        "margin",
        "positions",
        "users",
        "notional, USDC",
        "latency p50, s",
        "p99, s",
    ]
    rows = [
        [
            part["source"],
            part["margin_mode"].lower(),
            part["count"],
            part["users"],
            money(part["notional"]),
            round(part["latency_p50_s"], 3),
            round(part["latency_p99_s"], 3),
        ]
        for part in found["parts"]
    ]
    text = (
        "Positions closed by force, over the mark. Latency runs in market time, from the mark to the close. "
        "Bad debt is in the house PnL above: it is of accounts, not of single positions."
    )
    if not rows:
        return section("Liquidations", "There were none.", real_liquidations(extra))
    parts = [plot("liquidations", figures), table(head, rows, text_columns=2)]
    return section("Liquidations", text, *parts, real_liquidations(extra))


def _routing_section(metrics: Mapping[str, Any], figures: Figures) -> str:
    volumes = [
        [
            row["source"],
            "maker" if row["maker"] else "taker",
            row["action"].lower(),
            row["fills"],
            money(row["volume"]),
            money(row["fees"]),
        ]
        for row in metrics["execution"]["volumes"]
    ]
    refused = [[row["code"], row["orders"]] for row in metrics["routing"]["refused"]]
    worse = metrics["execution"]["worse_than_reference"]
    return section(
        "Routing and execution",
        f"{count(metrics['routing']['orders'])} routing decisions. INTERNAL taker fills worse for the user than "
        f"Hyperliquid's reference: {worse}.",
        plot("routing", figures),
        "<h3>Fills</h3>",
        table(
            ["counterparty", "role", "action", "fills", "volume, USDC", "paid by users, USDC"],
            volumes,
            text_columns=3,
        ),
        "<h3>Refused orders</h3>" + table(["reason", "orders"], refused) if refused else "",
    )


def _mode_text(modes: Mapping[str, Any]) -> str:
    recommended = f"{modes['recommended']} recommendations not followed (auto-switch off or pinned)"
    return f"{modes['count']} switches, {recommended}."


def _alerts(guards: Mapping[str, Any]) -> str:
    alerts = [[row["level"], row["code"], row["times"]] for row in guards["alerts"]]
    changes = [[row["guard"], row["state"], row["times"]] for row in guards["changes"]]
    made = ""
    if changes:
        made += "<h3>Guards</h3>" + table(["guard", "became", "times"], changes, text_columns=2)
    return made + (
        "<h3>Alerts</h3>" + table(["level", "code", "times"], alerts, text_columns=2) if alerts else ""
    )


def _toxicity_section(found: Mapping[str, Any], figures: Figures) -> str:
    text = (
        "How the mark moved after users' INTERNAL fills, signed to the user's side: above zero, keeping the order cost "
        "the house. Means by notional with 95 % intervals, clustered by user (in the table by hour); faint or bare "
        "where too few traded for one. A horizon finer than the prices is left out; the later price is the first "
        "at or after the horizon."
    )
    head = ["user", "notional, USDC", *(f"{horizon}, bps" for horizon in HORIZONS_NS)]
    rows = [
        [row["user"], money(row["notional"]), *(interval(row[horizon]) for horizon in HORIZONS_NS)]
        for row in found["users"]
    ]
    return section(
        "Toxicity",
        text,
        plot("horizons", figures),
        plot("sizes", figures),
        "<h3>Largest users</h3>",
        table(head, rows, sort=True, red=False),
    )


def _people_sections(metrics: Mapping[str, Any]) -> str:
    columns = {
        "fills": "fills",
        "volume": "volume",
        "internal_volume": "INTERNAL volume",
        "maker_volume": "maker volume",
        "pnl": "price PnL",
        "fees": "fees",
        "funding_paid": "funding paid",
        "liquidations": "liquidations",
        "house_result": "house result",
    }

    def people(key: str, rows: Sequence[Mapping[str, Any]]) -> str:
        body = [
            [row[key], *(row[name] if isinstance(row[name], int) else money(row[name]) for name in columns)]
            for row in rows
        ]
        return table([key, *columns.values()], body, sort=True)

    users = metrics["users"]
    text = (
        f"{users['traded']} users traded: {users['won']} won, {users['lost']} lost after fees and funding. "
    )
    largest = (
        "The hundred with the most volume; all are in the table users. " if users["traded"] > 100 else ""
    )
    note = "USDC; the house result is that of INTERNAL fills and funding. Click a heading to sort."
    return section("Symbols", note, people("symbol", metrics["symbols"])) + section(
        "Users", text + largest + note, people("user", users["largest"])
    )


def _provenance(scenario: Scenario, summary: Mapping[str, Any]) -> str:
    facts = [
        ["digest", summary["digest"]],
        ["seed", str(summary["seed"])],
        *[[f"version of {name}", text] for name, text in summary["versions"].items()],
        *[[f"input {name}", text] for name, text in summary["inputs"].items()],
        ["symbols without funding data", ", ".join(summary["symbols_without_funding"]) or "none"],
    ]
    counts = [[name, rows] for name, rows in summary["counts"].items()]
    return section(
        "Settings and provenance",
        "Enough to run it again and get the same digest.",
        table(["what", "value"], facts, text_columns=2),
        f"<details><summary>Rows per table</summary>{table(['table', 'rows'], counts)}</details>",
        f"<details><summary>Scenario, every setting</summary><pre>{escape(dump_toml(scenario))}</pre></details>",
    )
