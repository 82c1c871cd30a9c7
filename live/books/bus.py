"""The bus: how a command comes to the books and its answer back, the same wherever the books run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from live.books.commands import Answer, Command, NotAnswered
from live.books.events import BooksEvent, EventHub, Gap
from live.books.process import BooksProcess
from live.books.queries import Query
from live.settings import LiveSettings
from risk.errors import InvalidInput

_NO_BUS = "BUS_URL is not set; it must be the redis:// address where the books take commands"
PATIENCE_S = 10.0  # how long a command is waited for


class Bus(Protocol):
    """Carry commands to the books."""

    async def submit(self, command: Command) -> Answer:
        """Have a command carried out and committed; return its answer, or the first one given to its key.

        Raises Overloaded where it was not taken, KeyReused, or NotAnswered when its outcome is not known: then
        ask again with the same key. A command that nobody waits for any more may be dropped.
        """

    async def ask[V](self, query: Query[V]) -> V:
        """Return a view of the books; nothing is done or kept.

        Raises InvalidInput for a user or a symbol that is not there, Overloaded, or NotAnswered: then ask again.
        """


class InProcessBus:
    """Carry commands to the books of this process, whichever ``BooksProcess`` that is at the time.

    A command that one of them left unanswered is asked again of the next: its key makes that once.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self.events = EventHub()
        self._opened = False
        self._process: BooksProcess | None = None
        self._changed = asyncio.Event()
        self._closed = False

    def opened(self, process: BooksProcess) -> None:
        """Hand commands to ``process`` from now on, and pass on its events."""
        if self._opened:
            self.events.publish(Gap())  # what the last commit of the one before was is not known
        self._opened = True
        process.tell_events(self.events)
        self._process = process
        self._changed.set()

    def shut(self) -> None:
        """Keep commands until the books are open again."""
        self._process = None
        self._changed.clear()

    def close(self) -> None:
        """Leave what waits, and all that comes, unanswered."""
        self._process, self._closed = None, True
        self._changed.set()

    async def submit(self, command: Command, within_s: float | None = None) -> Answer:
        """Have a command carried out; ``within_s`` is for one that has been on its way already."""
        return await self._of_books(lambda process: process.submit(command), within_s)

    async def ask[V](self, query: Query[V], within_s: float | None = None) -> V:
        """Return a view of the books; ``within_s`` is for a query that has been on its way already."""
        return await self._of_books(lambda process: process.ask(query), within_s)

    async def _of_books[R](self, asking: Callable[[BooksProcess], Awaitable[R]], within_s: float | None) -> R:
        patience_s = self._patience_s if within_s is None else within_s
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    await self._changed.wait()
                    process = self._process
                    if process is None:
                        raise NotAnswered("the books have stopped; ask again with the same key")
                    try:
                        return await asking(process)
                    except NotAnswered:
                        if self._process is process:
                            self.shut()
                        if self._closed:
                            raise
        except TimeoutError:
            raise NotAnswered(
                f"the books did not answer within {patience_s:g} s; ask again with the same key"
            ) from None


@asynccontextmanager
async def open_bus(settings: LiveSettings, here: InProcessBus | None = None) -> AsyncIterator[Bus]:
    """Give the bus that ``settings`` name: over Redis with BUS_URL, else ``here``, that of this process's books.

    Raises InvalidInput without either, or when nothing answers at BUS_URL.
    """
    if settings.bus_url is not None:
        from live.books.redis_bus import redis_bus  # redis takes 0.2 s to import

        async with redis_bus(settings.bus_url) as bus:
            yield bus
    elif here is not None:
        yield here
    else:
        raise InvalidInput(_NO_BUS)


@asynccontextmanager
async def open_events(
    settings: LiveSettings, here: InProcessBus | None = None
) -> AsyncIterator[AsyncIterator[BooksEvent]]:
    """Give the events of the books that ``settings`` name, as ``open_bus`` does: an endless iterator, from now on.

    Raises InvalidInput without either, or when nothing answers at BUS_URL.
    """
    if settings.bus_url is not None:
        from live.books.redis_events import events_over_redis

        async with events_over_redis(settings.bus_url) as events:
            yield events
    elif here is not None:
        with here.events.listening() as listener:
            yield listener
    else:
        raise InvalidInput(_NO_BUS)
