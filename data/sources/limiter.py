"""Keep within a weight limit per minute by waiting before a request, not by being refused."""

import time
from collections.abc import Callable


class WeightLimiter:
    """Spend weight from a bucket that refills evenly; never more than ``per_minute`` in any 60 s.

    ``largest_charge`` bounds what one answer may cost on top (``charge``), known only afterwards. Burst
    and charge are kept out of the refill, which is what makes the bound hold in every window.
    """

    def __init__(
        self,
        per_minute: int = 1200,
        burst: int = 100,
        largest_charge: int = 100,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._burst = float(burst)
        self._per_s = (per_minute - burst - largest_charge) / 60.0
        self._clock, self._sleep = clock, sleep
        self._balance, self._at_s = self._burst, clock()

    def acquire(self, weight: int) -> None:
        """Wait until ``weight`` (at most the burst) is there, and take it."""
        self._refill()
        if self._balance < weight:
            self._sleep((weight - self._balance) / self._per_s)
            self._refill()
        self._balance -= weight

    def charge(self, weight: int) -> None:
        """Take what an answer cost on top; the next ``acquire`` waits until it is earned."""
        self._balance -= weight

    def _refill(self) -> None:
        now_s = self._clock()
        self._balance = min(self._balance + (now_s - self._at_s) * self._per_s, self._burst)
        self._at_s = now_s
