"""What every request goes through, in one layer: a layer for each job would cost more than most of the jobs do."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.lean import LeanRequest, LeanRoutes
from live.api.metrics import Metrics
from live.api.middleware.bodies import Bodies
from live.api.middleware.closed import check_open
from live.api.middleware.errors import answer_for
from live.api.middleware.observed import Observed
from live.api.middleware.once import check_once
from live.api.middleware.request_id import HEADER, request_id_of
from live.api.middleware.security_headers import headers_for
from live.api.rates import Rates, address_of
from live.api.refusals import REFUSED

_FREE = frozenset(("/health", "/ready", "/metrics"))  # whatever watches the service must not be locked out


class Entrance:
    """Give a request its id, count it against its address, look at its body's head, answer its errors, and note it.

    Those of ``lean`` routes are served here, the others by ``framework``. ``is_closed`` tells whether the service
    is closed to users.
    """

    def __init__(
        self,
        framework: ASGIApp,
        lean: LeanRoutes,
        rates: Rates,
        metrics: Metrics,
        *,
        largest_body: int,
        is_closed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._framework = framework
        self.lean = lean
        self._rates = rates
        self._bodies = Bodies(largest_body)
        self._is_closed = is_closed
        self._observed = Observed(metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._framework(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        if (
            scope["method"] == "HEAD" and scope["path"] in _FREE
        ):  # load balancers ask so; the server sends no body
            scope = {**scope, "method": "GET"}
        headers = dict(reversed(scope["headers"]))  # of each name the first
        exit_ = Exit(scope, send, self._rates, request_id_of(headers))
        route = self.lean.find(scope["method"], scope["path"])
        try:
            if scope["path"] not in _FREE:
                await self._charge(scope)
            if len(headers) < len(scope["headers"]):
                check_once(scope["headers"])
            if self._is_closed():
                check_open(scope["path"])
            if self._bodies.check(headers):
                receive = await self._bodies.read(receive)
            if route is None:
                await self._framework(scope, receive, exit_.send)
            else:
                scope["route"] = route.route
                answer = await route.serve(LeanRequest(scope, receive, headers, route.parts))
                await answer(scope, receive, exit_.send)
        except (Exception, asyncio.CancelledError) as error:
            await self._end(error, scope, receive, exit_)
        finally:
            template = None if route is None else route.template
            self._observed.note(scope, template, exit_.status, perf_counter() - began)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        exit_ = Exit(scope, send, self._rates, request_id_of(dict(reversed(scope["headers"]))))
        try:
            await self._charge(scope)
            check_once(scope["headers"])
            if REFUSED in scope:
                raise scope[REFUSED]
            await self._framework(scope, receive, exit_.send)
        except (Exception, asyncio.CancelledError) as error:
            await self._end(error, scope, receive, exit_)
        finally:
            if exit_.status not in (0, 101):  # of those that began the stream tells by itself
                self._observed.note(scope, None, exit_.status, perf_counter() - began)

    async def _end(self, error: BaseException, scope: Scope, receive: Receive, exit_: "Exit") -> None:
        """Answer for an error where nothing was answered yet; raise it where it is not ours, or comes too late."""
        if not exit_.status:
            await answer_for(error, scope, receive, exit_.send)
            if isinstance(error, Exception):
                return
        raise error

    async def _charge(self, scope: Scope) -> None:
        client = scope.get("client")
        await self._rates.charge(scope, "address", address_of(client[0]) if client else "")


class Exit:
    """Send what is answered with the headers that every answer has; ``status`` is 0 until one began."""

    __slots__ = ("_rates", "_request_id", "_scope", "_send", "status")

    def __init__(self, scope: Scope, send: Send, rates: Rates, request_id: bytes) -> None:
        self.status = 0
        self._scope = scope
        self._send = send
        self._rates = rates
        self._request_id = request_id
        scope["request_id"] = request_id.decode()

    async def send(self, message: Message) -> None:
        """Send on."""
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
                message["headers"] = headers_for(self._scope["scheme"], self._headers(message))
            case "websocket.accept":
                self.status = 101
                message["headers"] = self._headers(message)
        await self._send(message)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        return [
            *message.get("headers", ()),
            *self._rates.headers(self._scope),
            (HEADER, self._request_id),
        ]
