"""The database goes away under load, in every way a database can: the books stop, come back, and are right."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from live.ledger.migrate import upgrade
from tests.live.books import own_database
from tests.live.replication import replicated
from tests.load.harness import PATIENCE_S, harness
from tests.postgres import postgres, reachable_folder, start_postgres
from tests.proxy import proxied

__all__ = ["own_database", "postgres"]

_ANSWERS = 250  # before and after each fault


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_restart_of_the_database(how, tmp_path):
    async def scenario(folder: Path):
        server = start_postgres(folder, "fsync=off")
        try:
            upgrade(server.conninfo)
            async with harness(server.conninfo, tmp_path) as load, load.kept_up() as ended, load.load():
                for _ in range(2):
                    await load.answered(_ANSWERS)
                    await asyncio.to_thread(getattr(server, how))
                    await asyncio.sleep(0.1)
                    server = await asyncio.to_thread(start_postgres, folder, "fsync=off")
                await load.answered(_ANSWERS)
                assert len(ended) == 2
        finally:
            server.stop()

    with reachable_folder() as folder:
        asyncio.run(scenario(folder))


def test_sessions_that_are_ended_by_an_administrator(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load, load.kept_up() as ended, load.load():
            for _ in range(3):
                await load.answered(_ANSWERS)
                await asyncio.to_thread(end_sessions, database)
            await load.answered(_ANSWERS)
            assert ended

    asyncio.run(scenario())


def end_sessions(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            """select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()"""
        )


def test_connections_that_are_cut(database, tmp_path):
    async def scenario():
        async with (
            proxied(database) as proxy,
            harness(database, tmp_path) as load,
            load.kept_up(dsn=proxy.url) as ended,
            load.load(),
        ):
            for _ in range(3):
                await load.answered(_ANSWERS)
                proxy.cut()
            await load.answered(_ANSWERS)
            assert ended

    asyncio.run(scenario())


def test_a_network_that_falls_silent_counts_as_lost(database, tmp_path):
    """The server keeps the old sessions, which it cannot know to be dead, until the network tells or they are ended."""

    async def scenario():
        async with (
            proxied(database) as proxy,
            harness(database, tmp_path) as load,
            load.kept_up("--patience", "0.5", dsn=proxy.url) as ended,
            load.load(),
        ):
            await load.answered(_ANSWERS)
            proxy.fall_silent()
            async with asyncio.timeout(PATIENCE_S):
                while not ended:
                    await asyncio.sleep(0.05)
            proxy.cut()
            proxy.speak_again()
            await load.answered(_ANSWERS)

    asyncio.run(scenario())


def test_answers_wait_for_slow_commits(database, tmp_path):
    async def scenario():
        async with (
            proxied(database) as proxy,
            harness(database, tmp_path) as load,
            load.kept_up(dsn=proxy.url) as ended,
            load.load(),
        ):
            proxy.delay_s = 0.15
            await load.answered(150)
            proxy.delay_s = 0.0
            await load.answered(_ANSWERS)
            assert not ended

    asyncio.run(scenario())


def test_commits_that_the_server_itself_is_slow_over(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load, load.kept_up() as ended, load.load():
            await load.answered(_ANSWERS)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    """create function dawdle() returns trigger language plpgsql as
                    $$ begin perform pg_sleep(0.1); return null; end $$"""
                )
                connection.execute(
                    """create constraint trigger dawdles after update on books_writer
                    deferrable initially deferred for each row execute function dawdle()"""
                )
            await load.answered(150)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("drop function dawdle() cascade")  # the check at the end would find it
            assert not ended

    asyncio.run(scenario())


def test_a_standby_takes_over_from_a_primary_that_was_killed(tmp_path):
    async def scenario(folder: Path):
        with replicated(folder) as pair:
            upgrade(pair.dsn)
            async with harness(pair.dsn, tmp_path) as load, load.kept_up() as ended, load.load():
                await load.answered(_ANSWERS)
                await asyncio.to_thread(pair.fail_over)
                await load.answered(_ANSWERS)
                assert ended

    with reachable_folder() as folder:
        asyncio.run(scenario(folder))
