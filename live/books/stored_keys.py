"""Which idempotency keys the database may hold: of others it need not be asked, which saves a round trip."""

import asyncpg
from rbloom import Bloom

_EXPECTED = (
    10_000_000  # keys of a day, in 12 MB; where there are more, the database is asked in vain more often
)
_IN_VAIN = 0.01
_AT_ONCE = 1_000
_SQL = "select key from idempotency_keys where key > $1 order by key limit $2"


class StoredKeys:
    """Filter out keys that are new for certain; a few new ones may pass as well, so that it never decides.

    Until ``learn`` is done every key passes. ``now_ns`` is not before the time of any row that is stored.
    """

    def __init__(self, now_ns: int) -> None:
        self._learned = False
        self._older = _nothing()  # of before ``_since``
        self._newer = _nothing()
        self._since = now_ns

    def may_hold(self, key: str) -> bool:
        """Tell whether the database must be asked about a key."""
        return not self._learned or key in self._newer or key in self._older

    def add(self, key: str) -> None:
        """Take up a key that this process stores."""
        self._newer.add(key)

    async def learn(self, connection: asyncpg.Connection) -> None:
        """Take up what earlier processes stored; none of them may be able to store more."""
        last = ""  # which no key is
        while rows := await connection.fetch(_SQL, last, _AT_ONCE):
            last = rows[-1]["key"]
            self._older.update([row["key"] for row in rows])
        self._learned = True

    def deleted(self, before_ns: int, now_ns: int) -> None:
        """Say that no row of before ``before_ns`` is left; none that comes will be of before ``now_ns``."""
        if before_ns > self._since:
            self._older, self._newer, self._since = self._newer, _nothing(), now_ns


def _nothing() -> Bloom:
    return Bloom(_EXPECTED, _IN_VAIN)
