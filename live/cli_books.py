"""The command ``books``: run the books for others, or with a synthetic market to try them."""

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from live.books.feed import Feed, NoFeed
from live.books.process import BooksProcess
from live.books.server import BooksServer
from live.ledger.book_options import BookOptions
from live.settings import LiveSettings, read_settings, without_password
from risk.market import SymbolSpec
from risk.numbers import install_context
from risk.settings import Settings
from venues.hyperliquid.specs import bundled_specs


def books_command(synthetic: bool, take_over: bool) -> None:
    """Run the books until Ctrl-C or SIGTERM, which stop them in order."""
    install_context()
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it tells of every attempt; we tell of the loss
    settings = read_settings()
    feed, specs = _feed(synthetic)
    server = BooksServer(
        settings,
        BookOptions.of(specs, Settings()),
        feed,
        take_over=take_over,
        opened=lambda process, dsn, seconds: _opened(settings, process, dsn, seconds),
        lost=lambda error, pause_s: _say(f"lost: {error}; opening again in {pause_s:.1f} s"),
        progress=_replayed,
    )
    asyncio.run(_until_stopped(server))
    _say("stopped in order")


def _feed(synthetic: bool) -> tuple[Feed, dict[str, SymbolSpec]]:
    if not synthetic:
        return NoFeed(), bundled_specs()
    from live.books.synthetic import SyntheticFeed, synthetic_specs  # NumPy and Arrow

    specs = synthetic_specs()
    return SyntheticFeed(specs), specs


async def _until_stopped(server: BooksServer) -> None:
    running = asyncio.create_task(server.run())
    with _signals_cancel(running):
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


@contextmanager
def _signals_cancel(task: "asyncio.Task[None]") -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _opened(settings: LiveSettings, process: BooksProcess, dsn: str, seconds: float) -> None:
    machine = process.machine
    _say(f"the books are open: epoch {process.epoch}, input {machine.seq}, recovered in {seconds:.2f} s")
    _say(f"database  {without_password(dsn)}")
    if settings.bus_url is None:
        _say("commands  from this process alone; set BUS_URL=redis://HOST:PORT to take them from others")
    else:
        _say(f"commands  {without_password(settings.bus_url)}")
    if machine.halted is not None:
        _say(f"HALTED    {machine.halted}")


def _replayed(done: int, of: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{done:,} of {of:,} inputs replayed", nl=done >= of, err=True)


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()
