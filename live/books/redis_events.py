"""The books' events over Redis: one capped stream, whose entries are numbered so that a reader notices a gap."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as redis
import stamina

from live.books.bus_wire import BLOCK_MS, LOST, connect, reach
from live.books.events import BooksEvent, EventHub, Gap

EVENTS = "hybrid-perps:events"
_KEPT = 4_096  # entries
_AT_ONCE = 64
_PAUSE_S = 0.05
_START = b"0-0"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[BooksEvent]).decode


async def publish_events(client: redis.Redis, hub: EventHub) -> None:
    """Write what the hub tells until cancelled; while Redis is lost events wait, and then a Gap is told."""
    publisher, number = uuid.uuid4().hex, 0
    with hub.listening() as listener:
        while True:
            events = await listener.some(_AT_ONCE)
            number += 1
            fields: Any = {"publisher": publisher, "number": number, "events": _encode(events)}
            async for attempt in stamina.retry_context(
                on=LOST, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0, wait_jitter=0.05
            ):
                with attempt:  # written twice, it has the same number twice
                    await client.xadd(EVENTS, fields, maxlen=_KEPT)


async def _tail(client: redis.Redis) -> tuple[bytes, tuple[bytes, int] | None]:
    """Return the id of the last entry, and its publisher and number."""
    found: Any = await client.xrevrange(EVENTS, count=1)
    return (found[0][0], _numbered(found[0][1])) if found else (_START, None)


def _numbered(fields: dict[bytes, bytes]) -> tuple[bytes, int]:
    return fields[b"publisher"], int(fields[b"number"])


async def _read(
    client: redis.Redis, last: bytes, before: tuple[bytes, int] | None
) -> AsyncGenerator[BooksEvent]:
    """Give the events after entry ``last``, which was ``before``, through restarts of Redis."""
    while True:
        try:
            found: Any = await client.xread({EVENTS: last}, count=_AT_ONCE, block=BLOCK_MS)
        except LOST:
            await asyncio.sleep(_PAUSE_S)
            last = await _after_loss(client, last)
            continue
        for _, entries in found:
            for entry, fields in entries:
                last = entry
                publisher, number = _numbered(fields)
                if before is not None and before[0] == publisher and number <= before[1]:
                    continue
                if before is not None and (publisher, number - 1) != before:
                    yield Gap()
                before = publisher, number
                for event in _decode(fields[b"events"]):
                    yield event


async def _after_loss(client: redis.Redis, last: bytes) -> bytes:
    """Return from where to read on: from the start where the stream is a younger one than we read."""
    try:
        tail, _ = await _tail(client)
    except LOST:
        return last
    return last if _place(tail) >= _place(last) else _START


def _place(entry: bytes) -> tuple[int, ...]:
    return tuple(map(int, entry.split(b"-")))


@asynccontextmanager
async def events_over_redis(url: str) -> AsyncIterator[AsyncIterator[BooksEvent]]:
    """Listen to the books that serve ``url``, from now on; raises InvalidInput when no Redis answers there."""
    async with connect(url) as client:
        await reach(client, url)
        async with aclosing(_read(client, *await _tail(client))) as events:
            yield events
