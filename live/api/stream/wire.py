"""How a stream ends on the wire: its last word waits for nobody, and who is silent or left behind hears it too.

A client that is too slow has a full buffer before it. The close frame is put behind that, and the connection kept
for a while, so that whoever reads on at last is told.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from live.api.problems import Problem
from live.api.refusals import refusal
from live.api.stream.protocol import GOING_AWAY, TOO_SLOW, Closing

CLOSING = (
    "closing"  # in a websocket.disconnect: how the application is to end a connection that is still there
)
LINGER_S = 60.0  # for a client to read up to the close frame
_STOPPING_S = 1.0  # for its answer to it, when the server stops


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
            answer = refusal(
                Problem(
                    400,
                    "malformed",
                    "the handshake of a WebSocket must be a GET with a short head and no body",
                ),
                request_id=None,
                address=self.client[0] if self.client else "",
                scheme="https" if self.scheme == "wss" else "http",
                headers=self.default_headers,
            )
            self.transport.write(answer)
            self.transport.close()

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

    def connection_lost(self, exc: Exception | None) -> None:
        """Linger no longer."""
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def _end(self, closing: Closing) -> None:
        left: Any = {"type": "websocket.disconnect", "code": closing.code, CLOSING: closing}
        self.queue.put_nowait(left)
