"""A primary and its synchronous standby on this machine, reached through one address with two hosts."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from live.postgres import Server, start_server
from live.postgres_files import prepare
from tests.ports import free_ports

_PATIENCE_S = 60


@dataclass
class Replicated:
    """Both servers; ``dsn`` leads whoever connects to the one that takes writes."""

    primary: Server
    standby: Server
    dsn: str

    def fail_over(self) -> None:
        """End the primary as a power cut would, and let the standby take its place."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """Let the standby take writes."""
        with psycopg.connect(self.standby.dsn, autocommit=True) as connection:
            assert connection.execute("select pg_promote()").fetchone() == (True,)


@contextmanager
def replicated(folder: Path) -> Iterator[Replicated]:
    """Give a primary whose every commit waits for the standby; ``folder`` must be open to their account."""
    ports = free_ports(2)
    with ExitStack() as running:
        primary = start_server(folder / "primary", "fsync=off", port=ports[0])
        running.callback(primary.stop)
        _let_in(primary)
        _copy(primary, folder / "standby", ports[0])
        standby = start_server(folder / "standby", "fsync=off", port=ports[1])
        running.callback(standby.stop)
        _wait_for_standby(primary)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        dsn = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        yield Replicated(primary, standby, dsn)


def _let_in(server: Server) -> None:
    """Take connections at 127.0.0.1 without a password."""
    with (server.installation.data / "pg_hba.conf").open("r+") as file:
        rules = file.read()
        file.seek(0)
        file.write("host all,replication all 127.0.0.1/32 trust\n" + rules)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")


def _copy(primary: Server, folder: Path, port: int) -> None:
    folder.mkdir()
    programs = primary.installation.programs
    (folder / programs.name).symlink_to(programs)
    installation = prepare(folder)
    installation.data.mkdir(mode=0o700)
    if installation.account is not None:
        os.chown(installation.data, *installation.account)
    address = f"postgresql://postgres@127.0.0.1:{port}/postgres?application_name=standby"
    installation.run("pg_basebackup", "-D", installation.data, "-R", "-d", address, "-c", "fast", "--no-sync")


def _wait_for_standby(primary: Server) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute("alter system set synchronous_standby_names = 'standby'")
        connection.execute("select pg_reload_conf()")
        while connection.execute("select sync_state from pg_stat_replication").fetchall() != [("sync",)]:
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.02)
