"""The whole API on real books, for tests: in this process, with a market that only the test moves."""

import asyncio
import base64
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from live.api.app import create_app
from live.api.bounded_http import Bounded
from live.api.services import MoveMarket, Services, open_services
from live.api.settings import ApiSettings
from live.api.stream.wire import StreamProtocol
from live.books.commands import Answer, Asked, Command
from live.books.process import BooksProcess
from live.books.server import BooksServer
from live.identity.rules import AccessRules
from live.ledger.book_options import BookOptions
from live.ledger.inputs import DepositArrived, UserRegistered
from live.settings import read_settings
from risk.inputs import ChannelReported, HlAccount
from strategies.driver import VenuePort
from tests.live.books import DEPTH, RecordingPort, books_options
from tests.risk.book_builder import MARKS, D

BASE_URL = "http://api.test"
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
CHEAP = AccessRules(argon2_memory_kib=64, argon2_passes=1)


class Market:
    """Be the feed: every symbol stands at the book builder's mark until ``move`` is called."""

    def __init__(self) -> None:
        self.recording = {account: RecordingPort() for account in HlAccount}
        self.ports: dict[HlAccount, VenuePort] = {**self.recording}
        self.marks = {symbol: float(mark) for symbol, mark in MARKS.items()}
        self._process: BooksProcess | None = None

    async def drive(self, process: BooksProcess) -> None:
        self._process = process
        process.tell(ChannelReported(0, True))
        while True:
            for symbol in self.marks:
                self._tick(process, symbol)
            await asyncio.sleep(1)

    def move(self, symbol: str, mark: float) -> None:
        """Set a symbol's mark, and its quote without a spread, now."""
        self.marks[symbol] = mark
        assert self._process is not None
        self._tick(self._process, symbol)

    def _tick(self, process: BooksProcess, symbol: str) -> None:
        mark = self.marks[symbol]
        process.quote(symbol, mark, mark, DEPTH, DEPTH)
        process.mark(symbol, mark)


@dataclass
class Api:
    """What a test of the API has at hand; ``client`` calls the application without a network."""

    app: FastAPI
    services: Services
    client: httpx.AsyncClient
    books: BooksServer
    process: BooksProcess
    market: Market
    home: Path

    async def ask(self, key: str, asked: Asked) -> Answer:
        """Have the books do something, past the API."""
        return await self.services.bus.submit(Command(key, asked))

    async def user(self, name: str, amount: object = 100_000) -> None:
        """Register a user of the books, with money, past the API."""
        assert (await self.ask(f"user-{name}", UserRegistered(0, name))).status == "DONE"
        deposit = DepositArrived(0, f"d-{name}", name, D(str(amount)), "eth", "USDC", "0x1", 12)
        assert (await self.ask(f"money-{name}", deposit)).status == "DONE"


@asynccontextmanager
async def served_api(
    dsn: str,
    *,
    options: BookOptions | None = None,
    dev: bool = False,
    move_market: MoveMarket | None = None,
    settings: dict[str, Any] | None = None,
    rules: AccessRules = CHEAP,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncIterator[Api]:
    """Serve the API with books at ``dsn``; ``settings`` are fields of ``ApiSettings``."""
    with tempfile.TemporaryDirectory(prefix="api-") as name:
        home = Path(name)
        given = read_settings(ApiSettings).model_copy(update={"database_url": dsn, "bus_url": None})
        here = {
            "hybrid_perps_home": home,
            "hybrid_perps_secret": MASTER_KEY,
            "rate_limit_login": "100000/day",
            "rate_limit_letters": "100000/day",
        }
        given = ApiSettings(**{**given.model_dump(), **here, **(settings or {})})
        market = Market()
        async with (
            _books(given, options or books_options(), market) as (books, process),
            open_services(
                given, dsn, books.bus, rules=rules, clock=clock, dev=dev, move_market=move_market
            ) as services,
        ):
            app = create_app(services)
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000))
            async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
                yield Api(app, services, client, books, process, market, home)


@asynccontextmanager
async def over_http(api: Api, **config: Any) -> AsyncIterator[str]:
    """Serve an API on loopback as well; gives its base URL: for WebSockets, and whatever needs a real server."""
    server_as_served = {"http": Bounded, "ws": StreamProtocol, "proxy_headers": False}
    server_as_served |= {"ws_per_message_deflate": False, "lifespan": "off", "log_config": None}
    config = server_as_served | {"loop": "none"} | config
    server = uvicorn.Server(uvicorn.Config(api.app, host="127.0.0.1", port=0, **config))
    server.capture_signals = nullcontext  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"{'https' if 'ssl_certfile' in config else 'http'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def _books(
    settings: ApiSettings, options: BookOptions, market: Market
) -> AsyncIterator[tuple[BooksServer, BooksProcess]]:
    opened: asyncio.Future[BooksProcess] = asyncio.get_running_loop().create_future()

    def note(process: BooksProcess, _: str, __: float) -> None:
        if not opened.done():
            opened.set_result(process)

    server = BooksServer(settings, options, market, opened=note)
    running = asyncio.create_task(server.run())
    await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if running.done():
            running.result()
        yield server, opened.result()
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()
