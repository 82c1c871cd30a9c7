"""User order flow as data: the one schema every importer and generator writes and every run reads.

A flow is a directory with two Parquet files, ``orders.parquet`` and ``transfers.parquet``, each in time
order; rows of one time keep their order. Amounts, sizes and prices are decimal strings, so that what a
user asked for reaches the core exactly.

Orders
------
order_id        unique name of the order
ts              UTC nanoseconds at which the user sends it
user, symbol    user name; Hyperliquid's coin name
intent          OPEN: open a position of its own. CLOSE: only close, oldest first, or ``position_id``.
                NET: close opposite positions oldest first, then open the remainder.
                CANCEL: cancel the order named in ``cancels``; side, type and size are null then.
side            BUY or SELL, the direction of the order itself
type            MARKET, LIMIT, TAKE_PROFIT or STOP_LOSS (the last two trigger on the mark)
size            coins, > 0; null closes all of ``position_id``
limit_price     of LIMIT orders, else null
trigger_price   of TAKE_PROFIT and STOP_LOSS orders, which only close, else null
leverage        integer ≥ 1; null with CANCEL
margin_mode     ISOLATED or CROSS; null with CANCEL
reduce_only     true with CLOSE, else false
position_id     the position a CLOSE is meant for, or null
cancels         the order_id a CANCEL is meant for, or null
source_effect   what the source's order did to the user's net position there: OPEN, EXTEND, REDUCE, CLOSE
                or FLIP; null where there is no source
source_role     TAKER or MAKER in the source, or null
source_fills    how many source fills the row stands for (0: none)
ref_price       the source's own average fill price: to compare with, never to price with

Transfers
---------
ts, user        as above
amount          USDC, + into and − out of the platform, never 0
kind            DEPOSIT, WITHDRAWAL or OPENING_BALANCE (booked by an importer, with hindsight)
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.flow_checks import check_orders, check_transfers
from data.storage import conform, read_table, write_table
from strategies.flow_types import UserOrder, UserTransfer

ORDERS_FILE = "orders.parquet"
TRANSFERS_FILE = "transfers.parquet"

FLOW_ORDERS = pa.schema(
    [
        ("order_id", pa.string()),
        ("ts", pa.int64()),
        ("user", pa.string()),
        ("symbol", pa.string()),
        ("intent", pa.string()),
        ("side", pa.string()),
        ("type", pa.string()),
        ("size", pa.string()),
        ("limit_price", pa.string()),
        ("trigger_price", pa.string()),
        ("leverage", pa.int32()),
        ("margin_mode", pa.string()),
        ("reduce_only", pa.bool_()),
        ("position_id", pa.int64()),
        ("cancels", pa.string()),
        ("source_effect", pa.string()),
        ("source_role", pa.string()),
        ("source_fills", pa.int32()),
        ("ref_price", pa.string()),
    ]
)
FLOW_TRANSFERS = pa.schema(
    [("ts", pa.int64()), ("user", pa.string()), ("amount", pa.string()), ("kind", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Flow:
    """Hold an order flow: ``orders`` of schema FLOW_ORDERS, ``transfers`` of FLOW_TRANSFERS."""

    orders: pa.Table
    transfers: pa.Table

    @property
    def users(self) -> list[str]:
        """Return the names of all users, sorted."""
        return sorted(
            set(self.orders["user"].unique().to_pylist()) | set(self.transfers["user"].unique().to_pylist())
        )

    @property
    def symbols(self) -> list[str]:
        """Return the symbols ordered, sorted."""
        return sorted(self.orders["symbol"].unique().to_pylist())

    @property
    def span(self) -> tuple[int, int]:
        """Return the first and the last time in nanoseconds; (0, 0) of an empty flow."""
        times = [table["ts"] for table in (self.orders, self.transfers) if table.num_rows]
        if not times:
            return (0, 0)
        return min(t[0].as_py() for t in times), max(t[-1].as_py() for t in times)

    def between(self, start_ns: int, end_ns: int) -> "Flow":
        """Return the part with start_ns ≤ ts < end_ns."""
        return Flow(_between(self.orders, start_ns, end_ns), _between(self.transfers, start_ns, end_ns))


def validate(flow: Flow, symbols: Collection[str] | None = None) -> Flow:
    """Return ``flow`` cast to the schema, or raise InvalidInput naming the first bad row and value.

    ``symbols`` are the ones that can be traded; None accepts any.
    """
    orders = conform(flow.orders, FLOW_ORDERS, "the flow's orders")
    transfers = conform(flow.transfers, FLOW_TRANSFERS, "the flow's transfers")
    check_orders(orders, symbols)
    check_transfers(transfers)
    return Flow(orders, transfers)


def read_flow(directory: Path, symbols: Collection[str] | None = None) -> Flow:
    """Read and validate a flow; raise InvalidInput for a missing or corrupt file or a bad row."""
    flow = Flow(
        read_table(directory / ORDERS_FILE, FLOW_ORDERS),
        read_table(directory / TRANSFERS_FILE, FLOW_TRANSFERS),
    )
    return validate(flow, symbols)


def write_flow(flow: Flow, directory: Path) -> None:
    """Validate a flow and write it as a directory of two Parquet files, each atomically."""
    flow = validate(flow)
    write_table(flow.orders, directory / ORDERS_FILE)
    write_table(flow.transfers, directory / TRANSFERS_FILE)


def to_orders(orders: pa.Table) -> Iterator[UserOrder]:
    """Yield each row of a FLOW_ORDERS table as the custom data that strategies receive."""
    plain = {name: orders[name].to_pylist() for name in FLOW_ORDERS.names}
    for name in ("size", "limit_price", "trigger_price", "ref_price"):
        plain[name] = [None if text is None else Decimal(text) for text in plain[name]]
    plain["order_type"] = plain.pop("type")
    plain["ts_event"] = plain["ts_init"] = plain.pop("ts")
    return map(UserOrder._make, zip(*(plain[name] for name in UserOrder._fields), strict=True))


def to_transfers(transfers: pa.Table) -> Iterator[UserTransfer]:
    """Yield each row of a FLOW_TRANSFERS table as the custom data that strategies receive."""
    times = transfers["ts"].to_pylist()
    amounts = map(Decimal, transfers["amount"].to_pylist())
    rest = (transfers["user"].to_pylist(), amounts, transfers["kind"].to_pylist())
    return map(UserTransfer._make, zip(times, times, *rest, strict=True))


def _between(table: pa.Table, start_ns: int, end_ns: int) -> pa.Table:
    first, last = np.searchsorted(table["ts"].to_numpy(), (start_ns, end_ns))
    return table.slice(first, last - first)
