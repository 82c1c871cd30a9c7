"""Whether requests can be served: each thing they need is tried, not asked about."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import asyncpg
import structlog
from pydantic import BaseModel, Field

from live.books.bus import Bus
from live.books.queries import HouseQuery
from live.ledger.migrate import latest_revision

_PATIENCE_S = 2.0
_KEPT_S = 1.0
_log = structlog.get_logger("live.api")


class Check(BaseModel):
    """Say whether one thing works, and what is wrong if not."""

    name: str = Field(examples=["database"])
    well: bool
    detail: str = Field(default="", examples=[""])


class Readiness:
    """Try the database and the books; what was found is kept for a second, whoever asks."""

    def __init__(self, pool: asyncpg.Pool, bus: Bus) -> None:
        self._pool = pool
        self._bus = bus
        self._head = latest_revision()
        self._found: list[Check] = []
        self._until = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._given_up: set[asyncio.Task[str]] = set()  # kept until they have ended

    async def checks(self) -> list[Check]:
        """Return what works and what does not."""
        async with self._one_at_a_time:
            if time.monotonic() >= self._until:
                checks = (self._try("database", self._database), self._try("books", self._books))
                self._found = list(await asyncio.gather(*checks))
                self._until = time.monotonic() + _KEPT_S
            return self._found

    async def _try(self, name: str, what: Callable[[], Coroutine[None, None, str]]) -> Check:
        trying = asyncio.create_task(what())
        await asyncio.wait({trying}, timeout=_PATIENCE_S)
        if not trying.done():  # to break it off may take as long as the database takes to hear of it
            trying.cancel()
            self._given_up.add(trying)
            trying.add_done_callback(self._ended)
            return _unwell(name, TimeoutError())
        if (error := trying.exception()) is not None:  # whatever it is: then it does not work
            return _unwell(name, error)
        return Check(name=name, well=not trying.result(), detail=trying.result())

    def _ended(self, trying: "asyncio.Task[str]") -> None:
        self._given_up.discard(trying)
        if not trying.cancelled():
            trying.exception()  # else it is told as one that nobody looked at

    async def _database(self) -> str:
        found = await self._pool.fetchval("select version_num from alembic_version")
        return "" if found == self._head else f"its tables are at revision {found}, not {self._head}"

    async def _books(self) -> str:
        """Ask the books where the house stands; halted ones are well: they still tell what they know."""
        await self._bus.ask(HouseQuery())
        return ""


def _unwell(name: str, error: BaseException) -> Check:
    _log.warning("not ready", check=name, kind=type(error).__name__, error=str(error))
    return Check(name=name, well=False, detail="does not answer")
