"""Bounded load without a fault: every command gets its answer, of every kind, and the books are right."""

import asyncio
from collections import Counter

import psycopg

from tests.live.books import own_database
from tests.load.harness import harness
from tests.postgres import postgres

__all__ = ["own_database", "postgres"]


def test_books_under_load_answer_all_and_stay_right(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load:
            books = await load.start()
            async with load.load():
                await load.answered(3_000)
            await load.finish(books)
            return load.record

    record = asyncio.run(scenario())
    statuses = Counter((each.kind, each.answer.status) for each in record.acknowledged.values())
    assert statuses["OrderSubmitted", "DONE"] > 1_000
    assert statuses["OrderSubmitted", "REFUSED"]
    assert statuses["OrderSubmitted", "INVALID"]
    assert statuses["WithdrawalProcessed", "DONE"]
    with psycopg.connect(database) as connection:
        for sql in (
            "select count(*) from liquidations",
            "select count(*) from funding_settlements",
            "select count(*) from fills where source = 'HYPERLIQUID'",
            "select count(*) from hedge_positions",
            "select count(*) from orders where status = 'CANCELLED'",
        ):
            (count,) = connection.execute(sql).fetchone() or (0,)
            assert count, sql


def test_more_than_the_queue_holds_is_turned_away_and_done_once_when_asked_again(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path, clients=12) as load:
            books = await load.start("--queue", "4")
            async with load.load():
                await load.answered(600)
            await load.finish(books)
            return load.record

    record = asyncio.run(scenario())
    assert record.errors["Overloaded"] > 10
    assert set(record.errors) <= {"Overloaded", "lost"}
