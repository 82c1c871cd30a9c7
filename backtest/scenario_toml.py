"""A scenario written out as TOML: every value, defaults included, each with what it means."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from backtest.scenario import Scenario
from backtest.scenario_settings import RoutingRow
from backtest.scenario_values import Section
from risk.settings import RoutingConfig

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TITLES = {
    "data": "Where the market comes from",
    "flow": "Which users trade",
    "routing": "Routing per symbol; * is the default row",
    "risk": "The house's limits, fees, hedging rules and starting capital",
    "venue": "How Hyperliquid, as simulated, answers",
    "report": "What is recorded beside the events",
}
_OUTAGE_HINT = ["# Times without Hyperliquid:", "# [[outages]]", '# after = "13h"', '# lasts = "5m"']


def dump_toml(scenario: Scenario) -> str:
    """Write ``scenario`` as TOML that loads to an equal scenario, with every default and a comment each."""
    lines = [f"{key} = {toml_value(getattr(scenario, key))}" for key in ("name", "description", "seed")]
    for name in ("data", "flow", "routing", "risk", "venue", "report"):
        lines += ["", f"# {_TITLES[name]}"]
        if name == "routing":
            lines += _routing(scenario.routing)
        else:
            lines += [f"[{name}]", *_rows(getattr(scenario, name))]
    for outage in scenario.outages:
        lines += ["", "[[outages]]", *_rows(outage)]
    return "\n".join(lines if scenario.outages else [*lines, "", *_OUTAGE_HINT]) + "\n"


def _routing(rows: dict[str, RoutingRow]) -> Iterator[str]:
    default = rows.get("*", RoutingRow()).config(RoutingConfig())
    whole = RoutingRow(**{name: getattr(default, name) for name in RoutingRow.model_fields})
    yield '[routing."*"]'
    yield from _rows(whole)
    for symbol in sorted(rows.keys() - {"*"}):
        yield ""
        yield f"[routing.{toml_key(symbol)}]"
        yield from _rows(rows[symbol], comments=False)


def _rows(section: Section, *, comments: bool = True) -> Iterator[str]:
    values = section.model_dump()
    for name, field in type(section).model_fields.items():
        comment = f"  # {field.description}" if comments and field.description else ""
        if values[name] is not None:
            yield f"{name} = {toml_value(values[name])}{comment}"
        elif comments:
            yield f"# {name}: {field.description}"


def toml_key(key: str) -> str:
    """Write a key, quoted where TOML wants it."""
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


def toml_value(value: Any) -> str:
    """Write a value on one line; what is None within a table is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{toml_key(k)} = {toml_value(v)}' for k, v in value.items() if v is not None)} }}"
    return f"[{', '.join(map(toml_value, value))}]"
