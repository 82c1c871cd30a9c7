"""The books as a service: killed, started twice, on their own database or another's, from the command line."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from live.books.redis_bus import redis_bus
from live.books.synthetic import SyntheticFeed, SyntheticMarket, synthetic_specs
from live.database import open_database
from live.ledger.book_options import BookOptions
from live.ledger.writer import Fenced
from live.settings import LiveSettings
from risk.errors import InvalidInput
from risk.inputs import OrderSubmitted
from risk.settings import DAY_NS, HOUR_NS, SECOND_NS, Settings
from tests.live.books import own_database
from tests.live.served import USERS, Command, each_once, fund, order, rows, served, until_answered, wait_for
from tests.postgres import postgres, reachable_folder
from tests.redis_server import redis_url, shared_redis
from tests.risk.book_builder import D

__all__ = ["own_database", "postgres", "redis_url", "shared_redis"]

ROOT = Path(__file__).parents[2]
OPEN = "the books are open"


@dataclass
class Program:
    """The program, and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def printed(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def wait_open(self) -> None:
        deadline = time.monotonic() + 120
        while not self.printed(OPEN):
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < deadline, "".join(self.lines)
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def books_program(*arguments: str, command: str = "books", **environment: str) -> Iterator[Program]:
    """Run ``hybrid-perps books``, or another command with books; whatever is left of it is killed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BUS_URL")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hybrid_perps", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=kept | environment,
    )
    program = Program(process)
    reading = threading.Thread(target=lambda: program.lines.extend(process.stdout))
    reading.start()
    try:
        yield program
    finally:
        process.kill()
        process.wait()
        reading.join()
        process.stdout.close()


def test_killed_under_load_each_key_has_one_answer(database, redis_url):
    chance = random.Random(7)
    answers = {}

    async def user(bus, name):
        for number in range(150):
            command = order(name, number)
            answers[command.key] = await until_answered(bus, command)

    async def scenario():
        async with redis_bus(redis_url) as bus:
            users = None
            for killed_at in (chance.randrange(60), 150 + chance.randrange(60), 300 + chance.randrange(60)):
                with books_program("--synthetic", DATABASE_URL=database, BUS_URL=redis_url) as program:
                    await asyncio.to_thread(program.wait_open)
                    if users is None:
                        await fund(bus)
                        users = [asyncio.create_task(user(bus, name)) for name in USERS]
                    await wait_for(lambda at=killed_at: len(answers) > at)
                    program.process.kill()
            with books_program("--synthetic", DATABASE_URL=database, BUS_URL=redis_url) as program:
                await asyncio.gather(*users)
                again = [await bus.submit(order(name, number)) for name in USERS for number in range(150)]
                assert again == [answers[f"order-{n}-{i}"] for n in USERS for i in range(150)]
                assert await asyncio.to_thread(program.end, signal.SIGTERM) == 0
            assert program.printed("epoch 4")

    asyncio.run(scenario())
    assert len(answers) == 600
    each_once(database, answers)


def test_second_books_are_refused(database, redis_url):
    async def scenario():
        async with served(database, redis_url), redis_bus(redis_url) as bus:
            await fund(bus, "ann")
            with pytest.raises(
                InvalidInput,
                match=r"the books are being written by .* stop that process, .*books --take-over",
            ):
                async with served(database, redis_url):
                    pass
            assert (await bus.submit(order("ann", 1))).status == "DONE"

    asyncio.run(scenario())


def test_books_taken_over_stop_and_lose_nothing(database, redis_url):
    async def scenario():
        answers = {}

        async def user(bus, name):
            number = 0
            while number < 60 or not taken_over.is_set():
                command = order(name, number)
                answers[command.key] = await until_answered(bus, command)
                number += 1

        taken_over = asyncio.Event()
        async with redis_bus(redis_url) as bus:
            with pytest.raises(Fenced, match="taken over"):
                async with served(database, redis_url) as (_first, _):
                    await fund(bus)
                    users = [asyncio.create_task(user(bus, name)) for name in USERS]
                    await wait_for(lambda: len(answers) > 40)
                    async with served(database, redis_url, take_over=True) as (_, opened):
                        taken_over.set()
                        await asyncio.gather(*users)
                        assert opened[0].epoch == 2
        each_once(database, answers)

    asyncio.run(scenario())


class Relay:
    """Stand between the books and their server; ``cut`` ends our side alone: the server knows nothing of it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._ours: list[asyncio.StreamWriter] = []
        self._theirs: list[asyncio.StreamWriter] = []

    async def accept(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._ours.append(writing)
        self._theirs.append(to_server)
        await asyncio.gather(_pump(reading, to_server), _pump(from_server, writing))

    def cut(self) -> None:
        for writing in self._ours:
            writing.close()

    def end(self) -> None:
        for writing in self._ours + self._theirs:
            writing.close()


async def _pump(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
    while data := await reading.read(65_536):
        if not writing.is_closing():
            writing.write(data)


def test_books_find_their_own_dead_connection_in_the_way(database):
    async def scenario(folder):
        (host,) = parse_qs(urlsplit(database).query)["host"]
        relay = Relay(f"{host}/.s.PGSQL.5432")
        listening = await asyncio.start_unix_server(relay.accept, f"{folder}/.s.PGSQL.5432")
        through_relay = database.replace(quote(host, safe=""), quote(folder, safe=""))
        async with listening:
            async with served(through_relay) as (server, opened):
                await fund(server.bus, "ann")
                relay.cut()
                answer = await server.bus.submit(order("ann", 1))
                assert [process.epoch for process in opened] == [1, 2]
            relay.end()
        each_once(database, {"order-ann-1": answer})

    with reachable_folder() as folder:
        asyncio.run(scenario(str(folder)))


def test_own_database_and_market_from_the_command_line(redis_url):
    with reachable_folder() as home:
        environment = {"HYBRID_PERPS_HOME": str(home), "BUS_URL": redis_url}

        async def scenario():
            async with redis_bus(redis_url) as bus:
                await fund(bus, "ann")
                inside = await bus.submit(order("ann", 1))
                assert (inside.status, inside.fills[0].source) == ("DONE", "INTERNAL")
                large = OrderSubmitted(0, "", "ann", "BTC", 1, D("0.5"), leverage=10)
                outside = await bus.submit(Command("large", large))
                assert outside.status == "DONE"
                return outside.id

        with books_program("--synthetic", **environment) as program:
            program.wait_open()
            outside = asyncio.run(scenario())
            settings = LiveSettings(hybrid_perps_home=home)
            with open_database(settings) as dsn:
                found = []
                for _ in range(3_000):
                    found = rows(dsn, f"select source from fills where order_id = '{outside}'")
                    if found:
                        break
                    time.sleep(0.02)
                assert found == [("HYPERLIQUID",)]
            assert program.end(signal.SIGINT) == 0
        assert program.printed("epoch 1")
        assert program.printed(f"commands  {redis_url}")
        assert program.printed("stopped in order")
        with books_program(**environment) as program:  # without a market, on what is there
            program.wait_open()
            assert program.printed("epoch 2")
            assert program.end(signal.SIGTERM) == 0


def test_unusable_bus_is_one_line(database):
    with books_program(DATABASE_URL=database, BUS_URL="redis://127.0.0.1:1") as program:
        assert program.process.wait(60) == 2
    assert program.printed("error: BUS_URL was 'redis://127.0.0.1:1', where no Redis can be used")
    assert not any("Traceback" in line for line in program.lines)


def test_synthetic_market_has_no_jumps_and_is_the_same_for_all():
    market, other = SyntheticMarket(synthetic_specs()), SyntheticMarket(synthetic_specs())
    for midnight in (20_000 * DAY_NS, 20_001 * DAY_NS):
        for symbol in market.specs:
            before, after = market.mark(symbol, midnight - SECOND_NS), market.mark(symbol, midnight)
            assert abs(after / before - 1) < 0.002
            assert other.quote(symbol, midnight) == market.quote(symbol, midnight)
            bid, ask, bid_size, ask_size = market.quote(symbol, midnight)
            assert 0 < bid < ask
            assert min(bid_size, ask_size) > 0
            rate, oracle = market.funding(symbol, midnight + HOUR_NS)
            assert abs(rate) < D("0.04")
            assert abs(float(oracle) / after - 1) < 0.05


def test_synthetic_market_moves_as_it_is_told_in_whole_ticks_and_alone():
    feed, untouched = SyntheticFeed(synthetic_specs()), SyntheticMarket(synthetic_specs())
    feed.move("BTC", D("-4"))
    now = 20_000 * DAY_NS
    places = feed.market.specs["BTC"].price_decimals
    assert feed.market.mark("BTC", now) == round(untouched.mark("BTC", now) * 0.96, places)
    bid, ask, *sizes = feed.market.quote("BTC", now)
    assert 0 < bid < ask < untouched.quote("BTC", now)[0]
    assert sizes == list(untouched.quote("BTC", now)[2:])
    moved, oracle = feed.market.funding("BTC", now)[1], untouched.funding("BTC", now)[1]
    assert float(moved) == round(float(oracle) * 0.96, places)
    assert feed.market.quote("ETH", now) == untouched.quote("ETH", now)
    with pytest.raises(InvalidInput, match="symbol was 'PEPE'; it must be one of BTC, "):
        feed.move("PEPE", D(1))


def test_synthetic_market_goes_on_where_it_was_moved_to_before_the_books_stopped(database):
    async def scenario():
        specs = synthetic_specs()
        options = BookOptions.of(specs, Settings())
        first = SyntheticFeed(specs)
        async with served(database, feed=first, options=options) as (server, _):
            await wait_for(lambda: first._process is not None)
            await fund(server.bus, "ann")
            for number in range(3):
                first.move("BTC", D("-4"))
                await until_answered(server.bus, order("ann", number))
        again = SyntheticFeed(specs)
        async with served(database, feed=again, options=options):
            await wait_for(lambda: again._process is not None)
            now = time.time_ns()
            unmoved = SyntheticMarket(specs)
            assert again.market.mark("BTC", now) / unmoved.mark("BTC", now) == pytest.approx(
                0.96**3, rel=5e-4
            )
            assert again.market.mark("ETH", now) == unmoved.mark("ETH", now)

    asyncio.run(scenario())
