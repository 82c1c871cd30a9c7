"""Price triggers: which of many thresholds does a price reach, in time that grows with the answer only."""

import math
from heapq import heapify, heappop, heappush

from risk.errors import InvalidInput

# Wider than the rounding of the float arithmetic that made a key, narrower than any tick.
_KEY_NUDGE = 1e-12


class Side[Id: int | str]:
    """Hold one symbol's triggers of one direction, on an axis where each fires at or below its key.

    ``sign`` is +1 for BELOW and −1 for ABOVE, whose prices are negated: one rule serves both. Keys are stored
    without ``drift``, so that moving it moves them all. Every rounding goes up, which only fires earlier.
    ``nearest`` is the first price to fire, at hand because nearly every question ends with it.

    A heap of (−key, owner) gives the highest key at its root and all keys from a level on without a look at
    the others; an entry that was replaced or removed stays in it until it comes to the root, or until such
    entries are the most.
    """

    __slots__ = ("_heap", "_live", "drift", "nearest", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.drift = 0.0
        self._heap: list[tuple[float, Id]] = []
        self._live: dict[Id, tuple[float, Id]] = {}
        self.nearest = -sign * math.inf

    def add(self, price: float, owner: Id) -> None:
        """File a trigger, in place of the one its owner had."""
        key = self.sign * price
        entry = (-math.nextafter(key + _KEY_NUDGE * abs(key) - self.drift, math.inf), owner)
        heap, live = self._heap, self._live
        was_nearest = bool(heap) and live.get(owner) is heap[0]
        live[owner] = entry
        heappush(heap, entry)
        if len(heap) > 2 * len(live) + 16:
            self._heap = heap = list(live.values())
            heapify(heap)
        if was_nearest or heap[0] is entry:
            self._find_nearest()

    def remove(self, owner: Id) -> None:
        """Drop the trigger of an owner that has one."""
        if self._live.pop(owner) is self._heap[0]:
            self._find_nearest()

    def shift(self, delta: float) -> None:
        """Move all triggers by that many USDC per coin."""
        signed = self.sign * delta
        self.drift = math.nextafter(self.drift + signed + _KEY_NUDGE * abs(signed), math.inf)
        self._find_nearest()

    def hit(self, price: float) -> list[Id]:
        """Return the owners of the triggers that fire at ``price``, in no order."""
        least = -math.nextafter(self.sign * price - self.drift, -math.inf)
        heap, live = self._heap, self._live
        found = []
        at = [0]
        for i in at:  # grows while walked: below an entry that is reached both of its children are looked at
            if i < len(heap) and heap[i][0] <= least:
                owner = heap[i][1]
                if live.get(owner) is heap[i]:
                    found.append(owner)
                at += (2 * i + 1, 2 * i + 2)
        return found

    def _find_nearest(self) -> None:
        heap, live = self._heap, self._live
        while heap and live.get(heap[0][1]) is not heap[0]:
            heappop(heap)
        top = -heap[0][0] if heap else -math.inf
        self.nearest = self.sign * (top if top == -math.inf else math.nextafter(top + self.drift, math.inf))


class PriceTriggers[Id: int | str]:
    """File float triggers per symbol: BELOW fires at prices <= its own, ABOVE at prices >= its own.

    A filter, not a judge: triggers may fire a hair early, never late. An id (all int or all str) owns at most
    one trigger per symbol and direction; adding another replaces it. Symbols whose band may have become
    narrower are added to ``narrowed``, which several sets may share.
    """

    def __init__(self, narrowed: set[str] | None = None) -> None:
        self._narrowed: set[str] = set() if narrowed is None else narrowed
        self._sides: dict[str, tuple[Side[Id], Side[Id]]] = {}  # symbol → BELOW, ABOVE
        self._filed: dict[Id, tuple[Side[Id], ...]] = {}

    def __contains__(self, owner: Id) -> bool:
        return owner in self._filed

    def add_below(self, symbol: str, price: float, owner: Id) -> None:
        """File a trigger that fires when the price is at most ``price``; raises InvalidInput for NaN."""
        self._narrowed.add(symbol)
        self._file(self.sides(symbol)[0], price, owner)

    def add_above(self, symbol: str, price: float, owner: Id) -> None:
        """File a trigger that fires when the price is at least ``price``; raises InvalidInput for NaN."""
        self._narrowed.add(symbol)
        self._file(self.sides(symbol)[1], price, owner)

    def put(self, owner: Id, triggers: dict[Side[Id], float]) -> None:
        """File exactly ``triggers``, prices by side, for ``owner``; tell ``narrowed`` of their symbols yourself."""
        sides = tuple(triggers)
        if self._filed.get(owner) != sides:
            self.remove(owner)
            self._filed[owner] = sides
        for side, price in triggers.items():
            side.add(price, owner)

    def remove(self, owner: Id) -> None:
        """Drop all triggers of ``owner``; an id that has none is no error."""
        for side in self._filed.pop(owner, ()):
            side.remove(owner)

    def hit(self, symbol: str, price: float) -> list[Id]:
        """Return the owners of the triggers that fire at ``price``, BELOW first; they stay filed."""
        sides = self._sides.get(symbol)
        if sides is None or sides[0].nearest < price < sides[1].nearest:
            return []
        return sides[0].hit(price) + sides[1].hit(price)

    def band(self, symbol: str) -> tuple[float, float]:
        """Return (low, high): strictly between them nothing fires; infinite where nothing is filed."""
        sides = self._sides.get(symbol)
        return (sides[0].nearest, sides[1].nearest) if sides else (-math.inf, math.inf)

    def drift(self, symbol: str, below: float, above: float) -> None:
        """Move all triggers of a symbol by that many USDC per coin, in constant time."""
        if not (math.isfinite(below) and math.isfinite(above)):
            raise InvalidInput(f"drift of {symbol} was {below}, {above}; both must be finite")
        self._narrowed.add(symbol)
        for side, delta in zip(self.sides(symbol), (below, above), strict=True):
            side.shift(delta)

    def sides(self, symbol: str) -> tuple[Side[Id], Side[Id]]:
        """Return a symbol's triggers, BELOW and ABOVE, for who asks often: they are the same two for ever."""
        sides = self._sides.get(symbol)
        if sides is None:
            sides = self._sides[symbol] = (Side(+1), Side(-1))
        return sides

    def _file(self, side: Side[Id], price: float, owner: Id) -> None:
        if math.isnan(price):
            raise InvalidInput(f"trigger price of {owner!r} was nan; it must be a number")
        filed = self._filed.get(owner, ())
        if side not in filed:
            self._filed[owner] = (*filed, side)
        side.add(price, owner)
