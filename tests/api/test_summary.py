"""The account at mark, what an order would do, and the market."""

import asyncio
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from live.api.reads.forms import quotient_text
from live.api.reads.markets import MarketItem, MarketList
from live.api.reads.summary import AccountSummary, Preview
from live.books.queries import AccountQuery
from risk.inputs import ChannelReported
from tests.api.served import served_api
from tests.api.traders import trader

LARGE = {"symbol": "BTC", "side": "BUY", "size": "0.5", "leverage": 10}  # goes to Hyperliquid
SMALL = LARGE | {"size": "0.05"}


def test_an_account_is_shown_at_mark_with_its_liquidation_prices(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            await ann.order(size="0.1", leverage=10)
            await ann.order("SELL", "0.02", margin_mode="CROSS")
            await ann.limit()
            api.market.move("BTC", 101_000)
            summary = await ann.get("/account/summary")
            AccountSummary.model_validate(summary, strict=True)
            isolated, cross = sorted(summary["positions"], key=lambda each: each["position_id"])
            assert (isolated["direction"], cross["direction"]) == ("LONG", "SHORT")
            assert Decimal(isolated["unrealised_pnl"]) == 100
            assert Decimal(cross["unrealised_pnl"]) == -20
            assert Decimal(isolated["equity"]) == Decimal(isolated["margin"]) + 100 == 1_100
            # §4: price − side × (equity − maintenance) / size / (1 − rate × side)
            expected = 101_000 - (1_100 - Decimal("126.25")) / Decimal("0.1") / (1 - Decimal("0.0125"))
            assert abs(Decimal(isolated["liquidation_price"]) - expected) < Decimal("1e-6")
            ratio = 1_100 / Decimal("126.25")
            assert Decimal(isolated["margin_ratio"]) == ratio.quantize(Decimal("1e-12"), ROUND_FLOOR) < ratio
            assert Decimal(summary["account_value"]) == (
                Decimal(summary["cash"]) + Decimal(summary["order_holds"]) - 20
            )
            empty = await bob.get("/account/summary")
            assert (empty["positions"], empty["margin_ratio"], empty["free"]) == ([], None, "100000")

    asyncio.run(body())


def test_quotients_are_rounded_and_never_for_the_worse(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            for side, rounding in (("BUY", ROUND_CEILING), ("SELL", ROUND_FLOOR)):
                order = SMALL | {"side": side, "size": "0.03333", "leverage": 7}
                told = (await ann.ask("POST", "/orders/preview", order)).json()
                await ann.order(**order)
                summary = await ann.get("/account/summary")
                position = max(summary["positions"], key=lambda each: each["position_id"])
                exact = next(
                    each.liquidation_price
                    for each in (await api.services.bus.ask(AccountQuery(ann.user))).positions
                    if each.id == position["position_id"]
                )
                shown = Decimal(position["liquidation_price"])
                assert shown == exact.quantize(Decimal("1e-12"), rounding) != exact
                assert Decimal(told["liquidation_price"]) == shown
                assert Decimal(told["initial_margin"]) == Decimal(position["margin"])
            await ann.order(size="0.03333", leverage=7, margin_mode="CROSS")
            summary = await ann.get("/account/summary")
            exact = (await api.services.bus.ask(AccountQuery(ann.user))).free
            assert Decimal(summary["free"]) == exact.quantize(Decimal("1e-6"), ROUND_FLOOR) < exact
            for shown in (summary, *summary["positions"]):
                places = {
                    name: -Decimal(text).as_tuple().exponent
                    for name, text in shown.items()
                    if is_number(text)
                }
                assert max(places.values()) <= 12, places

    asyncio.run(body())


def is_number(text: object) -> bool:
    return isinstance(text, str) and text.replace(".", "").replace("-", "").isdigit()


def test_an_entry_price_of_many_fills_is_one_text_in_lists_exports_and_the_summary(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            placed = await ann.order(size="0.01")
            async with api.services.pool.acquire() as own:  # no market of these tests gives such a mean
                await own.execute("set session_replication_role = replica")
                await own.execute("update positions set entry_price = 200000.0 / 3")
                await own.execute("set session_replication_role = origin")
            number = placed["fills"][0]["position_id"]
            (listed,) = (await ann.get("/positions"))["items"]
            one = await ann.get(f"/positions/{number}")
            assert listed["entry_price"] == one["entry_price"] == "66666.666666666667"
            assert quotient_text(Decimal(200_000) / 3) == "66666.666666666667"

    asyncio.run(body())


def test_a_preview_is_what_then_happens_and_changes_nothing(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            before = await ann.get("/account/summary")
            told = (await ann.ask("POST", "/orders/preview", SMALL)).json()
            Preview.model_validate(told, strict=True)
            assert (told["accepted"], told["code"], told["resting"]) == (True, None, False)
            assert await ann.get("/orders") == {"items": [], "next": None}
            assert (await ann.get("/account/summary"))["seq"] == before["seq"]
            fill = (await ann.order(**SMALL))["fills"][0]
            dearer = Decimal(told["fee"]) - Decimal(fill["fee"])
            assert (Decimal(told["price"]), Decimal(told["size"])) == (
                Decimal(fill["price"]),
                Decimal(fill["size"]),
            )
            assert dearer == 5_000 * Decimal("0.00015")  # what it would have cost at most
            after = await ann.get("/account/summary")
            position = after["positions"][0]
            assert Decimal(position["liquidation_price"]) == Decimal(told["liquidation_price"])
            assert Decimal(position["margin"]) == Decimal(told["initial_margin"])
            assert Decimal(after["free"]) == Decimal(told["free"]) + dearer
            poor = (await ann.ask("POST", "/orders/preview", LARGE | {"size": "400"})).json()
            assert (poor["accepted"], poor["code"]) == (False, "INSUFFICIENT_MARGIN")
            for wrong, field in (
                ({"size": 1}, "size"),
                ({"symbol": "DOGE"}, "symbol"),
                ({"leverage": 41}, "leverage"),
            ):
                answer = await ann.ask("POST", "/orders/preview", SMALL | wrong)
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"body.{field}")

    asyncio.run(body())


def test_a_preview_does_not_tell_where_an_order_would_go(database: str) -> None:
    """A small order the house would take, a large one Hyperliquid: their previews differ by nothing but size."""

    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            small, large, tiny = [
                (await ann.ask("POST", "/orders/preview", LARGE | {"size": size})).json()
                for size in ("0.05", "0.5", "0.0001")
            ]
            assert small.keys() == large.keys()
            assert not {"route", "source", "mode"} & small.keys()
            assert (small["accepted"], small["price"]) == (large["accepted"], large["price"])
            assert Decimal(large["fee"]) == 10 * Decimal(small["fee"])
            assert Decimal(large["initial_margin"]) == 10 * Decimal(small["initial_margin"])
            assert large["liquidation_price"] == small["liquidation_price"]
            waiting = {"type": "LIMIT", "limit_price": "99000"}
            here, there = [
                (await ann.ask("POST", "/orders/preview", LARGE | waiting | {"size": size})).json()
                for size in ("0.05", "0.5")
            ]
            assert here["resting"] is there["resting"] is True
            told = repr((small, large, tiny, here, there))
            assert "HL" not in told
            assert "INTERNAL" not in told
            api.process.tell(ChannelReported(0, False))
            down = (await ann.ask("POST", "/orders/preview", LARGE)).json()
            assert (down["accepted"], down["code"]) == (False, "NOT_TAKEN")
            assert "yperliquid" not in repr(down)

    asyncio.run(body())


def test_the_market_is_for_everybody(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            api.market.move("BTC", 100_500)
            answer = await api.client.get("/v1/markets")
            MarketList.model_validate(answer.json(), strict=True)
            symbols = {each["symbol"]: each for each in answer.json()["symbols"]}
            assert set(symbols) == {"BTC", "ETH", "COIN"}
            one = (await api.client.get("/v1/markets/BTC")).json()
            MarketItem.model_validate(one, strict=True)
            assert (one["mark"], one["max_leverage"], one["lot"]) == ("100500.0", 40, "0.00001")
            assert one["tiers"] == [{"from_notional": "0", "max_leverage": 40}]
            assert (await api.client.get("/v1/markets/DOGE")).status_code == 404

    asyncio.run(body())
