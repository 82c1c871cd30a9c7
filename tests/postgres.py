"""A real PostgreSQL for tests, gone at the end: without fsync, as no power cut comes here."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psycopg
import pytest

from live.ledger.migrate import upgrade
from live.postgres import Server, start_server
from tests.emptied import Emptied


@dataclass
class Postgres:
    """A running server; ``start_postgres`` starts its folder again after ``stop`` or ``kill``, with its data."""

    server: Server
    _shared: Emptied | None = None

    @property
    def url(self) -> str:
        """Return the URL of its database, as SQLAlchemy writes it."""
        return self.server.dsn.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def conninfo(self) -> str:
        """Return the same for psycopg, libpq and asyncpg."""
        return self.server.dsn

    def new_database(self, name: str, template: str = "template1") -> str:
        """Make a database, in the place of one of that name, as ``template`` is; return its conninfo."""
        self.drop_database(name)
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f'create database "{name}" template "{template}"'.encode())
        return self.conninfo.replace("@/postgres?", f"@/{name}?", 1)

    def migrated_database(self, name: str) -> str:
        """Make a database with all tables, which are made once and copied; return its conninfo."""
        return self.new_database(name, self.migrated)

    @cached_property
    def migrated(self) -> str:
        """Return the name of a database with all tables and no rows, to make others from."""
        upgrade(self.new_database("migrated"))
        return "migrated"

    def empty_database(self) -> str:
        """Return the conninfo of a database with all tables and no rows, the same one each time it is asked for."""
        if self._shared is None or not self._shared.has_its_schema():
            self._shared = Emptied(self.migrated_database("shared"))
        return self._shared.empty()

    def drop_database(self, name: str) -> None:
        """Drop a database if there is one of that name, whoever is connected to it."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)'.encode())

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        self.server.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.server.kill()


def start_postgres(folder: Path, *settings: str) -> Postgres:
    """Start a server on what ``folder`` holds, a new cluster if that is nothing; ``settings`` are NAME=VALUE."""
    return Postgres(start_server(folder, *settings))


_OF_THIS_PROCESS = pytest.StashKey[Postgres]()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """Give a server of this test process's own, the same to each file that imports this."""
    if _OF_THIS_PROCESS not in pytestconfig.stash:
        folder = ExitStack()
        pytestconfig.add_cleanup(folder.close)
        server = start_postgres(folder.enter_context(reachable_folder()), "fsync=off")
        # Its folder goes too: to end in order would be to write everything down first.
        folder.callback(server.kill)
        pytestconfig.stash[_OF_THIS_PROCESS] = server
    return pytestconfig.stash[_OF_THIS_PROCESS]


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Give a folder with a short path that is open to the server's account, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
