"""No name twice in an object of JSON, or in a query: of two values a proxy may read the first, and we the last."""

import json
from collections import Counter
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import HTTPConnection, Request

TWICE = "name_given_twice"
_TWICE = object()
_MOST_TOLD = 10


async def look_at_names(connection: HTTPConnection) -> None:
    """Look at body and query of a route of the framework that may change something, as a dependency."""
    if not isinstance(connection, Request) or connection.method == "GET":
        return
    times = Counter(name for name, _ in connection.query_params.multi_items())
    if twice := [name for name, number in times.items() if number > 1]:
        raise RequestValidationError([{"type": TWICE, "loc": ("query", name), "msg": ""} for name in twice])
    if getattr(connection.scope.get("route"), "body_field", None) is not None:
        body = await connection.body()
        if body:  # else the form says what is missing
            check_names(body)


def check_names(body: bytes) -> None:
    """Raise RequestValidationError, which tells where, for JSON with a name twice in one object, or for no JSON."""
    try:
        twice = names_twice(body, "body")
    except (ValueError, RecursionError):
        no_json = {"type": "json_invalid", "loc": ("body",), "msg": ""}
        raise RequestValidationError([no_json], body=body) from None
    if twice:
        raise RequestValidationError([{"type": TWICE, "loc": place, "msg": ""} for place in twice])


def names_twice(text: bytes | str, root: str) -> list[list[str | int]]:
    """Return where JSON has a name twice in one object, from ``root`` on; raises ValueError, RecursionError."""
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

    whole = json.loads(text, object_pairs_hook=object_of)
    return _places(whole, root) if found_twice else []


def _places(whole: Any, root: str) -> list[list[str | int]]:
    """Return the first places where names stand twice, outermost first; without recursion, as JSON may be deep."""
    found: list[int] = []
    # Of each value the number of that which holds it, and its name or place there: whole paths would take too much.
    held: list[tuple[int, str | int]] = [(-1, root)]
    values = [whole]
    for number, value in enumerate(values):
        if value is _TWICE:
            found.append(number)
            if len(found) == _MOST_TOLD:
                break
        elif isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            for part, each in inner:
                held.append((number, part))
                values.append(each)
    return [_path(held, number) for number in found]


def _path(held: list[tuple[int, str | int]], number: int) -> list[str | int]:
    """Return a place in text that UTF-8 can write: JSON can hold half a surrogate pair."""
    parts: list[str | int] = []
    while number >= 0:
        number, part = held[number]
        parts.append(part if isinstance(part, int) else part.encode(errors="replace").decode())
    return parts[::-1]
