"""Whether the service is closed to users: level 3 of rulebook §10."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from live.ledger.writer import LOST
from live.tasks import end
from risk.service import CLOSED

_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class ServiceLevel:
    """Know whether users are served, as last heard from the books' events or read from the database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.closed = False
        self._pool = pool
        self._told = 0  # how often the books said

    def tell(self, level: int) -> None:
        """Take the level that the books have just committed."""
        self._told += 1
        self.closed = level >= CLOSED

    async def read(self) -> None:
        """Read the level in force; what the books say meanwhile is newer."""
        told = self._told
        level = await self._pool.fetchval("select level from service_levels order by id desc limit 1")
        if told == self._told:
            self.closed = level is not None and level >= CLOSED

    async def watch(self) -> None:
        """Read it again and again, lest an event was missed; for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.read()
            except LOST as error:
                _log.warning("the level of service was not read: %s", error or type(error).__name__)
            except Exception:
                _log.exception("the level of service was not read")


@asynccontextmanager
async def open_service_level(pool: asyncpg.Pool) -> AsyncIterator[ServiceLevel]:
    """Give the level of service, kept up to date while the block lasts."""
    level = ServiceLevel(pool)
    await level.read()
    watching = asyncio.create_task(level.watch())
    try:
        yield level
    finally:
        await end(watching)
