"""Bring a database's tables to what this code expects.

Only forward: the tables hold money that was moved, and undoing a step would drop rows. The way back from a bad
step is another step, or a backup.
"""

from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from risk.errors import InvalidInput

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6B6F6F62  # any number, as long as every process takes the same


def upgrade(dsn: str) -> None:
    """Bring the tables of the database at ``dsn`` to the latest revision, all or nothing.

    Of several processes at once one works and the others wait. Raises InvalidInput if the database is newer
    than this code, has books that only older code can replay, or does not store text as UTF-8.
    """
    with psycopg.connect(dsn) as connection:
        found = _known_revision(connection)
        row = connection.execute("show server_encoding").fetchone()
    if row != ("UTF8",):
        raise InvalidInput(f"the database's encoding was {row and row[0]}, it must be UTF8")
    if found != latest_revision():
        _migrate(dsn)


def latest_revision() -> str:
    """Return the revision of the tables this code expects."""
    return _revisions()[-1]


def check_revision(dsn: str) -> None:
    """Raise InvalidInput unless the database at ``dsn`` has exactly the tables this code expects."""
    with psycopg.connect(dsn) as connection:
        found = _known_revision(connection)
    if found is None:
        raise InvalidInput("there are no books in this database yet; `hybrid-perps books` opens them")
    if found != latest_revision():
        raise InvalidInput(
            f"the database's tables were at revision {found}, this program needs {latest_revision()}: migrate it"
        )


def _migrate(dsn: str) -> None:
    # Of no use to most starts, and a fifth of the time that importing takes them.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine, text

    # libpq reads the address as it is, several hosts included, which SQLAlchemy's own form cannot hold.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = Config()
        config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except psycopg.errors.RaiseException as error:  # a step refuses the books that are there
            raise InvalidInput(str(error.diag.message_primary)) from None


def _known_revision(connection: psycopg.Connection[Any]) -> str | None:
    """Return the revision of the tables, None without any; raise InvalidInput if it is none of ours."""
    if connection.execute("select to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("select version_num from alembic_version").fetchone()
    found: str | None = row and row[0]
    if found is not None and found not in _revisions():
        raise InvalidInput(
            f"the database's tables were at revision {found}, newer than this program, which knows "
            f"{', '.join(_revisions())}: use the newer program"
        )
    return found


@cache
def _revisions() -> tuple[str, ...]:
    """Return all revisions in their order: the numbers that begin the names of their files."""
    return tuple(sorted(path.name.partition("_")[0] for path in _FOLDER.glob("versions/[0-9]*.py")))
