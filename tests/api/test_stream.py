"""The stream tells each user of everything once and in order, whatever breaks off, and nobody of another's."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from live.api.stream.hub import StreamLimits
from live.books.events import BooksEvent, Committed, Gap
from live.identity.keys import NewKey
from live.identity.principal import Scope
from tests.api.served import over_http, served_api
from tests.api.traders import ORIGIN, Trader, signature, trader

PRIVATE = ["orders", "fills", "positions", "liquidations", "balances"]


def socket_url(url: str) -> str:
    return url.replace("http", "ws", 1) + "/v1/stream"


@asynccontextmanager
async def signed_in(url: str, key: NewKey) -> AsyncIterator[ClientConnection]:
    """Open a stream as an API key, by its first message."""
    async with connect(socket_url(url), proxy=None) as stream:
        stamp = str(time.time_ns() // 1_000_000)
        headers = signature(key.key.id, key.secret, stamp, "GET", "/v1/stream")
        fields = {"key": key.key.id, "timestamp": stamp, "signature": headers["HP-SIGNATURE"]}
        await say(stream, auth=fields)
        yield stream


@asynccontextmanager
async def streaming(url: str, who: Trader | None = None) -> AsyncIterator[ClientConnection]:
    """Open a stream, as ``who`` by its first message."""
    async with connect(socket_url(url), proxy=None) as stream:
        if who is not None:
            await say(stream, auth={"token": who.token})
            assert await hear(stream) == {"type": "authenticated", "user": who.user}
        yield stream


async def say(stream: ClientConnection, **message: Any) -> None:
    await stream.send(json.dumps(message))


async def hear(stream: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(60):
        return json.loads(await stream.recv())


async def subscribe(stream: ClientConnection, channels: list[str], after: int | None = None) -> list[dict]:
    """Subscribe; return the updates that were missed."""
    await say(stream, subscribe=channels, **({} if after is None else {"after": after}))
    updates = []
    while (message := await hear(stream))["type"] == "update":
        updates.append(message)
    assert message["type"] == "subscribed", message
    return updates


async def rest(stream: ClientConnection) -> list[dict[str, Any]]:
    """Return what is said until the end."""
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while True:
            try:
                heard.append(json.loads(await stream.recv()))
            except ConnectionClosed:
                return heard


async def closed(stream: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the end; return its code and reason."""
    await rest(stream)
    return stream.close_code, stream.close_reason


def test_what_happens_to_a_user_is_told_to_that_user_alone(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann, bob = await trader(api), await trader(api)
            async with streaming(url, ann) as of_ann, streaming(url, bob) as of_bob:
                assert await subscribe(of_ann, PRIVATE) == await subscribe(of_bob, PRIVATE) == []
                placed = await ann.order()
                update = await hear(of_ann)
                assert (update["type"], update["seq"] >= placed["seq"]) == ("update", True)
                assert update["orders"] == (await ann.get("/orders"))["items"]
                assert update["fills"] == (await ann.get("/fills"))["items"]
                assert update["positions"] == (await ann.get("/positions"))["items"]
                assert len(update["balances"]) == 1
                await bob.limit()
                assert [each["user"] for each in [await hear(of_bob)] if "user" in each] == []
                await say(of_ann, ping=1)
                assert await hear(of_ann) == {"type": "pong", "ping": 1}

    asyncio.run(body())


@pytest.mark.parametrize("bus", ["in process", "over Redis"])
def test_what_was_missed_is_as_it_would_have_been_told(
    database: str, bus: str, request: pytest.FixtureRequest
) -> None:
    settings = {"bus_url": None if bus == "in process" else request.getfixturevalue("redis_url")}

    async def body() -> None:
        async with served_api(database, settings=settings) as api, over_http(api) as url:
            ann = await trader(api)
            async with streaming(url, ann) as live:
                await subscribe(live, PRIVATE)
                opened = await ann.order(size="0.02")
                first = await hear(live)
                position = opened["fills"][0]["position_id"]
                await ann.ask("POST", f"/positions/{position}/close", {"size": "0.01"})
                second = await hear(live)
                api.market.move("BTC", 96_000)
                api.market.move("BTC", 92_000)
                api.market.move("BTC", 89_000)
                third = await hear(live)
                assert third["liquidations"] == (await ann.get("/liquidations"))["items"]
            async with streaming(url, ann) as later:
                missed = await subscribe(later, PRIVATE, first["seq"])
                assert _rows(missed, "fills") == second["fills"] + third["fills"]
                assert _rows(missed, "liquidations") == third["liquidations"]
                assert _rows(missed, "positions") == third["positions"]  # as it is last
                assert _rows(missed, "orders") == second["orders"]
                assert _rows(missed, "balances")[-1] == third["balances"][-1]
                assert missed[-1]["seq"] == third["seq"]
                assert await subscribe(later, ["orders"], third["seq"]) == []
                await say(later, subscribe=["orders"], after=10**9)
                assert (await hear(later))["code"] == "invalid"

    asyncio.run(body())


def _rows(updates: list[dict], channel: str) -> list[dict]:
    return [row for update in updates for row in update.get(channel, [])]


def test_a_client_that_is_cut_off_again_and_again_hears_of_everything_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders go on while the connection is killed without a word; each fill is told once, each order as it ended."""
    monkeypatch.setattr("live.api.reads.listing._READ_AT_ONCE", 5)
    monkeypatch.setattr("live.api.stream.updates._ROWS_AT_ONCE", 3)

    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann, bob = await trader(api), await trader(api)
            done = asyncio.Event()

            async def trade(who: Trader) -> None:
                for number in range(60):
                    if number % 3:
                        await who.order("BUY" if number % 2 else "SELL", "0.001")
                    else:
                        await who.ask("DELETE", f"/orders/{await who.limit(size='0.001')}")

            async def trade_all() -> None:
                await asyncio.gather(*(trade(who) for who in (ann, ann, bob)))
                done.set()

            heard: list[dict] = []
            after, kills = 0, 0
            trading = asyncio.create_task(trade_all())
            while not done.is_set():
                async with streaming(url, ann) as stream:
                    heard += await subscribe(stream, PRIVATE, after)
                    for _ in range(1 + kills % 4):
                        if done.is_set():
                            break
                        message = await hear(stream)
                        if message["type"] == "update":
                            heard.append(message)
                    after = heard[-1]["seq"] if heard else 0
                    stream.transport.abort()
                    kills += 1
            await trading
            async with streaming(url, ann) as stream:
                heard += await subscribe(stream, PRIVATE, after)
            seqs = [update["seq"] for update in heard]
            assert kills > 10
            assert seqs == sorted(set(seqs))
            fills = [item async for part in _all(ann, "/fills") for item in part]
            assert _rows(heard, "fills") == fills[::-1]
            orders = {item["order_id"]: item async for part in _all(ann, "/orders") for item in part}
            assert {row["order_id"]: row for row in _rows(heard, "orders")} == orders
            assert _rows(heard, "balances")[-1]["seq"] == max(
                row["seq"] for row in fills + list(orders.values())
            )

    asyncio.run(body())


async def _all(who: Trader, path: str) -> AsyncIterator[list[dict]]:
    before: dict[str, int] = {}
    while True:
        page = await who.get(path, limit=50, **before)
        yield page["items"]
        if page["next"] is None:
            return
        before = {"before": page["next"]}


def test_a_client_that_was_away_for_too_long_is_told_so(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.api.stream.updates.MOST_MISSED", 3)

    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            orders = [await ann.order() for _ in range(4)]
            async with streaming(url, ann) as stream:
                await say(stream, subscribe=["fills"], after=0)
                assert (await hear(stream))["code"] == "resume-too-far"
                missed = await subscribe(stream, ["fills"], orders[0]["seq"])
                assert len(_rows(missed, "fills")) == 3

    asyncio.run(body())


def test_a_gap_in_what_the_books_tell_is_filled_from_the_database(database: str) -> None:
    """The hub is told that events were lost, and of some not at all: each fill is still told once and in order."""

    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann, hub = await trader(api), api.books.bus.events
            async with streaming(url, ann) as stream:
                await subscribe(stream, PRIVATE)
                publish, losing = hub.publish, False

                def lose_some(event: BooksEvent) -> None:
                    if not losing:
                        publish(event)

                hub.publish = lose_some
                for number in range(24):
                    losing = number % 4 >= 2
                    if number % 4 == 0:
                        publish(Gap())
                    await ann.order(size="0.001")
                losing = False
                publish(Gap())
                fills = (await ann.get("/fills"))["items"]
                heard: list[dict] = []
                while len(heard) < len(fills):
                    heard += (await hear(stream)).get("fills", [])
                assert heard == fills[::-1]

    asyncio.run(body())


def test_no_stream_is_better_than_one_that_has_stopped(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            async with streaming(url, ann) as stream:
                api.books.bus.events.publish(
                    Committed(10**6, 0, {ann.user: None})
                )  # what no books would tell
                assert (await closed(stream))[0] == 1001
            async with streaming(url) as stream:
                assert (await closed(stream))[0] == 1011

    asyncio.run(body())
    assert "a task of the stream ended" in caplog.text


def test_silence_is_told_too(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            api.services.stream.limits = StreamLimits(heartbeat_s=0.05)
            ann = await trader(api)
            async with streaming(url, ann) as stream:
                assert (await hear(stream))["type"] == "heartbeat"
                placed = await ann.order()
                while (beat := await hear(stream))["seq"] < placed["seq"]:
                    assert beat["type"] == "heartbeat"

    asyncio.run(body())


def test_marks_are_for_everybody(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url, streaming(url) as stream:
            await say(stream, subscribe=["marks"])
            assert await hear(stream) == {"type": "subscribed", "channels": ["marks"], "seq": None}
            api.market.move("BTC", 100_100)
            marks: dict[str, Any] = {}
            while marks.get("BTC", {}).get("mark") != "100100.0":
                message = await hear(stream)
                assert message["type"] == "marks"
                marks |= message["marks"]
            assert marks["BTC"] == {"mark": "100100.0", "bid": "100100.0", "ask": "100100.0"}
            await say(stream, subscribe=["orders"])
            while (message := await hear(stream))["type"] == "marks":
                pass
            assert (message["type"], message["code"]) == ("error", "not-authenticated")
            await say(stream, unsubscribe=["marks"])
            while (message := await hear(stream))["type"] == "marks":
                pass
            assert message == {"type": "unsubscribed", "channels": ["marks"]}

    asyncio.run(body())


NONSENSE = [
    "",
    "null",
    "[]",
    "{}",
    '{"subscribe": ["house"]}',
    '{"subscribe": "orders"}',
    '{"subscribe": ["orders"], "after": -1}',
    '{"subscribe": ["orders"], "after": 1.5}',
    '{"subscribe": ["orders"], "ping": 1}',
    '{"ping": 1, "after": 2}',
    '{"subscribe": ["orders"], "user": "another"}',
    '{"ping": ' + "9" * 3000 + "}",
    '{"ping": 1, "ping": 1}',
    '{"subscribe": ["orders"], "subscri\\u0062e": ["marks"]}',
]


def test_what_is_not_understood_is_said_and_the_stream_goes_on(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            async with streaming(url, ann) as stream:
                for text in NONSENSE:
                    await stream.send(text)
                    answer = await hear(stream)
                    assert (answer["type"], answer["code"]) == ("error", "invalid"), text[:80]
                await say(stream, auth={"token": ann.token})
                assert (await hear(stream))["code"] == "invalid"
                assert await subscribe(stream, ["orders"]) == []
            for sent, code in ((b"{}", 1003), ("x" * 5_000, 1009)):
                async with streaming(url, ann) as stream:
                    await stream.send(sent)
                    assert (await closed(stream))[0] == code

    asyncio.run(body())


def test_who_is_not_known_or_ends_the_session_is_sent_away(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            api.services.stream.limits = StreamLimits(check_s=0.05, silent_s=0.3)
            ann, bob = await trader(api), await trader(api)
            async with streaming(url) as stream:
                await say(stream, auth={"token": ann.token[:-3]})
                assert (await closed(stream))[0] == 4401
            async with streaming(url) as stream:
                assert await closed(stream) == (4401, "nobody said who is there")
            async with streaming(url, ann) as stream:
                await api.services.identity.sessions.revoke(ann.user, ann.session)
                assert await closed(stream) == (4401, "the session or API key was ended")
            keys = api.services.identity.keys
            reading, trading = [
                await keys.create(ann.user, "k", [scope], [], ORIGIN) for scope in (Scope.READ, Scope.TRADE)
            ]
            async with signed_in(url, trading) as stream:
                assert (await closed(stream))[0] == 4403
            async with signed_in(url, reading) as stream:
                assert await hear(stream) == {"type": "authenticated", "user": ann.user}
                assert await subscribe(stream, PRIVATE) == []
                await keys.rotate(ann.user, reading.key.id, 0, ORIGIN)
                assert await closed(stream) == (4401, "the session or API key was ended")
            async with signed_in(url, reading) as stream:
                assert (await closed(stream))[0] == 4401
            async with connect(socket_url(url), proxy=None, additional_headers=bob.headers) as stream:
                assert await hear(stream) == {"type": "authenticated", "user": bob.user}

    asyncio.run(body())


def test_one_user_has_so_many_connections_and_says_so_much(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            api.services.stream.limits = StreamLimits(of_user=2, of_address=3, said_per_minute=5)
            ann, bob = await trader(api), await trader(api)
            async with streaming(url, ann) as first, streaming(url, ann):
                async with streaming(url) as third:
                    await say(third, auth={"token": ann.token})
                    assert (await closed(third))[0] == 4429
                async with streaming(url, bob):
                    pass
                for _ in range(5):
                    await say(first, ping=1)
                assert (await closed(first))[0] == 4429
                strangers = (streaming(url) for _ in range(3))
                async with streaming(url, ann), contextlib.AsyncExitStack() as stack:
                    for each in strangers:
                        await stack.enter_async_context(each)
                    fourth = await stack.enter_async_context(streaming(url))
                    assert (await closed(fourth))[0] == 4429

    asyncio.run(body())


def test_who_does_not_read_is_dropped_with_notice_and_holds_up_nobody(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            api.services.stream.limits = StreamLimits(waiting=20)
            ann = await trader(api)
            for _ in range(50):
                await ann.order(size="0.001")
            async with streaming(url, ann) as slow, streaming(url, ann) as quick:
                await subscribe(quick, PRIVATE)
                slow.transport.pause_reading()
                for _ in range(200):  # more than any buffer on the way takes
                    await say(slow, subscribe=PRIVATE, after=0)
                while len(api.services.stream._of_user[ann.user]) == 2:
                    await ann.order(size="0.001")
                    assert (await hear(quick))["type"] == "update"
                slow.transport.resume_reading()
                heard = [message["seq"] for message in await rest(slow)]
                assert slow.close_code == 4408
                told = json.loads(slow.close_reason)["seq"]
                assert told in heard  # the last, or one before what was on its way
                assert told <= heard[-1]
                await ann.order(size="0.001")
                assert (await hear(quick))["type"] == "update"

    asyncio.run(body())
