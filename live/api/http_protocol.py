"""How bytes become requests: the server's own way, with a bound on what comes before a body."""

import asyncio
from typing import Literal

LARGEST_HEAD = 65_536


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
