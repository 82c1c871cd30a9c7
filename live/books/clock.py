"""Time as the books see it: the machine's, or one that only tests and replays move."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from risk.settings import SECOND_NS


class Clock(Protocol):
    """Tell the time in UTC nanoseconds and ring once at a time; a later ``call_at`` replaces the earlier."""

    def now_ns(self) -> int:
        """Return the time."""

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``, at once if that is past."""

    def cancel(self) -> None:
        """Forget what was to be called."""


class WallClock:
    """Be the time of day."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def now_ns(self) -> int:
        """Return the time."""
        return time.time_ns()

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``."""
        self.cancel()
        wait_s = max(0, due_ns - self.now_ns()) / SECOND_NS
        self._handle = asyncio.get_running_loop().call_later(wait_s, call)

    def cancel(self) -> None:
        """Forget what was to be called."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class SetClock:
    """Be a clock that only ``advance`` moves."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._due: tuple[int, Callable[[], None]] | None = None

    def now_ns(self) -> int:
        """Return the time."""
        return self._now_ns

    def call_at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Call once at ``due_ns``."""
        self._due = (due_ns, call)

    def cancel(self) -> None:
        """Forget what was to be called."""
        self._due = None

    def advance(self, to_ns: int) -> None:
        """Move on to ``to_ns``, ringing at each time due on the way."""
        while self._due is not None and self._due[0] <= to_ns:
            (due_ns, call), self._due = self._due, None
            self._now_ns = max(self._now_ns, due_ns)
            call()
        self._now_ns = max(self._now_ns, to_ns)
