"""What is kept of every request: one line of the log, and its measures."""

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import Scope

from live.api.metrics import Metrics
from live.api.request_log import PRINCIPAL, log_request

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class Observed:
    """Log and measure each request under the template of its path: the path itself may carry what is private."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._templates: dict[int, tuple[BaseRoute, str]] = {}  # of routes by identity, which they keep

    def note(self, scope: Scope, template: str | None, status: int, seconds: float) -> None:
        """Note how a request ended; ``template`` is None where the framework found the route, if any."""
        route = template or self._template(scope)
        method = scope.get("method", "GET")  # a handshake has none in its scope
        method = method if method in _METHODS else "other"
        self._metrics.request(method, route, status, seconds)
        client = scope.get("client")
        address = client[0] if client else ""
        log_request(scope["request_id"], method, route, status, seconds, address, scope.get(PRINCIPAL))

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
