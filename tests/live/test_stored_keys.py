"""Keys that are new for certain are not looked up, and those of before always are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from live.books import stored_keys
from live.books.chores import KEYS_KEPT_NS, Chores
from live.books.clock import SetClock
from live.books.stored_keys import StoredKeys
from live.ledger.inputs import UserRegistered
from live.tasks import end
from risk.settings import HOUR_NS, MINUTE_NS
from tests.live.books import Desk, a_desk, database
from tests.postgres import Postgres, postgres
from tests.risk.book_builder import START_NS

__all__ = ["database", "postgres"]

DAYS = 3


async def _has_learned(desk: Desk) -> None:
    while desk.process.stored_keys.may_hold("never seen"):
        await asyncio.sleep(0.001)


async def _register(desk: Desk, *keys: str) -> None:
    for key in keys:
        await desk.ask(UserRegistered(0, f"user {key}"), key)


def test_what_an_earlier_process_stored_is_known_whichever_it_is(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_keys, "_AT_ONCE", 3)  # so that the last piece is neither full nor empty
    named = ["a", "Z", "ä", "b-1", "b 1", "0", "~", "ключ"]

    async def body() -> None:
        async with a_desk(database) as desk:
            assert desk.process.stored_keys.may_hold("anything")  # until it has looked
            await _has_learned(desk)
            await _register(desk, *named)
            assert all(map(desk.process.stored_keys.may_hold, named))
        async with a_desk(database) as desk:
            await _has_learned(desk)
            assert all(map(desk.process.stored_keys.may_hold, named))
            ended = desk.process.machine.seq
            for key in named:
                again = await desk.ask(UserRegistered(0, f"user {key}"), key)
                assert again.status == "DONE"
            assert desk.process.machine.seq == ended  # nobody registered twice

    asyncio.run(body())


def test_a_new_key_costs_no_look_at_the_database_and_an_old_one_does(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[list[str]] = []
    fetch = asyncpg.Connection.fetch

    async def spied(self: asyncpg.Connection, query: str, *args: object, **how: object) -> object:
        if "from idempotency_keys where key = any" in query:
            looked_up.append(args[0])  # type: ignore[arg-type]
        return await fetch(self, query, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncpg.Connection, "fetch", spied)

    async def body() -> None:
        async with a_desk(database) as desk:
            await _register(desk, "of before")
        async with a_desk(database) as desk:
            await _has_learned(desk)
            looked_up.clear()
            await _register(desk, "new", "new", "of before")
            assert looked_up == [["of before"]]

    asyncio.run(body())


def test_a_server_that_was_left_behind_teaches_no_keys(database: str, postgres: Postgres) -> None:
    """Of several hosts a connection may reach one that came back, or lags, and has not all that was stored before."""
    servers = [postgres.migrated_database("left_behind"), database]
    looked = asyncio.Event()

    @asynccontextmanager
    async def connect() -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(servers.pop(0))
        try:
            yield connection
        finally:
            connection.terminate()
            looked.set()

    async def body() -> None:
        clock = SetClock(START_NS)
        async with a_desk(database) as desk:
            await _register(desk, "of before")
            await _has_learned(desk)
            desk.process.stored_keys = StoredKeys(START_NS)
            chores = asyncio.create_task(Chores(desk.process, connect, clock).run())
            await looked.wait()
            assert desk.process.stored_keys.may_hold("of before")
            clock.advance(START_NS + MINUTE_NS)
            await _has_learned(desk)
            assert desk.process.stored_keys.may_hold("of before")
            await end(chores)

    asyncio.run(body())


def test_keys_are_forgotten_after_their_rows(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the database still holds passes, at any hour; what it holds no more passes for another day at most."""
    none_before_ns = 0
    deleted = StoredKeys.deleted

    def told(self: StoredKeys, before_ns: int, now_ns: int) -> None:
        nonlocal none_before_ns
        deleted(self, before_ns, now_ns)
        none_before_ns = before_ns

    monkeypatch.setattr(StoredKeys, "deleted", told)
    clock = SetClock(START_NS)

    async def body() -> None:
        async with a_desk(database) as desk:
            await _register(desk, "of before")
        async with a_desk(database, clock=clock) as desk, asyncpg.create_pool(database, min_size=1) as pool:
            await _has_learned(desk)
            filtered, taken = desk.process.stored_keys, ["of before"]
            for hour in range(1, DAYS * 24, 3):
                clock.advance(START_NS + hour * HOUR_NS)
                taken.append(f"of hour {hour}")
                await _register(desk, taken[-1])
                clock.advance(clock.now_ns() + MINUTE_NS)
                while none_before_ns < clock.now_ns() - KEYS_KEPT_NS:
                    await asyncio.sleep(0.001)
                left = {row[0] for row in await pool.fetch("select key from idempotency_keys")}
                assert taken[-1] in left
                assert all(map(filtered.may_hold, left))
            assert len(left) == 8  # of the last 24 hours
            assert not filtered.may_hold("of before")
            assert len([key for key in taken if filtered.may_hold(key)]) <= 17

    asyncio.run(body())
