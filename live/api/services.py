"""What a request may use, made in one place."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import asyncpg
from fastapi import Depends
from starlette.requests import HTTPConnection

from live.api.metered_bus import MeteredBus
from live.api.metrics import Metrics
from live.api.rates import Rates
from live.api.readiness import Readiness
from live.api.reads.markets import Markets
from live.api.service_level import ServiceLevel, open_service_level
from live.api.settings import ApiSettings
from live.api.shared_state import SharedState, open_shared_state
from live.api.stream.hub import StreamHub, StreamLimits, open_stream
from live.books.bus import Bus, InProcessBus, open_bus, open_events
from live.identity.endings import Endings
from live.identity.identity import Identity, open_identity
from live.identity.mail import Letter, Mailer, open_mailer
from live.identity.rules import AccessRules
from live.operators.office import Office, open_office
from live.wallets.flow import Withdrawals
from live.wallets.rules import WithdrawalRules
from risk.errors import InvalidInput

MoveMarket = Callable[[str, Decimal], None]

_CONNECTIONS = 10
_COMMAND_S = 10.0  # of one statement; what takes longer is broken off


@dataclass(frozen=True)
class Services:
    """Hold what requests share. ``clock`` gives UTC nanoseconds; ``dev`` says that test funds are given away.

    ``move_market`` moves the market of a symbol by so many per cent, where that can be done.
    """

    settings: ApiSettings
    pool: asyncpg.Pool
    bus: Bus
    clock: Callable[[], int]
    shared: SharedState
    rates: Rates
    metrics: Metrics
    readiness: Readiness
    mailer: Mailer
    identity: Identity
    withdrawals: Withdrawals
    office: Office
    stream: StreamHub
    service_level: ServiceLevel
    markets: Markets
    dev: bool = False
    move_market: MoveMarket | None = None


@asynccontextmanager
async def open_services(
    settings: ApiSettings,
    dsn: str,
    here: InProcessBus | None = None,
    *,
    clock: Callable[[], int] = time.time_ns,
    dev: bool = False,
    move_market: MoveMarket | None = None,
    told: Callable[[Letter], None] | None = None,
    rules: AccessRules | None = None,
    stream: StreamLimits | None = None,
) -> AsyncIterator[Services]:
    """Open what the API needs on the migrated database at ``dsn``, for as long as the block lasts.

    ``here`` is the bus of the books in this process, which BUS_URL replaces; ``told`` hears of every letter;
    ``rules`` are the numbers of log-in, ``stream`` those of the stream. Raises InvalidInput for what does not answer.
    """
    async with AsyncExitStack() as stack:
        pool = await _open_pool(dsn)
        stack.push_async_callback(_close_pool, pool)
        metrics = Metrics()
        bus = MeteredBus(await stack.enter_async_context(open_bus(settings, here)), metrics)
        shared = await stack.enter_async_context(open_shared_state(settings.bus_url))
        mailer = await stack.enter_async_context(
            open_mailer(settings.smtp_url, settings.mail_from, settings.hybrid_perps_home / "outbox", told)
        )
        identity = await open_identity(
            pool,
            bus,
            clock,
            shared,
            mailer,
            secret=settings.hybrid_perps_secret,
            home=settings.hybrid_perps_home,
            public_url=settings.public_url,
            rules=rules,
        )
        stack.callback(identity.close)
        level = await stack.enter_async_context(open_service_level(pool))
        endings, events = Endings(pool, clock, identity.rules), open_events(settings, here)
        hub = await stack.enter_async_context(open_stream(pool, endings, events, level, stream))
        yield Services(
            settings,
            pool,
            bus,
            clock,
            shared,
            Rates(settings, shared),
            metrics,
            Readiness(pool, bus),
            mailer,
            identity,
            Withdrawals(pool, bus, clock, identity.email_tokens, mailer, WithdrawalRules()),
            open_office(pool, bus, clock, identity.standings.forget),
            hub,
            level,
            Markets(bus),
            dev,
            move_market,
        )


async def services(connection: HTTPConnection) -> Services:
    """Give a request, or a WebSocket, what it may use."""
    found: Services = connection.app.state.services
    return found


Using = Annotated[Services, Depends(services)]


def move_pool(pool: asyncpg.Pool, dsn: str) -> None:
    """Have new connections of ``Services.pool`` go where the database is now."""
    pool.set_connect_args(dsn, **_patience())


def _patience() -> dict[str, float]:
    return {"timeout": _COMMAND_S, "command_timeout": _COMMAND_S}


async def _open_pool(dsn: str) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=_CONNECTIONS,
            init=_plan_once,
            reset=_as_it_is,
            **_patience(),
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise InvalidInput(f"the database does not answer: {error}") from None


async def _plan_once(connection: asyncpg.Connection) -> None:
    """Have a statement planned once for whatever it is asked with: to plan a page takes as long as to read it."""
    await connection.execute("set plan_cache_mode = force_generic_plan")


async def _as_it_is(_: asyncpg.Connection) -> None:
    """Leave a connection as it comes back: nothing here outlives a transaction, and to ask costs a round trip."""


async def _close_pool(pool: asyncpg.Pool) -> None:
    """Close in order, but wait no longer for a server that is gone."""
    try:
        async with asyncio.timeout(_COMMAND_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
