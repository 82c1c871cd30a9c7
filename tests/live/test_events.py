"""Events: what commits changed, after them and only then, the same in one process and over Redis."""

import asyncio
from collections import defaultdict

import pytest
import redis

from live.books.bus import open_bus, open_events
from live.books.bus_wire import connect
from live.books.commands import NotAnswered
from live.books.events import Committed, EventHub, Gap, Marks
from live.books.redis_events import EVENTS, events_over_redis, publish_events
from live.ledger.writer import CommitFailed
from live.settings import LiveSettings
from risk.errors import InvalidInput
from tests.live.books import a_desk, database
from tests.live.served import fund, order, rows, served, wait_for
from tests.postgres import postgres
from tests.redis_server import RedisServer, mortal_redis, redis_url, shared_redis
from tests.risk.book_builder import D

__all__ = ["database", "mortal_redis", "postgres", "redis_url", "shared_redis"]


@pytest.fixture(params=["in process", "over Redis"])
def bus_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "over Redis" else None


def test_commits_are_told_with_the_rows_of_the_tables(database, bus_url):
    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        found, seqs, prices = defaultdict(list), [-1], {}
        async with (
            served(database, bus_url) as (server, _),
            open_bus(settings, server.bus) as bus,
            open_events(settings, server.bus) as events,
        ):
            await fund(bus, "ann", "bob")
            answers = [
                await bus.submit(order(user, number)) for user in ("ann", "bob") for number in range(3)
            ]
            last = max(answer.seq for answer in answers)
            async with asyncio.timeout(60):
                async for event in events:
                    if isinstance(event, Committed):
                        assert event.seq > seqs[-1]
                        seqs.append(event.seq)
                        for user, of_user in event.users.items():
                            found[user] += of_user
                    elif isinstance(event, Marks):
                        prices |= {each.symbol: each.mark for each in event.marks}
                    if seqs[-1] >= last and prices:
                        break
        assert prices["BTC"] == D(100_000)
        for user in ("ann", "bob"):
            fills = [row.id for row in found[user] if type(row).__name__ == "FillRow"]
            stored = rows(database, f"select id from fills where user_id = '{user}' order by id")
            assert fills == [number for (number,) in stored]
            wallet = [row for row in found[user] if type(row).__name__ == "WalletRow"][-1]
            ((total,),) = rows(database, f"select total_balance from wallets where user_id = '{user}'")
            assert wallet.total_balance == total
            assert {row.user_id for row in found[user]} == {user}
            kinds = {type(row).__name__ for row in found[user]}
            assert {"OrderRow", "PositionRow", "BalanceLogRow", "DepositRow"} <= kinds

    asyncio.run(scenario())


def test_nothing_is_told_of_a_commit_that_failed(database):
    async def scenario():
        hub, told = EventHub(), []
        with hub.listening() as listener:
            with pytest.raises(CommitFailed):
                async with a_desk(database) as desk:
                    desk.process.tell_events(hub)
                    await desk.user("ann")

                    async def lost(*_):
                        raise CommitFailed("lost")

                    desk.process._commits.writer.commit = lost
                    with pytest.raises(NotAnswered):
                        await desk.order("ann", "BTC", 1, "0.01")
            told = [each for each in await listener.some(1_000) if isinstance(each, Committed)]
        assert told
        assert not any(of_user.orders for each in told for of_user in each.users.values())

    asyncio.run(scenario())


def test_a_slow_listener_holds_nobody_up_and_is_told_of_its_gap():
    async def scenario():
        hub = EventHub()
        with hub.listening(most=3) as slow, hub.listening() as quick:
            for seq in range(5):
                hub.publish(Committed(seq, 0, {}))
            assert await slow.some(10) == [Gap(), Committed(3, 0, {}), Committed(4, 0, {})]
            assert [event.seq for event in await quick.some(10)] == [0, 1, 2, 3, 4]
        assert not hub.heard

    asyncio.run(scenario())


def test_books_opened_again_are_a_gap(database, bus_url):
    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        async with (
            served(database, bus_url) as (server, opened),
            open_events(settings, server.bus) as events,
        ):
            opened[0]._commits.writer.connection.terminate()
            await wait_for(lambda: len(opened) > 1)
            async with asyncio.timeout(60):
                async for event in events:
                    if isinstance(event, Gap):
                        break

    asyncio.run(scenario())


def test_entries_lost_or_written_twice_over_redis(mortal_redis: RedisServer):
    async def scenario():
        hub = EventHub()
        with redis.Redis.from_url(mortal_redis.url) as client:
            async with connect(mortal_redis.url) as publishing, events_over_redis(mortal_redis.url) as events:
                telling = asyncio.create_task(publish_events(publishing, hub))
                await wait_for(lambda: hub.heard)

                async def told(seq):
                    hub.publish(Committed(seq, 0, {}))
                    async with asyncio.timeout(60):
                        return await anext(events)

                assert (await told(1)).seq == 1
                entry = client.xrevrange(EVENTS, count=1)[0]
                client.xadd(EVENTS, entry[1])  # a retry after an answer that was lost
                assert (await told(2)).seq == 2
                hub.publish(Committed(3, 0, {}))
                await wait_for(lambda: client.xlen(EVENTS) == 4)
                client.xdel(EVENTS, client.xrevrange(EVENTS, count=1)[0][0])
                assert await told(4) == Gap()
                assert (await anext(events)).seq == 4
                await asyncio.to_thread(mortal_redis.kill)
                hub.publish(Committed(5, 0, {}))
                await asyncio.to_thread(mortal_redis.start)
                async with asyncio.timeout(60):
                    found = await anext(events)
                    while found == Gap():
                        found = await anext(events)
                assert found.seq == 5
                telling.cancel()

    asyncio.run(scenario())


def test_events_without_a_bus_are_refused():
    async def scenario():
        async with open_events(LiveSettings(bus_url=None)):
            pass

    with pytest.raises(InvalidInput, match="BUS_URL is not set"):
        asyncio.run(scenario())
