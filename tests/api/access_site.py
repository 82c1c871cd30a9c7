"""One API for all tests of a module: each has people and an address of its own, and the clock only goes on."""

import asyncio
import itertools
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.api.served import BASE_URL, Api, served_api
from tests.postgres import Postgres

_hosts = itertools.count(0x0A000001)


class Later:
    """Be the time of day and whatever it was advanced by."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self._ahead_ns

    def advance(self, seconds: float) -> None:
        self._ahead_ns += int(seconds * 10**9)


@dataclass(frozen=True)
class AccessSite:
    """What a test has at hand; ``api.client`` comes from an address that nobody else has."""

    runner: asyncio.Runner
    api: Api
    clock: Later
    dsn: str

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def from_elsewhere(self) -> Api:
        """Return the API with a client of another address."""
        number = next(_hosts)
        host = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        transport = httpx.ASGITransport(self.api.app, client=(host, 40_000))
        return replace(self.api, client=httpx.AsyncClient(transport=transport, base_url=BASE_URL))


@pytest.fixture(scope="module")
def open_site(postgres: Postgres, migrated: str) -> Iterator[AccessSite]:
    """Serve the API until the last test of the module."""
    clock = Later()
    dsn = postgres.new_database("api_access", migrated)
    with asyncio.Runner() as runner:
        serving = served_api(dsn, clock=clock, settings={"rate_limit_login": "100000/minute"})
        api = runner.run(serving.__aenter__())
        yield AccessSite(runner, api, clock, dsn)
        runner.run(serving.__aexit__(None, None, None))


@pytest.fixture
def site(open_site: AccessSite) -> AccessSite:
    """Give the site, seen from an address of this test's own."""
    return replace(open_site, api=open_site.from_elsewhere())
