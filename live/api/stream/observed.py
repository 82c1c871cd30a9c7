"""What is kept of every stream: its lines in the log, and its measures."""

import time

import structlog
from starlette.websockets import WebSocket

from live.api.metrics import Metrics
from live.api.stream.protocol import Closing
from live.identity.principal import Principal

_log = structlog.get_logger("live.api.stream")
_LEFT = "left"  # in the place of a close code: a client's own may be anything


class ObservedStream:
    """Note one connection's beginning and end, and whose it was."""

    def __init__(self, websocket: WebSocket, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.monotonic()
        address = websocket.client.host if websocket.client else ""
        self._fields = {"request_id": websocket.scope["request_id"], "address": address}

    def opened(self) -> None:
        """Note that it began."""
        self._metrics.stream_opened()
        _log.info("stream opened", **self._fields)

    def identified(self, who: Principal) -> None:
        """Note whose it is."""
        self._fields |= who.log_fields()
        _log.info("stream identified", **self._fields)

    def closed(self, closing: Closing | None) -> None:
        """Note how it ended; None says that its client left."""
        code = _LEFT if closing is None else str(closing.code)
        self._metrics.stream_closed(code)
        _log.info(
            "stream closed", **self._fields, code=code, seconds=round(time.monotonic() - self._began, 3)
        )
