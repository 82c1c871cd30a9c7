"""Changes of settings: from what an operator names to a whole row or config, as the books take it."""

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from risk.errors import InvalidInput
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EXPECTED = re.compile(r"Expected `(\w+)`, got `(\w+)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_SHAPES = {
    "decimal": "a decimal as text",
    "int": "a whole number",
    "float": "a number with a point or an exponent",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "an object",
}


def changed[Row: (RoutingConfig, RiskConfig)](row: Row, changes: Mapping[str, Any]) -> Row:
    """Return ``row`` with ``changes``: JSON values by name, decimals as text.

    Raises InvalidInput for a name that it does not have, a value of another shape, or nothing to change.
    """
    kind = type(row)
    known = {each.name for each in fields(kind)}
    if not changes:
        raise InvalidInput("changes were empty; name a setting and its value")
    for name, value in changes.items():
        if name not in known:
            raise InvalidInput(f"changes named {name!r}; it must be one of {', '.join(sorted(known))}")
        if isinstance(value, float):
            raise InvalidInput(f"{name} was {value}; write it as text, so that every digit counts")
        _check_text(name, value)
        _check_decimals(name, value)
    whole = shown(row) | dict(changes)
    try:
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(_told(error)) from None


def shown(row: RoutingConfig | RiskConfig) -> dict[str, Any]:
    """Return a row as JSON values by name; decimals as text without an exponent."""
    return _text(msgspec.to_builtins(row, builtin_types=(Decimal,)))


def different(before: RoutingConfig | RiskConfig, after: RoutingConfig | RiskConfig) -> dict[str, Any]:
    """Return what ``after`` has otherwise, as JSON values by name."""
    last = shown(before)
    return {name: value for name, value in shown(after).items() if value != last[name]}


def risk_config(rows: Mapping[str, str]) -> RiskConfig:
    """Return the risk config that rows of ``risk_config`` hold, key by value."""
    whole = {key: msgspec.Raw(value.encode()) for key, value in rows.items()}
    return msgspec.json.decode(msgspec.json.encode(whole), type=RiskConfig)


def _text(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case dict():
            return {name: _text(each) for name, each in value.items()}
        case list() | tuple():
            return [_text(each) for each in value]
        case _:
            return value


def _check_text(name: str, value: Any) -> None:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        raise InvalidInput(f"{name} held no text; it must be what UTF-8 can write") from None


def _check_decimals(name: str, value: Any) -> None:
    """Refuse what Decimal takes and nobody means: signalling NaN, which no comparison survives, or 5_0 for 50."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_decimals(name, each)
    elif isinstance(value, str) and not _DECIMAL.fullmatch(value):
        try:
            Decimal(value)
        except InvalidOperation:  # whether there should be a decimal is told by the settings' shapes
            return
        raise InvalidInput(f"{name} must be {_SHAPES['decimal']}, in digits with at most one point")


def _told(error: msgspec.ValidationError) -> str:
    """Say of a wrong shape where it is, as the settings name it, and what would be right."""
    detail, _, place = str(error).partition(" - at `$.")
    place = place.rstrip("`") or "changes"
    if found := _EXPECTED.fullmatch(detail):
        wanted, given = (_SHAPES.get(shape, shape) for shape in found.groups())
        return f"{place} was {given}; it must be {wanted}"
    if found := _MISSING.fullmatch(detail):
        return f"{place}.{found[1]} must be given"
    if detail.startswith("Invalid enum"):
        return f"{place} must be one of {', '.join(RoutingMode)}"
    return f"{place} must be {_SHAPES['decimal']}"
