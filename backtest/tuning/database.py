"""The database that studies live in: one SQLite file, or a PostgreSQL by its URL."""

import fcntl
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from data.storage import first_line
from risk.errors import InvalidInput

DEFAULT_URL = "sqlite:///studies/studies.db"
_CONNECT_S = 5
_FREED_S = 1.0
_LOCK = text("select pg_try_advisory_lock(:key)")
_UNLOCK = text("select pg_advisory_unlock(:key)")
_EXPECTED = "it must be sqlite:///PATH or postgresql://USER@HOST/NAME"
# The server gives up on a machine that vanished after a minute, so that its study is free again.
_KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"


class Database:
    """Hold Optuna's storage at ``url``; ``shown`` is the URL without any password.

    Raises InvalidInput for a URL of another kind, a database that is not reached within seconds, and a file
    that is no database; with ``must_exist`` also for a file that is not there.
    """

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        parsed = _parsed(url)
        self.shown = parsed.set(query={}).render_as_string(hide_password=True)
        self._file = Path(parsed.database or "") if parsed.drivername == "sqlite" else None
        if self._file is not None:
            _make_folder(self._file, must_exist)
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        with self.reached():
            self.storage = RDBStorage(parsed.render_as_string(hide_password=False), _engine_options(parsed))

    @property
    def _engine(self) -> Engine:
        return self.storage.engine

    def close(self) -> None:
        """Close every connection."""
        self.storage.remove_session()
        self._engine.dispose()

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn the database's own errors within the block into InvalidInput."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise InvalidInput(f"{self.shown} cannot be used: {_cause(error)}") from None
        except RuntimeError as error:  # Optuna's word on tables of another version
            if "runtime optuna version" not in str(error):
                raise
            raise InvalidInput(f"{self.shown} cannot be used: {first_line(error)}") from None

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold ``name`` against other processes, or raise InvalidInput; it is free again when the process dies."""
        with self._file_lock(name) if self._file is not None else self._advisory_lock(name) as free:
            if not free:
                raise InvalidInput(
                    f"study {name!r} is being worked on by another process; wait or end that one"
                )
            yield

    @contextmanager
    def _file_lock(self, name: str) -> Iterator[bool]:
        assert self._file is not None
        path = self._file.with_name(f".{self._file.name}.{name}.lock")
        try:
            lock = path.open("w")
        except OSError as error:
            raise InvalidInput(f"cannot write in {path.parent}: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _advisory_lock(self, name: str) -> Iterator[bool]:
        digest = hashlib.blake2b(f"study {name}".encode(), digest_size=8).digest()
        key = {"key": int.from_bytes(digest, signed=True)}
        with self.reached():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self.reached():
                free = _taken(connection, key)
            yield free
        finally:
            with suppress(SQLAlchemyError):
                connection.execute(_UNLOCK, key)
            connection.invalidate()  # should that have failed: a pooled connection would keep the lock
            connection.close()


def _taken(connection: Connection, key: Mapping[str, int]) -> bool:
    """Take the lock; a server notices a moment later that a process which had it is gone."""
    deadline = time.monotonic() + _FREED_S
    while not (free := bool(connection.execute(_LOCK, key).scalar_one())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return free


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"the storage was no URL of a database; {_EXPECTED}") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise InvalidInput(f"the storage was of kind {parsed.drivername}; {_EXPECTED}")
    if parsed.database in (None, "", ":memory:"):
        raise InvalidInput(f"the storage named no file; {_EXPECTED}")
    return parsed


def _engine_options(url: URL) -> dict[str, Any]:
    if url.drivername == "sqlite":
        return {"poolclass": NullPool}  # none stays open where opening the storage fails half-way
    # After a restart of the server the pool's connections are dead: ask before use.
    connect = {"connect_timeout": _CONNECT_S, "options": _KEEPALIVE}
    return {"connect_args": connect, "pool_pre_ping": True}


def _make_folder(file: Path, must_exist: bool) -> None:
    if must_exist and not file.is_file():
        raise InvalidInput(f"no file at {file}: a database of studies was expected there")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot write in {file.parent}: {error.strerror}") from None


def _cause(error: BaseException) -> str:
    """Return the first line of what the driver said, which is at the bottom of the chain."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return first_line(error)
