"""Time each read over HTTP by itself: ``python tests/bench/reads.py [SECONDS] [ORDERS]``.

The server, its users and their orders are those of ``api.py``. Every read is asked for by signed requests over
connections that ask as fast as they are answered; one figure is for all of them in turn, as ``api.py`` mixes them. A
sampled run then tells where the server's time of such a mix goes.
"""

import asyncio
import json
import random
import signal
import sys
import tempfile
from pathlib import Path

import uvloop
from _bench import show
from api import READS, SAMPLED, Ask, Load, orders, reads, served

from tests.load.serving import Caller
from tests.postgres import Postgres, reachable_folder, start_postgres

SECONDS = 3.0
ORDERS_S = 8.0  # as long as orders are placed first: some five hundred of each user


def of_one(callers: list[Caller], path: str) -> Ask:
    """Return what gives one read, of all callers in turn."""
    rng = random.Random(3)
    return lambda: (rng.choice(callers).ask("GET", path), lambda _: None)


async def time_each(postgres: Postgres, seconds: float, ordering_s: float) -> list[tuple[object, ...]]:
    """Return (path, answers a second, p50 ms, p95 ms, p99 ms, CPU µs of each side, bytes)."""
    async with served(postgres, "reads") as (load, callers, _):
        await load.closed_loop(orders(callers, True), ordering_s)
        rows = [await _row(load, of_one(callers, path), path, seconds) for path in READS]
        return [*rows, await _row(load, reads(callers), "all of them", seconds)]


async def _row(load: Load, ask: Ask, name: str, seconds: float) -> tuple[object, ...]:
    await load.closed_loop(ask, 0.5)
    return (await load.closed_loop(ask, seconds)).row(name)


async def split(postgres: Postgres, seconds: float, ordering_s: float) -> list[tuple[str, float, float]]:
    """Return (part, µs a read, share) of the server's CPU time under a closed loop of all reads."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        out = Path(name) / "samples"
        async with served(postgres, "split", *SAMPLED, str(out)) as (load, callers, service):
            await load.closed_loop(orders(callers, True), ordering_s)
            service.process.send_signal(signal.SIGUSR1)
            timed = await load.closed_loop(reads(callers), seconds)
        samples = json.loads(out.read_text())
    each = timed.cpu["server"] / sum(samples.values())
    ranked = sorted(samples.items(), key=lambda item: -item[1])
    return [(part, count * each, 100 * count / sum(samples.values())) for part, count in ranked]


async def measure(postgres: Postgres, seconds: float, ordering_s: float) -> None:
    """Run everything and print it."""
    columns = ("", "per s", "p50 ms", "p95 ms", "p99 ms", "server µs", "database µs", "generator µs")
    rows = await time_each(postgres, seconds, ordering_s)
    show("reads over HTTP, each by itself, closed loop; µs are CPU a request", columns, rows)
    parts = await split(postgres, seconds, ordering_s)
    show("where the server's CPU time goes, all reads, closed loop", ("part", "µs a read", "%"), parts)


def main() -> None:
    """Run on a durable server of its own."""
    given = [float(each) for each in sys.argv[1:]]
    seconds, ordering_s = (*given, *(SECONDS, ORDERS_S)[len(given) :])
    with reachable_folder() as folder:
        postgres = start_postgres(folder)
        try:
            asyncio.run(measure(postgres, seconds, ordering_s), loop_factory=uvloop.new_event_loop)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
