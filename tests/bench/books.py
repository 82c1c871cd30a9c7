"""Time the books process on PostgreSQL: ``python tests/bench/books.py [ORDERS]``.

``batched`` is what the platform runs: internal market orders from clients in the same process, each with a key,
through ``BooksProcess`` into a durable database, answered after their commit. ``row by row`` is the plain
alternative in the same run: the same process, inputs and rows, but a transaction an order and a round trip a
row. In flight is how many clients wait for an answer at any time. Then comes where the time of an order goes, and how
many bytes it leaves behind.
"""

import asyncio
import gc
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import asyncpg
from _bench import p50, p99, show

import live.ledger.writer
from live.books.clock import WallClock
from live.books.commands import Command
from live.books.process import BooksProcess, Limits
from live.ledger.batch import Batch
from live.ledger.inputs import DepositArrived, UserRegistered
from live.ledger.machine import Machine
from live.ledger.migrate import upgrade
from live.ledger.tables import APPENDED, TABLES
from live.ledger.writer import Writer, columns_of
from risk.book import Book
from risk.inputs import ChannelReported, HlAccount, OrderSubmitted
from risk.numbers import install_context
from tests.live.books import RecordingPort, books_options
from tests.postgres import Postgres, reachable_folder, start_postgres
from tests.risk.book_builder import MARKS, D

USERS = 200
IN_FLIGHT = (8, 32, 256)
ORDERS = 20_000
WARM_UP = 1_000
ORDERS_A_QUOTE = 50
GOAL_RATE, GOAL_P99_MS = 10_000, 10.0


class RowByRow(Writer):
    """Write each row by a statement of its own, all of an order's in one transaction."""

    async def commit(self, batch: Batch, seq: int, link: bytes) -> None:
        """Write a batch, which is one order's."""
        connection = self.connection
        async with connection.transaction():
            for kind, rows in batch.rows().items():
                for row in rows:
                    await self._send(_single(kind), _converted(kind, row))
            for audit in batch.audit:
                await self._send("select append_audit($1, $2, $3, $4, $5, $6)", list(audit))
            await self._send("select advance_writer($1, $2, $3, $4)", [self.epoch, self.seq, seq, link])
        self.seq, self.link = seq, link

    async def _send(self, text: str, arguments: list[Any]) -> None:
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = self._prepared[text] = await self.connection.prepare(text)
        await prepared.fetchval(*arguments)


def _single(kind: type) -> str:
    columns = columns_of(kind)
    types = ["bytea" if column.text is None else f"text::{column.type}" for column in columns]
    values = [c.expression.format(f"${place}::{types[place - 1]}") for place, c in enumerate(columns, 1)]
    names = [column.name for column in columns]
    insert = f"insert into {TABLES[kind]} ({', '.join(names)}) values ({', '.join(values)})"
    if kind in APPENDED:
        return insert
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return f"{insert} on conflict ({names[0]}) do update set {changes}"


def _converted(kind: type, row: Any) -> list[Any]:
    return [
        value if column.text is None or value is None else column.text(value)
        for column, value in zip(columns_of(kind), row, strict=True)
    ]


@asynccontextmanager
async def running(dsn: str, writing: type[Writer], limits: Limits) -> AsyncIterator[BooksProcess]:
    """Run new books with users who have money, on a quiet market."""
    connection, reader = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    writer = await writing.claim(connection, "bench")
    options = books_options(normal_threshold=D("1e9"))
    ports = {account: RecordingPort() for account in HlAccount}
    books = BooksProcess(Machine(options, time.time_ns()), writer, reader, dict(ports), WallClock(), limits)
    await books.stored_keys.learn(reader)
    task = asyncio.create_task(books.run())
    for symbol, mark in MARKS.items():
        _quote(books, symbol, float(mark))
    books.tell(ChannelReported(0, True))
    for user in range(USERS):
        await books.submit(Command(f"r{user}", UserRegistered(0, f"u{user}")))
        deposit = DepositArrived(0, f"d{user}", f"u{user}", D(10_000_000), "eth", "USDC", f"0x{user}", 12)
        await books.submit(Command(f"d{user}", deposit))
    try:
        yield books
    finally:
        task.cancel()
        await asyncio.wait({task})
        await connection.close()
        await reader.close()


def _quote(books: BooksProcess, symbol: str, mark: float) -> None:
    books.quote(symbol, mark, mark, 1e9, 1e9)
    books.mark(symbol, mark)


async def load(books: BooksProcess, orders: int, in_flight: int, name: str) -> tuple[float, list[int]]:
    """Send orders of which about half close what earlier ones opened; return orders/s and each one's ns."""
    rng, numbers, spent = random.Random(1), iter(range(orders)), list[int]()

    async def client() -> None:
        for number in numbers:
            if number % ORDERS_A_QUOTE == 0:
                _quote(books, "BTC", round(float(MARKS["BTC"]) * rng.uniform(0.999, 1.001), 1))
            side, user = rng.choice((1, -1)), f"u{rng.randrange(USERS)}"
            order = OrderSubmitted(0, "", user, "BTC", side, D("0.01"), leverage=10, netted=True)
            start = time.perf_counter_ns()
            answer = await books.submit(Command(f"{name}-{number}", order))
            spent.append(time.perf_counter_ns() - start)
            assert answer.status == "DONE", answer

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(in_flight)))
    return orders / (time.perf_counter() - start), sorted(spent)


class Spent:
    """Add up the CPU time calls take, each without the timed calls inside it."""

    def __init__(self) -> None:
        self.ns: Counter[str] = Counter()
        self._inner: list[int] = []

    @contextmanager
    def of(self, timed: list[tuple[str, Any, str]]) -> Any:
        """Time functions (part, owner, name) while the block lasts."""
        saved = [(owner, name, getattr(owner, name)) for _, owner, name in timed]
        for part, owner, name in timed:
            setattr(owner, name, self._timed(part, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in saved:
                setattr(owner, name, function)

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0)
            start = time.thread_time_ns()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.thread_time_ns() - start
                self.ns[part] += spent - self._inner.pop()
                if self._inner:
                    self._inner[-1] += spent

        return timed


TIMED = [
    ("Book.handle", Book, "handle"),
    ("journal: encode, link", Machine, "_journal"),
    ("project: rows", Machine, "_project"),
    ("take a command: key, id, answer", BooksProcess, "_take"),
    ("rows into arrays", live.ledger.writer, "statement"),
]


async def split(books: BooksProcess, orders: int) -> list[tuple[str, float, float]]:
    """Return (part, µs an order, share) of a loaded process's time, and of the server's beside it."""
    spent, pid = Spent(), books._commits.writer.connection.get_server_pid()
    server, ours, start = _cpu_s(pid), time.process_time(), time.perf_counter()
    with spent.of(TIMED):
        await load(books, orders, 32, "split")
    whole = (time.perf_counter() - start) * 1e6 / orders
    ours = (time.process_time() - ours) * 1e6 / orders
    parts = [(part, ns / 1e3 / orders) for part, ns in spent.ns.most_common()]
    parts.append(("clients, asyncio, asyncpg", ours - sum(us for _, us in parts)))
    parts += [
        ("our process, CPU", ours),
        ("PostgreSQL's backend, CPU", (_cpu_s(pid) - server) * 1e6 / orders),
        ("time an order", whole),
    ]
    return [(part, us, 100 * us / whole) for part, us in parts]


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_SIZES = """
    select coalesce(parent.relname, c.relname) as name, sum(pg_total_relation_size(c.oid))::bigint as bytes
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid left join pg_class parent on parent.oid = i.inhparent
    where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace group by 1"""


async def measured(dsn: str) -> tuple[dict[str, int], int]:
    """Return the bytes of each table with its indexes, and how much was ever logged ahead."""
    connection = await asyncpg.connect(dsn)
    sizes = {row["name"]: row["bytes"] for row in await connection.fetch(_SIZES)}
    logged = await connection.fetchval("select (pg_current_wal_lsn() - '0/0')::bigint")
    await connection.close()
    return sizes, logged


async def time_all(server: Postgres, orders: int) -> None:
    """Run everything and print it."""
    dsn = _database(server, "batched")
    rates: list[tuple[str, float, float, float]] = []
    async with running(dsn, Writer, Limits()) as books:
        await load(books, WARM_UP, 32, "warm")
        gc.collect()
        gc.freeze()
        before, logged_before = await measured(dsn)
        for in_flight in IN_FLIGHT:
            rate, spent = await load(books, orders, in_flight, f"b{in_flight}")
            rates.append((f"batched, {in_flight} in flight", rate, p50(spent) / 1e3, p99(spent) / 1e3))
        after, logged = await measured(dsn)
        parts = await split(books, orders)
    batched = dict(zip(IN_FLIGHT, rates, strict=True))
    async with running(_database(server, "rows"), RowByRow, Limits(lookup=1, batch=1)) as books:
        await load(books, WARM_UP // 4, 8, "warm")
        for in_flight in IN_FLIGHT:
            rate, spent = await load(books, orders // 10, in_flight, f"r{in_flight}")
            name = f"row by row, {in_flight} in flight: 1/{batched[in_flight][1] / rate:.1f}"
            rates.append((name, rate, p50(spent) / 1e3, p99(spent) / 1e3))
    goal = f"goal: {GOAL_RATE:,} a second, p99 {GOAL_P99_MS:.0f} ms"
    show(f"internal orders into the books, committed ({goal})", ("", "orders/s", "p50 ms", "p99 ms"), rates)
    show("where the time goes, batched, 32 in flight", ("part", "µs an order", "% of it"), parts)
    count = orders * len(IN_FLIGHT)
    grown = {name: (after[name] - before.get(name, 0)) / count for name in after if name != "book_snapshots"}
    growth = [(name, each) for name, each in sorted(grown.items(), key=lambda item: -item[1]) if each]
    growth.append(("all tables, without snapshots", sum(grown.values())))
    growth.append(("write-ahead log", (logged - logged_before) / count))
    show("bytes an order leaves, indexes included", ("table", "bytes"), growth)


def _database(server: Postgres, name: str) -> str:
    dsn = server.new_database(name)
    upgrade(dsn)
    return dsn


def main() -> None:
    """Run on a durable server of its own."""
    install_context()
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    with reachable_folder() as folder:
        server = start_postgres(folder)
        try:
            asyncio.run(time_all(server, orders))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
