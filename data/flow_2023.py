"""The fills, transfers and liquidations of Hyperliquid's users in spring 2023, as an order flow.

The source stamps whole seconds; equal rows are separate fills. It knows no leverage: the scenario's
assumption is cross margin at 50×. User u0136 took the other side of every liquidation and has no ledger
rows: the liquidator, no customer. Liquidation fills were printed at the price of bankruptcy, not at the
market's: they are neither replayed nor used as prices.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.flow import FLOW_TRANSFERS, Flow, validate
from data.flow_import import Makers, orders_from_fills, plain_decimal
from data.frames import FILLS
from data.layouts import nanoseconds
from data.opening import opening_transfers
from data.storage import conform, read_table

FOLDER = Path("hyperliquid/flow_2023")
LIQUIDATOR = "u0136"
LIQUIDATOR_FATE = "LIQUIDATOR"
LEVERAGE = 50  # for every coin, maintenance being half of initial: fits all 54 cross liquidations

# The liquidations that really happened; amounts in USDC.
LIQUIDATIONS = pa.schema(
    [
        ("ts", pa.int64()),
        ("user", pa.string()),
        ("notional", pa.float64()),
        ("account_value", pa.float64()),
        ("margin_mode", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Flow2023:
    """Hold the flow, the accounting of its fills (schema ACCOUNTING) and the real liquidations."""

    flow: Flow
    accounting: pa.Table
    liquidations: pa.Table


def import_flow_2023(
    history: Path, *, makers: Makers = "limit", merge: bool = True, opening_balances: bool = True
) -> Flow2023:
    """Import the flow from ``history``; raise InvalidInput for a missing or corrupt file.

    ``opening_balances`` books the smallest labelled transfer per user that covers every opening fill
    (hindsight); without it such orders meet an empty account and the core refuses them.
    """
    liquidations = read_liquidations(history)
    fills = read_fills(history, liquidations)
    imported = orders_from_fills(
        fills, leverage=LEVERAGE, makers=makers, merge=merge, excluded={LIQUIDATOR: LIQUIDATOR_FATE}
    )
    transfers = read_transfers(history)
    if opening_balances:
        transfers = pa.concat_tables([opening_transfers(fills, transfers, LEVERAGE, {LIQUIDATOR}), transfers])
        transfers = transfers.take(np.argsort(transfers["ts"].to_numpy(), kind="stable"))
    return Flow2023(validate(Flow(imported.orders, transfers)), imported.accounting, liquidations)


def read_liquidations(history: Path) -> pa.Table:
    """Read the real liquidations as a table of schema LIQUIDATIONS."""
    raw = read_table(history / FOLDER / "liquidations.parquet")
    columns = {
        "ts": nanoseconds(raw["time"], "flow_2023"),
        "user": raw["user"],
        "notional": raw["liquidated_ntl_pos"],
        "account_value": raw["liquidated_account_value"],
        "margin_mode": pc.utf8_upper(raw["leverage_type"]),
    }
    return conform(pa.table(columns), LIQUIDATIONS, "the liquidations")


def read_fills(history: Path, liquidations: pa.Table) -> pa.Table:
    """Read all fills as a table of schema FILLS; ids are row numbers of the source.

    A liquidation's fills are the user's maker fills in its very second.
    """
    raw = read_table(history / FOLDER / "trades.parquet")
    sides = pc.if_else(
        pc.equal(raw["side"], "Bid"), "BUY", pc.if_else(pc.equal(raw["side"], "Ask"), "SELL", "")
    )
    ts = nanoseconds(raw["time"], "flow_2023")
    liquidated = set(zip(liquidations["user"].to_pylist(), liquidations["ts"].to_pylist(), strict=True))
    seconds = zip(raw["user"].to_pylist(), ts.to_pylist(), raw["crossed"].to_pylist(), strict=True)
    columns = {
        "fill_id": pa.array([f"f{row:05d}" for row in range(raw.num_rows)]),
        "ts": ts,
        "user": raw["user"],
        "symbol": raw["coin"],
        "side": sides,
        "price": raw["px"],
        "size": raw["sz"],
        "taker": raw["crossed"],
        "liquidation": pa.array([not taker and (user, at) in liquidated for user, at, taker in seconds]),
    }
    return conform(pa.table(columns), FILLS, "the fills")


def read_transfers(history: Path) -> pa.Table:
    """Read deposits and withdrawals as a table of schema FLOW_TRANSFERS."""
    raw = read_table(history / FOLDER / "ledger_updates.parquet")
    amounts = [Decimal(repr(value)) for value in raw["delta_usd"].to_pylist()]
    columns = {
        "ts": nanoseconds(raw["time"], "flow_2023"),
        "user": raw["user"],
        "amount": pa.array([plain_decimal(amount) for amount in amounts]),
        "kind": pa.array(["DEPOSIT" if amount > 0 else "WITHDRAWAL" for amount in amounts]),
    }
    return conform(pa.table(columns), FLOW_TRANSFERS, "the ledger updates")
