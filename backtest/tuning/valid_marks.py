"""The marks that the core followed in a run, exact again: those it had under quarantine are not among them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from backtest.tuning.internal_flow import NEVER, Floats, Integers
from risk.errors import InvalidInput

_MOST_PLACES = 12


@dataclass(frozen=True, slots=True)
class ValidMarks:
    """Hold a symbol's marks where they move, each from its ``ts`` on, written with ``places`` decimals."""

    ts: Integers
    mark: Floats
    places: int

    def units(self, places: int) -> Integers:
        """Return the marks in 10^−places, at least as fine as they are written."""
        return np.rint(self.mark * 10.0**self.places).astype(np.int64) * 10 ** (places - self.places)


def valid_marks(marks: pa.Table, guards: pa.Table) -> dict[str, ValidMarks]:
    """Return the moves of each symbol's mark, without those under quarantine, which the core does not follow (§6)."""
    symbols = marks["symbol"].dictionary_encode().combine_chunks()
    ts, values = marks["ts"].to_numpy(), marks["mark"].to_numpy()
    found = {}
    for number, symbol in enumerate(symbols.dictionary.to_pylist()):
        rows = symbols.indices.to_numpy() == number
        times, held = ts[rows], values[rows]
        for begin, end in _quarantines(guards, symbol):
            calm = (times < begin) | (times >= end)
            times, held = times[calm], held[calm]
        moved = np.concatenate(([True], held[1:] != held[:-1]))[: len(held)]
        found[symbol] = ValidMarks(times[moved], held[moved], _float_places(held))
    return found


def _quarantines(guards: pa.Table, symbol: str) -> Iterator[tuple[int, int]]:
    begun = None
    columns = (guards[name].to_pylist() for name in ("ts", "guard", "symbol", "state"))
    for ts, guard, of, state in zip(*columns, strict=True):
        if guard != "PRICE_SANITY" or of != symbol:
            continue
        if state == "OPEN":
            begun = ts
        elif begun is not None:
            yield begun, ts
            begun = None
    if begun is not None:
        yield begun, NEVER


def _float_places(values: Floats) -> int:
    """Return with how many decimals ``values`` were written before they became floats."""
    for places in range(_MOST_PLACES + 1):
        scaled = values * 10.0**places
        if np.allclose(np.rint(scaled), scaled, rtol=1e-14, atol=1e-6):
            return places
    raise InvalidInput(f"the flow's marks had more than {_MOST_PLACES} decimals")
