"""Level 3 of rulebook §10: users are told 503 before the books are asked, and whoever is to open it again is let in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from live.api import service_level
from live.api.services import Services, open_services
from live.client import ApiProblem, HybridPerps
from live.identity.principal import Role, Scope
from risk.inputs import ServiceLevelSet
from tests.api.operators import done, operator
from tests.api.served import CHEAP, Api, over_http, served_api
from tests.api.test_authorisation import NOBODY_S, path_of, routes_of
from tests.api.test_stream import closed, streaming, subscribe
from tests.api.traders import ORIGIN, signed, trader

STAYS = ("/health", "/ready", "/metrics", "/docs", "/openapi.json", "/v1/auth/", "/v1/operator/")
ORDER = {"symbol": "BTC", "side": "BUY", "size": "0.01", "leverage": 10}


async def switch(api: Api, level: int) -> int:
    """Switch the level in the books, past the API; return the switch's place in the journal."""
    answer = await api.ask(f"level-{api.process.machine.seq}", ServiceLevelSet(0, level, "op", "a drill"))
    assert answer.status == "DONE"
    return answer.seq


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def closed_to_users(api: Api) -> None:
    await switch(api, 3)
    await until(lambda: api.services.service_level.closed)


async def open_again(api: Api) -> None:
    await switch(api, 0)
    await until(lambda: not api.services.service_level.closed)


def test_every_route_of_users_is_closed_and_no_other(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            ann, bob = await trader(api), await trader(api)
            key = await api.services.identity.keys.create(ann.user, "k", [Scope.READ], [], ORIGIN)
            admin = await operator(api, Role.SUPER_ADMIN)
            await closed_to_users(api)
            before = await api.services.pool.fetchval(
                "select max(seq) from input_journal where kind <> 'MarketUpdated'"
            )
            tried = 0
            for route in sorted(routes_of(api.app) - {"WEBSOCKET /v1/stream"}):
                method, path = route.split(" ")[0], path_of(route, NOBODY_S)
                by = admin if path.startswith("/v1/operator/") else ann
                answer = await api.client.request(
                    method, path, headers={**by.headers, "Idempotency-Key": "k"}
                )
                if path.startswith(STAYS):
                    assert answer.status_code != 503, route
                    continue
                tried += 1
                nobody = await api.client.request(method, path)
                by_key = await signed(api, key.key.id, key.secret, method, path)
                for each in (answer, nobody, by_key):
                    assert (each.status_code, each.json()["code"]) == (503, "service-closed"), route
                    assert each.headers["retry-after"] == "30"
                    assert each.headers["content-type"] == "application/problem+json"
                    assert each.headers["x-request-id"] == each.json()["instance"]
            assert tried > 40
            after = await api.services.pool.fetchval(
                "select max(seq) from input_journal where kind <> 'MarketUpdated'"
            )
            assert after == before
            await open_again(api)
            assert (await bob.get("/orders"))["items"] == []  # ann has logged out

    asyncio.run(body())


def test_the_key_of_a_request_that_was_refused_is_not_used_up(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, otto = await trader(api), await operator(api, Role.OPERATIONS)
            level = {"level": 3, "reason": "a drill"}
            switched = await done(otto.ask("POST", "/operator/service-level", level))
            await until(lambda: api.services.service_level.closed)
            for _ in range(2):
                refused = await ann.ask("POST", "/orders", ORDER, "k")
                assert (refused.status_code, refused.json()["code"]) == (503, "service-closed")
            back = {"switch": switched["seq"], "reason": "over"}
            await done(otto.ask("POST", "/operator/service-level/rollback", back))
            await until(lambda: not api.services.service_level.closed)
            placed = await ann.ask("POST", "/orders", ORDER, "k")
            assert placed.status_code == 201, placed.text

    asyncio.run(body())


def test_levels_1_and_2_do_not_close(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            position = (await ann.order())["fills"][0]["position_id"]
            switched = await switch(api, 2)
            await until(lambda: api.services.stream.seq >= switched)  # every listener has been told
            assert not api.services.service_level.closed
            opening = await ann.ask("POST", "/orders", ORDER)
            assert (opening.status_code, opening.json()["code"]) == (409, "SERVICE_LEVEL")
            assert (await ann.ask("POST", f"/positions/{position}/close", {})).status_code == 201
            await switch(api, 1)
            assert (await ann.get("/positions"))["items"] != []
            routed = await ann.ask("POST", "/orders", ORDER)
            assert routed.status_code == 201
            route = await api.services.pool.fetchval("select route from orders order by seq desc limit 1")
            assert route == "HYPERLIQUID"

    asyncio.run(body())


def test_streams_end_and_begin_again_where_they_were(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            async with streaming(url, ann) as of_ann, streaming(url) as of_nobody:
                await subscribe(of_ann, ["orders"])
                await subscribe(of_nobody, ["marks"])
                seen = api.process.machine.seq
                await ann.limit()
                await switch(api, 3)
                for stream in (of_ann, of_nobody):
                    assert await closed(stream) == (
                        1013,
                        "the service is closed for now; come back and subscribe with after",
                    )
            async with streaming(url) as late:
                assert (await closed(late))[0] == 1013
            await open_again(api)
            async with streaming(url, ann) as of_ann:
                missed = await subscribe(of_ann, ["orders"], seen)
                assert [len(update["orders"]) for update in missed] == [1]

    asyncio.run(body())


def test_the_client_tells_and_its_stream_goes_on_afterwards(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            made = await api.services.identity.keys.create(
                ann.user, "k", [Scope.READ, Scope.TRADE], [], ORIGIN
            )
            async with (
                HybridPerps(url, key=made.key.id, secret=made.secret) as client,
                client.stream("orders") as stream,
            ):
                await closed_to_users(api)
                with pytest.raises(ApiProblem) as told:
                    await client.place("BTC", "BUY", "0.01", leverage=10)
                assert (told.value.status, told.value.code) == (503, "service-closed")
                assert told.value.retry_after_s == 30
                listening = asyncio.create_task(anext(stream))
                await asyncio.sleep(1.5)  # the stream was ended, and is refused since
                assert not listening.done()
                await open_again(api)
                placed = await client.place("BTC", "BUY", "0.01", leverage=10)
                async with asyncio.timeout(60):
                    update = await listening
                assert [order.order_id for order in update.orders] == [placed.order_id]
                assert stream.connections > 1

    asyncio.run(body())


@asynccontextmanager
async def another_process(api: Api) -> AsyncIterator[Services]:
    """Open what another process of the API would, on the same books."""
    here = None if api.services.settings.bus_url else api.books.bus
    settings, dsn = api.services.settings, api.services.settings.database_url
    assert dsn is not None
    async with open_services(settings, dsn, here, rules=CHEAP) as services:
        yield services


@pytest.mark.parametrize("bus", ["in process", "over Redis"])
@pytest.mark.parametrize("how", ["by an event", "by reading"])
def test_every_process_learns_of_it(
    database: str, bus: str, how: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"bus_url": None if bus == "in process" else request.getfixturevalue("redis_url")}
    if how == "by an event":
        monkeypatch.setattr(service_level, "_EVERY_S", 3_600)
    else:
        monkeypatch.setattr(service_level.ServiceLevel, "tell", lambda *_: None)

    async def body() -> None:
        async with served_api(database, settings=settings) as api, another_process(api) as other:
            assert not other.service_level.closed
            await closed_to_users(api)
            await until(lambda: other.service_level.closed)
            async with another_process(api) as later:
                assert later.service_level.closed  # from its start
            await open_again(api)
            await until(lambda: not other.service_level.closed)

    asyncio.run(body())


def test_what_the_books_say_is_newer_than_what_was_being_read() -> None:
    class Slow:
        """A pool whose answer is as old as the question."""

        def __init__(self, meanwhile: Callable[[], Awaitable[Any]]) -> None:
            self.meanwhile = meanwhile

        async def fetchval(self, _: str) -> int:
            await self.meanwhile()
            return 0

    async def body() -> None:
        async def told() -> None:
            level.tell(3)

        level = service_level.ServiceLevel(Slow(told))  # type: ignore[arg-type]
        await level.read()
        assert level.closed

    asyncio.run(body())
