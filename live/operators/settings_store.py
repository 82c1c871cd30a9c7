"""The settings in force, read from the books' tables, and commands that change them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import asyncpg
import msgspec

from live.identity.errors import Conflict
from live.operators.bounds import check_risk, check_routing
from live.operators.changes import changed, different, risk_config, shown
from risk.errors import InvalidInput
from risk.inputs import Approval, ConfigChanged
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
        if symbol != DEFAULT_ROW and not await self.is_traded(symbol):
            raise InvalidInput(f"symbol was {symbol!r}; it must be one that is traded, or *")
        row = await self._pool.fetchrow(
            f"select {_COLUMNS} from routing_config where symbol in ($1, '*') order by symbol = '*' limit 1",
            symbol,
        )
        return RoutingConfig(**{**row, "routing_mode": RoutingMode(row["routing_mode"])})

    async def current(self, symbol: str | None) -> RoutingConfig | RiskConfig:
        """Return a symbol's routing row, or the risk config."""
        return await self.risk() if symbol is None else await self.routing(symbol)

    async def agreed(self, symbol: str | None) -> RoutingConfig | RiskConfig:
        """Return a symbol's routing row, or the risk config, as two people agreed on it last.

        What the books were opened with counts as agreed. A symbol without a row of its own has the default's.
        """
        now = await self.current(symbol)
        subject = subject_of(symbol)
        if isinstance(now, RoutingConfig) and not await self._has_row(subject):
            subject = DEFAULT_ROW
        rows = await self._pool.fetch(
            "select name, value from access.agreed_settings where subject = $1", subject
        )
        values = {row["name"]: msgspec.json.decode(row["value"]) for row in rows}
        if not values:
            return now
        if isinstance(now, RiskConfig):
            return changed(now, values)
        return changed(now, values)

    async def keep_agreed(self, symbol: str | None, names: Iterable[str] = ()) -> None:
        """Keep what two people agreed on of settings that one person moves now, or has moved in the default row."""
        agreed, now = await self.agreed(symbol), await self.current(symbol)
        values = shown(agreed)
        moved = {name: values[name] for name in {*names, *different(now, agreed)}}
        await self._pool.executemany(
            """insert into access.agreed_settings (subject, name, value) values ($1, $2, $3::jsonb)
            on conflict do nothing""",
            [
                (subject_of(symbol), name, msgspec.json.encode(value).decode())
                for name, value in moved.items()
            ],
        )

    async def _has_row(self, symbol: str) -> bool:
        return bool(
            await self._pool.fetchval("select exists (select from routing_config where symbol = $1)", symbol)
        )

    async def command(
        self,
        symbol: str | None,
        changes: Mapping[str, Any],
        operator: str,
        reason: str,
        before: Mapping[str, Any] | None = None,
        approval: Approval | None = None,
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
            return ConfigChanged(0, operator, symbol, after, reason=reason, approval=approval)
        return ConfigChanged(0, operator, risk=after, reason=reason, approval=approval)

    async def is_traded(self, symbol: str) -> bool:
        """Tell whether these books know a symbol."""
        return bool(
            await self._pool.fetchval("select exists (select from symbol_modes where symbol = $1)", symbol)
        )


def subject_of(symbol: str | None) -> str:
    """Return under which name settings are proposed: a symbol, or the risk config."""
    return symbol or "risk_config"


async def agree(connection: asyncpg.Connection, subject: str, names: Iterable[str]) -> None:
    """Note that two people agreed on these settings as they are now."""
    await connection.execute(
        "delete from access.agreed_settings where subject = $1 and name = any($2)", subject, list(names)
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
