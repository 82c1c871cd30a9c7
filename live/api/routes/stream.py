"""Where the stream is."""

from fastapi import APIRouter, Response, WebSocket

from live.api.problems import Problem, documented
from live.api.services import Using
from live.api.stream.connection import Connection

router = APIRouter(tags=["stream"])


@router.websocket("/stream")
async def stream(websocket: WebSocket, using: Using) -> None:
    """Tell of orders, fills, positions, liquidations, balances and marks as they change (live.api.stream)."""
    await Connection(websocket, using, using.stream).run()


@router.get(
    "/stream",
    status_code=101,
    response_class=Response,
    response_description="The connection is a WebSocket from here on.",
    responses=documented(426),
    summary="Open the stream, a WebSocket",
)
async def open_stream() -> None:
    """Follow what is yours, and the marks: open a WebSocket here; any other request is refused with 426.

    Say who you are, unless you want marks alone, and then what you want; each message is a JSON object:

    - `{"auth": {"token": "…"}}`, or `{"auth": {"key": "k…", "timestamp": "1790000000000", "signature": "…"}}`, signed
      as for GET /v1/stream, if you like with `"recv_window": "10000"`; each is text, as a header would be
    - `{"subscribe": ["orders", "fills", "positions", "liquidations", "balances", "marks"], "after": 1200}`: with
      `after`, the last `seq` you have seen, what you missed comes first
    - `{"unsubscribe": ["marks"]}`, `{"ping": 1}`

    What comes:

    - `{"type": "authenticated", "user": "…"}`, `{"type": "subscribed", "channels": […], "seq": 1207}`,
      `{"type": "unsubscribed", "channels": […]}`, `{"type": "pong", "ping": 1}`
    - `{"type": "update", "seq": 1208, "orders": […], "balances": […]}`: all that one commit changed, the items as the
      lists show them
    - `{"type": "marks", "marks": {"BTC": {"mark": "…", "bid": "…", "ask": "…"}}}`, at most every 250 ms
    - `{"type": "heartbeat", "seq": 1210}`: nothing up to there was left out
    - `{"type": "error", "code": "…", "detail": "…"}`

    It is closed with 4401 (not authenticated, or the session ended), 4403 (not permitted), 4408 (too slow; the reason
    has the `seq` up to which all was sent), 4429 (too many), 1001 (the server goes away: come back with `after`), 1003
    (a message that is not text), 1009 (one that is too long), 1011 (the stream cannot be served now: read over HTTP)
    or 1013 (the service is closed: come back with `after`).
    """
    raise Problem(
        426,
        "upgrade-required",
        "this is a WebSocket: connect with Upgrade: websocket",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )
