"""The database's disk runs full under load: the books stop, and go on once there is room, with nothing lost."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from live.ledger.migrate import upgrade
from tests.load.harness import PATIENCE_S, Harness, harness
from tests.postgres import Postgres, reachable_folder, start_postgres

_DISK = "192m"  # PostgreSQL's programs are elsewhere; its cluster takes 50
_WAL = ("fsync=off", "wal_recycle=off", "min_wal_size=32MB", "max_wal_size=32MB")


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small file system on ``folder``, or leave the test out where that is not allowed."""
    try:
        mounting = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=755", "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"no program mounts a small disk here: {error}")
    if mounting.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which takes root: {mounting.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Ballast:
    """Take all the room there is on a disk, and give it back."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def load(self) -> None:
        with self._file.open("wb", buffering=0) as file:
            for piece in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(piece)) == piece:
                        pass
                except OSError:
                    continue

    def drop(self) -> None:
        self._file.unlink()


def test_full_disk(tmp_path):
    with reachable_folder() as programs, reachable_folder() as disk:
        elsewhere = start_postgres(programs, "fsync=off")
        elsewhere.stop()
        with small_disk(disk):
            unpacked = elsewhere.server.installation.programs
            (disk / unpacked.name).symlink_to(unpacked)
            server = start_postgres(disk, *_WAL)
            try:
                upgrade(server.conninfo)
                asyncio.run(fill_up_twice(server, disk, tmp_path))
            finally:
                server.stop()


async def fill_up_twice(server: Postgres, disk: Path, folder: Path) -> None:
    ballast = Ballast(disk)
    async with harness(server.conninfo, folder) as load, load.kept_up() as ended, load.load():
        for _ in range(2):
            await load.answered(300)
            before = len(ended)
            ballast.load()
            async with asyncio.timeout(PATIENCE_S):
                while len(ended) == before:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)  # starts on a full disk fail, or stand until their first commit
            ballast.drop()
            if not answers(server):  # it ends itself when its own log finds no room
                await asyncio.to_thread(restart, server, disk)
        await load.answered(300)
        await see_no_room(load, server)


def answers(server: Postgres) -> bool:
    try:
        psycopg.connect(server.conninfo).close()
    except psycopg.OperationalError:
        return False
    return True


def restart(server: Postgres, disk: Path) -> None:
    server.stop()
    server.server = start_postgres(disk, *_WAL).server


async def see_no_room(load: Harness, server: Postgres) -> None:
    """Hold the test to its word: the database did say that its disk was full."""
    assert "No space left on device" in server.server.installation.log.read_text()
