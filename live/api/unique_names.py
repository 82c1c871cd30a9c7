"""No name twice in an object of a body: of two values a proxy may read the first, and we the last."""

import json
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import HTTPConnection, Request

TWICE = "name_given_twice"
_TWICE = object()
_Place = tuple[str | int, ...]


async def look_at_body(connection: HTTPConnection) -> None:
    """Do ``check_names`` for a route of the framework that takes a body, as a dependency."""
    if (
        isinstance(connection, Request)
        and getattr(connection.scope.get("route"), "body_field", None) is not None
    ):
        body = await connection.body()
        if body:  # else the form says what is missing
            check_names(body)


def check_names(body: bytes) -> None:
    """Raise RequestValidationError, which tells where, for JSON with a name twice in one object, or for no JSON."""
    found_twice = False

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found_twice
        found = dict(pairs)
        if len(found) < len(pairs):
            found_twice = True
            once: set[str] = set()
            for name, _ in pairs:
                if name in once:
                    found[name] = _TWICE
                once.add(name)
        return found

    try:
        whole = json.loads(body, object_pairs_hook=object_of)
    except (ValueError, RecursionError):
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": ""}]) from None
    if found_twice:
        raise RequestValidationError(
            [{"type": TWICE, "loc": ("body", *_printable(place)), "msg": ""} for place in _places(whole)]
        )


def _places(whole: Any) -> list[_Place]:
    """Return where names stand twice, outermost first; without recursion, as JSON may be deep."""
    found: list[_Place] = []
    left: list[tuple[_Place, Any]] = [((), whole)]
    for place, value in left:
        if value is _TWICE:
            found.append(place)
        elif isinstance(value, dict):
            left += [((*place, name), each) for name, each in value.items()]
        elif isinstance(value, list):
            left += [((*place, number), each) for number, each in enumerate(value)]
    return found


def _printable(place: _Place) -> list[str | int]:
    """Return a place in text that UTF-8 can write: JSON can hold half a surrogate pair."""
    return [part if isinstance(part, int) else part.encode(errors="replace").decode() for part in place]
