"""How far a search or a round of checks has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backtest.tuning.measures import Direction


@dataclass(frozen=True, slots=True)
class Best:
    """Hold the best feasible trial so far by the first objective, whose ``figure`` it is."""

    number: int
    figure: Decimal
    values: Mapping[str, Any]

    def beats(self, other: "Best | None", direction: Direction) -> bool:
        """Say whether this one is the better; of equals the earlier trial is."""
        if other is None:
            return True
        if self.figure == other.figure:
            return self.number < other.number
        return (self.figure > other.figure) == (direction == "maximize")


@dataclass(frozen=True, slots=True)
class Progress:
    """Count ``done`` of ``total``, those ``kept`` from before and the ``failed`` among them."""

    done: int
    total: int
    kept: int = 0
    failed: int = 0
    best: Best | None = None
