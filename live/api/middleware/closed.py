"""While the service is closed (rulebook §10, level 3) users are told so, and nothing of theirs reaches the books."""

from starlette.types import ASGIApp, Receive, Scope, Send

from live.api.problems import Problem
from live.api.service_level import ServiceLevel

_OPEN = frozenset(("/health", "/ready", "/metrics", "/docs", "/openapi.json"))
_OPEN_UNDER = ("/v1/auth/", "/v1/operator/")  # who is to open it again must be let in
_RETRY_AFTER_S = "30"


class Closed:
    """Refuse what users ask for, 503; the stream refuses by itself, in its own words."""

    def __init__(self, app: ASGIApp, level: ServiceLevel) -> None:
        self._app = app
        self._level = level

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is served now."""
        if self._level.closed and scope["type"] == "http":
            path = scope["path"]
            if path not in _OPEN and not path.startswith(_OPEN_UNDER):
                raise Problem(
                    503,
                    "service-closed",
                    "the service is closed for now, and nothing was done; come back with the same key",
                    headers={"Retry-After": _RETRY_AFTER_S},
                )
        await self._app(scope, receive, send)
