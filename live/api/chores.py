"""What is to be done without a request: ending what was not confirmed, finishing what was approved, tidying up."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from live.api.services import Services
from live.books.commands import NotAnswered, Overloaded
from live.identity import wallet
from live.ledger.writer import LOST
from live.tasks import end

_EVERY_S = 5.0
_TIDY_EVERY = 720  # rounds: an hour
_log = logging.getLogger(__name__)


@asynccontextmanager
async def chores(services: Services) -> AsyncIterator[None]:
    """Do them, round after round, while the block lasts; what fails is tried again in the next round.

    Any number of processes may: each chore is harmless when it is done twice.
    """
    running = asyncio.create_task(_rounds(services))
    try:
        yield
    finally:
        await end(running)


async def _rounds(services: Services) -> None:
    number = 0
    while True:
        await _tried("expiring withdrawals", services.withdrawals.expire)
        await _tried("finishing proposals", services.office.proposals.finish)
        if number % _TIDY_EVERY == 0:
            await _tried("tidying up", services.identity.tidy)
        if (
            number == 1
        ):  # seconds of importing: later than the start, which shall be quick, and no end waits for it
            threading.Thread(target=wallet.prepare, name="wallets", daemon=True).start()
        number += 1
        await asyncio.sleep(_EVERY_S)


async def _tried(what: str, chore: Callable[[], Awaitable[object]]) -> None:
    try:
        await chore()
    except (NotAnswered, Overloaded, *LOST) as error:
        _log.warning("%s waits for the books or the database: %s", what, str(error) or type(error).__name__)
    except Exception:
        _log.exception("%s failed", what)
