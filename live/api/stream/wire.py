"""How a stream ends on the wire: its last word waits for nobody, and who is silent or left behind hears it too.

A client that is too slow has a full buffer before it. The close frame is put behind that, and the connection kept
for a while, so that whoever reads on at last is told.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidUpgrade
from websockets.http11 import Request, Response

from live.api.problems import Problem
from live.api.refusals import REFUSED, refusal
from live.api.stream.protocol import GOING_AWAY, TOO_SLOW, Closing

CLOSING = (
    "closing"  # in a websocket.disconnect: how the application is to end a connection that is still there
)
LINGER_S = 60.0  # for a client to read up to the close frame
_STOPPING_S = 1.0  # for its answer to it, when the server stops
_NO_HANDSHAKE = Problem(
    400, "malformed", "the handshake of a WebSocket must be a GET with a short head and no body"
)
_STOPPING = Problem(503, "stopping", "the server stops; come back", headers={"Retry-After": "1"})


class StreamProtocol(WebSocketsSansIOProtocol):
    """Be the server's own protocol but for the end."""

    _lingering: asyncio.TimerHandle | None = None

    async def send(self, message: Any) -> None:
        """Send once there is room; a close at once, for nothing follows it."""
        if message["type"] == "websocket.close" and self.handshake_complete:
            self.writable.set()
            if self._lingering is None and not self.disconnected:
                self._lingering = self.loop.call_later(LINGER_S, self.transport.abort)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # it was answered, which the server does not see by itself

    def data_received(self, data: bytes) -> None:
        """Read on; a handshake that cannot be read, as it is too long or no GET, is refused."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse(_NO_HANDSHAKE)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Have the application tell what is wrong with a handshake, as it does of other requests."""
        problem = self._problem_of(event)
        if problem is not None:
            vars(self.conn)["accept"] = lambda _: Response(101, "", Headers())  # never sent
        super().handle_connect(event)
        if problem is not None:
            self.scope[REFUSED] = problem  # type: ignore[literal-required]

    def _problem_of(self, handshake: Request) -> Problem | None:
        try:
            self.conn.process_request(handshake)
        except InvalidUpgrade as error:
            return Problem(426, "upgrade-required", _text(error), headers={"Upgrade": "websocket"})
        except (InvalidHandshake, UnicodeError) as error:
            detail = _text(error) if isinstance(error, InvalidHandshake) else "a header is not ASCII"
            return Problem(400, "malformed", detail, headers={"Sec-WebSocket-Version": "13"})
        return None

    def keepalive_timeout(self) -> None:
        """Have a client that does not answer a ping told that it is too slow: it may be there, and not reading."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self._end(Closing(TOO_SLOW, "too slow"))

    def shutdown(self) -> None:
        """Have the client told that the server stops."""
        if self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            self.close_timeout = _STOPPING_S
            self._end(Closing(GOING_AWAY, "the server stops; come back and subscribe with after"))
        else:
            super().shutdown()

    def send_500_response(self) -> None:
        """Have the client told that the server stops before the handshake was answered: all else was."""
        if not self.initial_response and not self.handshake_complete:
            self.handshake_complete = self.disconnected = True
            self._refuse(_STOPPING)

    def _refuse(self, problem: Problem) -> None:
        known: Any = getattr(self, "scope", {})
        answer = refusal(
            problem,
            request_id=known.get("request_id"),
            address=self.client[0] if self.client else "",
            scheme=self.scheme,
            headers=self.default_headers,
        )
        self.transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Linger no longer."""
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def _end(self, closing: Closing) -> None:
        left: Any = {"type": "websocket.disconnect", "code": closing.code, CLOSING: closing}
        self.queue.put_nowait(left)


def _text(error: InvalidHandshake) -> str:
    """Return what an error says, where it quotes a header's bytes that are no text with marks for those."""
    return str(error).encode(errors="replace").decode()
