"""What is answered when something is not done: problem documents, RFC 9457."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from live.api.idempotency import HEADER
from live.api.json_faults import fault_of
from live.api.shared_state import SharedStateLost
from live.api.wording import wrong
from live.books.commands import Answer, KeyReused, NotAnswered, Overloaded
from live.identity.errors import Conflict, NotAuthenticated, NotPermitted, NotThere, TooManyGuesses
from live.ledger.writer import DatabaseLost
from risk.errors import HybridPerpsError, InvalidInput

MEDIA_TYPE = "application/problem+json"
SCHEMA = {"$ref": "#/components/schemas/ProblemDocument"}
_TYPE = "urn:hybrid-perps:problem:"
_RETRY = {"Retry-After": "1"}
_OURS = {400: "malformed", 413: "too-large", 422: "invalid"}  # where the framework has other words
_KEY = f"header.{HEADER}"
REUSED = f"{HEADER} came with another request before; use a new one"
_MOST_NAMED = 50
_LONGEST_NAME = 200
_DATABASE_LOST = "the database does not answer; try again shortly"


class FieldError(BaseModel):
    """Say what is wrong with one field of a request."""

    field: str = Field(examples=["body.size"])
    detail: str = Field(examples=["was 0; it must be 1 or more"])


class ProblemDocument(BaseModel):
    """Say why a request was not done (RFC 9457); programs look at ``code``."""

    type: str = Field(examples=["urn:hybrid-perps:problem:invalid"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["size was 0; it must be more than 0"])
    instance: str = Field(description="The request's X-Request-ID.", examples=["5f0c2c3e9a1b4d6f8e7a"])
    code: str = Field(examples=["invalid"])
    errors: list[FieldError] = []


class Problem(Exception):
    """End a request with a problem document of ``status`` and ``code``."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers


# Which status and code an error of the domain has; the most special class that is named here counts. An error
# that has a ``code`` of its own is told under that one.
STATUS_OF: dict[type[Exception], tuple[int, str]] = {
    HybridPerpsError: (422, "invalid"),
    InvalidInput: (422, "invalid"),
    Overloaded: (503, "overloaded"),
    NotAnswered: (504, "outcome-unknown"),
    NotAuthenticated: (401, "not-authenticated"),
    NotPermitted: (403, "not-permitted"),
    NotThere: (404, "not-found"),
    Conflict: (409, "conflict"),
    TooManyGuesses: (429, "too-many-guesses"),
    SharedStateLost: (503, "unavailable"),
    DatabaseLost: (503, "database-unavailable"),
}
# What a driver raises when its server went away: nothing of it is for users.
LOST: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    OSError,  # also TimeoutError
)


def check_done(answer: Answer) -> Answer:
    """Return an answer that is DONE; raise the problem that another is."""
    if answer.status == "INVALID":
        raise Problem(422, "invalid", answer.detail)
    if answer.status == "REFUSED":
        raise Problem(409, answer.code, answer.detail or answer.code)
    return answer


def problem_response(problem: Problem, instance: str) -> Response:
    """Return the response that tells a problem; ``instance`` is the request's correlation id."""
    document: dict[str, Any] = {
        "type": _TYPE + problem.code,
        "title": _title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "errors": [{"field": error.field, "detail": error.detail} for error in problem.errors],
    }
    return Response(
        msgspec.json.encode(document), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error is; of one that nobody foresaw it tells nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, KeyReused):  # its own text has the books' key, which names the user too
        return Problem(409, "key-reused", REUSED, errors=[FieldError(field=_KEY, detail=REUSED)])
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            status, code = STATUS_OF[kind]
            return Problem(status, getattr(error, "code", code), str(error), headers=_headers(status, error))
    if isinstance(error, ClientDisconnect):  # nobody may hear it, but it is no fault of ours
        return Problem(400, "cut-off", "the request broke off before its end")
    if isinstance(error, LOST):
        return Problem(503, "database-unavailable", _DATABASE_LOST, headers=_RETRY)
    return Problem(500, "internal", "something went wrong on our side; tell us this request's id")


def _headers(status: int, error: Exception) -> dict[str, str]:
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        return {"Retry-After": str(retry_after_s)}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return _RETRY if status == 503 else {}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that may answer with problems of these statuses.

    Those that any route may answer with (400, 413, 415, 422, 429, 500, 503) need not be named.
    """
    return {status: _documented(status) for status in statuses}


def install(app: FastAPI) -> None:
    """Have what the framework refuses answered with problem documents; the middleware ``Errors`` does the rest."""
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _http)
    elsewhere = app.router.default

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # which the framework would answer with 403
            raise Problem(404, "not-found", "Not Found")
        await elsewhere(scope, receive, send)

    app.router.default = not_found


async def _http(request: Request, error: Exception) -> Response:
    """Tell what the framework refuses: no such path, no such method, a body that is no JSON."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = _OURS.get(status) or status.phrase.lower().replace(" ", "-")
    headers = error.headers if status is not HTTPStatus.METHOD_NOT_ALLOWED else _allowed(request)
    if status is HTTPStatus.BAD_REQUEST:  # of JSON that breaks off the framework tells otherwise
        problem = _malformed(await request.body())
    else:
        problem = Problem(status, code, str(error.detail), headers=headers)
    return problem_response(problem, request.scope["request_id"])


def _allowed(request: Request) -> dict[str, str]:
    """Name the methods of all routes of a request's path: the framework knows of the first one."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex is not None and route.path_regex.match(request.scope["path"]):
            methods |= route.methods or set()
    return {"Allow": ", ".join(sorted(methods))}


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Tell what the framework finds wrong with the fields of a request."""
    return problem_response(problem_of(error), request.scope["request_id"])


def _invalid(error: RequestValidationError) -> Problem:
    """Name the fields that are wrong: so many and so far that the answer is not much longer than the request."""
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return _malformed(error.body)
    errors = [FieldError(field=_name(each["loc"]), detail=wrong(each)) for each in found[:_MOST_NAMED]]
    return Problem(422, "invalid", f"{errors[0].field}: {errors[0].detail}", errors=errors)


def _malformed(body: bytes | str) -> Problem:
    """Say where a body is no JSON."""
    fault = fault_of(body)
    return Problem(400, "malformed", f"the body {fault}", errors=[FieldError(field="body", detail=fault)])


def _name(place: Sequence[str | int]) -> str:
    name = ".".join(str(part) for part in place)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def _documented(status: int) -> dict[str, Any]:
    return {"description": _title(status), "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
