"""What a run came to: its tables made whole, its books checked, its digest."""

from dataclasses import dataclass

import pyarrow as pa

from backtest.engine import Run
from backtest.invariants import check_invariants
from backtest.outcomes import order_outcomes, with_outcomes
from backtest.recorder import digest_of


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Hold the event tables by name, with ``marks`` and, for an imported flow, ``source_fills``.

    ``outcomes`` are (order_id, outcome) of every row of the flow.
    """

    tables: dict[str, pa.Table]
    outcomes: pa.Table
    book_digest: str

    def digest(self) -> str:
        """Return the result's digest: the same scenario gives the same one in any process."""
        return digest_of(self.tables, self.book_digest)


def conclude(run: Run, orders: pa.Table, accounting: pa.Table | None) -> Conclusion:
    """Return what ``run`` came to on the flow ``orders``; raise InvariantBroken when its books do not hold."""
    tables = run.recorder.tables()
    outcomes = order_outcomes(tables, orders)
    if accounting is not None:
        tables["source_fills"] = with_outcomes(accounting, outcomes)
    check_invariants(tables, run.book.balances)
    return Conclusion(tables, outcomes, run.book.digest())
