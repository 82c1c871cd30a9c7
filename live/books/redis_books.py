"""The bus over Redis Streams, on the side of the books: commands in, and out of the stream when answered.

An entry that is not acknowledged, for whatever reason, is delivered again; its key makes that harmless.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis
import stamina

from live.books.bus import InProcessBus
from live.books.bus_wire import (
    BLOCK_MS,
    COMMAND_FIELD,
    COMMANDS,
    CONSUMER,
    GROUP,
    LOST,
    REPLIES_FIELD,
    REPLIES_KEPT_S,
    Envelope,
    Outcome,
    Reply,
    connect,
    reach,
    read_envelope,
    replies_to,
    write_replies,
)
from live.books.commands import NotAnswered, invalid
from live.books.redis_events import publish_events
from live.tasks import end
from risk.errors import HybridPerpsError, InvalidInput

_READ_AT_ONCE = 256
_AT_WORK = 4_096  # less than the books' own queue
_REPLIES_KEPT = 4_096  # a client has no more commands on the way
_CLAIM_EVERY_S = 2.0
_CLAIM_IDLE_MS = 5_000  # another process that was fenced off may have read an entry and never answer it
_DRAIN_S = 5.0
_PAUSE_S = 0.05
_EXISTS = "BUSYGROUP"

_log = logging.getLogger(__name__)
_Entry = tuple[bytes, dict[bytes, bytes]]


class RedisBooks:
    """Hand the commands that wait in Redis to the books, and their answers back."""

    def __init__(self, client: redis.Redis, books: InProcessBus) -> None:
        self._redis = client
        self._books = books
        self._stopping = False
        self._reset()
        self.running = asyncio.create_task(self._run())

    def _reset(self) -> None:
        self._at_work: set[bytes] = set()
        self._done: list[tuple[bytes, str, Reply | None]] = []
        self._wake = asyncio.Event()
        self._finished = asyncio.Event()  # some entries left ``at_work``
        self._reader: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        """Work until cancelled, through restarts of Redis."""
        while not self._stopping:
            await self._reach_again()
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    tasks.create_task(self._reply())
                    self._reader = tasks.create_task(self._read())
            except* LOST as lost:
                _log.warning("the bus was lost: %s", lost.exceptions[0])
                await asyncio.sleep(_PAUSE_S)
            finally:
                self._finished.set()  # nobody waits for what this connection began
                self._reset()

    async def drain(self) -> None:
        """Take nothing more, and let what was taken be answered."""
        self._stopping = True
        if self._reader is None:
            return
        self._reader.cancel()
        try:
            async with asyncio.timeout(_DRAIN_S):
                while self._at_work:
                    self._finished.clear()
                    await self._finished.wait()
        except TimeoutError:
            _log.warning("%d commands are left to the next books", len(self._at_work))

    async def _reach_again(self) -> None:
        async for attempt in stamina.retry_context(
            on=LOST, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0, wait_jitter=0.05
        ):
            with attempt:
                try:
                    await self._redis.xgroup_create(COMMANDS, GROUP, id="0", mkstream=True)
                except redis.ResponseError as error:
                    if _EXISTS not in str(error):
                        raise
                seconds, micros = await self._redis.time()
                self._clock_ms = seconds * 1000 + micros // 1000 - time.monotonic_ns() // 1_000_000

    # -- in

    async def _read(self) -> None:
        await self._claim(0)
        claimed = time.monotonic()
        while True:
            while (room := _AT_WORK - len(self._at_work)) <= 0:
                self._finished.clear()
                await self._finished.wait()
            found: Any = await self._redis.xreadgroup(
                GROUP, CONSUMER, {COMMANDS: ">"}, count=min(room, _READ_AT_ONCE), block=BLOCK_MS
            )
            for _, entries in found:
                self._take(entries)
            if time.monotonic() - claimed > _CLAIM_EVERY_S:
                await self._claim(_CLAIM_IDLE_MS)
                claimed = time.monotonic()

    async def _claim(self, idle_ms: int) -> None:
        """Take over what was read that long ago and not answered, be it by us or by a process that is gone."""
        start = b"0-0"
        while True:
            claimed: Any = await self._redis.xautoclaim(
                COMMANDS, GROUP, CONSUMER, idle_ms, start_id=start, count=_READ_AT_ONCE
            )
            start, entries, *_ = claimed
            self._take(entries)
            if start == b"0-0":
                return

    def _take(self, entries: Sequence[_Entry]) -> None:
        for entry, fields in entries:
            if entry not in self._at_work:
                self._at_work.add(entry)
                self._tasks.create_task(self._carry_out(entry, fields))

    async def _carry_out(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        try:
            envelope = read_envelope(fields.get(COMMAND_FIELD, b""))
        except InvalidInput as error:
            _log.warning("entry %s of %s is dropped: %s", entry.decode(), COMMANDS, error)
            self._done.append((entry, "", None))
        else:
            reply = Reply.of(envelope.number, await self._outcome(entry, envelope))
            self._done.append((entry, envelope.client, reply))
        self._wake.set()

    async def _outcome(self, entry: bytes, envelope: Envelope) -> Outcome:
        """Ask the books, but nothing that nobody waits for any more: the market may have moved since."""
        sent_ms = int(entry.partition(b"-")[0])
        now_ms = self._clock_ms + time.monotonic_ns() // 1_000_000
        left_ms = sent_ms + envelope.patience_ms - now_ms
        if left_ms <= 0:
            return NotAnswered("the command came too late; ask again with the same key")
        try:
            query = envelope.query()
            if query is not None:
                return await self._books.ask(query, left_ms / 1000)
        except HybridPerpsError as error:
            return error
        try:
            command = envelope.command()
        except InvalidInput as error:
            return invalid(str(error))
        try:
            return await self._books.submit(command, left_ms / 1000)
        except HybridPerpsError as error:
            return error

    # -- out

    async def _reply(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            done, self._done = self._done, []
            for first in range(0, len(done), _READ_AT_ONCE):
                await self._reply_to(done[first : first + _READ_AT_ONCE])

    async def _reply_to(self, done: Sequence[tuple[bytes, str, Reply | None]]) -> None:
        """Answer first, acknowledge after: what comes between is answered once more."""
        replies: dict[str, list[Reply]] = defaultdict(list)
        for _, client, reply in done:
            if reply is not None:
                replies[client].append(reply)
        entries = [entry for entry, _, _ in done]
        async with self._redis.pipeline(transaction=False) as pipe:
            for client, of_client in replies.items():
                stream = replies_to(client)
                pipe.xadd(stream, {REPLIES_FIELD: write_replies(of_client)}, maxlen=_REPLIES_KEPT)
                pipe.expire(stream, REPLIES_KEPT_S)
            pipe.xack(COMMANDS, GROUP, *entries)
            pipe.xdel(COMMANDS, *entries)
            await pipe.execute()
        self._at_work.difference_update(entries)
        self._finished.set()


@asynccontextmanager
async def serving_redis(url: str, books: InProcessBus) -> AsyncIterator[RedisBooks]:
    """Serve the commands that come over ``url`` while the block lasts; ``drain`` before its end for all answers.

    Its task ``running`` ends early only by a fault. Raises InvalidInput when no Redis answers.
    """
    async with connect(url) as client:
        await reach(client, url)
        served = RedisBooks(client, books)
        telling = asyncio.create_task(publish_events(client, books.events))
        telling.add_done_callback(lambda _: served.running.cancel())  # listeners must not wait for ever
        try:
            yield served
        finally:
            await end(served.running, telling)
        if not telling.cancelled() and (error := telling.exception()) is not None:
            raise error
