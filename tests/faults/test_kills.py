"""The books killed at random points under load, ten times: nothing acknowledged is lost, nothing is done twice."""

import asyncio

from tests.faults.kills import kill_and_come_back
from tests.live.books import own_database
from tests.load.harness import harness
from tests.postgres import postgres

__all__ = ["own_database", "postgres"]


def test_ten_random_kills(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path, seed="ten") as load:
            outcomes = [each async for each in kill_and_come_back(load, 10, "ten")]
            assert len(outcomes) == 10
            assert load.verifier.replayed == outcomes[-1].seq
            assert len(load.record.acknowledged) > 500
            assert load.record.errors["lost"]

    asyncio.run(scenario())
