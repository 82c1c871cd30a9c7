"""Commands that must not even be tried: with values that no table holds, or that no rule can count with.

One of them would fail the commit it shares with others, and again each time it is asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

from live.books.commands import Command
from risk.errors import InvalidInput
from risk.inputs import ConfigChanged
from risk.numbers import to_decimal
from risk.settings import RiskConfig

_LONGEST_TEXT = 500  # characters; what is unique goes into an index, whose entries are bounded
_LARGEST_INT = 2**63 - 1
_PLAIN = frozenset((str, int, bool, Decimal, type(None)))  # most values: nothing is inside them


def check_writable(command: Command) -> None:
    """Raise InvalidInput, naming the value, for such a command."""
    if not command.key:
        raise InvalidInput("key was empty; every command needs one of its own")
    _check_text("key", command.key)
    check_values(command.asked)
    if isinstance(command.asked, ConfigChanged):
        _check_config(command.asked)


def check_values(given: object) -> None:
    """Raise InvalidInput, naming the value, for an input with a value that no table holds."""
    kind: Any = type(given)
    for name in _names(kind):
        value = getattr(given, name)
        check = _CHECKS.get(type(value))
        if check is not None:
            check(name, value)
        elif not isinstance(value, Enum):  # whose values are our own
            _check_parts(name, value)


def _check_parts(name: str, value: Any) -> None:
    for part in value if isinstance(value, tuple) else (value,):
        check = _CHECKS.get(type(part))
        if check is not None:
            check(name, part)
        elif isinstance(part, str):
            _check_text(name, part)
        elif is_dataclass(part):
            check_values(part)


def _values(holder: Any) -> Iterator[tuple[str, Any]]:
    """Go through the fields of a command and of what it holds, each with its name."""
    kind: Any = type(holder)
    for name in _names(kind):
        value = getattr(holder, name)
        if type(value) in _PLAIN:
            yield name, value
            continue
        for part in value if isinstance(value, tuple) else (value,):
            if is_dataclass(part):
                yield from _values(part)
            else:
                yield name, part


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _check_text(name: str, text: str) -> None:
    if len(text) > _LONGEST_TEXT:
        raise InvalidInput(f"{name} had {len(text)} characters; at most {_LONGEST_TEXT} are taken")
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise InvalidInput(f"{name} was {text!r}; it must be Unicode text without NUL")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in text)


def _check_int(name: str, value: int) -> None:
    if abs(value) > _LARGEST_INT:
        raise InvalidInput(f"{name} was {value}; it must lie within {_LARGEST_INT} of 0")


def _check_decimal(name: str, value: Decimal) -> None:
    to_decimal(value, name)


def _check_nothing(_: str, __: object) -> None:
    """Take what is always writable."""


_CHECKS: dict[type, Callable[[str, Any], None]] = {
    str: _check_text,
    int: _check_int,
    Decimal: _check_decimal,
    bool: _check_nothing,
    type(None): _check_nothing,
}


def _check_config(asked: ConfigChanged) -> None:
    """Raise InvalidInput for settings under which the rules could not go on."""
    for name, value in _values(asked):
        if isinstance(value, Decimal | int) and value < 0:
            raise InvalidInput(f"{name} was {value}; it must be 0 or more")
    if asked.risk is not None:
        _check_divisors(asked.risk)


def _check_divisors(risk: RiskConfig) -> None:
    if risk.funding_interval_hours < 1:
        raise InvalidInput("funding_interval_hours was 0; it must be 1 or more")
    if not risk.hedge_leverage or any(step.leverage < 1 for step in risk.hedge_leverage):
        raise InvalidInput("hedge_leverage must have steps, each of a leverage of 1 or more")
