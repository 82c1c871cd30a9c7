"""Identity on a database, without HTTP and without books, and a clock that the tests move."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from live.api.shared_state import InMemory
from live.books.commands import Answer, Command, NotAnswered
from live.identity.accounts import Account
from live.identity.events import Origin
from live.identity.identity import Identity, open_identity
from live.identity.mail import Letter, open_mailer
from live.identity.names import new_id
from live.identity.rules import AccessRules
from live.ledger.migrate import upgrade
from tests.postgres import Postgres, postgres  # noqa: F401

CHEAP = AccessRules(argon2_memory_kib=64, argon2_passes=1)
PASSWORD = "correct horse battery staple"
START_NS = 1_790_000_000 * 10**9
URL = "https://perps.example"
_names = itertools.count(1)


class SetTime:
    """Be a clock that only ``advance`` moves."""

    def __init__(self) -> None:
        self.ns = START_NS

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * 10**9)


class BooksAway:
    """Be a bus whose books do not answer."""

    async def submit(self, command: Command) -> Answer:
        raise NotAnswered("the books did not answer")


@dataclass
class Site:
    """What a test has at hand; everything runs on one loop."""

    runner: asyncio.Runner
    dsn: str
    home: Path
    pool: asyncpg.Pool
    identity: Identity
    clock: SetTime
    letters: list[Letter]

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def origin(self) -> Origin:
        """Return a place that nobody came from before."""
        return Origin(ip_address(0x0A000000 + next(_names)), "a browser")

    async def account(self, *, password: bool = True) -> Account:
        """Make an account with ``PASSWORD`` that the books know."""
        made = new_id("u")
        kept = await self.identity.passwords.hash(made, PASSWORD) if password else None
        await self.identity.accounts.add(made, email=f"{made}@example.org", password_hash=kept)
        await self.pool.execute(
            "insert into users (id, kyc_status, seq, created_at) values ($1, 'NONE', 1, now())", made
        )
        account = await self.identity.accounts.by_id(made)
        await self.identity.accounts.bring_into_books(account)
        return await self.identity.accounts.by_id(made)

    async def another(self, stack: AsyncExitStack, **how: Any) -> Identity:
        """Open identity a second time, as another process would."""
        mailer = await stack.enter_async_context(open_mailer(None, "a@b.c", self.home / "other"))
        how = {"secret": None, "home": self.home, "public_url": URL, "rules": CHEAP} | how
        marks = InMemory(lambda: self.clock() / 10**9)
        return await open_identity(self.pool, BooksAway(), self.clock, marks, mailer, **how)


@pytest.fixture(scope="session")
def site(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:  # noqa: F811
    """Give a site with no accounts but those that tests make."""
    dsn, home, clock = postgres.new_database("identity"), tmp_path_factory.mktemp("home"), SetTime()
    upgrade(dsn)
    letters: list[Letter] = []
    with asyncio.Runner() as runner:

        async def open_site(stack: AsyncExitStack) -> Site:
            pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=8))
            mailer = await stack.enter_async_context(
                open_mailer(None, "a@b.c", home / "outbox", letters.append)
            )
            marks = InMemory(lambda: clock() / 10**9)
            identity = await open_identity(
                pool, BooksAway(), clock, marks, mailer, secret=None, home=home, public_url=URL, rules=CHEAP
            )
            stack.callback(identity.close)
            return Site(runner, dsn, home, pool, identity, clock, letters)

        stack = AsyncExitStack()
        yield runner.run(open_site(stack))
        runner.run(stack.aclose())
