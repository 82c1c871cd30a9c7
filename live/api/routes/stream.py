"""Where the stream is."""

from fastapi import APIRouter, WebSocket

from live.api.services import Using
from live.api.stream.connection import Connection

router = APIRouter()


@router.websocket("/stream")
async def stream(websocket: WebSocket, using: Using) -> None:
    """Tell of orders, fills, positions, liquidations, balances and marks as they change (live.api.stream)."""
    await Connection(websocket, using, using.stream).run()
