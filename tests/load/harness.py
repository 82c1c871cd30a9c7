"""Books under load, in a process that can be killed: its clients, its restarts, and what must hold after each."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.load.books_main import BROKEN, LOST_DATABASE, REFUSED
from tests.load.clients import Client, Record
from tests.load.verdict import Verifier
from tests.load.wire import Standing, read_standing

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
_PAUSE_S = 0.05


class NotStarted(Exception):
    """Say with which exit code and words a books process ended before it stood."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit code {code}: {said}")
        self.code, self.said = code, said


@dataclass
class Books:
    """A books process that stands, and where it stood when it began."""

    process: Process
    standing: Standing
    _log: Path

    @property
    def said(self) -> str:
        """Return what it wrote to stderr, which is nothing but why it ended."""
        return self._log.read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for its end; return its exit code."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def stop(self) -> Standing:
        """End it in order; return where it stood then."""
        assert self.process.stdout is not None
        self.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            standing = read_standing(await self.process.stdout.readline())
            assert await self.process.wait() == 0, self.said
        assert standing.what == "stopped"
        return standing


class Harness:
    """Load the books at ``dsn``: ``start`` and kill them as you like, then ask ``check`` whether all is right."""

    def __init__(self, dsn: str, folder: Path, seed: str, clients: int) -> None:
        self.dsn = dsn
        self.folder = folder
        self.record = Record.at(folder / "acknowledged.jsonl")
        self.verifier = Verifier(dsn, self.record, folder / "asked-of-venue")
        self.clients = [Client(f"c{n}", folder / "books", self.record, seed) for n in range(clients)]
        self.starts = 0
        self._processes: list[Process] = []

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Have the clients ask for as long as the block lasts, and get all they asked answered at its end."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(client.run(stop)) for client in self.clients]
        try:
            yield
            stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def point_clients_at(self, socket: str) -> None:
        """Let clients connect elsewhere from now on."""
        for client in self.clients:
            client.socket = self.folder / socket

    async def spawn(self, *arguments: str, dsn: str | None = None) -> tuple[Process, Path]:
        """Start a books process without waiting for it."""
        self.starts += 1
        log = self.folder / f"log-{self.starts}"
        command = [sys.executable, "-m", "tests.load.books_main", dsn or self.dsn, str(self.folder)]
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *command, "--seed", str(self.starts), *arguments, stdout=PIPE, stderr=errors, cwd=ROOT
            )
        self._processes.append(process)
        return process, log

    async def start(self, *arguments: str, dsn: str | None = None) -> Books:
        """Start a books process and wait until it stands; raise NotStarted if it does not."""
        process, log = await self.spawn(*arguments, dsn=dsn)
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            text = await process.stdout.readline()
            if not text:
                raise NotStarted(await process.wait(), log.read_text())
        return Books(process, read_standing(text), log)

    async def come_back(self, *arguments: str, dsn: str | None = None) -> Books:
        """Start the books again, as often as it takes while the database or the old process's session is in the way."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self.start(*arguments, dsn=dsn)
            except NotStarted as error:
                if error.code not in (REFUSED, LOST_DATABASE) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_PAUSE_S)

    @asynccontextmanager
    async def kept_up(self, *arguments: str, dsn: str | None = None) -> AsyncIterator[list[int]]:
        """Have books run for as long as the block lasts, started again whenever they end because of the database.

        Gives the exit codes of those that ended; at the end of the block the last one is stopped in order.
        """
        ended: list[int] = []
        books = await self.come_back(*arguments, dsn=dsn)

        async def keep_up() -> None:
            nonlocal books
            while True:
                ended.append(await books.process.wait())
                assert ended[-1] == LOST_DATABASE, books.said
                assert "Traceback" not in books.said, books.said
                books = await self.come_back(*arguments, dsn=dsn)

        keeping = asyncio.create_task(keep_up())
        try:
            yield ended
            assert not keeping.done(), keeping.exception()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await self.finish(books)

    async def answered(self, more: int) -> None:
        """Wait until clients got that many further answers."""
        goal = len(self.record.acknowledged) + more
        async with asyncio.timeout(PATIENCE_S):
            while len(self.record.acknowledged) < goal:
                await asyncio.sleep(0.01)

    async def check(self, standing: Standing | None = None) -> None:
        """Raise Violated unless everything holds; ``standing`` is where books said they stood since the last check."""
        await asyncio.to_thread(self.verifier.check, standing)

    async def finish(self, books: Books) -> Standing:
        """Stop books in order, and check all there is to check; return where they stood at the end."""
        standing = await books.stop()
        assert books.said == "", books.said
        await self.check(standing)
        await asyncio.to_thread(self.verifier.check_everything)
        return standing

    async def close(self) -> None:
        """End what still runs."""
        os.close(self.record.file)
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def harness(dsn: str, folder: Path, seed: str = "1", clients: int = 8) -> AsyncIterator[Harness]:
    """Give a harness on a migrated database, whose processes do not outlive the block."""
    made = Harness(dsn, folder, seed, clients)
    try:
        yield made
    finally:
        await made.close()


__all__ = ["BROKEN", "Books", "Harness", "NotStarted", "harness"]
