"""Reads that are served without the framework's resolving of dependencies, as the orders of ``lean`` are.

The parameters of path and query are still checked by the framework's own code, so a read refuses what it would have
refused, in the same words; a query that came before is not looked at again.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, request_params_to_args
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import QueryParams
from starlette.responses import Response

from live.api.auth import permitted
from live.api.lean import LeanRequest, Serve, lean
from live.identity.principal import Scope

_REMEMBERED, _LONGEST = 1_000, 200  # queries of each read, and their bytes

Endpoint = Callable[..., Awaitable[Response]]


def read(router: APIRouter, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
    """Route GET ``path`` to the decorated function, of ``using``, ``reader`` and parameters of path and query.

    Whoever may do READ may have it; ``described`` is what ``router.get`` takes.
    """

    def routed(endpoint: Endpoint) -> Endpoint:
        serve = lean(_serving(get_dependant(path=path, call=endpoint), endpoint))
        router.add_api_route(path, endpoint, methods=["GET"], route_class_override=serve, **described)
        return endpoint

    return routed


def _serving(known: Dependant, endpoint: Endpoint) -> Serve:
    assert {each.name for each in known.dependencies} == {"using", "reader"}, endpoint
    assert known.header_params == known.cookie_params == known.body_params == [], endpoint

    def of_query(query: bytes) -> tuple[dict[str, Any], list[Any]]:
        return request_params_to_args(known.query_params, QueryParams(query))

    remembered = lru_cache(_REMEMBERED)(of_query)

    async def serve(request: LeanRequest) -> Response:
        reader = await permitted(request, Scope.READ)
        of_path, wrong = request_params_to_args(known.path_params, request.parts)
        query: bytes = request.scope["query_string"]
        asked, wrong_too = (remembered if len(query) <= _LONGEST else of_query)(query)
        if wrong or wrong_too:
            raise RequestValidationError(wrong + wrong_too)
        return await endpoint(using=request.services, reader=reader, **of_path, **asked)

    return serve
