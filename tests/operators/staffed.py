"""An API with operators of every role, for tests of what they do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from live.identity.principal import Role
from tests.api.operators import operator
from tests.api.served import Api, served_api
from tests.api.traders import Trader, trader


@dataclass
class Staffed:
    """An API with an operator of each role, a second risk manager, and a user with money."""

    api: Api
    sam: Trader  # super admin
    rita: Trader  # risk manager
    rolf: Trader  # another one
    otto: Trader  # operations
    ada: Trader  # analyst
    ann: Trader  # user

    async def all(self, sql: str, *values: Any) -> list[Any]:
        return [tuple(row) for row in await self.api.services.pool.fetch(sql, *values)]

    async def cash(self) -> Any:
        return await self.api.services.pool.fetchval(
            "select cash from wallets where user_id = $1", self.ann.user
        )


def staffed(dsn: str, body: Callable[[Staffed], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served_api(dsn) as api:
            roles = (Role.SUPER_ADMIN, Role.RISK_MANAGER, Role.RISK_MANAGER, Role.OPERATIONS, Role.ANALYST)
            people = [await operator(api, role) for role in roles]
            await body(Staffed(api, *people, await trader(api, 1_000)))

    asyncio.run(run())
