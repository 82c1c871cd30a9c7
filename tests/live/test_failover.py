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
_EACH = 150
# InternalClientError: a server that dies between two messages leaves asyncpg's protocol in a wrong state.
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)


class Writers:
    """Write numbered rows side by side, each again until it is acknowledged."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.acknowledged: list[int] = []
        self.last_failure = 0.0

    async def write(self, first: int, count: int) -> None:
        connection = None
        try:
            for number in range(first, first + count):
                while True:
                    try:
                        connection = connection or await asyncpg.connect(self.dsn, timeout=5)
                        await connection.execute(
                            "insert into kept values ($1) on conflict do nothing", number
                        )
                        break
                    except _LOST:
                        self.last_failure = time.monotonic()
                        connection = None
                        await asyncio.sleep(0.02)
                self.acknowledged.append(number)
        finally:
            if connection is not None:
                await connection.close()


async def write_through(pair: Replicated) -> tuple[list[int], int]:
    writers = Writers(pair.dsn)
    tasks = [asyncio.create_task(writers.write(each * _EACH, _EACH)) for each in range(_WRITERS)]
    while len(writers.acknowledged) < _WRITERS * _EACH // 3:
        await asyncio.sleep(0.001)
    await asyncio.to_thread(pair.fail_over)
    before = len(writers.acknowledged)
    await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert writers.last_failure  # the kill was felt
    return writers.acknowledged, before


def test_no_acknowledged_row_is_lost_and_the_same_address_writes_on() -> None:
    with reachable_folder() as folder, replicated(folder) as pair:
        with open_database(LiveSettings(database_url=pair.dsn), migrate=True) as dsn:
            assert dsn == pair.dsn
        with psycopg.connect(pair.dsn, autocommit=True) as connection:
            connection.execute("create table kept (id int primary key)")
        with psycopg.connect(pair.standby.dsn) as standby, pytest.raises(errors.ReadOnlySqlTransaction):
            standby.execute("create table unkept (id int)")
        acknowledged, before = asyncio.run(write_through(pair))
        assert _WRITERS * _EACH // 3 <= before < _WRITERS * _EACH
        with psycopg.connect(pair.standby.dsn) as connection:
            kept = {number for (number,) in connection.execute("select id from kept")}
            assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
        assert set(acknowledged) == kept == set(range(_WRITERS * _EACH))
        with open_database(LiveSettings(database_url=pair.dsn)) as dsn, psycopg.connect(dsn) as connection:
            assert connection.execute("select epoch, seq from books_writer").fetchone() == (0, -1)
