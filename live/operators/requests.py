"""What operators asked for under which key: the same key belongs to one request."""

from hashlib import sha256
from typing import Any

import msgspec

from live.books.commands import KeyReused
from live.identity.moments import moment

_encode = msgspec.json.Encoder(order="sorted").encode


def digest_of(act: str, *asked: Any) -> bytes:
    """Return a hash of what is asked for; ``asked`` are values that JSON can write."""
    return sha256(_encode((act, *asked))).digest()


async def is_known(connection: Any, key: str, request: bytes) -> bool:
    """Tell whether a request came before under its key; raises KeyReused where another did."""
    found = await connection.fetchval("select request from access.operator_requests where key = $1", key)
    if found is not None and found != request:
        raise reused(key)
    return found is not None


async def keep(connection: Any, key: str, request: bytes, now: int) -> bool:
    """Note a request under its key; tell whether it is the first time. Raises KeyReused."""
    first = await connection.fetchval(
        """insert into access.operator_requests (key, request, created_at) values ($1, $2, $3)
        on conflict do nothing returning true""",
        *(key, request, moment(now)),
    )
    return bool(first) or not await is_known(connection, key, request)


def reused(key: str) -> KeyReused:
    """Return the error that a key came with another request."""
    return KeyReused(f"idempotency key {key!r} came with another request before; use a new one")
