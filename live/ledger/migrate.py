"""Bring a database's tables to what this code expects.

Only forward: the tables hold money that was moved, and undoing a step would drop rows. The way back from a bad
step is another step, or a backup.
"""

from functools import cache
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text

from risk.errors import InvalidInput

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6B6F6F62  # any number, as long as every process takes the same


def upgrade(dsn: str) -> None:
    """Bring the tables of the database at ``dsn`` to the latest revision, all or nothing.

    Of several processes at once one works and the others wait. Raises InvalidInput if the database is newer
    than this code, or does not store text as UTF-8.
    """
    # libpq reads the address as it is, several hosts included, which SQLAlchemy's own form cannot hold.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _revision(connection)
        _refuse_newer(found)
        if (encoding := connection.scalar(text("show server_encoding"))) != "UTF8":
            raise InvalidInput(f"the database's encoding was {encoding}, it must be UTF8")
        if found == latest_revision():
            return
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def latest_revision() -> str:
    """Return the revision of the tables this code expects."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def check_revision(dsn: str) -> None:
    """Raise InvalidInput unless the database at ``dsn`` has exactly the tables this code expects."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.connect() as connection:
        found = _revision(connection)
    _refuse_newer(found)
    wanted = latest_revision()
    if found is None:
        raise InvalidInput("there are no books in this database yet; `hybrid-perps books` opens them")
    if found != wanted:
        raise InvalidInput(
            f"the database's tables were at revision {found}, this program needs {wanted}: migrate it"
        )


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("select version_num from alembic_version"))
    return found


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise InvalidInput(
            f"the database's tables were at revision {found}, newer than this program, which knows "
            f"{', '.join(sorted(known))}: use the newer program"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
