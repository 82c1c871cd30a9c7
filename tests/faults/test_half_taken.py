"""An error of our own in the middle of an input: nothing of it is written, and the books come back as they were."""

import asyncio

import pytest

from live.books.commands import NotAnswered
from live.ledger.machine import HalfTaken
from live.ledger.project_trading import TradingProjection
from risk.inputs import FundingPublished
from tests.live.books import a_desk, own_database
from tests.postgres import postgres
from tests.risk.book_builder import D

__all__ = ["own_database", "postgres"]


@pytest.fixture
def broken(monkeypatch):
    """Return a switch that breaks the rows of orders and positions, after those of the journal were made."""

    def finish(*_):
        raise KeyError("a bug")

    return lambda: monkeypatch.setattr(TradingProjection, "finish", finish)


@pytest.mark.parametrize("told", [False, True], ids=["in a command", "in what a venue says"])
def test_input_broken_off_half_way_is_never_committed(database, broken, monkeypatch, told):
    async def break_off():
        async with a_desk(database) as desk:
            await desk.user("ann")
            before.append((desk.process.machine.seq, desk.process.machine.book.digest()))
            broken()
            if told:
                with pytest.raises(KeyError, match="a bug"):
                    desk.process.tell(FundingPublished(0, "BTC", D("0.001"), D(100_000)))
            with pytest.raises(NotAnswered):
                await desk.order("ann", "BTC", 1, "0.05", key="order")

    async def come_back():
        async with a_desk(database) as desk:
            assert (desk.process.machine.seq, desk.process.machine.book.digest()) == before[0]
            assert (await desk.order("ann", "BTC", 1, "0.05", key="order")).status == "DONE"

    before = []
    with pytest.raises((KeyError, HalfTaken)):
        asyncio.run(break_off())
    monkeypatch.undo()
    asyncio.run(come_back())
