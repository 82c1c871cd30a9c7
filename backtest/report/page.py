"""The report: one HTML file that needs nothing else, with the headlines first and the provenance last."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from backtest.house_pnl import COMPONENTS, reserve_path
from backtest.report import plots
from backtest.report.summary import amount, cards, signed, verdict, when
from backtest.scenario import Scenario
from backtest.scenario_toml import dump_toml
from backtest.toxicity import HORIZONS_NS
from backtest.views import connect

HERE = Path(__file__).parent
Figures = dict[str, plots.Figure]


def render_report(scenario: Scenario, tables: Mapping[str, pa.Table], summary: Mapping[str, Any]) -> str:
    """Return the report's HTML from a run's tables and the values of its ``result.json``."""
    metrics = summary["metrics"]
    figures = _figures(scenario, tables, summary)
    body = [
        f"<h1>{escape(scenario.name)}</h1><p class='note'>{escape(scenario.description)}<br>"
        f"{when(summary['span_ns'][0])} – {when(summary['span_ns'][1])} UTC, digest {summary['digest'][:16]}</p>",
        f"<p class='lead'>{escape(verdict(summary))}</p>",
        _cards(scenario, summary),
        _house_section(metrics, summary["counterfactuals"], figures),
        _section(
            "PnL path",
            "What the house has gained since the start, and what it is made of.",
            _plot("path", figures),
        ),
        _section(
            "Exposure and hedge",
            "Users' net INTERNAL position per symbol (positive: users long, the house short) and our hedge on "
            "Hyperliquid in the same direction. Symbols with the largest exposure first.",
            _plot("exposure", figures),
            _plot("coverage", figures),
        ),
        _section(
            "Our Hyperliquid accounts",
            "Equity over maintenance margin, logarithmic, at every snapshot with a position open.",
            _plot("ratios", figures),
        ),
        _section("Risk reserve", "Its balance after every entry.", _plot("reserve", figures)),
        _liquidation_section(metrics["liquidations"], figures),
        _routing_section(metrics, figures),
        _section(
            "Routing modes", _mode_text(metrics["modes"]), _plot("modes", figures), _alerts(metrics["guards"])
        ),
        _toxicity_section(metrics["toxicity"], figures),
        _people_sections(metrics),
        _provenance(scenario, summary),
    ]
    return _page(scenario.name, "\n".join(body), figures)


def _figures(scenario: Scenario, tables: Mapping[str, pa.Table], summary: Mapping[str, Any]) -> Figures:
    metrics, risk = summary["metrics"], scenario.risk
    house = tables["house"]
    capital = (
        risk.platform_capital
        + risk.reserve_capital
        + risk.trading_account_capital
        + risk.hedge_account_capital
    )
    symbols = [row["symbol"] for row in metrics["exposure"]["symbols"]]
    ratios = [
        ("normal", float(risk.margin_ratio_normal), plots.GREEN),
        ("top up", float(risk.margin_ratio_topup), plots.AMBER),
        ("hedge critical", float(risk.hedge_ratio_critical), plots.RED),
        ("trading critical", float(risk.trading_ratio_critical), plots.RED),
    ]
    floors = [
        ("thresholds halved", float(risk.reserve_normal), plots.AMBER),
        ("no internalisation", float(risk.reserve_floor), plots.RED),
    ]
    with connect(tables) as connection:
        path = [
            (summary["span_ns"][0], risk.reserve_capital),
            *reserve_path(connection, risk.reserve_capital),
        ]
    found = {
        "waterfall": plots.house_waterfall(metrics["house_pnl"]),
        "path": plots.pnl_path(house, float(capital), float(risk.reserve_capital)),
        "exposure": plots.exposure(tables["exposure"], symbols),
        "coverage": plots.coverage(tables["exposure"]),
        "ratios": plots.margin_ratios(house, ratios),
        "reserve": plots.reserve(path, floors),
        "routing": plots.routing(metrics["routing"]["reasons"]),
        "modes": plots.modes(tables["exposure"], summary["span_ns"][1]),
        "horizons": plots.toxicity_by_horizon(metrics["toxicity"]),
        "sizes": plots.toxicity_by_size(metrics["toxicity"]),
    }
    if tables["liquidations"].num_rows:
        found["liquidations"] = plots.liquidations(tables["liquidations"], tables["marks"])
    if summary["counterfactuals"]:
        totals = {"this run": metrics} | dict(summary["counterfactuals"])
        found["counterfactuals"] = plots.counterfactuals(
            {name: float(each["house_pnl"]["total"]) for name, each in totals.items()}
        )
    return found


def _cards(scenario: Scenario, summary: Mapping[str, Any]) -> str:
    made = [
        f"<div class='card {card.tone}'><div class='label'>{escape(card.label)}</div>"
        f"<div class='value'>{escape(card.value)} <small>{escape(card.unit)}</small></div>"
        f"<div class='more'>{escape(card.more)}</div></div>"
        for card in cards(scenario, summary)
    ]
    return f"<div class='cards'>{''.join(made)}</div>"


def _house_section(metrics: Mapping[str, Any], others: Mapping[str, Any], figures: Figures) -> str:
    runs = {"this run": metrics} | dict(others)
    names = [name for name in COMPONENTS if any(Decimal(run["house_pnl"][name]) for run in runs.values())]
    rows = [[COMPONENTS[name], *(_money(run["house_pnl"][name]) for run in runs.values())] for name in names]
    rows.append(["House PnL", *(_money(run["house_pnl"]["total"]) for run in runs.values())])
    parts = [_plot("waterfall", figures), _table(["component, USDC", *runs], rows)]
    if others:
        parts += ["<h3>Had everything been routed differently</h3>", _plot("counterfactuals", figures)]
    return _section("What the house earned", "Every entry on the house's accounts, by cause.", *parts)


def _liquidation_section(found: Mapping[str, Any], figures: Figures) -> str:
    head = [
        "counterparty",
        "margin",
        "positions",
        "users",
        "notional, USDC",
        "bad debt, USDC",
        "latency p50, s",
        "p99, s",
    ]
    rows = [
        [
            part["source"],
            part["margin_mode"].lower(),
            part["count"],
            part["users"],
            _money(part["notional"]),
            _money(part["bad_debt"]),
            round(part["latency_p50_s"], 3),
            round(part["latency_p99_s"], 3),
        ]
        for part in found["parts"]
    ]
    text = (
        "Positions closed by force, over the mark. Latency runs in market time, from the mark to the close."
    )
    if not rows:
        return _section("Liquidations", "There were none.")
    return _section("Liquidations", text, _plot("liquidations", figures), _table(head, rows, text_columns=2))


def _routing_section(metrics: Mapping[str, Any], figures: Figures) -> str:
    volumes = [
        [
            row["source"],
            "maker" if row["maker"] else "taker",
            row["action"].lower(),
            row["fills"],
            _money(row["volume"]),
            _money(row["fees"]),
        ]
        for row in metrics["execution"]["volumes"]
    ]
    refused = [[row["code"], row["orders"]] for row in metrics["routing"]["refused"]]
    worse = metrics["execution"]["worse_than_reference"]
    return _section(
        "Routing and execution",
        f"{metrics['routing']['orders']:,} routing decisions. INTERNAL taker fills worse for the user than "
        f"Hyperliquid's reference: {worse}.",
        _plot("routing", figures),
        "<h3>Fills</h3>",
        _table(
            ["counterparty", "role", "action", "fills", "volume, USDC", "paid by users, USDC"],
            volumes,
            text_columns=3,
        ),
        "<h3>Refused orders</h3>" + _table(["reason", "orders"], refused) if refused else "",
    )


def _mode_text(modes: Mapping[str, Any]) -> str:
    recommended = f"{modes['recommended']} recommendations not followed (auto-switch off or pinned)"
    return f"{modes['count']} switches, {recommended}."


def _alerts(guards: Mapping[str, Any]) -> str:
    alerts = [[row["level"], row["code"], row["times"]] for row in guards["alerts"]]
    changes = [[row["guard"], row["state"], row["times"]] for row in guards["changes"]]
    made = ""
    if changes:
        made += "<h3>Guards</h3>" + _table(["guard", "became", "times"], changes, text_columns=2)
    return made + (
        "<h3>Alerts</h3>" + _table(["level", "code", "times"], alerts, text_columns=2) if alerts else ""
    )


def _toxicity_section(found: Mapping[str, Any], figures: Figures) -> str:
    text = (
        "How the mark moved after users' INTERNAL fills, signed to the user's side: above zero, keeping the order cost "
        "the house. Means by notional with 95 % intervals, clustered by user (in the table by hour). A horizon finer "
        "than the prices is left out; the later price is the first at or after the horizon."
    )
    head = ["user", "notional, USDC", *(f"{horizon}, bps" for horizon in HORIZONS_NS)]
    rows = [
        [row["user"], _money(row["notional"]), *(_interval(row[horizon]) for horizon in HORIZONS_NS)]
        for row in found["users"]
    ]
    return _section(
        "Toxicity",
        text,
        _plot("horizons", figures),
        _plot("sizes", figures),
        "<h3>Largest users</h3>",
        _table(head, rows, sort=True),
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
        "bad_debt": "bad debt",
        "house_result": "house result",
    }

    def table(key: str, rows: Sequence[Mapping[str, Any]]) -> str:
        body = [
            [row[key], *(row[name] if isinstance(row[name], int) else _money(row[name]) for name in columns)]
            for row in rows
        ]
        return _table([key, *columns.values()], body, sort=True)

    users = metrics["users"]
    text = (
        f"{users['traded']} users traded: {users['won']} won, {users['lost']} lost after fees and funding. "
    )
    largest = (
        "The hundred with the most volume; all are in the table users. " if users["traded"] > 100 else ""
    )
    note = "USDC; the house result is that of INTERNAL fills and funding. Click a heading to sort."
    return _section("Symbols", note, table("symbol", metrics["symbols"])) + _section(
        "Users", text + largest + note, table("user", users["largest"])
    )


def _provenance(scenario: Scenario, summary: Mapping[str, Any]) -> str:
    facts = [
        ["digest", summary["digest"]],
        ["seed", str(summary["seed"])],
        *[[f"version of {name}", text] for name, text in summary["versions"].items()],
        *[[f"input {name}", text] for name, text in summary["inputs"].items()],
        ["symbols without funding data", ", ".join(summary["symbols_without_funding"]) or "none"],
        *[[f"source fills: {fate}", f"{count:,}"] for fate, count in summary["source_fills"].items()],
    ]
    counts = [[name, count] for name, count in summary["counts"].items()]
    return _section(
        "Settings and provenance",
        "Enough to run it again and get the same digest.",
        _table(["what", "value"], facts, text_columns=2),
        f"<details><summary>Rows per table</summary>{_table(['table', 'rows'], counts)}</details>",
        f"<details><summary>Scenario, every setting</summary><pre>{escape(dump_toml(scenario))}</pre></details>",
    )


def _money(value: Any) -> tuple[str, str]:
    """Give the text and the value to sort by."""
    return signed(value) if Decimal(value) < 0 else amount(value), str(value)


def _interval(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "–", ""
    around = "" if found["high"] is None else f" ± {found['high'] - found['bps']:.1f}"
    return f"{found['bps']:+.1f}{around}", f"{found['bps']:.6g}"


def _section(title: str, text: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(text)}</p>{''.join(parts)}</section>"


def _plot(name: str, figures: Figures) -> str:
    return f"<div id='{name}' style='height:{figures[name]['layout']['height']}px'></div>"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], *, text_columns: int = 1, sort: bool = False
) -> str:
    def cell(i: int, value: Any) -> str:
        text, key = (
            value
            if isinstance(value, tuple)
            else (f"{value:,}" if isinstance(value, int) else str(value), str(value))
        )
        kind = "text" if i < text_columns else "negative" if text.startswith("−") else ""
        return f"<td class='{kind}' data-value='{escape(key)}'>{escape(text)}</td>"

    heads = "".join(
        f"<th class='{'text' if i < text_columns else ''}'>{escape(name)}</th>" for i, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cell(i, value) for i, value in enumerate(row))}</tr>" for row in rows)
    kind = " class='sortable'" if sort else ""
    return (
        f"<div class='scroll'><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _page(title: str, body: str, figures: Figures) -> str:
    # "</" would end the script element; "<\\/" is the same text to JSON.
    data = json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{style}</style></head>\n<body><main>{body}</main>\n"
        f"<script id='figures' type='application/json'>{data}</script>\n"
        f"<script>{_plotly()}</script>\n<script>{script}</script></body></html>\n"
    )


def _plotly() -> str:
    """Read plotly's JavaScript without importing plotly, which takes longer than all the rest."""
    spec = find_spec("plotly")
    (folder,) = spec.submodule_search_locations if spec and spec.submodule_search_locations else ("",)
    return (Path(folder) / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
