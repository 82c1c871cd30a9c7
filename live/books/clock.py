"""Time as the books see it: the machine's, or one that only tests and replays move."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from risk.settings import SECOND_NS


class Clock(Protocol):
    """Tell the time in UTC nanoseconds and ring: of each ``call`` only the ``call_at`` given last counts."""

    def now_ns(self) -> int:
        """Return the time."""

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``, at once if that is past."""

    def cancel(self, call: Callable[[], None]) -> None:
        """Forget when ``call`` was to be called."""


class WallClock:
    """Be the time of day as it was at the start, gone on evenly since.

    A step of the machine's clock is not followed: forwards it would stop the books' time until the clock is
    right again, since inputs never go back.
    """

    def __init__(self) -> None:
        self._handles: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return the time."""
        return self._ahead_ns + time.monotonic_ns()

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``."""
        self.cancel(call)
        wait_s = max(0, due_ns - self.now_ns()) / SECOND_NS
        self._handles[call] = asyncio.get_running_loop().call_later(wait_s, call)

    def cancel(self, call: Callable[[], None]) -> None:
        """Forget when ``call`` was to be called."""
        handle = self._handles.pop(call, None)
        if handle is not None:
            handle.cancel()


class SetClock:
    """Be a clock that only ``advance`` moves."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._due: dict[Callable[[], None], int] = {}

    def now_ns(self) -> int:
        """Return the time."""
        return self._now_ns

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``."""
        self._due[call] = due_ns

    def cancel(self, call: Callable[[], None]) -> None:
        """Forget when ``call`` was to be called."""
        self._due.pop(call, None)

    def advance(self, to_ns: int) -> None:
        """Move on to ``to_ns``, ringing at each time due on the way."""
        while self._due and min(self._due.values()) <= to_ns:
            call = min(self._due, key=self._due.__getitem__)
            self._now_ns = max(self._now_ns, self._due.pop(call))
            call()
        self._now_ns = max(self._now_ns, to_ns)
