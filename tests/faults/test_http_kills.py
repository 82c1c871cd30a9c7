"""The API and the books killed under load, together and alone: who asks again is told what they were told first."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.http_clients import Client, Told
from tests.live.books import own_database
from tests.load.clients import Record
from tests.load.serving import NO_LIMITS, Service, new_caller
from tests.load.verdict import Verifier
from tests.ports import free_port
from tests.postgres import postgres
from tests.redis_server import redis_url, shared_redis

__all__ = ["own_database", "postgres", "redis_url", "shared_redis"]

CALLERS, CLIENTS, ANSWERS = 2, 6, 60


class Site:
    """Start and kill what serves at one port, on one database."""

    def __init__(self, dsn: str, redis: str, home: Path) -> None:
        self._alone = {"DATABASE_URL": dsn, "HYBRID_PERPS_HOME": str(home), **NO_LIMITS}
        self._on_bus = {**self._alone, "BUS_URL": redis}
        self.port = free_port()
        self._log = (home / "log").open("wb")
        self._all: list[Service] = []

    async def together(self) -> Service:
        """Serve with the books inside."""
        return await self._started(self._alone, "serve", "--dev", "--port", str(self.port), told="serving ")

    async def api(self) -> Service:
        """Serve without books."""
        return await self._started(self._on_bus, "serve", "--port", str(self.port), told="serving ")

    async def books(self) -> Service:
        """Run the books alone."""
        return await self._started(self._on_bus, "books", "--synthetic", told="books are open")

    async def _started(self, environment: dict[str, str], *arguments: str, told: str) -> Service:
        service = await Service.start(environment, *arguments, log=self._log)
        self._all.append(service)
        await service.told(told)
        return service

    async def close(self) -> None:
        """End what still runs."""
        for service in self._all:
            await service.kill()
        self._log.close()


@asynccontextmanager
async def loaded(clients: list[Client]) -> AsyncIterator[None]:
    """Have clients ask as long as the block lasts."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(client.run(stop)) for client in clients]
    try:
        yield
        stop.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def killed(service: Service, again: Awaitable[Service], told: Told) -> Service:
    """Kill a service under load and start it again; some answers come before and after it."""
    await told.more(ANSWERS)
    before = told.asked_again
    await service.kill()
    found = await again
    await told.more(ANSWERS)
    assert told.asked_again > before
    return found


def test_killed_together_and_alone_over_http_nothing_is_lost_or_doubled(database, redis_url, tmp_path):
    async def scenario():
        site, told = Site(database, redis_url, tmp_path), Told()
        try:
            serving = await site.together()
            callers = [await new_caller(serving, f"c{n}") for n in range(CALLERS)]
            clients = [Client(callers[n % CALLERS], n, site.port, told) for n in range(CLIENTS)]
            async with loaded(clients):
                serving = await killed(serving, site.together(), told)
                await serving.stop()
                books, api = await asyncio.gather(site.books(), site.api())
                api = await killed(api, site.api(), told)
                await told.more(ANSWERS)
                await books.kill()
                books = await site.books()
                await told.more(ANSWERS)
            await api.stop()
            await books.stop()
        finally:
            await site.close()
        return told

    told = asyncio.run(scenario())
    told.check(database)
    statuses = {status for status, _ in told.answers.values()}
    assert {200, 201, 409} <= statuses
    verifier = Verifier(database, Record.at(tmp_path / "none"), tmp_path / "nothing-asked")
    verifier.check(None)
    verifier.check_everything()
