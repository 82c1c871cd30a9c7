"""Who is behind a connection, and how one ends that is refused."""

from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from live.api.auth import known
from live.api.problems import Problem, problem_of
from live.api.services import Services
from live.api.stream.protocol import (
    INTERNAL,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    TOO_MANY,
    Auth,
    Closing,
    as_headers,
)
from live.identity.principal import Principal, Scope
from risk.errors import HybridPerpsError

_CODES = {401: NOT_AUTHENTICATED, 403: NOT_PERMITTED, 429: TOO_MANY}


async def reader_of(websocket: WebSocket, using: Services, auth: Auth | None) -> Principal:
    """Return who a connection's headers, or its first message ``auth``, say is there, and may read.

    Raises what ``known`` does, and Closing.
    """
    if auth is not None:
        scope = {**websocket.scope, "headers": [*websocket.scope["headers"], *as_headers(auth)]}
        websocket = WebSocket(scope, _nothing, _nowhere)
    principal = await known(websocket, using)
    if Scope.READ not in principal.scopes:
        raise Closing(NOT_PERMITTED, f"the API key lacks the scope {Scope.READ}")
    return principal


def closing_of(error: BaseException) -> Closing | None:
    """Return how a connection ends by an error; None where it is gone already."""
    if isinstance(error, Closing):
        return error
    if isinstance(error, WebSocketDisconnect):
        return None
    if not isinstance(error, Exception):
        raise error
    problem = problem_of(error)
    if isinstance(error, HybridPerpsError | Problem) and problem.status in _CODES:
        return Closing(_CODES[problem.status], problem.detail)
    return Closing(INTERNAL, problem.detail)


async def _nothing() -> Any:
    raise RuntimeError("nothing is received here")


async def _nowhere(_: Any) -> None:
    raise RuntimeError("nothing is sent here")
