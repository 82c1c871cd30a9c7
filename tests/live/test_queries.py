"""Queries: views of the books over both buses, never ahead of the database, and a preview that comes true."""

import asyncio
from decimal import Decimal

import pytest

from live.books.bus import open_bus
from live.books.commands import NotAnswered
from live.books.queries import AccountQuery, HouseQuery, MarketQuery, PreviewQuery
from live.ledger.writer import CommitFailed
from live.settings import LiveSettings
from risk.errors import InvalidInput
from risk.inputs import FundingPublished, OrderSubmitted, OrderType
from tests.live.books import a_desk, database
from tests.live.served import fund, order, rows, served
from tests.postgres import postgres
from tests.redis_server import redis_url, shared_redis
from tests.risk.book_builder import CROSS, D

__all__ = ["database", "postgres", "redis_url", "shared_redis"]


@pytest.fixture(params=["in process", "over Redis"])
def bus_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "over Redis" else None


def test_every_query_is_answered_over_both_buses(database, bus_url):
    async def scenario():
        settings = LiveSettings(bus_url=bus_url)
        async with served(database, bus_url) as (server, opened), open_bus(settings, server.bus) as bus:
            await fund(bus, "ann")
            await bus.submit(order("ann", 7))  # 0.0017 BTC, 10x
            before = opened[0].machine.seq
            account = await bus.ask(AccountQuery("ann"))
            preview = await bus.ask(PreviewQuery(OrderSubmitted(0, "", "ann", "ETH", -1, D("1"), leverage=5)))
            market = await bus.ask(MarketQuery(("ETH",)))
            house = await bus.ask(HouseQuery())
            assert opened[0].machine.seq == before
            for query in (AccountQuery("nobody"), MarketQuery(("DOGE",))):
                with pytest.raises(InvalidInput, match="was"):
                    await bus.ask(query)
            wrong = await bus.ask(PreviewQuery(OrderSubmitted(0, "", "ann", "ETH", 3, D("1"))))
        assert wrong.status == "INVALID"
        assert "side was 3" in wrong.detail
        ((total, cash, margin),) = rows(
            database, "select total_balance, cash, isolated_margin from wallets where user_id = 'ann'"
        )
        assert (account.total_balance, account.cash, account.isolated_margin) == (total, cash, margin)
        (position,) = account.positions
        assert (position.symbol, position.mark, position.margin) == ("BTC", D(100_000), margin)
        assert 0 < position.liquidation_price < 100_000
        assert (preview.status, preview.price, preview.size) == ("DONE", D(4_000), D(1))
        assert (preview.initial_margin, preview.fee) == (
            D(800),
            D("2.6"),
        )  # as Hyperliquid and we charge it there
        assert preview.liquidation_price > 4_000
        (eth,) = market.symbols
        assert (eth.mark, eth.bid, eth.max_leverage, eth.lot) == (D(4_000), D(4_000), 25, D("0.0001"))
        btc = next(each for each in house.symbols if each.symbol == "BTC")
        assert btc.net_size == position.size
        assert (house.reserve, house.halted, house.service_level) == (D(500_000), None, 0)

    asyncio.run(scenario())


def test_a_view_is_of_the_market_of_now_though_the_rules_saw_it_last_before(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            await desk.order("ann", "BTC", 1, "0.05", leverage=10)
            desk.mark("BTC", 100_001.0)  # quiet: the book is not told
            assert desk.process.machine.book.marks()["BTC"][0] == 100_000
            account = await desk.process.ask(AccountQuery("ann"))
            assert account.positions[0].unrealised == D("0.05")
            desk.process.tell(FundingPublished(0, "BTC", D("0.0001"), D(100_000)))
            market = await desk.process.ask(MarketQuery())
            assert [each.funding_rate for each in market.symbols] == [D("0.0001"), None, None]
            assert market.symbols[0].mark == D(100_001)

    asyncio.run(scenario())


def test_no_view_is_told_before_its_commit(database):
    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann")
            writer = desk.process._commits.writer
            commit, may_commit = writer.commit, asyncio.Event()

            async def slow(*batch):
                await may_commit.wait()
                await commit(*batch)

            writer.commit = slow
            placed = asyncio.create_task(desk.order("ann", "BTC", 1, "0.05", leverage=10))
            await asyncio.sleep(0.05)
            asked = asyncio.create_task(desk.process.ask(AccountQuery("ann")))
            gave_up = asyncio.create_task(desk.process.ask(AccountQuery("ann")))
            await asyncio.sleep(0.05)
            gave_up.cancel()
            assert not asked.done()
            may_commit.set()
            assert len((await asked).positions) == 1
            assert (await placed).status == "DONE"

    asyncio.run(scenario())


def test_a_view_of_what_was_never_committed_is_not_told(database):
    async def scenario():
        with pytest.raises(CommitFailed):
            async with a_desk(database) as desk:
                await desk.user("ann")

                async def lost(*_):
                    await asyncio.sleep(0.05)
                    raise CommitFailed("lost")

                desk.process._commits.writer.commit = lost
                placed = asyncio.create_task(desk.order("ann", "BTC", 1, "0.05"))
                await asyncio.sleep(0.02)
                with pytest.raises(NotAnswered):
                    await asyncio.wait_for(desk.process.ask(AccountQuery("ann")), 60)
                with pytest.raises(NotAnswered):
                    await placed

    asyncio.run(scenario())


def test_a_preview_comes_true(database):
    """Cross and isolated, opened and closed, refused and resting: answer, money and liquidation price."""

    async def scenario():
        async with a_desk(database) as desk:
            await desk.user("ann", 2_000)
            orders = [
                {"symbol": "BTC", "side": 1, "size": D("0.05"), "leverage": 10},
                {"symbol": "ETH", "side": -1, "size": D("1"), "leverage": 5, "margin_mode": CROSS},
                {"symbol": "ETH", "side": -1, "size": D("0.5"), "leverage": 5, "margin_mode": CROSS},
                {"symbol": "BTC", "side": 1, "size": D("0.05"), "leverage": 1},
                {"symbol": "BTC", "side": -1, "size": D("0.02"), "leverage": 1, "reduce_only": True},
            ]
            for fields in orders:
                desk.mark("BTC", 100_000.0 + fields["leverage"])
                asked = OrderSubmitted(0, "", "ann", **fields)
                preview = await desk.process.ask(PreviewQuery(asked))
                answer = await desk.ask(asked)
                account = await desk.process.ask(AccountQuery("ann"))
                assert (preview.status, preview.code, preview.detail) == (
                    answer.status, answer.code, answer.detail,
                )  # fmt: skip
                assert preview.size == sum(Decimal(fill.size) for fill in answer.fills)
                dearer = preview.fee - sum(Decimal(fill.fee) for fill in answer.fills)
                assert (
                    dearer == preview.price * preview.size * D("0.00015")
                    if preview.initial_margin
                    else not dearer
                )
                assert preview.free == account.free - dearer
                if preview.initial_margin and fields.get("margin_mode") != CROSS:
                    last = account.positions[-1]
                    assert preview.liquidation_price == last.liquidation_price
            resting = OrderSubmitted(0, "", "ann", "ETH", 1, D("0.1"), OrderType.LIMIT, D(3_900), leverage=5)
            preview = await desk.process.ask(PreviewQuery(resting))
            assert (preview.resting, preview.price, preview.initial_margin) == (True, D(3_900), D(78))

    asyncio.run(scenario())
