"""What a value is some equal days later, learnt from two days in a row: what grew grows on by the same step."""

import re
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from risk import frozen


class Text(NamedTuple):
    """A text of one day and by how much its numbers grow a day: ``at`` gives that of a later one."""

    template: str
    numbers: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, before: str, text: str) -> "Text":
        """Learn from two days in a row; numbers that did not change stay."""
        words, earlier = re.split(r"(\d+)", text), re.split(r"(\d+)", before)
        if words[::2] != earlier[::2]:
            raise ValueError(f"{before!r} and {text!r} differ in more than their numbers")
        moved = [place for place in range(1, len(words), 2) if words[place] != earlier[place]]
        numbers = tuple(int(words[place]) for place in moved)
        steps = tuple(int(words[place]) - int(earlier[place]) for place in moved)
        words = [word.replace("%", "%%") for word in words]
        for place in moved:
            words[place] = "%d"
        return cls("".join(words), numbers, steps)

    def at(self, later: int) -> str:
        """Return it ``later`` days after the second one."""
        return self.template % tuple(
            [number + later * step for number, step in zip(self.numbers, self.steps, strict=True)]
        )


def moved(before: Any, held: Any, later: int, known: dict[int, tuple[Any, Any]] | None = None) -> Any:
    """Return a state ``later`` days after ``held``, which was ``before`` the day before; raise ValueError if unlike."""
    known = {} if known is None else known
    if id(held) in known:
        return known[id(held)][1]
    if type(before) is not type(held):
        raise ValueError(f"{before!r} became {held!r}")
    made = _moved(before, held, later, known)
    if not isinstance(held, str | int | float | Decimal | bytes | tuple | None):
        known[id(held)] = held, made  # what is held twice stays one; kept, so that no other gets its id
    return made


def _moved(before: Any, held: Any, later: int, known: dict[int, tuple[Any, Any]]) -> Any:
    if held is None or isinstance(held, bool | bytes | Enum):
        if before != held:
            raise ValueError(f"{before!r} became {held!r}, which has no step")
        return held
    if isinstance(held, int | Decimal | float):  # floats only filter: their last digits decide nothing
        return held if held == before else held + later * (held - before)
    if isinstance(held, str):
        return held if before == held else Text.of(before, held).at(later)
    if isinstance(held, dict):
        pairs = zip(before.items(), held.items(), strict=True)
        return {
            moved(was, key, later, known): moved(old, new, later, known) for (was, old), (key, new) in pairs
        }
    if isinstance(held, set):
        return {moved(old, new, later, known) for old, new in zip(sorted(before), sorted(held), strict=True)}
    if hasattr(held, "__iter__") and not is_dataclass(held):
        made = [moved(old, new, later, known) for old, new in zip(before, held, strict=True)]
        return type(held)(*made) if hasattr(held, "_fields") else type(held)(made)
    names = [each.name for each in fields(held)] if is_dataclass(held) else frozen._fields(type(held))
    made = object.__new__(type(held))
    for name in names:
        object.__setattr__(made, name, moved(getattr(before, name), getattr(held, name), later, known))
    return made
