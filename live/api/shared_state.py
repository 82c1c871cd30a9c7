"""What all processes of the API must know of each other: counts of requests, and what may happen once only."""

import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import structlog

from risk.errors import HybridPerpsError

if TYPE_CHECKING:
    import redis.asyncio as redis

_PREFIX = "hybrid-perps:api:"
_log = structlog.get_logger("live.api")


class SharedStateLost(HybridPerpsError):
    """Say that what must happen once only cannot be marked: Redis does not answer."""


class SharedState(Protocol):
    """Count and mark, for all processes that serve the same users.

    ``since_s`` is the Unix time from which on every mark is remembered: what is older may have been marked
    before a restart.
    """

    since_s: float

    async def count(self, key: str, window_s: int) -> int:
        """Count one more of ``key`` in the window of that many seconds that is now; return how many it has."""

    async def once(self, key: str, ttl_s: float) -> bool:
        """Tell whether ``key`` comes for the first time within ``ttl_s`` seconds, and mark it."""


class InMemory:
    """Keep it in this process, which is the only one.

    Counts are dropped with their window, all at once; a count costs two look-ups in a dictionary.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self.since_s = now_s()
        self._windows: dict[int, tuple[int, dict[str, int]]] = {}
        self._marks: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []

    async def count(self, key: str, window_s: int) -> int:
        """Count one more of ``key``."""
        number = int(self._now_s()) // window_s
        found = self._windows.get(window_s)
        if found is None or found[0] != number:
            found = self._windows[window_s] = (number, {})
        counts = found[1]
        counts[key] = so_far = counts.get(key, 0) + 1
        return so_far

    async def once(self, key: str, ttl_s: float) -> bool:
        """Mark ``key``."""
        now = self._now_s()
        while self._ends and self._ends[0][0] <= now:
            _, ended = heapq.heappop(self._ends)
            if self._marks.get(ended, now + 1) <= now:
                del self._marks[ended]
        if key in self._marks:
            return False
        self._marks[key] = now + ttl_s
        heapq.heappush(self._ends, (now + ttl_s, key))
        return True


class InRedis:
    """Keep it in Redis, for several processes; while Redis does not answer each process counts for itself."""

    since_s = 0.0

    def __init__(self, client: "redis.Redis", lost: tuple[type[Exception], ...]) -> None:
        self._redis = client
        self._lost = lost
        self._here = InMemory()

    async def count(self, key: str, window_s: int) -> int:
        """Count one more of ``key``; its window ends in Redis a little after it does here."""
        name = f"{_PREFIX}count:{key}:{int(time.time()) // window_s}"
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.incr(name)
                pipe.expire(name, 2 * window_s)
                so_far, _ = await pipe.execute()
        except self._lost as error:
            _log.warning("counting without Redis", error=str(error))
            return await self._here.count(key, window_s)
        return int(so_far)

    async def once(self, key: str, ttl_s: float) -> bool:
        """Mark ``key``; raises SharedStateLost where it cannot be known whether it came before."""
        ttl_ms = max(1, int(ttl_s * 1000))
        try:
            marked = await self._redis.set(f"{_PREFIX}once:{key}", b"", nx=True, px=ttl_ms)
        except self._lost as error:
            raise SharedStateLost("this cannot be done safely now; try again shortly") from error
        return marked is not None


@asynccontextmanager
async def open_shared_state(url: str | None) -> AsyncIterator[SharedState]:
    """Give the state in the Redis at ``url``, else in memory; raises InvalidInput when no Redis answers."""
    if url is None:
        yield InMemory()
        return
    from live.books.bus_wire import LOST, connect, reach  # redis takes 0.2 s to import

    async with connect(url) as client:
        await reach(client, url)
        yield InRedis(client, LOST)
