"""The bus over Redis Streams, on the side of whoever asks."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio as redis
import stamina

from live.books.bus import PATIENCE_S
from live.books.bus_wire import (
    BLOCK_MS,
    COMMANDS,
    LOST,
    REPLIES_FIELD,
    REPLIES_KEPT_S,
    connect,
    reach,
    read_replies,
    replies_to,
    write_command,
)
from live.books.commands import Answer, Command, NotAnswered, Overloaded
from live.books.known_answers import settle
from live.books.queries import Query, View
from live.tasks import end

_SENT_AT_ONCE = 256
_READ_AT_ONCE = 64
_PAUSE_S = 0.05  # before a connection that answers, but fails at once, is tried again

# Take commands while there is room; return how many were taken.
_SEND = """
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local taken = 0
for place = 2, #ARGV do
  if taken >= room then break end
  redis.call('XADD', KEYS[1], '*', 'command', ARGV[place])
  taken = taken + 1
end
return taken
"""


@dataclass(frozen=True, slots=True)
class BusLimits:
    """Bound the commands that wait for the books, those of one client, and how long an answer is waited for."""

    waiting: int = 20_000
    of_client: int = 4_000
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class _Asked:
    """Remember a command until it is answered."""

    command: Command | Query[View]
    until: float  # by the loop's clock
    answered: "asyncio.Future[Any]"
    maybe_sent: bool = False


class RedisBus:
    """Send commands to the books and take their answers, over as many connections as it takes.

    After a lost connection whatever is unanswered is sent again: the books answer a key once.
    """

    def __init__(self, client: redis.Redis, limits: BusLimits) -> None:
        self._redis = client
        self._limits = limits
        self._name = uuid.uuid4().hex
        self._replies = replies_to(self._name)
        self._numbers = 0
        self._asked: dict[int, _Asked] = {}
        self._unsent: deque[int] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    async def submit(self, command: Command) -> Answer:
        """Have a command carried out by the books, wherever they run."""
        return cast("Answer", await self._carry(command))

    async def ask[V](self, query: Query[V]) -> V:
        """Return a view of the books, wherever they run."""
        return cast("V", await self._carry(cast("Query[View]", query)))

    async def _carry(self, command: Command | Query[View]) -> object:
        if self._closed:
            raise NotAnswered("the bus is closed; ask again with the same key")
        if len(self._asked) >= self._limits.of_client:
            raise Overloaded(f"{len(self._asked)} commands wait here already; try again later")
        loop, patience_s = asyncio.get_running_loop(), self._limits.patience_s
        self._numbers += 1
        number = self._numbers
        asked = self._asked[number] = _Asked(command, loop.time() + patience_s, loop.create_future())
        self._unsent.append(number)
        self._wake.set()
        try:
            async with asyncio.timeout(patience_s):
                return await asked.answered
        except TimeoutError:
            raise NotAnswered(
                f"the books did not answer within {patience_s:g} s; ask again with the same key"
            ) from None
        finally:
            del self._asked[number]

    async def run(self) -> None:
        """Carry commands and answers until cancelled."""
        try:
            while True:
                await self._reach_again()
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._send())
                        tasks.create_task(self._receive())
                except* LOST:
                    await asyncio.sleep(_PAUSE_S)
        finally:
            self._closed = True
            for asked in self._asked.values():
                settle(asked.answered, NotAnswered("the bus was closed; ask again with the same key"))

    async def _reach_again(self) -> None:
        """Wait for a Redis that can be written to, then have all that is unanswered sent."""
        async for attempt in stamina.retry_context(
            on=LOST, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0, wait_jitter=0.05
        ):
            with attempt:
                await self._redis.expire(self._replies, REPLIES_KEPT_S)  # a write: no replica takes it
        self._unsent = deque(self._asked)
        self._wake.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsent:
                await self._send_some()

    async def _send_some(self) -> None:
        now = asyncio.get_running_loop().time()
        sending: list[_Asked] = []
        texts: list[bytes] = []
        while self._unsent and len(sending) < _SENT_AT_ONCE:
            number = self._unsent.popleft()
            asked = self._asked.get(number)
            if asked is not None:
                sending.append(asked)
                texts.append(write_command(self._name, number, asked.until - now, asked.command))
        try:
            taken = await self._redis.eval(_SEND, 1, COMMANDS, self._limits.waiting, *texts)
        except LOST:
            for asked in sending:
                asked.maybe_sent = True
            raise
        for asked in sending[:taken]:
            asked.maybe_sent = True
        for asked in sending[taken:]:
            if not asked.maybe_sent:  # else an earlier sending of it may wait there, or be done
                settle(
                    asked.answered,
                    Overloaded(f"{self._limits.waiting} commands wait already; try again later"),
                )

    async def _receive(self) -> None:
        last: bytes = b"0"
        while True:
            found: Any = await self._redis.xread({self._replies: last}, count=_READ_AT_ONCE, block=BLOCK_MS)
            for _, entries in found:
                for entry, fields in entries:
                    last = entry
                    for reply in read_replies(fields[REPLIES_FIELD]):
                        asked = self._asked.get(reply.number)
                        if asked is not None:
                            settle(asked.answered, reply.outcome(asked.command))


@asynccontextmanager
async def redis_bus(url: str, limits: BusLimits | None = None) -> AsyncIterator[RedisBus]:
    """Give a bus to the books that take commands at ``url``; raises InvalidInput when no Redis answers there."""
    async with connect(url) as client:
        await reach(client, url)
        bus = RedisBus(client, limits or BusLimits())
        running = asyncio.create_task(bus.run())
        try:
            yield bus
        finally:
            await end(running)
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error
