"""Kill the books at random points under load, start them again, and check everything each time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.load.harness import Books, Harness

_ANSWERS = (0, 200)  # under load before a kill
_EARLY = 0.15  # of kills come while the books start
_START_S = 0.8  # a start takes about that long


@dataclass(frozen=True)
class Outcome:
    """Tell of one kill: how many answers there were before it, and where the books stood after it."""

    acknowledged: int
    seq: int


async def kill_and_come_back(
    load: Harness, kills: int, seed: str, until: float = float("inf")
) -> AsyncIterator[Outcome]:
    """Kill ``kills`` times, each time yielding once all is checked; the last start ends in order.

    The points are random by ``seed``; where in the books' work they fall is up to the machine. ``until`` is a
    time of ``time.monotonic`` after which no further kill comes. Raises Violated.
    """
    rng = random.Random(seed)
    async with load.load():
        books = await load.start("--snapshot-every", str(rng.choice((200, 1_000, 5_000))))
        for kill in range(kills):
            check = asyncio.create_task(load.check(books.standing))
            await load.answered(rng.randint(*_ANSWERS))
            books.kill()
            await books.ended()
            assert books.said == "", books.said
            acknowledged = len(load.record.acknowledged)
            await check
            if rng.random() < _EARLY:
                await _kill_early(load, rng.uniform(0, _START_S))
            books = await _again(load, rng)
            if kill == kills - 1 or time.monotonic() > until:
                break
            yield Outcome(acknowledged, books.standing.seq)
    await load.check(books.standing)
    standing = await load.finish(books)
    yield Outcome(len(load.record.acknowledged), standing.seq)


async def _again(load: Harness, rng: random.Random) -> Books:
    return await load.come_back("--snapshot-every", str(rng.choice((200, 1_000, 5_000))))


async def _kill_early(load: Harness, after_s: float) -> None:
    """Kill a start before it may stand."""
    process, _ = await load.spawn()
    await asyncio.sleep(after_s)
    if process.returncode is None:
        process.kill()
    await process.communicate()
