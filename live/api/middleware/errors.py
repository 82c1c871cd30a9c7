"""Every error a request ends with becomes a problem document; one that nobody foresaw is logged and told as 500."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.named_fields import name_field
from live.api.problems import Problem, problem_of, problem_response
from live.api.refusals import REFUSED

_log = structlog.get_logger("live.api")
_STOPPED = "the server stopped before this was answered"


async def answer_for(error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that ended with an error, or was broken off, before it was answered."""
    if isinstance(error, Exception):
        problem = _told(error, scope)
    elif scope["type"] == "http":
        problem = _stopped(scope["method"])
    else:
        return
    await problem_response(problem, scope["request_id"])(scope, receive, send)


class Errors:
    """Answer for what was raised in the framework, which would tell it in its own way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless half an answer is out: that cannot be mended, and the server cuts the connection."""
        began = False

        async def send_and_note(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if began:
                _told(error, scope)
                raise
            await answer_for(error, scope, receive, send)


def _told(error: Exception, scope: Scope) -> Problem:
    """Return the problem that an error is; log one that nobody foresaw."""
    problem: Problem = scope.get(REFUSED) or problem_of(error)
    name_field(problem, scope)
    if problem.status == 500 and problem is not error:
        _log.exception("unexpected", request_id=scope["request_id"], kind=type(error).__name__)
    return problem


def _stopped(method: str) -> Problem:
    """Return what to tell of a request that was broken off: one that changes something may have done so."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return Problem(503, "stopping", _STOPPED, headers={"Retry-After": "1"})
    return Problem(504, "outcome-unknown", f"{_STOPPED}; ask again with the same key")
