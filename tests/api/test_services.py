"""What requests share."""

import asyncio

import pytest

from live.api import services
from tests.api.served import served_api


def test_a_statement_is_broken_off_wherever_the_database_has_moved(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            pool = api.services.pool
            monkeypatch.setattr(services, "_COMMAND_S", 0.2)
            services.move_pool(pool, database)
            await pool.expire_connections()
            with pytest.raises(TimeoutError):
                await pool.execute("select pg_sleep(5)")
            assert await pool.fetchval("show plan_cache_mode") == "force_generic_plan"

    asyncio.run(body())
