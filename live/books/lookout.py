"""Watching the database of the books while nothing is committed, when nothing else would tell of its loss."""

import asyncio

import asyncpg

from live.books.process import BooksProcess
from live.ledger.writer import DatabaseLost, Fenced, reaching_database

_EVERY_S = 1.0


class Lookout:
    """End ``process`` as a failing commit does: at once where a connection of its own ends, else within seconds.

    ``looking`` is a connection that nobody else uses; no commit ever waits for it.
    """

    def __init__(self, process: BooksProcess, looking: asyncpg.Connection) -> None:
        self._process = process
        self._looking = looking

    def watch(self, *connections: asyncpg.Connection) -> None:
        """End the process with any of these."""
        for connection in connections:
            connection.add_termination_listener(self._ended)

    async def run(self) -> None:
        """Look every second whether the database answers, and whether the books are still ours; for ever."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                with reaching_database():
                    epoch = await self._looking.fetchval("select epoch from books_writer")
                if epoch != self._process.epoch:
                    raise Fenced(
                        f"the books were taken over: their epoch is {epoch}, not {self._process.epoch}"
                    )
        except Exception as error:
            self._process.give_up(error)

    def _ended(self, _: object) -> None:
        self._process.give_up(DatabaseLost("the database was lost: it ended our connection"))
