"""What is kept of every request: one line of the log, and its measures."""

import time

import structlog
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.metrics import Metrics

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class Observed:
    """Log and measure each request under the template of its path: the path itself may carry what is private."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._templates: dict[int, tuple[BaseRoute, str]] = {}  # of routes by identity, which they keep
        self._info = structlog.get_logger("live.api.access").bind().info  # bound once: a third of the cost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0  # of a request that its client left

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(method, route, status, seconds)
        client = scope.get("client")
        self._info(
            "request",
            request_id=scope["request_id"],
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            address=client[0] if client else "",
        )

    def _template(self, scope: Scope) -> str:
        """Return the template of a request's whole path; the route itself knows that of its router alone."""
        route = scope.get("route")
        if route is None:
            return "unmatched"
        if id(route) not in self._templates:
            self._templates = {
                id(found.original_route): (found.original_route, found.path or "")
                for found in iter_route_contexts(scope["app"].routes)
            }
        known = self._templates.get(id(route))
        return "unmatched" if known is None else known[1]
