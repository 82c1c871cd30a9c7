"""The limit per address, before anything else is done for a request; those per user and key follow log-in."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.problems import Problem, problem_response
from live.api.rates import Rates, address_of

_FREE = frozenset(("/health", "/ready", "/metrics"))  # whatever watches the service must not be locked out


class RateLimits:
    """Count the request, and tell in every answer what is left."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not too much."""
        if scope["path"] in _FREE:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")

        async def send_with_limits(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message.get("headers", ()), *self._rates.headers(scope)]
            await send(message)

        try:
            await self._rates.charge(scope, "address", address_of(client[0]) if client else "")
        except Problem as problem:
            await problem_response(problem, scope["request_id"])(scope, receive, send_with_limits)
        else:
            await self._app(scope, receive, send_with_limits)
