"""Changing settings of a scenario: single ones by their dotted path, or all of routing and risk at once."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from backtest.scenario import Scenario, parse_scenario
from risk.errors import InvalidInput

_KEY_PART = re.compile(r"""\"[^"]+\"|'[^']+'|[^\s."'=]+""")
_KEY_PATH = re.compile(rf"\s*(?:{_KEY_PART.pattern})(?:\s*\.\s*(?:{_KEY_PART.pattern}))*\s*")


def apply_overrides(scenario: Scenario, assignments: Iterable[str]) -> Scenario:
    """Return the scenario with ``key.path=value`` applied, values as in TOML (bare text is a string)."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path_keys(path):
            raise InvalidInput(
                f"--set was {assignment!r}; it must be KEY=VALUE, such as risk.hedge_debounce=3s"
            )
        values[path] = _value(text.strip())
    return with_values(scenario, values)


def with_values(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """Return the scenario with each dotted path set to its value, in order; a number names a row of a list.

    Raises InvalidInput for a path that leads nowhere and for whatever makes the whole invalid.
    """
    tables = scenario.model_dump()
    for path, value in values.items():
        _assign(tables, path, value)
    return parse_scenario(tables)


def with_settings(scenario: Scenario, settings: Scenario) -> Scenario:
    """Return the scenario with the routing and risk of ``settings``, and all else its own."""
    return scenario.model_copy(update={"routing": settings.routing, "risk": settings.risk})


def without_rows(scenario: Scenario, symbols: Collection[str]) -> Scenario:
    """Return the scenario without the routing rows of ``symbols``."""
    rows = {symbol: row for symbol, row in scenario.routing.items() if symbol not in symbols}
    return scenario.model_copy(update={"routing": rows})


def path_keys(path: str) -> list[str]:
    """Split a dotted path as TOML does, a bare * allowed; an unusable one gives none."""
    parts = _KEY_PART.findall(path) if _KEY_PATH.fullmatch(path) else []
    return [part.strip("\"'") for part in parts]


def _assign(tables: dict[str, Any], path: str, value: Any) -> None:
    keys = path_keys(path)
    if not keys:
        raise InvalidInput(f"setting was {path!r}; it must be a dotted path, such as risk.hedge_debounce")
    place: Any = tables
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, tuple | list):
            place = _rows_in_place(tables, keys[:depth])
            if not key.isdecimal() or int(key) >= len(place):
                above = ".".join(keys[:depth])
                raise InvalidInput(
                    f"setting was {path!r}; {above} has the rows 0 to {len(place) - 1}, not {key!r}"
                )
            at: Any = int(key)
        elif isinstance(place, dict):
            at = key
            if not last:
                place.setdefault(key, {})
        else:
            raise InvalidInput(f"setting was {path!r}; {keys[depth - 1]} holds a value, not a table")
        if last:
            place[at] = value
        else:
            place = place[at]


def _rows_in_place(tables: dict[str, Any], keys: list[str]) -> list[Any]:
    """Turn the tuple that a dump holds at ``keys`` into a list that can be changed, and return it."""
    above: Any = tables
    for key in keys[:-1]:
        above = above[key]
    above[keys[-1]] = rows = list(above[keys[-1]])
    return rows


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return text
