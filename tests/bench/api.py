"""Time the API with its load from a process of its own: ``python tests/bench/api.py [SECONDS]``.

The server is ``hybrid-perps serve`` as it is run, on a durable PostgreSQL: the books inside, the market of ``--dev``,
authentication, rate limits, log and metrics on. Orders are internal market orders, of which half close what the others
opened, each with a key of its own. An open loop asks at a fixed rate, whatever is answered; a closed one has so many
connections ask as fast as they are answered. Answers are timed from the moment a request is due to be written, so that
the wait for a free connection counts. ``/health``, without authentication or books, is the plain alternative; what the
generator itself takes of the machine stands beside. Then a sampled run tells where the time of an order goes.
"""

import asyncio
import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import uvloop
from _bench import p50, p99, show

from tests.load.http_client import Connection, connect, request
from tests.load.serving import NO_LIMITS, Caller, Service, new_caller
from tests.postgres import Postgres, reachable_folder, start_postgres

SECONDS = 8.0
CALLERS = 16
CONNECTIONS = 64
WARM_UP_S = 2.0
ORDERS_S, READS_S, ORDERS_GOAL_S = 1_000, 500, 4_000
GOAL_MS, FLOOR_MS, READ_GOAL_MS = 5, 10, 10
READS = (
    "/v1/account/summary",
    "/v1/positions",
    "/v1/orders?limit=50",
    "/v1/fills?limit=50",
    "/v1/balance-changes?limit=50",
)
SAMPLED = (str(Path(__file__).with_name("_sampled.py")),)
_HEALTH = request("GET", "/health")

_numbers = count(1)

Ask = Callable[[], tuple[bytes, Callable[[bytes], None]]]


@dataclass
class Trader:
    """Open and close positions of a caller."""

    caller: Caller
    by_key: bool
    rng: random.Random
    _open: list[tuple[int, str]] = field(default_factory=list)

    def order(self) -> tuple[bytes, Callable[[bytes], None]]:
        """Return the next order, and what takes its answer."""
        idempotency = f"order-{next(_numbers)}"
        if self._open and self.rng.random() < 0.5:
            position, side = self._open.pop(self.rng.randrange(len(self._open)))
            other = "SELL" if side == "BUY" else "BUY"
            body = b'{"symbol":"BTC","side":"%s","position_id":%d}' % (other.encode(), position)
            return self._asked(body, idempotency), lambda _: None
        side = self.rng.choice(("BUY", "SELL"))
        body = b'{"symbol":"BTC","side":"%s","size":"0.001","leverage":10}' % side.encode()
        return self._asked(body, idempotency), lambda answer: self._opened(side, answer)

    def _asked(self, body: bytes, idempotency: str) -> bytes:
        return self.caller.ask("POST", "/v1/orders", body, idempotency=idempotency, by_key=self.by_key)

    def _opened(self, side: str, answer: bytes) -> None:
        fill = json.loads(answer)["fills"][0]
        assert fill["source"] == "INTERNAL", answer
        self._open.append((fill["position_id"], side))


def orders(callers: list[Caller], by_key: bool) -> Ask:
    """Return what gives orders of all callers, signed with API keys or under sessions."""
    rng = random.Random(1)
    traders = [Trader(caller, by_key, rng) for caller in callers]
    return lambda: rng.choice(traders).order()


def reads(callers: list[Caller]) -> Ask:
    """Return what gives reads: summaries, and pages of positions, orders, fills and balance changes."""
    rng = random.Random(2)
    return lambda: (rng.choice(callers).ask("GET", rng.choice(READS)), lambda _: None)


def health() -> tuple[bytes, Callable[[bytes], None]]:
    """Ask whether it runs."""
    return _HEALTH, lambda _: None


@dataclass(frozen=True)
class Timed:
    """Hold a run: answers a second, each one's nanoseconds ascending, and CPU µs an answer of each side."""

    rate: float
    spent: list[int]
    cpu: dict[str, float]

    def row(self, name: str) -> tuple[object, ...]:
        """Return it as a row of the table."""
        p95 = self.spent[len(self.spent) * 95 // 100] / 1e6
        times = (p50(self.spent) / 1e3, p95, p99(self.spent) / 1e3)
        return (name, f"{self.rate:,.0f}", *times, *(f"{us:,.0f}" for us in self.cpu.values()))


class Load:
    """Ask one server over connections that are kept."""

    def __init__(self, connections: list[Connection], service: Service, postgres: Postgres) -> None:
        self._free = connections
        self._pids = {"server": service.process.pid, "database": postgres.server.pid}
        self._spent: list[int] = []

    async def open_loop(self, ask: Ask, rate: float, seconds: float) -> Timed:
        """Ask ``rate`` times a second, evenly, whatever has been answered."""
        due: asyncio.Queue[int | None] = asyncio.Queue()

        async def work(connection: Connection) -> None:
            while (at := await due.get()) is not None:
                await self._one(connection, ask, at)

        async def pace() -> None:
            start, sent = time.perf_counter(), 0
            while sent < rate * seconds:
                while sent < (time.perf_counter() - start) * rate:
                    due.put_nowait(time.perf_counter_ns())
                    sent += 1
                await asyncio.sleep(max(start + sent / rate - time.perf_counter(), 0.001))
            for _ in self._free:
                due.put_nowait(None)

        return await self._timed([pace(), *(work(connection) for connection in self._free)])

    async def closed_loop(self, ask: Ask, seconds: float) -> Timed:
        """Ask on every connection as fast as it is answered."""
        until = time.perf_counter() + seconds

        async def work(connection: Connection) -> None:
            while time.perf_counter() < until:
                await self._one(connection, ask, time.perf_counter_ns())

        return await self._timed([work(connection) for connection in self._free])

    async def _one(self, connection: Connection, ask: Ask, since_ns: int) -> None:
        text, take = ask()
        status, body = await connection.exchange(text)
        self._spent.append(time.perf_counter_ns() - since_ns)
        assert status in (200, 201), body
        take(body)

    async def _timed(self, work: "list[object]") -> Timed:
        self._spent = []
        before, start = self._cpu_s(), time.perf_counter()
        await asyncio.gather(*work)  # type: ignore[call-overload]
        taken, after = time.perf_counter() - start, self._cpu_s()
        count = len(self._spent)
        cpu = {name: (after[name] - before[name]) * 1e6 / count for name in after}
        return Timed(count / taken, sorted(self._spent), cpu)

    def _cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each process and its children so far, and our own."""
        found = {name: sum(_cpu_s(each) for each in _family(pid)) for name, pid in self._pids.items()}
        return found | {"generator": time.process_time()}


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def served(
    postgres: Postgres, name: str, *program: str
) -> AsyncIterator[tuple[Load, list[Caller], Service]]:
    """Serve on a new database, with users who have money."""
    with tempfile.TemporaryDirectory(prefix="bench-") as home, (Path(home) / "log").open("wb") as log:
        environment = {"DATABASE_URL": postgres.new_database(name), "HYBRID_PERPS_HOME": home, **NO_LIMITS}
        program = program or ("hybrid_perps.py",)
        service = await Service.start(environment, "serve", "--dev", "--port", "0", program=program, log=log)
        try:
            callers = [await new_caller(service, f"c{n}", funds=10) for n in range(CALLERS)]
            port = await service.port()
            connections = [await connect(port) for _ in range(CONNECTIONS)]
            load = Load(connections, service, postgres)
            await load.closed_loop(orders(callers, True), WARM_UP_S)
            gc.collect()
            gc.freeze()
            yield load, callers, service
            for connection in connections:
                connection.close()
            await service.stop()
        finally:
            await service.kill()


async def time_all(postgres: Postgres, seconds: float) -> list[tuple[object, ...]]:
    """Run every load; return the rows of the table."""
    async with served(postgres, "timed") as (load, callers, _):
        signed, sessions, looks = orders(callers, True), orders(callers, False), reads(callers)
        return [
            (await load.open_loop(signed, ORDERS_S, seconds)).row(f"orders, API keys, {ORDERS_S}/s"),
            (await load.open_loop(sessions, ORDERS_S, seconds)).row(f"orders, sessions, {ORDERS_S}/s"),
            (await load.open_loop(health, ORDERS_S, seconds)).row(f"/health, {ORDERS_S}/s"),
            (await load.open_loop(looks, READS_S, seconds)).row(f"reads, API keys, {READS_S}/s"),
            (await load.closed_loop(signed, seconds)).row("orders, API keys, closed loop"),
            (await load.closed_loop(sessions, seconds)).row("orders, sessions, closed loop"),
            (await load.closed_loop(health, seconds)).row("/health, closed loop"),
        ]


async def split(postgres: Postgres, seconds: float) -> list[tuple[str, float, float]]:
    """Return (part, µs an order, share) of the server's CPU time under a closed loop of signed orders."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        out = Path(name) / "samples"
        async with served(postgres, "split", *SAMPLED, str(out)) as (load, callers, service):
            service.process.send_signal(signal.SIGUSR1)
            timed = await load.closed_loop(orders(callers, True), seconds)
        samples = json.loads(out.read_text())
    each = timed.cpu["server"] / sum(samples.values())
    ranked = sorted(samples.items(), key=lambda item: -item[1])
    return [(part, count * each, 100 * count / sum(samples.values())) for part, count in ranked]


async def measure(postgres: Postgres, seconds: float) -> None:
    """Run everything and print it."""
    goal = (
        f"goals: orders p99 {GOAL_MS} ms (floor {FLOOR_MS}) at {ORDERS_S:,}/s and {ORDERS_GOAL_S:,}/s sustained, "
        f"reads p95 {READ_GOAL_MS} ms (floor 100) at {READS_S}/s"
    )
    columns = ("", "per s", "p50 ms", "p95 ms", "p99 ms", "server µs", "database µs", "generator µs")
    rows = await time_all(postgres, seconds)
    show(f"the API over HTTP, {CONNECTIONS} connections; µs are CPU a request ({goal})", columns, rows)
    parts = await split(postgres, seconds)
    show("where the server's CPU time goes, signed orders, closed loop", ("part", "µs an order", "%"), parts)


def main() -> None:
    """Run on a durable server of its own."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with reachable_folder() as folder:
        postgres = start_postgres(folder)
        try:
            asyncio.run(measure(postgres, seconds), loop_factory=uvloop.new_event_loop)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
