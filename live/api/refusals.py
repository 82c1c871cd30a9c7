"""Refusals of what never became a request: problem documents as bytes, written by whoever reads from the connection."""

import secrets
from collections.abc import Iterable
from http import HTTPStatus

import structlog

from live.api.middleware.security_headers import headers_for
from live.api.problems import Problem, problem_response

REFUSED = "refused"  # in a request's scope: the problem that whoever reads from the connection found

_log = structlog.get_logger("live.api.access")


def refusal(
    problem: Problem,
    *,
    request_id: str | None,
    address: str,
    scheme: str,
    headers: Iterable[tuple[bytes, bytes]],
) -> bytes:
    """Return the whole answer that tells a problem and closes the connection, and note it in the log.

    ``headers`` are those of the server; ``request_id`` is None where there is none yet.
    """
    request_id = request_id or secrets.token_hex(10)
    _log.info("refused", request_id=request_id, status=problem.status, code=problem.code, address=address)
    response = problem_response(problem, request_id)
    given = [
        *headers,
        *response.raw_headers,
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in headers_for(scheme, given)]
    return b"\r\n".join([*lines, b"", bytes(response.body)])
