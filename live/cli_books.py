"""The command ``books``: run the books for others, or with a synthetic market to try them."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from live.books.feed import Feed, NoFeed
from live.books.process import BooksProcess
from live.books.server import BooksServer
from live.ending import Ending
from live.ledger.book_options import BookOptions
from live.settings import LiveSettings, read_settings, without_password
from risk.market import SymbolSpec
from risk.numbers import install_context
from risk.settings import Settings
from venues.hyperliquid.specs import bundled_specs

_END_S = 45.0  # the last commit 20, the last snapshot 20


def books_command(synthetic: bool, take_over: bool) -> None:
    """Run the books until Ctrl-C or SIGTERM, which stop them in order."""
    install_context()
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it tells of every attempt; we tell of the loss
    settings = read_settings()
    feed, specs = feed_and_specs(synthetic)
    server = BooksServer(
        settings,
        BookOptions.of(specs, Settings()),
        feed,
        take_over=take_over,
        opened=lambda process, dsn, seconds: _opened(settings, process, dsn, seconds),
        lost=lambda error, pause_s: say(f"lost: {error}; opening again in {pause_s:.1f} s"),
        progress=show_replayed,
    )
    with Ending(_END_S) as ending, ending.closing("the books and their database"):
        asyncio.run(_until_stopped(server, ending), loop_factory=loop_factory())
    say("stopped in order")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes event loops: uvloop, which takes less of a commit's time, where it is."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


def feed_and_specs(synthetic: bool) -> tuple[Feed, dict[str, SymbolSpec]]:
    """Return what tells new books of the market, and its symbols."""
    if not synthetic:
        return NoFeed(), bundled_specs()
    from live.books.synthetic import SyntheticFeed, synthetic_specs  # NumPy and Arrow

    specs = synthetic_specs()
    return SyntheticFeed(specs), specs


async def _until_stopped(server: BooksServer, ending: Ending) -> None:
    running = asyncio.create_task(server.run())

    def stop() -> None:
        ending.begin()
        if not running.cancelling():  # twice would break off the last commit
            running.cancel()

    with signals_call(stop):
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


@contextmanager
def signals_call(call: Callable[[], object]) -> Iterator[None]:
    """Call on Ctrl-C and SIGTERM as long as the block lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _opened(settings: LiveSettings, process: BooksProcess, dsn: str, seconds: float) -> None:
    show_opened(process, seconds)
    say(f"database  {without_password(dsn)}")
    if settings.bus_url is None:
        say("commands  from this process alone; set BUS_URL=redis://HOST:PORT to take them from others")
    else:
        say(f"commands  {without_password(settings.bus_url)}")


def show_opened(process: BooksProcess, seconds: float) -> None:
    """Print where the books stand."""
    machine = process.machine
    say(f"the books are open: epoch {process.epoch}, input {machine.seq}, recovered in {seconds:.2f} s")
    if machine.halted is not None:
        say(f"HALTED    {machine.halted}")


def show_replayed(done: int, of: int) -> None:
    """Show how far a recovery is, on a terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\r{done:,} of {of:,} inputs replayed", nl=done >= of, err=True)


def say(text: str) -> None:
    """Print a line now, also where standard output is a file."""
    typer.echo(text)
    sys.stdout.flush()
