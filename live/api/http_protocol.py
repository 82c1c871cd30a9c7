"""How bytes become requests: the server's own way, with a bound on what comes before a body, and answers sent whole."""

import asyncio
from typing import Any, Literal

LARGEST_HEAD = 65_536


class Joined:
    """Be a transport whose writes of one turn of the loop leave together: an answer's head and body in one packet.

    Each write by itself would be a system call, which takes longer than most of what a request does here.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self.whole: Any = transport
        self._waiting: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the transport itself."""
        return getattr(self.whole, name)

    def write(self, data: bytes) -> None:
        """Write with what else this turn brings."""
        if not self._waiting:
            self._call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Write now what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.whole.write(b"".join(waiting))

    def close(self) -> None:
        """Close once all is written."""
        self.flush()
        self.whole.close()


def http_protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    """Return the protocol that cuts off a request whose head does not end; where httptools is missing, h11 does."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:  # Windows
        return "auto"

    class BoundedHead(HttpToolsProtocol):
        """Count what came of a head: the parser keeps all of it, however long it is."""

        _in_head = False
        _came = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin, with answers sent whole."""
            super().connection_made(Joined(transport))  # type: ignore[arg-type]

        def handle_websocket_upgrade(self) -> None:
            """Hand the connection itself over."""
            self.transport.flush()  # type: ignore[attr-defined]
            self.transport = self.transport.whole  # type: ignore[attr-defined]
            super().handle_websocket_upgrade()

        def on_message_begin(self) -> None:
            """Begin to count."""
            self._in_head, self._came = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            """Count no more: bodies have a bound of their own."""
            self._in_head = False
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            """Read on, unless it was too much."""
            super().data_received(data)
            if self._in_head:
                self._came += len(data)
                if self._came > LARGEST_HEAD and not self.transport.is_closing():
                    self.send_400_response("the head of the request is too large")

    return BoundedHead
