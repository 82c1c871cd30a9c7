"""The end comes: whatever hangs, is lost at that moment, or has only just begun."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import psutil
import psycopg
import pytest

from live.books.server import BooksServer
from live.settings import LiveSettings
from live.tasks import end
from tests.live.books import books_options, database
from tests.live.served import StandingFeed, fund, served
from tests.live.test_books_server import ROOT, Program, books_program
from tests.live.test_lookout import printed
from tests.postgres import postgres, reachable_folder

__all__ = ["database", "postgres"]

END = "import sys, time; from live.ending import Ending; sys.stdout.write('on\\n'); sys.stdout.flush();"


@contextmanager
def program(code: str, **environment: str) -> Iterator[Program]:
    """Run Python code as a program; whatever is left of it is killed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BUS_URL")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=kept | environment,
    )
    made = Program(process)
    assert process.stdout is not None
    reading = threading.Thread(target=made.lines.extend, args=(process.stdout,))
    reading.start()
    try:
        yield made
    finally:
        process.kill()
        process.wait()
        reading.join()
        process.stdout.close()


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("e = Ending(60)\nwith e: e.begin()", 0, ""),
        ("with Ending(0.1): time.sleep(0.5)", 0, ""),  # it never began
        (
            "with Ending(0.1) as e, e.closing('a'), e.closing('b'):\n"
            "  with e.closing('c'): e.begin(); e.begin()\n"
            "  time.sleep(60)",
            1,
            "error: left without closing within 0.1 s: b, a\n",
        ),
    ],
)
def test_what_is_not_closed_in_time_is_named(code: str, status: int, told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", END + "\n" + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (status, told)


def test_a_task_that_takes_its_cancellation_for_a_loss_ends_nevertheless() -> None:
    losses = 0

    async def tries_again() -> None:
        nonlocal losses
        while losses < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                losses += 1
        await asyncio.sleep(60)

    async def body() -> None:
        task = asyncio.create_task(tries_again())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await end(task)
        assert task.cancelled()
        assert losses == 2

    asyncio.run(body())


def test_books_whose_last_snapshot_is_refused_end_and_say_so(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(20), served(database) as (server, _):
            await fund(server.bus, "ann")
            with psycopg.connect(database) as connection:
                connection.execute("alter table book_snapshots rename to gone")

    asyncio.run(scenario())
    assert "the last snapshot of the books was not kept" in caplog.text
    assert "never retrieved" not in caplog.text


def test_books_whose_cancellation_looks_like_a_loss_are_not_opened_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken_off(*_: object) -> None:
        try:
            replaying.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("broken off") from None

    async def scenario() -> None:
        server = BooksServer(LiveSettings(database_url=database), books_options(), StandingFeed())
        running = asyncio.create_task(server.run())
        await replaying.wait()
        running.cancel()
        ended, _ = await asyncio.wait({running}, timeout=10)
        assert ended
        assert running.cancelled()

    async def opened() -> None:
        async with served(database):
            pass

    asyncio.run(opened())
    replaying = asyncio.Event()
    monkeypatch.setattr("live.books.service.recover", broken_off)
    asyncio.run(scenario())


def test_a_second_signal_does_not_break_off_the_last_commit(database: str) -> None:
    waiting = """select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database())"""
    with books_program("--synthetic", DATABASE_URL=database) as program:
        program.wait_open()
        with psycopg.connect(database) as holding, psycopg.connect(database, autocommit=True) as looking:
            holding.execute("select from books_writer for update")
            while looking.execute(waiting).fetchone() != (True,):
                time.sleep(0.02)
            for _ in range(2):
                program.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            holding.rollback()
        assert program.process.wait(60) == 0
    assert program.lines[-1] == "stopped in order\n"
    with psycopg.connect(database) as connection:
        snapshot = connection.execute("select max(seq) from book_snapshots").fetchone()
        assert snapshot == connection.execute("select seq from books_writer").fetchone()


def test_serve_does_not_wait_for_imports() -> None:
    code = """
import sys, time
import live.api.chores as chores
from hybrid_perps import run
chores._EVERY_S = 0.1
def prepare():
    print("preparing", flush=True)
    time.sleep(600)
chores.wallet.prepare = prepare
sys.exit(run(["serve", "--port", "0"]))
"""
    with reachable_folder() as home, program(code, HYBRID_PERPS_HOME=str(home)) as serving:
        printed(serving, "(preparing)")
        assert serving.end(signal.SIGTERM) == 0
    assert serving.lines[-1] == "stopped in order\n"


def test_serve_ends_though_its_database_hangs_and_says_what_it_left() -> None:
    code = """
import sys
import live.cli_serve as serve
from hybrid_perps import run
serve._END_S = 3.0
sys.exit(run(["serve", "--port", "0"]))
"""
    with reachable_folder() as home, program(code, HYBRID_PERPS_HOME=str(home)) as serving:
        folder = Path(unquote(printed(serving, r"database  postgresql://\S*[?&]host=([^&\s]+)")))
        (lock,) = folder.glob(".s.PGSQL.*.lock")
        postmaster = psutil.Process(int(lock.read_text().splitlines()[0]))
        hanging = [postmaster, *postmaster.children(recursive=True)]
        for process in hanging:
            process.suspend()
        try:
            began = time.monotonic()
            assert serving.end(signal.SIGTERM) == 1
            assert time.monotonic() - began < 20
        finally:
            for process in hanging:
                process.kill()
        psutil.wait_procs(hanging, timeout=30)
    assert re.fullmatch(
        "error: left without closing within 3 s: .*the books and their database, threads\n", serving.lines[-1]
    )
