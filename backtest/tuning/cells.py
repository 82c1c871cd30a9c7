"""Who brought what, when: the house's result by user and slot, to see how much hangs on a few of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from backtest.tuning.space import text_of
from backtest.views import connect_to
from risk.ledger import EQUITY_ACCOUNTS

# What a user's orders and funding moved on the house's own accounts, when it was booked.
_CELLS = """
with owner as (select order_id, any_value("user") as "user" from fills group by order_id),
amounts as (
    select journal.ts, owner."user", amount from journal join owner on journal.ref = owner.order_id
    where list_contains($equity, account) and kind <> 'funding'
    union all
    select ts, "user", payment - uncollected from funding_settlements where source = 'INTERNAL'
)
select "user", ts // $slot * $slot as start_ns, sum(amount) as amount
from amounts group by all having sum(amount) <> 0 order by "user", start_ns
"""


@dataclass(frozen=True, slots=True)
class Cells:
    """Hold (user, start of slot, USDC): what each user brought the house, by the time it was booked.

    What has no user is not in it: hedges, deviation on our own accounts, and results still unrealised.
    """

    users: list[str]
    start_ns: list[int]
    amounts: list[Decimal]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, decimals as text."""
        amounts = [text_of(amount) for amount in self.amounts]
        return {"users": self.users, "start_ns": self.start_ns, "amounts": amounts}

    @classmethod
    def from_json(cls, found: Mapping[str, Sequence[Any]]) -> "Cells":
        """Read what ``to_json`` wrote."""
        amounts = [Decimal(text) for text in found["amounts"]]
        return cls(list(found["users"]), list(found["start_ns"]), amounts)


def user_cells(tables: Mapping[str, pa.Table], slot_ns: int) -> Cells:
    """Return the cells of a run's tables."""
    with connect_to(tables, ("fills", "journal", "funding_settlements")) as connection:
        rows = connection.execute(_CELLS, {"slot": slot_ns, "equity": list(EQUITY_ACCOUNTS)}).fetchall()
    users, starts, amounts = zip(*rows, strict=True) if rows else ((), (), ())
    return Cells(list(users), list(starts), list(amounts))
