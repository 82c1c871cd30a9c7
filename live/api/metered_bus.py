"""The way to the books, with what goes over it measured."""

import time
from collections.abc import Awaitable

from live.api.metrics import Metrics
from live.books.bus import Bus
from live.books.commands import Answer, Command
from live.books.queries import Query
from risk.errors import HybridPerpsError

_CANCELLED = "cancelled"  # the client left before the answer


class MeteredBus:
    """Carry commands and queries, and note how long each took and what became of it."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self._waiting = 0
        metrics.gauge("books_waiting", "Commands and queries that wait for the books.", lambda: self._waiting)

    async def submit(self, command: Command) -> Answer:
        """Have a command carried out; see ``Bus``."""
        return await self._measured(type(command.asked).__name__, self._bus.submit(command))

    async def ask[V](self, query: Query[V]) -> V:
        """Return a view of the books; see ``Bus``."""
        return await self._measured(type(query).__name__, self._bus.ask(query))

    async def _measured[R](self, kind: str, asking: Awaitable[R]) -> R:
        began, outcome = time.perf_counter(), _CANCELLED
        self._waiting += 1
        try:
            found = await asking
            outcome = found.status if isinstance(found, Answer) else "DONE"
        except HybridPerpsError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._waiting -= 1
            self._metrics.command(kind, outcome, time.perf_counter() - began)
        return found
