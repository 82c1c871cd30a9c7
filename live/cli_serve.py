"""The command ``serve``: the API for users and operators, with the books beside it in the same process."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from live.api import logs
from live.api.app import create_app
from live.api.bounded_http import Bounded
from live.api.chores import chores
from live.api.services import MoveMarket, move_pool, open_services
from live.api.settings import ApiSettings
from live.api.stream.wire import StreamProtocol
from live.books.bus import InProcessBus
from live.books.feed import Movable
from live.books.process import BooksProcess
from live.books.server import BooksServer
from live.cli_books import feed_and_specs, loop_factory, say, show_opened, show_replayed, signals_call
from live.database import opened_in_thread
from live.ending import Ending
from live.identity.mail import Letter
from live.ledger.book_options import BookOptions
from live.settings import read_settings, without_password
from live.tls import tls_context
from risk.errors import InvalidInput
from risk.numbers import install_context
from risk.settings import Settings

_LARGEST_MESSAGE = 16_384  # bytes; what the stream takes is less
_BACKLOG = 2048
_FINISH_S = 10  # how long requests may take to finish when we stop
_END_S = 45.0  # the same, and all that follows: connections 10, the last commit 20
_BANNER = """\
*** DEVELOPMENT: the market is synthetic, test funds are given away, mails are printed here. ***
*** Use this for nothing that is worth anything.                                             ***"""


@dataclass(frozen=True)
class Serving:
    """Say where to serve, and how."""

    host: str
    port: int
    dev: bool
    tls_cert: Path | None
    tls_key: Path | None
    log_level: str


@dataclass(frozen=True)
class _Site:
    """Hold what it serves with, and ``stop``, which is set once it shall end."""

    how: Serving
    settings: ApiSettings
    listening: socket.socket
    tls: ssl.SSLContext | None
    ending: Ending
    stop: asyncio.Event


@dataclass
class _Beside:
    """Hold what the API works beside: the database, and the books of this process if it has them."""

    dsn: str
    here: InProcessBus | None = None
    books: "asyncio.Task[None] | None" = None
    moved: Callable[[str], None] = lambda _: None  # told where the database is when it was opened again
    move_market: MoveMarket | None = None


def serve_command(how: Serving) -> None:
    """Serve until Ctrl-C or SIGTERM, which let requests finish, and then the books."""
    install_context()
    tls = tls_context(how.tls_cert, how.tls_key, warn=lambda text: say(f"warning   {text}"))
    settings = read_settings(ApiSettings)
    if how.dev and settings.bus_url is not None:
        raise InvalidInput("--dev runs books of its own: unset BUS_URL, or serve without --dev")
    listening = _listen(how.host, how.port)
    if "public_url" not in settings.model_fields_set:
        settings = settings.model_copy(update={"public_url": _address(how, listening)})
    logs.configure(how.log_level)
    for retrying in ("stamina", "asyncpg.pool"):  # they tell of every attempt; we tell of the loss
        logging.getLogger(retrying).setLevel(logging.ERROR)
    with (
        listening,
        Ending(_END_S) as ending,
        ending.closing("threads"),
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_until_stopped(_Site(how, settings, listening, tls, ending, asyncio.Event())))
    say("stopped in order")


async def _until_stopped(at: _Site) -> None:
    """Serve; the first signal stops in order whatever has begun by then."""

    def stop() -> None:
        at.ending.begin()
        at.stop.set()

    with signals_call(stop):
        await _serve(at)


async def _serve(at: _Site) -> None:
    if at.how.dev:
        say(_BANNER)
    here = at.settings.bus_url is None
    beside = _books(at.settings, at.how.dev, at.stop) if here else _database_alone(at.settings)
    with at.ending.closing("the books and their database" if here else "the database"):
        async with beside as found:
            if not at.stop.is_set():
                await _serve_beside(at, found)


async def _serve_beside(at: _Site, found: _Beside) -> None:
    told = _print_letter if at.how.dev else None
    services_of = open_services(
        at.settings, found.dsn, found.here, dev=at.how.dev, move_market=found.move_market, told=told
    )
    with at.ending.closing("what requests share"):
        async with services_of as services:
            # our own database may come back on another socket
            found.moved = lambda dsn: move_pool(services.pool, dsn)
            app = create_app(services)
            _say_where(at.how, at.settings, found, at.listening)
            async with chores(services):
                with at.ending.closing("requests"):
                    await serve_app(app, at.listening, at.stop, at.tls, found.books)
                at.ending.begin()  # also where the books ended, and nobody said stop


async def serve_app(
    app: FastAPI,
    listening: socket.socket,
    stop: asyncio.Event,
    tls: ssl.SSLContext | None = None,
    books: "asyncio.Task[None] | None" = None,
) -> None:
    """Serve ``app`` until ``stop``, or ``books`` end for good; then let requests finish."""
    server = _Server(_config(app, tls))
    stopping = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    ends: set[asyncio.Future[Any]] = {stopping, serving} if books is None else {stopping, serving, books}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving


class _Server(uvicorn.Server):
    """Be a server that leaves signals to us: the books must outlive the last request."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


def _config(app: FastAPI, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Bounded,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # the application does it, for proxies that are trusted
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_FINISH_S,
        ws=StreamProtocol,
        ws_max_size=_LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # of short messages it takes more time and memory than it saves
        ssl_certfile="given" if tls is not None else None,
        ssl_context_factory=None if tls is None else lambda _, __: tls,
    )


@asynccontextmanager
async def _books(settings: ApiSettings, dev: bool, stop: asyncio.Event) -> AsyncIterator[_Beside]:
    """Run the books of this process; gives them when they are open, or when it shall stop before that."""
    feed, specs = feed_and_specs(dev)
    first: asyncio.Future[_Beside] = asyncio.get_running_loop().create_future()

    def opened(process: BooksProcess, dsn: str, seconds: float) -> None:
        show_opened(process, seconds)
        if first.done():
            first.result().moved(dsn)
        else:
            move_market = feed.move if isinstance(feed, Movable) else None
            first.set_result(_Beside(dsn, server.bus, running, move_market=move_market))

    server = BooksServer(
        settings,
        BookOptions.of(specs, Settings()),
        feed,
        opened=opened,
        lost=lambda error, pause_s: say(f"lost: {error}; opening again in {pause_s:.1f} s"),
        progress=show_replayed,
    )
    running = asyncio.create_task(server.run())
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {running, first, stopping}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if first.done() or stop.is_set():
            yield first.result() if first.done() else _Beside("")
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


@asynccontextmanager
async def _database_alone(settings: ApiSettings) -> AsyncIterator[_Beside]:
    async with opened_in_thread(settings, migrate=False) as dsn:
        yield _Beside(dsn)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        # asked by number: asyncio and socket add words of their own to the text
        known = error.errno is not None and error.errno > 0
        reason = os.strerror(error.errno) if known else error.strerror  # type: ignore[arg-type]
        other = "; name another one with --port" if error.errno == errno.EADDRINUSE else ""
        raise InvalidInput(f"cannot serve at {host} port {port}: {reason}{other}") from None


def _address(how: Serving, listening: socket.socket) -> str:
    host = f"[{how.host}]" if ":" in how.host else how.host
    return f"{'http' if how.tls_cert is None else 'https'}://{host}:{listening.getsockname()[1]}"


def _say_where(how: Serving, settings: ApiSettings, found: _Beside, listening: socket.socket) -> None:
    address = _address(how, listening)
    say(f"serving   {address}")
    say(f"docs      {address}/docs")
    say(f"database  {without_password(found.dsn)}")
    if settings.bus_url is not None:
        say(f"books     over {without_password(settings.bus_url)}, run by `hybrid-perps books`")
    say(f"mails     {_mails(how.dev, settings)}")
    if how.tls_cert is None and how.host not in ("127.0.0.1", "::1", "localhost"):
        say(
            "warning   without TLS, passwords cross the network in the clear: --tls-cert, or a proxy with TLS"
        )


def _mails(dev: bool, settings: ApiSettings) -> str:
    """Return where mails go."""
    if settings.smtp_url is not None:
        sent = f"sent through {without_password(settings.smtp_url)}"
    else:
        sent = f"kept in {settings.hybrid_perps_home / 'outbox'}, as no SMTP_URL is set"
    return f"printed here, and {sent}" if dev else sent


def _print_letter(letter: Letter) -> None:
    say(f"--- mail to {letter.to}: {letter.subject}\n{letter.text.rstrip()}\n---")
