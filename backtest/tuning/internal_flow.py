"""What users did in a run with everything INTERNAL, as exact integer columns: the data of the pre-search.

Which order opens what, what closes it and when, was decided by the core in that run. A routing rule then only
says which of the opening decisions stay INTERNAL; what follows from each is in its row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np

type Integers = np.ndarray[tuple[Any, ...], np.dtype[np.int64]]
type Floats = np.ndarray[tuple[Any, ...], np.dtype[np.float64]]

NEVER = 2**63 - 1  # the notional of a decision that was forced to Hyperliquid: above every limit


@dataclass(frozen=True, slots=True)
class Yields:
    """Say, row by row of a symbol's decisions, what each leaves behind under either of its answers.

    Records of routing, with their notionals: ``kept`` and ``kept_forced`` (forced to Hyperliquid at its touch) if
    it stays INTERNAL, ``sent`` if not. ``volume`` is what its INTERNAL fills traded. Notionals and volumes are in
    the flow's unit. Estimates, USDC: ``result`` is what the house made of it, ``traded`` what it would trade on
    Hyperliquid, ``charged`` the part of that which pays a builder fee.
    """

    kept: Integers
    kept_forced: Integers
    sent: Integers
    kept_notional: Integers
    kept_forced_notional: Integers
    sent_notional: Integers
    volume: Integers
    result: Floats
    traded: Floats
    charged: Floats


@dataclass(frozen=True, slots=True)
class SymbolFlow:
    """Hold one symbol: its opening decisions, and the changes of its users' net INTERNAL size, in order.

    Decisions: ``notional`` is what a limit is compared with. Changes: the ``decision`` they follow from, the signed
    ``size``, the ``mark`` then (size × mark is in the flow's unit); USDC: each brought the house ``gained``, less
    size × mark from then on, and ``charged`` of it would pay a builder fee on Hyperliquid. Both have their place
    ``*_at`` in the stream of events, the number ``*_in`` of the input that made them, and its time ``*_ns``.
    Snapshots of the house: ``seen`` changes lie before each, ``snapshot_mark`` is 0 before the first mark.
    Valid marks: ``tick``, each from ``tick_ns`` on.
    """

    notional: Integers
    decided_at: Integers
    decided_in: Integers
    decided_ns: Integers
    yields: Yields
    decision: Integers
    size: Integers
    mark: Integers
    gained: Floats
    charged: Floats
    changed_at: Integers
    changed_in: Integers
    changed_ns: Integers
    seen: Integers
    snapshot_mark: Integers
    tick: Integers
    tick_ns: Integers

    @property
    def highest(self) -> Integers:
        """Return a mark that none from each change on, until the next, is above."""
        if not len(self.mark):
            return self.mark
        ticks = np.concatenate((self.tick, self.mark[-1:]))  # one more, so that every edge names one
        between = np.maximum.reduceat(ticks, np.searchsorted(self.tick_ns, self.changed_ns, side="left"))
        # The next change's own mark came before it; where none lies between two, ``reduceat`` gives the one after.
        return np.maximum(np.maximum(self.mark, np.append(self.mark[1:], 0)), between)


@dataclass(frozen=True, slots=True)
class InternalFlow:
    """Hold the flow by symbol; its unit is 10^−``places`` USDC, ``snapshot_ns`` when the house is sampled."""

    symbols: Mapping[str, SymbolFlow]
    snapshot_ns: Integers
    places: int

    def units(self, amount: Decimal) -> int:
        """Return ``amount`` USDC in the flow's unit, rounded down: no whole notional lies between the two."""
        return max(-1, min(in_units(amount, self.places, ROUND_FLOOR), NEVER - 1))

    def money(self, units: int) -> Decimal:
        """Return ``units`` in USDC."""
        return Decimal(int(units)).scaleb(-self.places)


def in_units(amount: Decimal, places: int, rounding: str | None = None) -> int:
    """Return an amount in 10^−places, whole already unless ``rounding`` says how to make it so."""
    scaled = amount.scaleb(places)
    return int(scaled if rounding is None else scaled.to_integral_value(rounding))
