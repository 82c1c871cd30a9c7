"""A PostgreSQL of our own: run in a folder, on a socket there, started and stopped with the program.

Whoever uses the folder's server holds a shared lock, and the last one out stops it: a check that ends never
takes the database from under a service that came after it, and what a killed service left behind is stopped too.

PostgreSQL refuses to run as root. For root it runs as the account ``postgres``, else ``nobody``, to whom the
folder is given. Where that account cannot reach the folder, as below /root, binaries and data are kept in a
new folder in /var/lib/hybrid-perps, to which ``kept-at`` in the folder points.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from live.postgres_files import Installation, one_line, prepare
from risk.errors import InvalidInput

_PATIENCE_S = 60.0  # for crash recovery, and for others that start or stop the same server
_PAUSE_S = 0.02
_CONNECT_S = 5
_SOCKET_PATH_BYTES = 103  # on macOS; Linux has 107
_DEFAULT_PORT = 5432

_left_to_others: list[subprocess.Popen[bytes]] = []  # kept, so that each is reaped when it ends


@dataclass
class Server:
    """A running server and our share in it; ``stop`` or ``kill`` it, and its folder can be started again.

    ``dsn`` is its address for libpq, psycopg and asyncpg: a socket that only its account and root can reach.
    """

    dsn: str
    installation: Installation
    pid: int
    _sockets: Path
    _share: IO[bytes]
    _process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Give up our share, and end the server in order if nobody else has one; open connections are cut."""
        if self._share.closed:
            return
        with _alone(self.installation.folder):
            try:
                fcntl.flock(self._share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._process is not None:
                    _left_to_others.append(self._process)
            else:
                self._end(signal.SIGINT)
                if self._sockets != self.installation.socket:
                    shutil.rmtree(self._sockets, ignore_errors=True)
            self._share.close()

    def kill(self) -> None:
        """End it as a power cut would, whoever uses it."""
        self._end(signal.SIGKILL)
        self._share.close()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)  # does nothing once it has ended
            self._process.wait(_PATIENCE_S)  # reaped: as a zombie it would look alive
            return
        deadline = time.monotonic() + _PATIENCE_S
        if _is_running(self.pid, self.installation.data):
            os.kill(self.pid, how)
        while _is_running(self.pid, self.installation.data):
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL, process {self.pid}, did not end in {_PATIENCE_S:.0f} s")
            time.sleep(_PAUSE_S)


def start_server(folder: Path, *settings: str, port: int | None = None) -> Server:
    """Return the server of ``folder``: the one that runs there, else a new one on the data that is there.

    ``settings`` are NAME=VALUE of PostgreSQL's configuration, and ``port`` one to listen on at 127.0.0.1 as
    well; a server that already runs keeps its own. The folder is created if need be, and closed to others.
    Everything is durable unless a setting says otherwise. Raises InvalidInput where the folder cannot be used,
    this platform has no binaries, or the server does not start.
    """
    installation = prepare(folder)
    with _alone(installation.folder):
        share = (installation.folder / "users").open("ab")
        try:
            fcntl.flock(share, fcntl.LOCK_SH)
            return _attach(installation, share) or _start(installation, share, settings, port)
        except BaseException:
            share.close()
            raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    deadline = time.monotonic() + _PATIENCE_S
    with (folder / "lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InvalidInput(
                        f"another process has been starting or stopping the database in {str(folder)!r} for "
                        f"{_PATIENCE_S:.0f} s: end it, or name another folder with HYBRID_PERPS_HOME"
                    ) from None
                time.sleep(_PAUSE_S)
        yield


def _attach(installation: Installation, share: IO[bytes]) -> Server | None:
    deadline = time.monotonic() + _PATIENCE_S
    while (pid := _owner(installation.data)) is not None and _is_running(pid, installation.data):
        noted = _noted_address(installation.data)
        if noted is not None and _answers(dsn := _address(*noted)):
            return Server(dsn, installation, pid, noted[0], share)
        if time.monotonic() > deadline:
            raise InvalidInput(
                f"the PostgreSQL in {str(installation.folder)!r}, process {pid}, runs but does not answer: "
                f"end it; its log ends: {_log_since(installation, 0)}"
            )
        time.sleep(_PAUSE_S)
    return None


def _start(
    installation: Installation, share: IO[bytes], settings: tuple[str, ...], port: int | None
) -> Server:
    installation.make_cluster(durable="fsync=off" not in settings)
    sockets = _socket_folder(installation, port or _DEFAULT_PORT)
    dsn = _address(sockets, port or _DEFAULT_PORT)
    options = [f"port={port or _DEFAULT_PORT}", f"listen_addresses={'' if port is None else '127.0.0.1'}"]
    options += [f"unix_socket_directories={sockets}", *settings]
    arguments = [word for option in options for word in ("-c", option)]
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        _take_over_lock_file(installation.data)
        with installation.log.open("ab") as log:
            start_of_log = log.tell()
            process = installation.start("postgres", "-D", installation.data, *arguments, output=log.fileno())
        if _comes_up(process, dsn, deadline):
            return Server(dsn, installation, process.pid, sockets, share, process)
        said = _log_since(installation, start_of_log)
        # The children of a server that was killed take a moment to notice.
        if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
            raise InvalidInput(
                f"PostgreSQL did not start in {str(installation.folder)!r}; its log ends: {said}"
            )
        time.sleep(_PAUSE_S)


def _comes_up(process: subprocess.Popen[bytes], dsn: str, deadline: float) -> bool:
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(dsn):
                return True
            time.sleep(_PAUSE_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.kill()
    process.wait()
    return False


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=_CONNECT_S).close()
    except psycopg.OperationalError:
        return False
    return True


def _address(sockets: Path, port: int) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}&port={port}"


def _socket_folder(installation: Installation, port: int) -> Path:
    """Return the server's own, emptied, or one in the temporary folder if the socket's path would be too long."""
    for (
        left
    ) in installation.socket.iterdir():  # by a killed server, whose number may be another process's now
        left.unlink()
    if len(os.fsencode(installation.socket / f".s.PGSQL.{port}")) <= _SOCKET_PATH_BYTES:
        return installation.socket
    short = Path(tempfile.mkdtemp(prefix="hybrid-perps-"))
    if installation.account is not None:
        os.chown(short, *installation.account)
    return short


def _lock_file(data: Path) -> list[str]:
    """Return the lines of ``postmaster.pid``: process, data, start, port, sockets, address, memory, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _owner(data: Path) -> int | None:
    lines = _lock_file(data)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _noted_address(data: Path) -> tuple[Path, int] | None:
    lines = _lock_file(data)
    return (Path(lines[4]), int(lines[3])) if len(lines) > 4 and lines[4] else None


def _take_over_lock_file(data: Path) -> None:
    """Make a lock file that a killed server left look like ours, whose process is a zombie or another's now.

    PostgreSQL ignores a lock file of its own parent but for the shared memory named there: deleting the file
    instead would also delete the guard against a second server beside the children of the first.
    """
    lines = _lock_file(data)
    if not lines:  # none, or the empty one of a power cut
        (data / "postmaster.pid").unlink(missing_ok=True)
        return
    lines[0] = str(os.getpid())
    with (data / "postmaster.pid").open("r+") as file:  # keeps its owner
        file.write("\n".join(lines) + "\n")
        file.truncate()


def _is_running(pid: int, data: Path) -> bool:
    """Tell whether process ``pid`` is a living server of ``data``, where it stands."""
    status = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():  # not Linux
        told = subprocess.run(
            ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, check=False
        )
        return str(data).encode() in told.stdout and not told.stdout.startswith(b"Z")
    try:
        state = status.read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" and Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False


def _log_since(installation: Installation, position: int) -> str:
    with installation.log.open("rb") as log:
        log.seek(position)
        return one_line(log.read().decode(errors="replace"))
