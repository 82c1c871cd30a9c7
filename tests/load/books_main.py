"""Books in a process of their own, for clients on a socket: what the harness loads, kills and starts again.

Prints a ``Standing`` when it has recovered, and another when SIGTERM ended it in order. Its exit code says what
ended it otherwise.
"""

import argparse
import asyncio
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg

from live.books.commands import Command, KeyReused, NotAnswered, Overloaded
from live.books.process import BooksProcess, Limits
from live.books.service import open_books
from live.ledger.recovery import BooksBroken
from live.ledger.writer import Fenced
from risk.errors import HybridPerpsError, InvalidInput
from risk.numbers import install_context
from tests.load.market import move_marks, options, venues
from tests.load.wire import LINE_BYTES, Reply, Standing, line, read_question

REFUSED, TAKEN_OVER, LOST_DATABASE, BROKEN = 2, 3, 4, 5


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("folder", type=Path, help="of the socket, and of the venue's file")
    parser.add_argument("--socket", default="books", help="its name in there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--snapshot-every", type=int, default=1_000)
    parser.add_argument("--queue", type=int, default=20_000)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds a commit may take")
    arguments = parser.parse_args()
    install_context()
    try:
        asyncio.run(serve(arguments))
    except InvalidInput as error:
        return _ended(REFUSED, error)
    except Fenced as error:
        return _ended(TAKEN_OVER, error)
    except BooksBroken as error:
        return _ended(BROKEN, error)
    except (HybridPerpsError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return _ended(LOST_DATABASE, error)
    return 0


def _ended(code: int, error: Exception) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return code


async def serve(arguments: argparse.Namespace) -> None:
    """Open the books and answer whoever connects."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    rng = random.Random(arguments.seed)
    ports = venues(arguments.folder / "asked-of-venue", rng)
    limits = Limits(
        snapshot_every=arguments.snapshot_every, queue=arguments.queue, patience_s=arguments.patience
    )
    desk = Desk()
    async with open_books(
        arguments.dsn, options(), dict(ports), limits=limits, take_over=arguments.take_over
    ) as books:
        _say("ready", books)
        desk.books = books
        for venue in set(ports.values()):
            venue.books = books
            venue.look_up()
        market = asyncio.create_task(move_marks(books, rng))
        server = await asyncio.start_unix_server(
            desk.meet, arguments.folder / arguments.socket, limit=LINE_BYTES
        )
        first = {asyncio.create_task(stop.wait()), asyncio.create_task(books.ended.wait())}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        market.cancel()
        server.close()
    await desk.finish()
    _say("stopped", books)


def _say(what: str, books: BooksProcess) -> None:
    machine = books.machine
    sys.stdout.buffer.write(line(Standing(what, machine.seq, machine.book.digest())))
    sys.stdout.flush()


class Desk:
    """Hand the questions of all connections to the books as they come."""

    def __init__(self) -> None:
        self.books: BooksProcess
        self._answering: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the questions of one connection; each is answered when it can be."""
        self._writers.add(writer)
        try:
            while text := await reader.readline():
                question = read_question(text)
                task = asyncio.create_task(self._answer(question.number, question.command(), writer))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client comes back
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, number: int, command: Command, writer: asyncio.StreamWriter) -> None:
        try:
            reply = Reply(number, await self.books.submit(command))
        except (KeyReused, Overloaded, NotAnswered) as error:
            reply = Reply(number, error=type(error).__name__)
        if not writer.is_closing():
            writer.write(line(reply))

    async def finish(self) -> None:
        """Send what has been answered."""
        await asyncio.gather(*self._answering)
        for writer in list(self._writers):
            writer.close()
            with suppress(ConnectionError):
                await asyncio.wait_for(writer.wait_closed(), 60)


if __name__ == "__main__":
    sys.exit(main())
