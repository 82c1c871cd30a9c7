"""Opening balances for users whose fills a source shows without the money they were made with.

They use hindsight: booked under their own kind, so that every report can tell them from real deposits.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from typing import Any

import pyarrow as pa

from data.flow import FLOW_TRANSFERS
from data.flow_import import effect_on, plain_decimal

CENT = Decimal("0.01")


def opening_transfers(
    fills: pa.Table, transfers: pa.Table, leverage: int | Mapping[str, int], left_out: Collection[str] = ()
) -> pa.Table:
    """Return the smallest OPENING_BALANCE per user that covers the margin of every opening fill.

    ``fills`` are FILLS in time order, ``transfers`` FLOW_TRANSFERS; users ``left_out`` get none. A fill is
    covered when the account value after it, at each coin's last print, is at least the initial margin of
    all the user's positions at ``leverage``. Rounded up to cents, dated at the user's first event.
    """
    prints: dict[str, Decimal] = {}
    accounts: defaultdict[str, _Account] = defaultdict(lambda: _Account(leverage))
    moves = [(row["ts"], row) for row in transfers.to_pylist()]
    trades = [(row["ts"], row) for row in fills.to_pylist() if row["user"] not in left_out]
    for ts, row in sorted(moves + trades, key=lambda event: event[0]):
        account = accounts[row["user"]]
        account.first_ts = account.first_ts or ts
        if "amount" in row:
            account.cash += Decimal(row["amount"])
            continue
        if not row["liquidation"] or row["symbol"] not in prints:
            prints[row["symbol"]] = Decimal(repr(row["price"]))
        account.trade(row, prints)
    booked = sorted((a.first_ts, user, a.shortfall) for user, a in accounts.items() if a.shortfall)
    columns = {
        "ts": [ts for ts, _, _ in booked],
        "user": [user for _, user, _ in booked],
        "amount": [plain_decimal(short.quantize(CENT, ROUND_UP)) for _, _, short in booked],
        "kind": ["OPENING_BALANCE"] * len(booked),
    }
    return pa.table(columns, FLOW_TRANSFERS)


@dataclass(slots=True)
class _Account:
    """Follow one user's account through the source, as if netted and all cross."""

    leverage: int | Mapping[str, int]
    cash: Decimal = Decimal(0)
    first_ts: int = 0
    shortfall: Decimal = Decimal(0)
    held: dict[str, Decimal] = field(default_factory=dict)

    def trade(self, fill: dict[str, Any], prints: dict[str, Decimal]) -> None:
        size = Decimal(repr(fill["size"]))
        change = size if fill["side"] == "BUY" else -size
        before = self.held.get(fill["symbol"], Decimal(0))
        self.cash -= change * Decimal(repr(fill["price"]))
        self.held[fill["symbol"]] = before + change
        if effect_on(before, change) not in ("OPEN", "EXTEND", "FLIP"):
            return
        notionals = {coin: size * prints[coin] for coin, size in self.held.items()}
        margin = sum(abs(notional) / self._leverage(coin) for coin, notional in notionals.items())
        self.shortfall = max(self.shortfall, margin - self.cash - sum(notionals.values()))

    def _leverage(self, coin: str) -> int:
        return self.leverage if isinstance(self.leverage, int) else self.leverage[coin]
