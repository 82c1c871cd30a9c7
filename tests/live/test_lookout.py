"""Idle books notice that their database is gone, or no longer theirs: nothing is committed that would tell."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx
import psycopg
import pytest

from live.books.commands import NotAnswered
from live.books.process import BooksProcess, Limits
from live.ledger.writer import DatabaseLost, Fenced
from tests.live.books import a_desk, database
from tests.live.served import fund, order, served, wait_for
from tests.live.test_books_server import Program, books_program
from tests.postgres import postgres, reachable_folder
from tests.proxy import proxied

__all__ = ["database", "postgres"]

_SOON_S = 20.0  # several looks, on a busy machine too


@asynccontextmanager
async def noticed_soon(process: BooksProcess) -> AsyncIterator[None]:
    """Do what ends idle books; fail unless they noticed."""
    await asyncio.sleep(0.2)  # what opening them handled is committed
    yield
    await wait_for(process.ended.is_set, _SOON_S)


def end_sessions(dsn: str, which: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        ended = connection.execute(
            f"""select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and {which}""".encode()
        ).fetchall()
    assert ended


@pytest.mark.parametrize(
    "which",
    [
        "true",
        "pid in (select pid from pg_locks where locktype = 'advisory')",  # the writer's alone
        "query not like '%epoch from books_writer%'",  # all but the one that looks
    ],
)
def test_a_connection_that_is_ended(database: str, which: str) -> None:
    async def scenario() -> None:
        with pytest.raises(DatabaseLost, match="the database was lost"):
            async with a_desk(database) as desk:
                await asyncio.sleep(1.2)  # it has looked once
                async with noticed_soon(desk.process):
                    await asyncio.to_thread(end_sessions, database, which)
                with pytest.raises(NotAnswered):
                    await desk.user("ann")

    asyncio.run(scenario())


def test_a_network_that_falls_silent(database: str) -> None:
    async def scenario() -> None:
        async with proxied(database) as proxy:
            with pytest.raises(DatabaseLost, match="TimeoutError"):
                books = a_desk(proxy.url, limits=Limits(patience_s=0.5))
                async with books as desk, noticed_soon(desk.process):
                    proxy.fall_silent()

    asyncio.run(scenario())


def test_books_that_are_taken_over_while_idle(database: str) -> None:
    async def scenario() -> None:
        with pytest.raises(Fenced, match="the books were taken over: their epoch is 2, not 1"):
            async with (
                served(database) as (_, opened),
                noticed_soon(opened[0]),
                served(database, take_over=True) as (second, _),
            ):
                await wait_for(opened[0].ended.is_set, _SOON_S)
                await fund(second.bus, "ann")
                assert (await second.bus.submit(order("ann", 1))).status == "DONE"

    asyncio.run(scenario())


def printed(program: Program, pattern: str) -> str:
    """Wait for a line; return what the pattern's group matched."""
    deadline = time.monotonic() + 60
    while not (found := re.search(pattern, "".join(program.lines))):
        assert program.process.poll() is None, "".join(program.lines)
        assert time.monotonic() < deadline, "".join(program.lines)
        time.sleep(0.02)
    return found[1]


def kill_own_database(program: Program) -> None:
    """Kill the PostgreSQL that a program started, as a power cut would."""
    folder = Path(unquote(printed(program, r"database  postgresql://\S*[?&]host=([^&\s]+)")))
    (lock,) = folder.glob(".s.PGSQL.*.lock")
    os.kill(int(lock.read_text().splitlines()[0]), signal.SIGKILL)


def test_idle_books_open_their_own_database_again() -> None:
    with reachable_folder() as home, books_program(HYBRID_PERPS_HOME=str(home)) as program:
        program.wait_open()
        time.sleep(0.5)
        kill_own_database(program)
        printed(program, r"(lost: the database was lost: .*; opening again in 0\.1 s)")
        printed(program, r"(the books are open: epoch 2)")
        assert program.end(signal.SIGTERM) == 0


def test_idle_serve_opens_its_own_database_again_and_is_ready_then() -> None:
    with (
        reachable_folder() as home,
        books_program("--port", "0", command="serve", HYBRID_PERPS_HOME=str(home)) as program,
    ):
        url = printed(program, r"serving +(http://\S+)")
        with httpx.Client(base_url=url, timeout=30) as client:
            until_ready(client, 200)
            kill_own_database(program)
            printed(program, r"(the books are open: epoch 2)")
            until_ready(client, 200)
            guess = {"email": "ann@example.org", "password": "a password of nobody"}
            assert client.post("/v1/auth/login", json=guess).status_code == 401
        assert program.end(signal.SIGTERM) == 0


def until_ready(client: httpx.Client, status: int) -> None:
    deadline = time.monotonic() + 60
    while client.get("/ready").status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.02)
