"""Routes that are served without the framework's resolving of dependencies, which took half of an order's time.

Their function is declared like any other, and so described; ``lean`` says what is done in the place of resolving its
parameters.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from live.api.idempotency import HEADER, PATTERN, WANTED

_is_key = re.compile(PATTERN).fullmatch


def lean(serve: Callable[[Request], Awaitable[Response]]) -> type[APIRoute]:
    """Return the class of a route that ``serve`` serves: for ``route_class_override``."""

    async def served(request: Request) -> Response:
        return await serve(request)

    class Lean(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            return served

    return Lean


def idempotency_key(request: Request) -> str:
    """Return a request's key; raises RequestValidationError."""
    key = request.headers.get(HEADER)
    if key is None or not _is_key(key):
        raise _wrong("header", HEADER, f"must be given: {WANTED}")
    return key


def path_part(request: Request, name: str, matches: Callable[[str], object], wanted: str) -> str:
    """Return a part of a request's path that ``matches``; raises RequestValidationError that it must be ``wanted``."""
    value: str = request.path_params[name]
    if not matches(value):
        raise _wrong("path", name, f"must be {wanted}")
    return value


async def body_as[B: BaseModel](request: Request, kind: type[B]) -> B:
    """Return a request's body; raises RequestValidationError."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def _wrong(place: str, name: str, detail: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": (place, name), "msg": detail}])
