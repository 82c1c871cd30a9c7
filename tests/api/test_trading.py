"""Orders placed, cancelled and closed, margin moved: each answer is the books', and nobody reaches another's."""

import asyncio
from decimal import Decimal

import pytest

from live.identity.principal import Scope
from tests.api.served import Api, served_api
from tests.api.traders import ORIGIN, Trader, signed, trader

ORDER = {"symbol": "BTC", "side": "BUY", "size": "0.01", "leverage": 10}


def test_an_order_is_filled_at_hyperliquid_s_price(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            placed = await ann.order(size="0.01")
            fill = placed["fills"][0]
            assert (fill["price"], fill["hl_reference_price"], fill["size"]) == (
                "100000.0",
                "100000.0",
                "0.01",
            )
            assert (fill["fee"], fill["source"]) == ("0.500000", "INTERNAL")
            shown = await ann.get(f"/orders/{placed['order_id']}")
            assert (shown["status"], shown["filled_size"], shown["seq"]) == ("FILLED", "0.01", placed["seq"])
            assert [each["fill_id"] for each in shown["fills"]] == [fill["fill_id"]]
            assert shown["fills"][0]["hl_reference_price"] == fill["hl_reference_price"]

    asyncio.run(body())


def test_the_same_key_gets_the_first_answer_and_nothing_is_done_twice(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            first = await ann.ask("POST", "/orders", ORDER, "k")
            again = await ann.ask("POST", "/orders", ORDER, "k")
            assert (again.status_code, again.json()) == (201, first.json())
            other = await ann.ask("POST", "/orders", ORDER | {"size": "0.02"}, "k")
            assert (other.status_code, other.json()["code"]) == (409, "key-reused")
            assert (await bob.ask("POST", "/orders", ORDER, "k")).json() != first.json()
            assert len((await ann.get("/orders"))["items"]) == 1
            refused = ORDER | {"size": "9000"}
            for _ in range(2):
                answer = await ann.ask("POST", "/orders", refused, "poor")
                assert (answer.status_code, answer.json()["code"]) == (409, "INSUFFICIENT_MARGIN")
            for key in (
                {},
                {"Idempotency-Key": ""},
                {"Idempotency-Key": "x" * 129},
                {"Idempotency-Key": "a b"},
            ):
                answer = await api.client.post("/v1/orders", json=ORDER, headers=ann.headers | key)
                assert answer.status_code == 422
                assert answer.json()["errors"][0]["field"] == "header.Idempotency-Key"

    asyncio.run(body())


BAD_ORDERS = [
    ({"size": 0.01}, "size"),
    ({"size": 1}, "size"),
    ({"size": "0"}, "size"),
    ({"size": "-1"}, "size"),
    ({"size": "NaN"}, "size"),
    ({"size": "1e3"}, "size"),
    ({"size": "1" * 16}, "size"),
    ({"size": "0." + "1" * 13}, "size"),
    ({"size": "０.01"}, "size"),
    ({"size": "0.000001"}, "size"),  # no multiple of the lot: the books say so
    ({"size": None}, "size"),
    ({"side": 1}, "side"),
    ({"side": "buy"}, "side"),
    ({"type": "ICEBERG"}, "type"),
    ({"type": "LIMIT"}, "limit_price"),
    ({"limit_price": "1"}, "limit_price"),
    ({"type": "STOP_LOSS"}, "trigger_price"),
    ({"trigger_price": "1"}, "trigger_price"),
    ({"leverage": 0}, "leverage"),
    ({"leverage": 41}, "leverage"),  # of this symbol at most 40
    ({"leverage": 2.5}, "leverage"),
    ({"leverage": "10"}, "leverage"),
    ({"leverage": True}, "leverage"),
    ({"reduce_only": "yes"}, "reduce_only"),
    ({"margin_mode": "PORTFOLIO"}, "margin_mode"),
    ({"position_id": 0}, "position_id"),
    ({"position_id": 2**63}, "position_id"),
    ({"symbol": "BTC\0"}, "symbol"),
    ({"symbol": "DOGE"}, "symbol"),
    ({"user": "somebody"}, "user"),
    ({"order_id": "o1"}, "order_id"),
    ({"netted": True}, "netted"),
]


def test_what_is_wrong_with_an_order_is_named_and_nothing_changes(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            for wrong, field in BAD_ORDERS:
                answer = await ann.ask("POST", "/orders", ORDER | wrong)
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), (wrong, answer.text)
                assert answer.json()["errors"][0]["field"] == f"body.{field}", (wrong, answer.text)
            for text in ("", "null", "[1]", "{", '{"symbol": "BTC"', "\xff"):
                headers = ann.headers | {"Idempotency-Key": "k", "Content-Type": "application/json"}
                content = text.encode("latin-1")
                answer = await api.client.post("/v1/orders", content=content, headers=headers)
                assert answer.json()["code"] in ("malformed", "invalid"), answer.text
            assert await ann.get("/orders") == {"items": [], "next": None}

    asyncio.run(body())


def test_orders_of_every_type_wait_and_are_cancelled(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            limit = await ann.limit()
            opened = (await ann.order())["fills"][0]["position_id"]
            closing = {"side": "SELL", "position_id": opened}
            profit = await ann.order(type="TAKE_PROFIT", trigger_price="120000", **closing)
            loss = await ann.order(type="STOP_LOSS", trigger_price="97000", **closing, size=None)
            waiting = [loss["order_id"], profit["order_id"], limit]
            assert await _ids(ann, status=["RESTING", "PENDING"]) == waiting
            assert await _ids(ann, status="FILLED", symbol="ETH") == []
            cancelled = await ann.ask("DELETE", f"/orders/{limit}", key="c")
            assert (cancelled.status_code, cancelled.json()["order_id"]) == (200, limit)
            assert (await ann.ask("DELETE", f"/orders/{limit}", key="c")).json() == cancelled.json()
            again = await ann.ask("DELETE", f"/orders/{limit}")
            assert (again.status_code, again.json()["code"]) == (409, "UNKNOWN_ORDER")
            before = await ann.get(f"/orders/{waiting[0]}")
            nonsense = await ann.ask("DELETE", "/orders/1207")
            assert (nonsense.status_code, nonsense.json()["errors"][0]["field"]) == (422, "path.order_id")
            stranger = await bob.ask("DELETE", f"/orders/{waiting[0]}")
            assert (stranger.status_code, stranger.json()["code"]) == (404, "unknown-order")
            assert await ann.get(f"/orders/{waiting[0]}") == before
            assert await _ids(ann, status="RESTING") == waiting[:2]
            api.market.move("BTC", 96_500)
            await _until(ann, loss["order_id"], "FILLED")
            assert (await ann.get(f"/positions/{opened}"))["status"] == "CLOSED"

    asyncio.run(body())


def test_all_orders_are_cancelled_once(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            first, second = await ann.limit(), await ann.limit()
            ether = await ann.limit("3000", symbol="ETH")
            of_bob = await bob.limit()
            answer = await ann.ask("DELETE", "/orders", key="all", symbol="BTC")
            assert answer.status_code == 200, answer.text
            told = answer.json()["orders"]
            assert told == [{"order_id": each, "done": True, "code": None} for each in (first, second)]
            later = await ann.limit()
            again = await ann.ask("DELETE", "/orders", key="all", symbol="BTC")
            assert again.json() == answer.json()
            assert await _ids(ann, status="RESTING") == [later, ether]
            other = await ann.ask("DELETE", "/orders", key="all")
            assert (other.status_code, other.json()["code"]) == (409, "key-reused")
            rest = await ann.ask("DELETE", "/orders")
            assert [each["order_id"] for each in rest.json()["orders"]] == [ether, later]
            assert await _ids(bob, status="RESTING") == [of_bob]
            assert (await ann.ask("DELETE", "/orders")).json()["orders"] == []
            assert (await ann.ask("DELETE", "/orders", coin="BTC")).status_code == 422
            typo = await ann.ask("DELETE", "/orders", symbol="NOPE")
            assert (typo.status_code, typo.json()["errors"][0]["field"]) == (422, "query.symbol")
            assert "must be one of BTC, COIN, ETH" in typo.json()["errors"][0]["detail"]

    asyncio.run(body())


def test_positions_are_closed_in_part_and_in_whole_by_their_owner(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            position = (await ann.order("SELL", "0.03"))["fills"][0]["position_id"]
            path = f"/positions/{position}/close"
            assert (await bob.ask("POST", path, {})).status_code == 404
            part = await ann.ask("POST", path, {"size": "0.01"}, "part")
            assert (part.status_code, part.json()["fills"][0]["size"]) == (201, "0.01")
            assert (await ann.ask("POST", path, {"size": "0.01"}, "part")).json() == part.json()
            wrong = await ann.ask("POST", path, {"size": 0.01})
            assert wrong.json()["errors"][0]["field"] == "body.size"
            resting = await ann.ask("POST", path, {"limit_price": "90000"})
            assert resting.json()["resting"]
            rest = await ann.ask("POST", path, {}, "rest")
            assert rest.json()["fills"][0]["size"] == "0.02"
            assert (await ann.ask("POST", path, {}, "rest")).json() == rest.json()
            gone = await ann.ask("POST", path, {})
            assert (gone.status_code, gone.json()["code"]) == (409, "UNKNOWN_POSITION")
            assert [
                each["position_id"] for each in (await ann.get("/positions", status="CLOSED"))["items"]
            ] == [position]
            assert (await ann.ask("POST", "/positions/x/close", {})).status_code == 422

    asyncio.run(body())


def test_margin_is_moved_by_its_owner_as_far_as_it_can_be_spared(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            position = (await ann.order())["fills"][0]["position_id"]
            path, more = f"/positions/{position}/margin", {"action": "ADD", "amount": "50.5"}
            assert (await bob.ask("POST", path, more)).status_code == 404
            before = Decimal((await ann.get(f"/positions/{position}"))["margin"])
            added = await ann.ask("POST", path, more, "add")
            assert added.status_code == 200
            assert (await ann.ask("POST", path, more, "add")).json() == added.json()
            shown = await ann.get(f"/positions/{position}")
            assert (Decimal(shown["margin"]), shown["seq"]) == (before + Decimal("50.5"), added.json()["seq"])
            assert (await ann.ask("POST", path, {"action": "REMOVE", "amount": "50.5"})).status_code == 200
            poor = await ann.ask("POST", path, {"action": "REMOVE", "amount": "1"})
            assert (poor.status_code, poor.json()["code"]) == (409, "INSUFFICIENT_MARGIN")
            for amount in (5, "5.0000001", "-5", "0"):
                wrong = await ann.ask("POST", path, {"action": "ADD", "amount": amount})
                assert wrong.json()["errors"][0]["field"] == "body.amount"
            assert (await ann.ask("POST", f"/positions/{position}/close", {})).status_code == 201
            late = await ann.ask("POST", path, more)
            assert (late.status_code, late.json()["code"]) == (409, "UNKNOWN_POSITION")

    asyncio.run(body())


@pytest.mark.parametrize("scope", ["READ", "TRADE"])
def test_a_key_does_what_its_scopes_say(database: str, scope: str) -> None:
    """Reading and trading need a scope each: neither comes with the other."""

    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            allowed = await _statuses(api, ann, scope)
            assert allowed == ({"GET"} if scope == "READ" else {"POST", "DELETE"})

    asyncio.run(body())


async def _statuses(api: Api, ann: Trader, scope: str) -> set[str]:
    """Return the methods whose requests a key with that scope may send."""
    key = await api.services.identity.keys.create(ann.user, "k", [Scope(scope)], [], ORIGIN)
    found = set()
    for method, path, body in (
        ("GET", "/v1/orders", None),
        ("GET", "/v1/balance-changes", None),
        ("POST", "/v1/orders", ORDER),
        ("DELETE", "/v1/orders", None),
    ):
        answer = await signed(api, key.key.id, key.secret, method, path, body)
        assert answer.status_code in (200, 201, 403), answer.text
        if answer.status_code != 403:
            found.add(method)
    return found


async def _ids(ann: Trader, **params: object) -> list[str]:
    return [each["order_id"] for each in (await ann.get("/orders", **params))["items"]]


async def _until(ann: Trader, order_id: str, status: str) -> None:
    for _ in range(500):
        shown = await ann.get(f"/orders/{order_id}")
        if shown["status"] == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(shown)
