"""The hub: hands what the books commit to the connections of whom it concerns, and ends connections that are over."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg

from live.api.service_level import ServiceLevel
from live.api.stream.protocol import (
    GOING_AWAY,
    INTERNAL,
    NOT_AUTHENTICATED,
    TOO_MANY,
    TRY_LATER,
    Closing,
    Missed,
)
from live.api.stream.updates import MarkItem, MissedReader, Update, mark_item
from live.books.events import BooksEvent, Committed, Gap, Marks
from live.identity.endings import Endings
from live.tasks import end

if TYPE_CHECKING:
    from live.api.stream.connection import Connection

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bound connections (of a user, of an address without a user, in all) and what one may do.

    ``waiting`` messages may wait for a connection; its client may say ``said_per_minute``. Who has not said who
    it is, nor what it wants, after ``silent_s`` is sent away, and who does not take a message for ``send_s`` is
    too slow. ``check_s`` is how often is looked whose session ended.
    """

    of_user: int = 20
    of_address: int = 50
    in_all: int = 5_000
    waiting: int = 1_000
    said_per_minute: int = 240
    silent_s: float = 10.0
    send_s: float = 20.0
    heartbeat_s: float = 15.0
    check_s: float = 1.0


class StreamHub:
    """Know all connections of this process; ``seq`` is the last commit they were told of."""

    def __init__(
        self, pool: asyncpg.Pool, endings: Endings, level: ServiceLevel, limits: StreamLimits
    ) -> None:
        self.reader = MissedReader(pool)
        self.endings = endings
        self.limits = limits
        self._level = level
        self.seq = -1
        self.marks: dict[str, MarkItem] = {}
        self._broken = False
        self._connections: set[Connection] = set()
        self._of_user: defaultdict[str, set[Connection]] = defaultdict(set)
        self._of_address: defaultdict[str, set[Connection]] = defaultdict(set)

    # -- connections

    def join(self, connection: "Connection") -> None:
        """Add a connection that nobody is known to be behind yet; raises Closing where there are too many."""
        if self._broken:
            raise Closing(INTERNAL, "the stream cannot be served now; read over HTTP")
        if self._level.closed:
            raise _closed()
        if len(self._connections) >= self.limits.in_all:
            raise Closing(TOO_MANY, "too many connections; try again later")
        strangers = self._of_address[connection.address]
        if len(strangers) >= self.limits.of_address:
            raise Closing(
                TOO_MANY, f"an address may have {self.limits.of_address} connections without a user"
            )
        self._connections.add(connection)
        strangers.add(connection)

    def identify(self, connection: "Connection", user: str) -> None:
        """Make a connection one of ``user``, who may have only so many: raises Closing."""
        if len(self._of_user[user]) >= self.limits.of_user:
            raise Closing(TOO_MANY, f"a user may have {self.limits.of_user} connections")
        self._of_user[user].add(connection)
        self._forget(self._of_address, connection.address, connection)

    def leave(self, connection: "Connection") -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._forget(self._of_address, connection.address, connection)
        if connection.principal is not None:
            self._forget(self._of_user, connection.principal.user, connection)

    def close(self) -> None:
        """End all connections: their clients are to come back later."""
        for connection in list(self._connections):
            connection.drop(Closing(GOING_AWAY, "the server stops; come back and subscribe with after"))

    def watch(self, task: "asyncio.Task[None]") -> None:
        """Serve no streams any more if ``task`` ends by an error: a silent one would pass for an idle one."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the stream ended", exc_info=error)
            self._broken = True
            self.close()

    # -- what the books tell

    async def tell(self, events: AsyncIterator[BooksEvent]) -> None:
        """Tell the connections of events, which began before ``seq`` was read from the database; for ever."""
        async for event in events:
            match event:
                case Committed():
                    self._committed(event)
                case Marks():
                    self._marked(event)
                case Gap():
                    self._missed()

    def _committed(self, event: Committed) -> None:
        if event.seq <= self.seq:
            return
        if event.level is not None:
            self._level.tell(event.level)
        for user in event.users.keys() & self._of_user.keys():
            update = Update(event.seq, event.users[user])
            for connection in self._of_user[user]:
                connection.push(update)
        self.seq = event.seq

    def _marked(self, event: Marks) -> None:
        """Tell of marks; of those a connection has not taken yet the last is kept."""
        marks = {each.symbol: mark_item(each) for each in event.marks}
        self.marks |= marks
        for connection in self._connections:
            connection.mark(marks)

    def _missed(self) -> None:
        """Have every connection read what it may not have been told of."""
        for connections in self._of_user.values():
            for connection in connections:
                connection.push(Missed(self.seq))

    # -- what time tells

    async def look_after(self) -> None:
        """End connections whose session ended, or that stay silent; for ever."""
        while True:
            await asyncio.sleep(self.limits.check_s)
            try:
                await self._end_some()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("streams were not looked after: %s", error)

    async def _end_some(self) -> None:
        if self._level.closed:
            for connection in self._connections:
                connection.drop(_closed())
            return
        sessions: set[str] = set()
        keys: set[tuple[str, datetime | None]] = set()
        for connection in self._connections:
            who = connection.principal
            if who is None:
                if connection.is_silent:
                    connection.drop(Closing(NOT_AUTHENTICATED, "nobody said who is there"))
            elif who.via == "session":
                sessions.add(who.id)
            else:
                keys.add((who.id, connection.key_changed_at))
        if not sessions and not keys:
            return
        ended = await self.endings.ended(sessions, keys)
        if ended:
            for connection in list(self._connections):
                if connection.principal is not None and connection.principal.id in ended:
                    connection.drop(Closing(NOT_AUTHENTICATED, "the session or API key was ended"))

    def _forget(
        self, where: "defaultdict[str, set[Connection]]", name: str, connection: "Connection"
    ) -> None:
        where[name].discard(connection)
        if not where[name]:
            del where[name]


def _closed() -> Closing:
    return Closing(TRY_LATER, "the service is closed for now; come back and subscribe with after")


@asynccontextmanager
async def open_stream(
    pool: asyncpg.Pool,
    endings: Endings,
    events: AbstractAsyncContextManager[AsyncIterator[BooksEvent]],
    level: ServiceLevel,
    limits: StreamLimits | None = None,
) -> AsyncIterator[StreamHub]:
    """Give the hub of this process, which tells of ``events`` while the block lasts."""
    hub = StreamHub(pool, endings, level, limits or StreamLimits())
    async with events as heard:
        hub.seq = await hub.reader.current()  # after we listen: no commit is between the two
        tasks = {asyncio.create_task(hub.tell(heard)), asyncio.create_task(hub.look_after())}
        for task in tasks:
            task.add_done_callback(hub.watch)
        try:
            yield hub
        finally:
            hub.close()
            await end(*tasks)
