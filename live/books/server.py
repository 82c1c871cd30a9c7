"""The books as a service: on their database, for whoever asks over the bus, and back again after it was lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from live.books.bus import InProcessBus
from live.books.collector import calm_collector
from live.books.feed import Feed
from live.books.process import BooksProcess
from live.books.redis_books import RedisBooks, serving_redis
from live.books.service import open_books
from live.database import opened_in_thread
from live.ledger.book_options import BookOptions
from live.ledger.writer import DatabaseLost, Fenced, reaching_database
from live.settings import LiveSettings
from risk.errors import InvalidInput

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LASTED_S = 30.0  # after that long the next pause is the first again


class BooksServer:
    """Run the books where ``settings`` say; ``options`` open new ones, ``feed`` tells them of market and venue.

    With BUS_URL commands come over Redis as well as over ``bus``. ``opened`` is told of every ``BooksProcess``,
    its database and the seconds it took to open; ``lost`` why one ended, and after how many seconds another is
    tried; ``progress`` of (inputs replayed, inputs to replay).
    """

    def __init__(
        self,
        settings: LiveSettings,
        options: BookOptions,
        feed: Feed,
        *,
        take_over: bool = False,
        opened: Callable[[BooksProcess, str, float], None] = lambda _, __, ___: None,
        lost: Callable[[Exception, float], None] = lambda _, __: None,
        progress: Callable[[int, int], None] = lambda _, __: None,
    ) -> None:
        self.bus = InProcessBus()
        self._settings = settings
        self._options = options
        self._feed = feed
        self._take_over = take_over
        self._opened = opened
        self._lost = lost
        self._progress = progress
        self._epoch: int | None = None  # of the last process of ours
        self._over_redis: RedisBooks | None = None

    async def run(self) -> None:
        """Work until cancelled, which answers what was taken before it stops.

        The books are opened again, after a pause that grows, when the database was lost. Raises InvalidInput
        where they cannot be opened at first or other ones are being written now, and Fenced when others took
        them over.
        """
        pause_s = _FIRST_PAUSE_S
        task = asyncio.current_task()
        assert task is not None
        try:
            async with AsyncExitStack() as stack:
                while True:
                    began = time.monotonic()
                    try:
                        with reaching_database():
                            await self._run_once(stack)
                    except Fenced:
                        raise
                    except DatabaseLost as error:
                        if (
                            task.cancelling()
                        ):  # broken off, a driver may raise this in the place of the cancellation
                            raise asyncio.CancelledError from error
                        if time.monotonic() - began > _LASTED_S:
                            pause_s = _FIRST_PAUSE_S
                        self._lost(error, pause_s)
                        await asyncio.sleep(pause_s)
                        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self.bus.close()

    async def _run_once(self, stack: AsyncExitStack) -> None:
        """Open the books and serve them until they end, which raises what ended them."""
        began = time.monotonic()
        async with (
            self._database() as dsn,
            open_books(
                dsn,
                self._options,
                self._feed.ports,
                take_over=self._take_over and self._epoch is None,
                ours=self._epoch,
                progress=self._progress,
            ) as process,
        ):
            self._epoch = process.epoch
            self.bus.opened(process)
            if self._over_redis is None and self._settings.bus_url is not None:
                context = serving_redis(self._settings.bus_url, self.bus)
                self._over_redis = await stack.enter_async_context(context)
            self._opened(process, dsn, time.monotonic() - began)
            with calm_collector():
                await self._serve(process)

    async def _serve(self, process: BooksProcess) -> None:
        """Wait for the end of the books, or of what they cannot go on without."""
        feeding = asyncio.create_task(self._feed.drive(process))
        ended = asyncio.create_task(process.ended.wait())
        needed = {feeding} if self._over_redis is None else {feeding, self._over_redis.running}
        try:
            await asyncio.wait({ended, *needed}, return_when=asyncio.FIRST_COMPLETED)
            for task in needed:
                if task.done():
                    task.result()
        except asyncio.CancelledError:
            if self._over_redis is not None:
                await self._over_redis.drain()
            raise
        finally:
            self.bus.shut()
            feeding.cancel()
            ended.cancel()
            await asyncio.gather(feeding, ended, return_exceptions=True)

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[str]:
        """Open the database; where it could be opened before, failing to is a loss."""
        async with AsyncExitStack() as stack:
            try:
                dsn = await stack.enter_async_context(opened_in_thread(self._settings, migrate=True))
            except InvalidInput as error:
                if self._epoch is None:
                    raise
                raise DatabaseLost(str(error)) from error  # it could be opened before
            yield dsn
