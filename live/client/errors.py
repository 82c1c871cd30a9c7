"""What a client raises."""

from collections.abc import Sequence

import httpx
import msgspec

_RETRY_AFTER = "retry-after"


class FieldError(msgspec.Struct, frozen=True):
    """Say what is wrong with one field of a request."""

    field: str
    detail: str


class _Document(msgspec.Struct, frozen=True):
    status: int
    code: str
    detail: str
    instance: str = ""
    errors: tuple[FieldError, ...] = ()


class ClientError(Exception):
    """Be the base of what a client raises."""


class ApiProblem(ClientError):
    """Say that a request was not done, in the words of the server (RFC 9457); programs look at ``code``.

    ``request_id`` names the request to whoever runs the server; ``retry_after_s`` says when to come again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NoAnswer(ClientError):
    """Say that nobody answered for as long as the client has patience: a command may be done or not.

    ``key`` is the command's; asked again with it, it is done once.
    """

    def __init__(self, what: str, key: str | None, why: str) -> None:
        again = "" if key is None else f"; ask again with key={key!r}"
        super().__init__(f"{what} was not answered: {why}{again}")
        self.key = key


class SecondFactorNeeded(ClientError):
    """Say that a log-in wants a code: hand ``challenge`` to ``give_second_factor``."""

    def __init__(self, challenge: str, expires_in: int) -> None:
        super().__init__("the log-in needs a code of the authenticator")
        self.challenge = challenge
        self.expires_in = expires_in


class StreamClosed(ClientError):
    """Say that the server ended the stream for good, with its code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the stream was closed with {code}: {reason}")
        self.code = code
        self.reason = reason


def problem_of(answer: httpx.Response) -> ApiProblem:
    """Return the problem that an answer tells, or that it is no answer of this API."""
    retry = answer.headers.get(_RETRY_AFTER, "")
    retry_after_s = float(retry) if retry.isdigit() else None
    try:
        told = msgspec.json.decode(answer.content, type=_Document)
    except msgspec.MsgspecError:
        detail = f"the answer was no problem document: {answer.text[:200]!r}"
        told = _Document(answer.status_code, "unreadable", detail)
    return ApiProblem(
        answer.status_code,
        told.code,
        told.detail,
        errors=told.errors,
        request_id=told.instance,
        retry_after_s=retry_after_s,
    )
