"""A bound on the end of a service: what cannot be closed in time is named, and left as it is."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

_LATE_STATUS = 1


class Ending:
    """Know what is open; from ``begin`` to the end of the block it has ``within_s`` to be closed.

    After that the process ends at once, as by a kill, which all that is kept here is made for. The clock is a thread's:
    a loop that hangs does not stop it.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._open: list[str] = []
        self._clock = threading.Timer(within_s, self._leave)
        self._clock.daemon = True
        self._began = False

    def __enter__(self) -> Self:
        """Begin to know."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the bound: all is closed."""
        self._clock.cancel()

    @contextmanager
    def closing(self, what: str) -> Iterator[None]:
        """Have ``what`` named if its block does not end in time."""
        self._open.append(what)
        try:
            yield
        finally:
            self._open.remove(what)

    def begin(self) -> None:
        """Say that the end has begun; more than once is once."""
        if not self._began:
            self._began = True
            self._clock.start()

    def _leave(self) -> None:
        left = ", ".join(reversed(self._open)) or "the program"
        sys.stderr.write(f"error: left without closing within {self._within_s:g} s: {left}\n")
        sys.stderr.flush()
        os._exit(_LATE_STATUS)
