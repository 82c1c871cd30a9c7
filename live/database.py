"""Which database the books are in: the one DATABASE_URL names, else one of our own."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from live.ledger.migrate import check_revision, upgrade
from live.postgres import start_server
from live.settings import LiveSettings, without_password
from risk.errors import InvalidInput

_CONNECT_S = 10


@contextmanager
def open_database(settings: LiveSettings, *, migrate: bool = False) -> Iterator[str]:
    """Give the address of a database that answers, for psycopg and asyncpg.

    That is ``database_url`` of ``settings`` as it was given, or our own server in its ``hybrid_perps_home``,
    which runs as long as any process has it open. With ``migrate`` its tables are brought up to date first,
    otherwise they must be.
    Raises InvalidInput if it cannot be reached or started, or its tables are older or newer than this code.
    """
    if settings.database_url is not None:
        _reach(settings.database_url)
        _prepare(settings.database_url, migrate)
        yield settings.database_url
        return
    folder = settings.hybrid_perps_home / "postgres"
    if not migrate and not folder.exists():
        raise InvalidInput(
            f"there are no books in {settings.hybrid_perps_home} yet; `hybrid-perps books` opens them there"
        )
    server = start_server(folder)
    try:
        _prepare(server.dsn, migrate)
        yield server.dsn
    finally:
        server.stop()


@asynccontextmanager
async def opened_in_thread(settings: LiveSettings, *, migrate: bool = False) -> AsyncIterator[str]:
    """Open the database beside an event loop: starting a server, and bringing tables up to date, take a while."""
    context = open_database(settings, migrate=migrate)
    opening = asyncio.create_task(asyncio.to_thread(context.__enter__))
    try:
        await asyncio.wait({opening})
        yield opening.result()
    finally:
        await asyncio.wait({opening})
        if opening.exception() is None:
            await asyncio.to_thread(context.__exit__, None, None, None)


def _reach(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_S).close()
    except psycopg.Error as error:
        reason = " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
        password = psycopg.conninfo.conninfo_to_dict(url).get("password")
        if password:
            reason = re.sub(re.escape(str(password)), "***", reason)
        raise InvalidInput(
            f"DATABASE_URL was {without_password(url)!r}, where no database can be used: {reason}"
        ) from None


def _prepare(dsn: str, migrate: bool) -> None:
    if migrate:
        upgrade(dsn)
    else:
        check_revision(dsn)
