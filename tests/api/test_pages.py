"""How pages are read from the database: the newest rows of one user by an index, however many others have."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from live.api.reads.fills import FILLS
from live.api.reads.listing import Listing
from live.api.reads.money import BALANCE_CHANGES
from live.api.reads.orders import ORDERS
from live.api.reads.positions import POSITIONS
from tests.api.served import served_api
from tests.api.traders import trader

_EACH = 4_000
_COPY = """insert into {table} select (jsonb_populate_record(r, jsonb_build_object(
    '{key}', 1000000 + $2 + n, 'user_id', $1::text{id}))).*
    from {table} r, generate_series(1, {each}) n
    where r.user_id = $1 and r.{key} = (select min({key}) from {table} where user_id = $1)"""


class Explained:
    """Be a pool that gives no rows but keeps how they would have been found."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.plan: dict[str, Any] = {}

    async def fetch(self, text: str, *values: Any) -> list[asyncpg.Record]:
        explained = await self._pool.fetchval(f"explain (analyze, format json) {text}", *values)
        self.plan = json.loads(explained)[0]["Plan"]
        return []

    def nodes(self) -> list[dict[str, Any]]:
        """Return the steps of the plan."""
        found = [self.plan]
        for node in found:
            found += node.get("Plans", [])
        return found


@pytest.mark.parametrize("listing", [ORDERS, POSITIONS, FILLS, BALANCE_CHANGES], ids=lambda each: each.table)
def test_who_traded_long_ago_is_found_as_fast_as_who_trades_now(database: str, listing: Listing) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            pool = api.services.pool
            await ann.order(size="0.001")
            await bob.order(size="0.001")
            named = (
                ", 'id', 'o' || 1000000 + $2 + n, 'updated_seq', 1000000 + $2 + n"
                if listing is ORDERS
                else ""
            )
            copy = _COPY.format(table=listing.table, key=listing.key, id=named, each=_EACH)
            for number, user in enumerate((ann.user, bob.user)):
                await pool.execute(copy, user, number * _EACH)
            await pool.execute(f"analyze {listing.table}")
            for before in (None, 1_000_000 + _EACH // 2):
                explained = Explained(pool)
                await listing.page(explained, ann.user, before, 50)
                assert sum(node.get("Rows Removed by Filter", 0) for node in explained.nodes()) == 0
                assert max(node["Actual Rows"] for node in explained.nodes()) == 51

    asyncio.run(body())


def test_a_query_that_came_before_is_answered_as_it_was(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await trader(api), await trader(api)
            await ann.order(size="0.001")
            await ann.order(size="0.002")
            of_ann, of_bob = await ann.get("/orders", limit=1), await bob.get("/orders", limit=1)
            assert (len(of_ann["items"]), of_ann["next"] is None, of_bob["items"]) == (1, False, [])
            assert await ann.get("/orders", limit=1) == of_ann
            for _ in range(2):
                wrong = await ann.ask("GET", "/orders", limit=0, symbl="BTC")
                assert wrong.status_code == 422
                assert {each["field"] for each in wrong.json()["errors"]} == {"query.limit", "query.symbl"}
            every = [
                "PENDING",
                "RESTING",
                "PARTIALLY_FILLED",
                "FILLED",
                "CANCELLED",
                "EXPIRED",
                "REFUSED",
            ] * 4
            for _ in range(2):  # longer than what is remembered
                assert len((await ann.get("/orders", status=every))["items"]) == 2

    asyncio.run(body())
