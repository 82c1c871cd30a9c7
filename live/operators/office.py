"""All that operators use, put together once for a process."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from live.books.bus import Bus
from live.operators.desk import OperatorsDesk
from live.operators.proposals import Proposals
from live.operators.settings_store import SettingsStore
from live.operators.staff import Staff


@dataclass(frozen=True)
class Office:
    """Hold each job of it."""

    staff: Staff
    settings: SettingsStore
    proposals: Proposals
    desk: OperatorsDesk


def open_office(
    pool: asyncpg.Pool, bus: Bus, clock: Callable[[], int], told: Callable[[], None] = lambda: None
) -> Office:
    """Put it together on a migrated database; ``told`` hears when roles have changed."""
    staff, settings = Staff(pool, clock, told), SettingsStore(pool)
    proposals = Proposals(pool, bus, clock, staff, settings)
    return Office(staff, settings, proposals, OperatorsDesk(pool, bus, clock, staff, settings, proposals))
