"""Lists are whole whatever the pages, stay so while rows come, are their owner's alone, and add up."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.api.answers import json_answer
from live.api.reads.fills import FILLS
from live.api.reads.filters import Span
from live.api.reads.listing import Condition
from live.api.reads.money import BALANCE_CHANGES
from live.api.reads.orders import ORDERS
from live.api.routes import history
from risk.inputs import FundingPublished
from tests.api.served import Api, served_api
from tests.api.traders import Trader, trader

LISTS = ("orders", "positions", "fills", "funding", "liquidations", "balance-changes")


async def busy(api: Api) -> Trader:
    """Return a user to whom everything has happened that there is a list of."""
    ann = await trader(api)
    for side in ("BUY", "SELL", "BUY"):
        await ann.order(side, "0.02")
    await ann.order(symbol="ETH", size="0.3", margin_mode="CROSS")
    await ann.limit()
    await ann.ask("DELETE", f"/orders/{await ann.limit()}")
    await ann.ask("POST", "/orders", {"symbol": "BTC", "side": "BUY", "size": "500", "leverage": 10})
    api.process.tell(FundingPublished(0, "BTC", Decimal("0.0001"), Decimal(100_000)))
    position = (await ann.get("/positions", symbol="BTC", limit=1))["items"][0]["position_id"]
    await ann.ask("POST", f"/positions/{position}/close", {"size": "0.005"})
    for mark in (96_000, 92_000, 89_000):
        api.market.move("BTC", mark)
    async with asyncio.timeout(60):
        while len((await ann.get("/liquidations"))["items"]) < 2:
            await asyncio.sleep(0.01)
    return ann


def test_lists_say_what_their_models_say_and_strangers_get_nothing(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await busy(api), await trader(api, 0)
            for name in LISTS:
                page = await ann.get(f"/{name}")
                assert page["items"], name
                assert page["next"] is None
                assert (await bob.get(f"/{name}"))["items"] == [], name
                exported = await ann.ask("GET", f"/exports/{name}", format="jsonl")
                assert [json.loads(line) for line in exported.text.splitlines()] == page["items"]
                assert (await bob.ask("GET", f"/exports/{name}", format="jsonl")).text == ""
            for name, of_id in (("orders", "order_id"), ("positions", "position_id")):
                for item in (await ann.get(f"/{name}"))["items"]:
                    shown = await ann.get(f"/{name}/{item[of_id]}")
                    assert shown | {"fills": None} == item | {"fills": None}
                    assert (await bob.ask("GET", f"/{name}/{item[of_id]}")).status_code == 404
            for route in history.router.routes:
                if route.path in {f"/{name}" for name in LISTS}:
                    answer = (await ann.ask("GET", route.path)).text
                    assert json.loads(
                        route.response_model.model_validate_json(answer).model_dump_json()
                    ) == json.loads(answer)

    asyncio.run(body())


def test_a_symbol_that_never_was_and_a_time_that_ends_as_it_begins_are_refused(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            for name in LISTS[:-1]:
                wrong = await ann.ask("GET", f"/{name}", symbol="NOPE")
                assert wrong.status_code == 422, name
                (error,) = wrong.json()["errors"]
                assert error["field"] == "query.symbol"
                assert "must be one of BTC, COIN, ETH" in error["detail"]
                assert (await ann.get(f"/{name}", symbol="ETH"))["items"] == []
            begin, end = "2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000001Z"
            for name in (*LISTS, "exports/fills"):
                for to in (begin, "2026-03-01T11:00:00"):
                    wrong = await ann.ask("GET", f"/{name}", **{"from": begin, "to": to})
                    assert wrong.status_code == 422, name
                    assert wrong.json()["errors"] == [
                        {"field": "query.to", "detail": "must be later than from"}
                    ]
                right = await ann.ask("GET", f"/{name}", **{"from": begin, "to": end})
                assert right.status_code == 200, name

    asyncio.run(body())


def test_what_is_not_signed_in_reads_nothing(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            for path in (*LISTS, "orders/o1", "positions/1", "exports/fills", "account/summary"):
                assert (await api.client.get(f"/v1/{path}")).status_code == 401, path

    asyncio.run(body())


def test_the_history_of_a_balance_sums_to_it(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await busy(api)
            changes = (await ann.get("/balance-changes"))["items"]
            summary = await ann.get("/account/summary")
            total = sum(Decimal(each["amount"]) for each in changes)
            assert total == Decimal(summary["total_balance"]) == Decimal(changes[0]["after"])
            for newer, older in pairwise(changes):
                assert newer["before"] == older["after"]
                assert Decimal(newer["before"]) + Decimal(newer["amount"]) == Decimal(newer["after"])
            fills, funding = (await ann.get("/fills"))["items"], (await ann.get("/funding"))["items"]
            lost = (await ann.get("/liquidations"))["items"]
            assert total == (
                100_000
                + _sum(fills, "pnl", action="CLOSE")
                - _sum(fills, "fee")
                - _sum(funding, "payment")
                - _sum(lost, "margin_zeroed")
            )

    asyncio.run(body())


def _sum(items: list[dict[str, Any]], name: str, **wanted: str) -> Decimal:
    return sum((Decimal(item[name]) for item in items if wanted.items() <= item.items()), Decimal(0))


def test_lists_are_narrowed_by_status_symbol_and_time(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await busy(api)
            orders = (await ann.get("/orders"))["items"]
            for wanted in (["FILLED"], ["RESTING"], ["CANCELLED", "REFUSED"], ["EXPIRED"]):
                found = (await ann.get("/orders", status=wanted))["items"]
                assert found == [each for each in orders if each["status"] in wanted]
            assert (await ann.get("/orders", symbol="ETH"))["items"] == [
                each for each in orders if each["symbol"] == "ETH"
            ]
            positions = (await ann.get("/positions"))["items"]
            for status in ("OPEN", "LIQUIDATED", "CLOSED"):
                found = (await ann.get("/positions", status=status))["items"]
                assert found == [each for each in positions if each["status"] == status]
            for name, at in (("orders", "created_at"), ("fills", "created_at"), ("balance-changes", "at")):
                items = (await ann.get(f"/{name}"))["items"]
                middle = items[len(items) // 2][at]
                since = {"from": middle}
                assert (await ann.get(f"/{name}", **since))["items"] == [i for i in items if i[at] >= middle]
                assert (await ann.get(f"/{name}", to=middle))["items"] == [i for i in items if i[at] < middle]

    asyncio.run(body())


WRONG = [
    ({"limit": 0}, "limit"),
    ({"limit": 501}, "limit"),
    ({"before": -1}, "before"),
    ({"before": 2**63}, "before"),
    ({"from": "yesterday"}, "from"),
    ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
    ({"status": "DONE"}, "status.0"),
    ({"symbol": "BTC\0"}, "symbol"),
    ({"user": "another"}, "user"),
]


@pytest.mark.parametrize("written", ["", "Z", "+00:00", "+02:00"])
def test_a_time_without_a_zone_is_utc(written: str) -> None:
    hour = 10 if written == "+02:00" else 12
    span = Span.model_validate({"from": f"2026-03-01T12:00:00{written}", "to": f"2026-03-01 12:01{written}"})
    assert (span.from_, span.to) == tuple(datetime(2026, 3, 1, hour, minute, tzinfo=UTC) for minute in (0, 1))


def test_a_wrong_filter_is_named(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api, 0)
            for params, field in WRONG:
                answer = await ann.ask("GET", "/orders", **params)
                assert answer.status_code == 422, (params, answer.text)
                assert answer.json()["errors"][0]["field"] == f"query.{field}"

    asyncio.run(body())


def test_an_export_is_the_whole_list(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await busy(api)
            for name in LISTS:
                items = (await ann.get(f"/{name}"))["items"]
                answer = await ann.ask("GET", f"/exports/{name}")
                assert answer.headers["content-type"].startswith("text/csv")
                assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
                read = list(csv.DictReader(io.StringIO(answer.text, newline="")))
                assert read == [{key: _cell(value) for key, value in item.items()} for item in items]
            nobody = await trader(api, 0)
            assert (await nobody.ask("GET", "/exports/funding")).text.startswith("id,position_id,symbol,rate")
            assert (await ann.ask("GET", "/exports/funding", format="xml")).status_code == 422
            assert (await ann.ask("GET", "/exports/users")).status_code == 422

    asyncio.run(body())


def _cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def test_pages_of_any_size_are_the_whole_list_under_inserts(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside each walk through the pages orders come in; the walk is the list as it was when it began."""

    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            for _ in range(12):
                await ann.order(size="0.001")
                await bob.order(size="0.001")
            pool, loop = api.services.pool, asyncio.get_running_loop()

            monkeypatch.setattr("live.api.reads.listing._EXPORTED_AT_ONCE", 7)

            async def walk(listing: Any, sizes: list[int], conditions: list[Condition]) -> None:
                before, found = None, []
                whole = [item async for part in listing.all(pool, ann.user, conditions) for item in part]
                for number in range(100):
                    page = await listing.page(pool, ann.user, before, sizes[number % len(sizes)], conditions)
                    assert len(page.items) <= sizes[number % len(sizes)]
                    found += page.items
                    before = page.next
                    if number < 2:
                        await ann.limit(size="0.001")
                        await bob.order(size="0.001")
                    if before is None:
                        break
                assert json_answer(found).body == json_answer(whole).body

            @settings(max_examples=25)
            @given(st.sampled_from([ORDERS, FILLS, BALANCE_CHANGES]), SIZES, st.booleans())
            def walks(listing: Any, sizes: list[int], all_of_them: bool) -> None:
                if all_of_them or listing is BALANCE_CHANGES:
                    conditions = []
                else:
                    conditions = [Condition("size > {}", Decimal("0.0005"))]
                asyncio.run_coroutine_threadsafe(walk(listing, sizes, conditions), loop).result(30)

            await asyncio.to_thread(walks)

    asyncio.run(body())
