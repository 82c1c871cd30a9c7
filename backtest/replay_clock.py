"""Time alerts of a replay, due in the order in which NautilusTrader 2.0.0rc7's engine fires its own.

Found by trying: alerts ring by time, then by name, whoever set them. Before data of a time T the engine gathers
all that are due by T and rings those before T; the rest wait for the data of T. What is gathered rings even if
an alert of its name is set again meanwhile; what is not is replaced. An alert for the past is due now.
"""

from collections.abc import Callable
from heapq import heappop, heappush

Ring = Callable[[int], None]
NEVER = 2**63 - 1


class AlertClock:
    """Hold the time of a replay and the alerts set for later; times are UTC nanoseconds.

    ``due_ns`` is when the next alert rings, gathered or not: NEVER without one.
    """

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.due_ns = NEVER
        self._set: dict[str, tuple[int, Ring]] = {}
        self._by_time: list[tuple[int, str]] = []  # may hold times since replaced
        self._gathered: list[tuple[int, str, int, Ring]] = []
        self._count = 0

    def alert(self, name: str, due_ns: int, ring: Ring) -> None:
        """Call ``ring`` with the time once ``due_ns`` has come, instead of what was set under ``name`` before."""
        due_ns = max(due_ns, self.now_ns)
        self._set[name] = (due_ns, ring)
        heappush(self._by_time, (due_ns, name))
        self.due_ns = min(self.due_ns, due_ns)

    def gather(self, until_ns: int) -> None:
        """Take the alerts due by ``until_ns`` out of reach of those set later."""
        by_time = self._by_time
        while by_time and by_time[0][0] <= until_ns:
            due_ns, name = heappop(by_time)
            if name in self._set and self._set[name][0] == due_ns:
                self._count += 1
                heappush(self._gathered, (due_ns, name, self._count, self._set.pop(name)[1]))
        self.due_ns = self._next()

    def gathered_ns(self) -> int:
        """Return when the first gathered alert is due, or NEVER."""
        return self._gathered[0][0] if self._gathered else NEVER

    def ring_at(self, due_ns: int, gather_until_ns: int) -> None:
        """Ring everything gathered for ``due_ns``, what that sets for it included."""
        while self._gathered and self._gathered[0][0] == due_ns:
            ring = heappop(self._gathered)[3]
            self.now_ns = due_ns
            ring(due_ns)
            self.gather(gather_until_ns)

    def _next(self) -> int:
        by_time = self._by_time
        while by_time and self._set.get(by_time[0][1], (NEVER,))[0] != by_time[0][0]:
            heappop(by_time)
        return min(self.gathered_ns(), by_time[0][0] if by_time else NEVER)
