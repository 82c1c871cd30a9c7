"""Ids that the books give: of what is asked for with an input, its place in the journal, so that none comes twice."""

from typing import Any

from live.ledger.inputs import WithdrawalRequested
from risk.inputs import BalanceAdjusted, OrderSubmitted

# By kind of input its field for the id, which is the second one, and what the id begins with.
_FIELDS = {
    OrderSubmitted: ("order_id", "o"),
    WithdrawalRequested: ("withdrawal_id", "w"),
    BalanceAdjusted: ("adjustment_id", "a"),
}
NAMED = tuple(_FIELDS)


def name_at(kind: Any, seq: int) -> str:
    """Return the id of what was asked for with input ``seq``."""
    return f"{_FIELDS[kind][1]}{seq}"


def name_field(kind: Any) -> str:
    """Return the field that holds the id."""
    return _FIELDS[kind][0]


def name_of(given: Any) -> str:
    """Return the id that an input carries."""
    found: str = getattr(given, _FIELDS[type(given)][0])
    return found
