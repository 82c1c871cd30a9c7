"""Routes that are served without the framework: its routing and resolving of dependencies take longer than an order.

Their function is declared like any other, and so described; ``lean`` says what is done in the place of resolving its
parameters.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope

from live.api.idempotency import HEADER, PATTERN, WANTED
from live.api.services import Services
from live.api.unique_names import check_names

_is_key = re.compile(PATTERN).fullmatch
_KEY = HEADER.lower().encode()


class LeanRequest:
    """Hold a request: ``headers`` the first of each name, in lower case; ``parts`` those of its path."""

    __slots__ = ("_body", "_receive", "headers", "parts", "scope", "services")

    def __init__(
        self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes], parts: Mapping[str, str]
    ) -> None:
        self.scope = scope
        self.headers = headers
        self.parts = parts
        self.services: Services = scope["app"].state.services
        self._receive = receive
        self._body: bytes | None = None

    async def body(self) -> bytes:
        """Return the body; raises ClientDisconnect where the client left before its end."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        whole = b""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            whole += message.get("body", b"")
            if not message.get("more_body", False):
                return whole


Serve = Callable[[LeanRequest], Awaitable[Response]]


class LeanRoute(APIRoute):
    """Be a route that the framework only describes."""

    serve: ClassVar[Serve]


class Found(NamedTuple):
    """Hold what serves a path: ``parts`` are those of the path that ``template`` names."""

    route: LeanRoute
    serve: Serve
    template: str
    parts: Mapping[str, str]


class LeanRoutes:
    """Find the route of a request."""

    def __init__(self, routes: Iterable[tuple[str, LeanRoute]]) -> None:
        """Take routes, each with what stands before its path."""
        self._whole: dict[tuple[str, str], Found] = {}
        self._others: dict[str, list[tuple[re.Pattern[str], Found]]] = {}
        for before, route in routes:
            template = before + route.path
            found = Found(route, type(route).serve, template, {})
            pattern, _, names = compile_path(template)
            for method in route.methods or ():
                if names:
                    self._others.setdefault(method, []).append((pattern, found))
                else:
                    self._whole[method, template] = found

    def find(self, method: str, path: str) -> Found | None:
        """Return what serves a path; None where that is for the framework."""
        found = self._whole.get((method, path))
        if found is not None:
            return found
        for pattern, of_pattern in self._others.get(method, ()):
            if (match := pattern.match(path)) is not None:
                return of_pattern._replace(parts=match.groupdict())
        return None


def lean(serve: Serve) -> type[LeanRoute]:
    """Return the class of a route that ``serve`` serves: for ``route_class_override``."""
    return type("Lean", (LeanRoute,), {"serve": staticmethod(serve)})


def idempotency_key(request: LeanRequest) -> str:
    """Return a request's key; raises RequestValidationError."""
    key = request.headers.get(_KEY, b"").decode("latin-1")
    if not _is_key(key):
        raise _wrong("header", HEADER, f"must be {WANTED}" if key else f"must be given: {WANTED}")
    return key


def path_part(request: LeanRequest, name: str, matches: Callable[[str], object], wanted: str) -> str:
    """Return a part of a request's path that ``matches``; raises RequestValidationError that it must be ``wanted``."""
    value = request.parts[name]
    if not matches(value):
        raise _wrong("path", name, f"must be {wanted}")
    return value


async def body_as[B: BaseModel](request: LeanRequest, kind: type[B]) -> B:
    """Return a request's body; raises RequestValidationError."""
    whole = await request.body()
    try:
        found = kind.model_validate_json(whole)
    except ValidationError as error:
        wrong: list[Any] = error.errors(include_url=False)
        placed = [{**each, "loc": ("body", *each["loc"])} for each in wrong]
        raise RequestValidationError(placed, body=whole) from None
    # Each name has a colon behind it: with no more colons than fields none came twice, and nobody need look closer.
    if whole.count(b":") > len(found.model_fields_set):
        check_names(whole)
    return found


def _wrong(place: str, name: str, detail: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": (place, name), "msg": detail}])
