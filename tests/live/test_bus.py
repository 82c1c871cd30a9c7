"""The bus: the same answers and errors in one process and over Redis, each command done once whatever breaks."""

import asyncio
import random

import msgspec
import psycopg
import pytest
import redis

from live.books.bus import InProcessBus, open_bus
from live.books.bus_wire import COMMANDS, GROUP, write_command
from live.books.commands import Answer, Command, KeyReused, NotAnswered, Overloaded
from live.books.redis_bus import BusLimits, redis_bus
from live.ledger.inputs import UserRegistered, WithdrawalRequested
from live.settings import LiveSettings
from risk.errors import InvalidInput
from risk.inputs import CancelSubmitted, ChannelReported, OrderSubmitted, OrderType
from tests.live.books import database
from tests.live.served import USERS, each_once, fund, order, rows, served, until_answered, wait_for
from tests.postgres import postgres
from tests.redis_server import RedisServer, mortal_redis, redis_url, shared_redis
from tests.risk.book_builder import D

__all__ = ["database", "mortal_redis", "postgres", "redis_url", "shared_redis"]


@pytest.fixture(params=["in process", "over Redis"])
def bus_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "over Redis" else None


def script() -> list[Command]:
    """Give one command of each fate."""
    return [
        order("ann", 1),
        Command("rests", OrderSubmitted(0, "", "ann", "BTC", 1, D("0.01"), OrderType.LIMIT, D(90_000))),
        Command("too big", OrderSubmitted(0, "", "ann", "BTC", 1, D(1_000))),
        Command("wrong", OrderSubmitted(0, "", "ann", "BTC", 1, D("-1"))),
        Command("nobody", CancelSubmitted(0, "o1", "nobody")),
        Command("paid out", WithdrawalRequested(0, "", "bob", D(60), "eth", "USDC", "0xa", D(1))),
    ]


async def scripted(dsn: str, bus_url: str | None) -> list[Answer]:
    settings = LiveSettings(bus_url=bus_url)
    async with served(dsn, bus_url) as (server, _), open_bus(settings, server.bus) as bus:
        await fund(bus, "ann", "bob")
        answers = [await bus.submit(command) for command in script()]
        assert [await bus.submit(command) for command in script()] == answers
        with pytest.raises(KeyReused, match="'rests'"):
            await bus.submit(Command("rests", OrderSubmitted(0, "", "ann", "BTC", 1, D("0.02"))))
        return answers


def test_both_buses_bring_the_same_answers(postgres, redis_url):
    found = []
    for name, url in (("bus_here", None), ("bus_there", redis_url)):
        found.append(asyncio.run(scripted(postgres.new_database(name), url)))
    assert found[0] == found[1]
    statuses = [(answer.status, answer.resting, bool(answer.code)) for answer in found[0]]
    assert statuses == [
        ("DONE", False, False), ("DONE", True, False), ("REFUSED", False, True),
        ("INVALID", False, False), ("INVALID", False, False), ("DONE", False, False),
    ]  # fmt: skip


def test_duplicates_in_any_order_are_done_once(database, bus_url):
    async def client(settings, here, seed):
        commands = [order(user, number) for user in USERS for number in range(25)] * 2
        random.Random(seed).shuffle(commands)
        async with open_bus(settings, here) as bus:
            answers = await asyncio.gather(*(bus.submit(command) for command in commands))
        return {(command.key, answer) for command, answer in zip(commands, answers, strict=True)}

    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        async with served(database, bus_url) as (server, _):
            async with open_bus(settings, server.bus) as bus:
                await fund(bus)
            found = await asyncio.gather(*(client(settings, server.bus, seed) for seed in range(3)))
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 100
        each_once(database, dict(found[0]))

    asyncio.run(scenario())


def test_lost_database_is_not_noticed_by_who_asks(database, bus_url):
    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        async with served(database, bus_url) as (server, opened), open_bus(settings, server.bus) as bus:
            await fund(bus)
            answers = {}

            async def user(name):
                number = 0
                while number < 60 or len(opened) == 1:  # until the loss was felt
                    answers[f"order-{name}-{number}"] = await bus.submit(order(name, number))
                    number += 1

            users = [asyncio.create_task(user(name)) for name in USERS]
            await wait_for(lambda: len(answers) > 40)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            await asyncio.gather(*users)
            assert [process.epoch for process in opened] == [1, 2]
        each_once(database, answers)

    asyncio.run(scenario())


def test_stopping_answers_what_was_taken(database, bus_url):
    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        async with open_bus(settings, InProcessBus(1)) as far:
            async with served(database, bus_url) as (server, _):
                bus = far if bus_url is not None else server.bus
                await fund(bus, "ann")
                commands = [order("ann", number) for number in range(600)]
                asked = {command.key: asyncio.create_task(bus.submit(command)) for command in commands}
                await asyncio.wait(asked.values(), return_when=asyncio.FIRST_COMPLETED)
            if bus_url is not None:  # what was not read waits for the next books
                async with served(database, bus_url):
                    await asyncio.wait(asked.values())
            await asyncio.wait(asked.values())
        answers = {key: task.result() for key, task in asked.items() if task.exception() is None}
        assert len(answers) == 600 if bus_url is not None else 0 < len(answers) < 600
        each_once(database, answers)

    asyncio.run(scenario())


def test_bus_needs_an_address_or_books():
    async def scenario():
        with pytest.raises(InvalidInput, match="BUS_URL is not set"):
            async with open_bus(LiveSettings(bus_url=None)):
                pass
        with pytest.raises(InvalidInput, match=r"BUS_URL was 'redis://u:\*\*\*@127.0.0.1:1', where no Redis"):
            async with open_bus(LiveSettings(bus_url="redis://u:secret@127.0.0.1:1")):
                pass

    asyncio.run(scenario())


# -- over Redis alone


def test_command_that_came_too_late_is_not_done(database, redis_url):
    async def scenario():
        async with served(database, redis_url), redis_bus(redis_url) as bus:
            await fund(bus, "ann")
        async with redis_bus(redis_url, BusLimits(patience_s=0.2)) as bus:
            with pytest.raises(NotAnswered, match=r"within 0.2 s; ask again with the same key"):
                await bus.submit(order("ann", 1))
        async with served(database, redis_url), redis_bus(redis_url) as bus:
            await bus.submit(order("ann", 2))
            assert rows(database, "select count(*) from orders") == [(1,)]
            assert (await bus.submit(order("ann", 1))).status == "DONE"  # asked again, it is

    asyncio.run(scenario())


def test_no_more_commands_wait_than_there_is_room_for(database, redis_url):
    async def scenario():
        async with served(database, redis_url), redis_bus(redis_url) as bus:
            await fund(bus, "ann")
        async with redis_bus(redis_url, BusLimits(waiting=5)) as bus:
            asked = [asyncio.create_task(bus.submit(order("ann", number))) for number in range(8)]
            await wait_for(lambda: sum(task.done() for task in asked) == 3)
            for task in asked[5:]:
                with pytest.raises(Overloaded, match="5 commands wait already"):
                    task.result()
            async with served(database, redis_url):
                answers = await asyncio.gather(*asked[:5])
        each_once(database, {f"order-ann-{number}": answer for number, answer in enumerate(answers)})
        async with redis_bus(redis_url, BusLimits(of_client=2, patience_s=0.1)) as bus:
            outcomes = await asyncio.gather(
                *(bus.submit(order("ann", number)) for number in range(3)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [NotAnswered, NotAnswered, Overloaded]

    asyncio.run(scenario())


def test_what_is_no_command_harms_no_neighbour(database, redis_url):
    async def scenario():
        async with served(database, redis_url), redis_bus(redis_url) as bus:
            await fund(bus, "ann")
            with redis.Redis.from_url(redis_url) as client:
                for fields in ({"command": b"{"}, {"other": b"1"}, {"command": b"\xff"}):
                    client.xadd(COMMANDS, fields)
                wrong = write_command("me", 7, 10, Command("k", ChannelReported(0, True)))
                client.xadd(COMMANDS, {"command": wrong})
                shapeless = write_command("me", 8, 10, Command("k", UserRegistered(0, "x")))
                client.xadd(COMMANDS, {"command": shapeless.replace(b'"user":"x"', b'"user":1')})
                answer = await bus.submit(order("ann", 1))
                await wait_for(lambda: client.xlen(COMMANDS) == 0)
                assert client.xpending(COMMANDS, GROUP)["pending"] == 0
                replies = [
                    reply
                    for _, fields in client.xrange("hybrid-perps:replies:me")
                    for reply in msgspec.json.decode(fields[b"replies"])
                ]
                assert 0 < client.ttl("hybrid-perps:replies:me") <= 60
        assert answer.status == "DONE"
        assert {reply["number"]: reply["answer"]["status"] for reply in replies} == {
            7: "INVALID",
            8: "INVALID",
        }
        assert "kind was 'ChannelReported'" in replies[0]["answer"]["detail"]

    asyncio.run(scenario())


def test_redis_killed_and_started_again(database, mortal_redis: RedisServer):
    async def scenario():
        async with served(database, mortal_redis.url), redis_bus(mortal_redis.url) as bus:
            await fund(bus)
            answers, killed = {}, asyncio.Event()

            async def user(name):
                number = 0
                while number < 100 or not killed.is_set():
                    answers[f"order-{name}-{number}"] = await bus.submit(order(name, number))
                    number += 1

            users = [asyncio.create_task(user(name)) for name in USERS]
            for killed_at in (40, 150, 280):
                await wait_for(lambda at=killed_at: len(answers) > at)
                await asyncio.to_thread(mortal_redis.kill)
                await asyncio.to_thread(mortal_redis.start)
            killed.set()
            await asyncio.gather(*users)
            with redis.Redis.from_url(mortal_redis.url) as client:
                await wait_for(lambda: client.xlen(COMMANDS) == 0)
        each_once(database, answers)

    asyncio.run(scenario())


def test_redis_away_is_told_in_time(database, mortal_redis: RedisServer):
    async def scenario():
        limits = BusLimits(patience_s=0.3)
        async with served(database, mortal_redis.url), redis_bus(mortal_redis.url, limits) as bus:
            await fund(bus, "ann")
            mortal_redis.kill()
            with pytest.raises(NotAnswered):
                await bus.submit(order("ann", 1))
            mortal_redis.start()
            answer = await until_answered(bus, order("ann", 1))
        each_once(database, {"order-ann-1": answer})

    asyncio.run(scenario())
