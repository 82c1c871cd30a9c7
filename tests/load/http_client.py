"""A lean HTTP/1.1 client for load: a connection that is kept, one request at a time, no more than our server needs.

A general client takes longer than the server, which on two cores would be most of what is measured.
"""

import asyncio
import hmac
import time
from hashlib import sha256

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "


class Connection(asyncio.Protocol):
    """Send requests and give their answers; one that breaks off raises ConnectionError."""

    def __init__(self) -> None:
        self._came = b""
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Give the answer when all of it is there."""
        came = self._came = self._came + data
        end = came.find(_END)
        if end < 0:
            return
        end += len(_END)
        place = came.find(_LENGTH, 0, end)
        if place >= 0:
            place += len(_LENGTH)
            end += int(came[place : came.find(b"\r", place)])
        if len(came) >= end:
            self._came = b""
            if self._answered is not None and not self._answered.done():
                self._answered.set_result((int(came[9:12]), came[came.find(_END) + len(_END) :]))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError("the server hung up"))

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return its answer's status and body."""
        if self._transport.is_closing():
            raise ConnectionResetError("the server had hung up")
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()


async def connect(port: int) -> Connection:
    """Return a new connection to a server on this machine; raises OSError."""
    _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return made


def request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    """Write a request; ``headers`` are lines, each with its end."""
    if body:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode() + body


_signed_at: dict[str, int] = {}


def signed(key: str, secret: str, method: str, path: str, body: bytes = b"", once: str = "") -> str:
    """Return the headers with which an API key signs a request now; ``once`` is its idempotency key.

    No two have one timestamp: of the same request they would be one signature, which is taken once.
    """
    stamp = _signed_at[key] = max(time.time_ns() // 1_000_000, _signed_at.get(key, 0) + 1)
    text = f"{stamp}\n{method}\n{path}\n\n{once}\n{sha256(body).hexdigest()}".encode()
    signature = hmac.digest(secret.encode(), text, sha256).hex()
    return f"HP-KEY: {key}\r\nHP-TIMESTAMP: {stamp}\r\nHP-SIGNATURE: {signature}\r\n"
