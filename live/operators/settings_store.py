"""The settings in force, read from the books' tables, and commands that change them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import asyncpg

from live.identity.errors import Conflict
from live.operators.bounds import check_risk, check_routing
from live.operators.changes import changed, risk_config, shown
from risk.errors import InvalidInput
from risk.inputs import ConfigChanged
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

DEFAULT_ROW = "*"
_COLUMNS = ", ".join(each.name for each in fields(RoutingConfig))


class SettingsStore:
    """Read settings and make commands of changes. Who changes them holds ``alone`` from reading to the answer."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._here = asyncio.Lock()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others, in any process, from changing settings: a change is of the whole row or config."""
        # Of this process only one waits in the database: it holds a connection, and needs others to go on.
        async with self._here, self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('access.settings'))")
            yield

    async def risk(self) -> RiskConfig:
        """Return the risk config in force."""
        rows = await self._pool.fetch("select key, value from risk_config")
        return risk_config({row["key"]: row["value"] for row in rows})

    async def routing(self, symbol: str) -> RoutingConfig:
        """Return the row that counts for a symbol: its own or the default; raises InvalidInput for an unknown one."""
        if symbol != DEFAULT_ROW and not await self._is_traded(symbol):
            raise InvalidInput(f"symbol was {symbol!r}; it must be one that is traded, or *")
        row = await self._pool.fetchrow(
            f"select {_COLUMNS} from routing_config where symbol in ($1, '*') order by symbol = '*' limit 1",
            symbol,
        )
        return RoutingConfig(**{**row, "routing_mode": RoutingMode(row["routing_mode"])})

    async def current(self, symbol: str | None) -> RoutingConfig | RiskConfig:
        """Return a symbol's routing row, or the risk config."""
        return await self.risk() if symbol is None else await self.routing(symbol)

    async def command(
        self,
        symbol: str | None,
        changes: Mapping[str, Any],
        operator: str,
        before: Mapping[str, Any] | None = None,
    ) -> ConfigChanged:
        """Return the command for ``changes`` of a symbol's routing row, or of the risk config.

        ``before`` is what was in force when they were decided: raises Conflict where one of them has changed
        since, and InvalidInput, naming the setting, for what is outside its bounds.
        """
        now = await self.current(symbol)
        if before is not None:
            values = shown(now)
            for name, value in before.items():
                if values[name] != value:
                    raise Conflict("settings-changed", f"{name} was {value} then, it is {values[name]} now")
        after = checked(now, changes)
        if isinstance(after, RoutingConfig):
            return ConfigChanged(0, operator, symbol, after)
        return ConfigChanged(0, operator, risk=after)

    async def _is_traded(self, symbol: str) -> bool:
        return bool(
            await self._pool.fetchval("select exists (select from symbol_modes where symbol = $1)", symbol)
        )


def checked(now: RoutingConfig | RiskConfig, changes: Mapping[str, Any]) -> RoutingConfig | RiskConfig:
    """Return settings with changes; raises InvalidInput, naming the setting, for what is outside its bounds."""
    if isinstance(now, RiskConfig):
        risk = changed(now, changes)
        check_risk(now, risk)
        return risk
    row = changed(now, changes)
    check_routing(now, row)
    return row
