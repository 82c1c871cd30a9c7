"""Price triggers: which of many thresholds does a price reach, in time that grows with the answer only."""

import math

from sortedcontainers import SortedList

from risk.errors import InvalidInput

# Wider than the rounding of the float arithmetic that made a key, narrower than any tick.
_KEY_NUDGE = 1e-12


class _Side[Id: int | str]:
    """Hold one symbol's triggers of one direction, on an axis where each fires at or below its key.

    ``sign`` is +1 for BELOW and −1 for ABOVE, whose prices are negated: one rule serves both. Keys are stored
    without ``drift``, so that moving it moves them all. Every rounding goes up, which only fires earlier.
    """

    __slots__ = ("_entries", "_top", "drift", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.drift = 0.0
        self._entries: SortedList[tuple[float, Id]] = SortedList()
        self._top = -math.inf  # the highest key, at hand because nearly every question ends with it

    def add(self, price: float, owner: Id) -> tuple[float, Id]:
        key = self.sign * price
        entry = (math.nextafter(key + _KEY_NUDGE * abs(key) - self.drift, math.inf), owner)
        self._entries.add(entry)
        self._top = max(self._top, entry[0])
        return entry

    def remove(self, entry: tuple[float, Id]) -> None:
        self._entries.remove(entry)
        if entry[0] == self._top:
            self._top = self._entries[-1][0] if self._entries else -math.inf

    def shift(self, delta: float) -> None:
        signed = self.sign * delta
        self.drift = math.nextafter(self.drift + signed + _KEY_NUDGE * abs(signed), math.inf)

    def nearest(self) -> float:
        top = self._top
        return top if top == -math.inf else math.nextafter(top + self.drift, math.inf)

    def hit(self, price: float) -> list[Id]:
        reached = math.nextafter(self.sign * price - self.drift, -math.inf)
        if self._top < reached:
            return []
        return [owner for _, owner in self._entries.irange((reached,))]


class PriceTriggers[Id: int | str]:
    """File float triggers per symbol: BELOW fires at prices <= its own, ABOVE at prices >= its own.

    A filter, not a judge: triggers may fire a hair early, never late. An id (all int or all str) owns at most
    one trigger per symbol and direction; adding another replaces it. Symbols whose band may have become
    narrower are added to ``narrowed``, which several sets may share.
    """

    def __init__(self, narrowed: set[str] | None = None) -> None:
        self._narrowed: set[str] = set() if narrowed is None else narrowed
        self._sides: dict[str, tuple[_Side[Id], _Side[Id]]] = {}  # symbol → BELOW, ABOVE
        self._filed: dict[Id, tuple[tuple[_Side[Id], tuple[float, Id]], ...]] = {}

    def __contains__(self, owner: Id) -> bool:
        return owner in self._filed

    def add_below(self, symbol: str, price: float, owner: Id) -> None:
        """File a trigger that fires when the price is at most ``price``; raises InvalidInput for NaN."""
        self._narrowed.add(symbol)
        self._file(self._sides_of(symbol)[0], price, owner)

    def add_above(self, symbol: str, price: float, owner: Id) -> None:
        """File a trigger that fires when the price is at least ``price``; raises InvalidInput for NaN."""
        self._narrowed.add(symbol)
        self._file(self._sides_of(symbol)[1], price, owner)

    def remove(self, owner: Id) -> None:
        """Drop all triggers of ``owner``; an id that has none is no error."""
        for side, entry in self._filed.pop(owner, ()):
            side.remove(entry)

    def hit(self, symbol: str, price: float) -> list[Id]:
        """Return the owners of the triggers that fire at ``price``, BELOW first; they stay filed."""
        sides = self._sides.get(symbol)
        return sides[0].hit(price) + sides[1].hit(price) if sides else []

    def band(self, symbol: str) -> tuple[float, float]:
        """Return (low, high): strictly between them nothing fires; infinite where nothing is filed."""
        sides = self._sides.get(symbol)
        return (sides[0].nearest(), -sides[1].nearest()) if sides else (-math.inf, math.inf)

    def drift(self, symbol: str, below: float, above: float) -> None:
        """Move all triggers of a symbol by that many USDC per coin, in constant time."""
        if not (math.isfinite(below) and math.isfinite(above)):
            raise InvalidInput(f"drift of {symbol} was {below}, {above}; both must be finite")
        self._narrowed.add(symbol)
        for side, delta in zip(self._sides_of(symbol), (below, above), strict=True):
            side.shift(delta)

    def _sides_of(self, symbol: str) -> tuple[_Side[Id], _Side[Id]]:
        sides = self._sides.get(symbol)
        if sides is None:
            sides = self._sides[symbol] = (_Side(+1), _Side(-1))
        return sides

    def _file(self, side: _Side[Id], price: float, owner: Id) -> None:
        if math.isnan(price):
            raise InvalidInput(f"trigger price of {owner!r} was nan; it must be a number")
        kept = []
        for held, entry in self._filed.get(owner, ()):
            if held is side:
                side.remove(entry)
            else:
                kept.append((held, entry))
        self._filed[owner] = (*kept, (side, side.add(price, owner)))
