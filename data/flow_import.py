"""Users' fills → the orders that could have made them, every fill accounted for by name.

Taker fills become market orders; fills of one user, symbol, side and time become one order. Maker fills
become limit orders at their print price, placed at their time: they may rest or fill at once. All orders
are of intent NET, since the source nets each user's fills.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from data.flow import FLOW_ORDERS
from data.frames import FILLS
from data.storage import conform
from risk.errors import InvalidInput

Makers = Literal["limit", "market", "skip"]

# What became of a source fill.
TAKER_ORDER = "TAKER_ORDER"
MAKER_ORDER = "MAKER_ORDER"
MAKER_SKIPPED = "MAKER_SKIPPED"
LIQUIDATION = "LIQUIDATION"

# One row per source fill. ``effect`` is what it did to the user's net position in the source.
ACCOUNTING = pa.schema(
    [
        ("fill_id", pa.string()),
        ("ts", pa.int64()),
        ("user", pa.string()),
        ("symbol", pa.string()),
        ("fate", pa.string()),
        ("order_id", pa.string()),
        ("effect", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ImportedOrders:
    """Hold the ``orders`` (schema FLOW_ORDERS) and the ``accounting`` of the fills they came from."""

    orders: pa.Table
    accounting: pa.Table


@dataclass(frozen=True, slots=True)
class _Fill:
    fill_id: str
    ts: int
    user: str
    symbol: str
    side: str
    price: Decimal
    size: Decimal
    taker: bool
    liquidation: bool

    @property
    def signed(self) -> Decimal:
        return self.size if self.side == "BUY" else -self.size


def orders_from_fills(
    fills: pa.Table,
    *,
    leverage: int | Mapping[str, int],
    margin_mode: str = "CROSS",
    makers: Makers = "limit",
    merge: bool = True,
    excluded: Mapping[str, str] | None = None,
) -> ImportedOrders:
    """Turn a FILLS table into orders and an accounting of every fill.

    ``leverage`` is one for all or one per symbol (fills carry none). ``makers`` says whether maker fills
    become limit orders, market orders or nothing. ``excluded`` maps users that are no customers to the
    fate their fills are booked under. Liquidation fills never become orders. Raises InvalidInput for a
    fill that is not usable.
    """
    plain = _sorted_fills(fills)
    before = _positions_before(plain)
    effects = [effect_on(held, fill.signed) for held, fill in zip(before, plain, strict=True)]
    fates = [_fate(fill, makers, excluded or {}) for fill in plain]
    order_ids: list[str | None] = [None] * len(plain)
    groups: dict[object, list[int]] = {}
    for i, fill in enumerate(plain):
        if fates[i] in (TAKER_ORDER, MAKER_ORDER):
            mergeable = merge and fill.taker
            groups.setdefault((fill.user, fill.symbol, fill.side, fill.ts) if mergeable else i, []).append(i)
    rows = []
    for members in groups.values():
        parts = [plain[i] for i in members]
        effect = effect_on(before[members[0]], sum((part.signed for part in parts), Decimal(0)))
        rows.append(_order(parts, leverage, margin_mode, makers) | {"source_effect": effect})
        for i in members:
            order_ids[i] = parts[0].fill_id
    rows.sort(key=lambda row: row["ts"])  # stable: makers come before the others of their second
    accounting = {
        "fill_id": [fill.fill_id for fill in plain],
        "ts": [fill.ts for fill in plain],
        "user": [fill.user for fill in plain],
        "symbol": [fill.symbol for fill in plain],
        "fate": fates,
        "order_id": order_ids,
        "effect": effects,
    }
    return ImportedOrders(pa.Table.from_pylist(rows, FLOW_ORDERS), pa.table(accounting, ACCOUNTING))


def effect_on(before: Decimal, change: Decimal) -> str:
    """Name what a signed ``change`` does to a signed net position ``before``."""
    after = before + change
    if not before:
        return "OPEN"
    if not after:
        return "CLOSE"
    if (before > 0) != (after > 0):
        return "FLIP"
    return "EXTEND" if (before > 0) == (change > 0) else "REDUCE"


def plain_decimal(value: Decimal) -> str:
    """Return a decimal as the flow's schema wants it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sorted_fills(fills: pa.Table) -> list[_Fill]:
    """Check the fills and return them in time order, those of one time as they came."""
    fills = conform(fills, FILLS, "the fills")
    for name in ("price", "size"):
        values = fills[name].to_numpy()
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise InvalidInput(f"fill row {bad[0]}: {name} was {values[bad[0]]}, it must be above 0")
    for row, side in enumerate(fills["side"].to_pylist()):
        if side not in ("BUY", "SELL"):
            raise InvalidInput(f"fill row {row}: side was {side!r}, it must be BUY or SELL")
    fills = fills.take(np.argsort(fills["ts"].to_numpy(), kind="stable"))
    columns = {name: fills[name].to_pylist() for name in FILLS.names}
    for name in ("price", "size"):
        columns[name] = [Decimal(repr(value)) for value in columns[name]]
    return [_Fill(*row) for row in zip(*(columns[name] for name in FILLS.names), strict=True)]


def _positions_before(fills: list[_Fill]) -> list[Decimal]:
    """Return, per fill, its user's signed net position in that symbol just before it."""
    held: dict[tuple[str, str], Decimal] = {}
    before = []
    for fill in fills:
        key = (fill.user, fill.symbol)
        before.append(held.get(key, Decimal(0)))
        held[key] = before[-1] + fill.signed
    return before


def _fate(fill: _Fill, makers: Makers, excluded: Mapping[str, str]) -> str:
    if fill.user in excluded:
        return excluded[fill.user]
    if fill.liquidation:
        return LIQUIDATION
    if fill.taker:
        return TAKER_ORDER
    return MAKER_SKIPPED if makers == "skip" else MAKER_ORDER


def _order(
    parts: list[_Fill], leverage: int | Mapping[str, int], margin_mode: str, makers: Makers
) -> dict[str, Any]:
    first = parts[0]
    size = sum((part.size for part in parts), Decimal(0))
    average = sum((part.size * part.price for part in parts), Decimal(0)) / size
    rests = not first.taker and makers == "limit"
    return {
        "order_id": first.fill_id,
        # A maker was waiting when the trade came, so the order stands before the print of its second.
        "ts": first.ts - 1 if rests else first.ts,
        "user": first.user,
        "symbol": first.symbol,
        "intent": "NET",
        "side": first.side,
        "type": "LIMIT" if rests else "MARKET",
        "size": plain_decimal(size),
        "limit_price": plain_decimal(first.price) if rests else None,
        "leverage": leverage if isinstance(leverage, int) else leverage[first.symbol],
        "margin_mode": margin_mode,
        "reduce_only": False,
        "source_role": "TAKER" if first.taker else "MAKER",
        "source_fills": len(parts),
        "ref_price": plain_decimal(round(average, 10)),
    }
