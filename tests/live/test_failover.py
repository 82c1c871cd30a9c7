"""The primary dies under writers: the same address finds the standby, and it has every acknowledged row."""

import asyncio
import time

import asyncpg
import psycopg
import pytest
from psycopg import errors

from live.database import open_database
from live.settings import LiveSettings

from ..postgres import reachable_folder
from .replication import Replicated, replicated

_WRITERS = 4
_BEFORE = 200
_AFTER = 200
# InternalClientError: a server that dies between two messages leaves asyncpg's protocol in a wrong state.
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)


class Writers:
    """Write numbered rows side by side, each again until it is acknowledged, until they are told to stop."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.acknowledged: list[int] = []
        self.last_failure = 0.0
        self.stopping = False

    async def write(self, first: int) -> None:
        connection = None
        number = first
        try:
            while not self.stopping:
                try:
                    connection = connection or await asyncpg.connect(self.dsn, timeout=30)
                    await connection.execute("insert into kept values ($1) on conflict do nothing", number)
                except _LOST:
                    self.last_failure = time.monotonic()
                    connection = None
                    await asyncio.sleep(0.02)
                else:
                    self.acknowledged.append(number)
                    number += _WRITERS
        finally:
            if connection is not None:
                await connection.close()

    async def reach(self, count: int) -> None:
        while len(self.acknowledged) < count:
            await asyncio.sleep(0.001)


async def write_through(pair: Replicated) -> list[int]:
    writers = Writers(pair.dsn)
    tasks = [asyncio.create_task(writers.write(first)) for first in range(_WRITERS)]
    await writers.reach(_BEFORE)
    await asyncio.to_thread(pair.fail_over)
    async with asyncio.timeout(120):
        await writers.reach(len(writers.acknowledged) + _AFTER)
        writers.stopping = True
        await asyncio.gather(*tasks)
    assert writers.last_failure  # the kill was felt
    return writers.acknowledged


def test_no_acknowledged_row_is_lost_and_the_same_address_writes_on() -> None:
    with reachable_folder() as folder, replicated(folder) as pair:
        with open_database(LiveSettings(database_url=pair.dsn), migrate=True) as dsn:
            assert dsn == pair.dsn
        with psycopg.connect(pair.dsn, autocommit=True) as connection:
            connection.execute("create table kept (id int primary key)")
        with psycopg.connect(pair.standby.dsn) as standby, pytest.raises(errors.ReadOnlySqlTransaction):
            standby.execute("create table unkept (id int)")
        acknowledged = asyncio.run(write_through(pair))
        with psycopg.connect(pair.standby.dsn) as connection:
            kept = {number for (number,) in connection.execute("select id from kept")}
            assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
        assert len(acknowledged) == len(kept)
        assert set(acknowledged) == kept
        with open_database(LiveSettings(database_url=pair.dsn)) as dsn, psycopg.connect(dsn) as connection:
            assert connection.execute("select epoch, seq from books_writer").fetchone() == (0, -1)
