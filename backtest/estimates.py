"""What the house would have earned otherwise, estimated from the run's own fills, without running again.

Same fills, no hedging, and nobody behaves otherwise: what a different result would have done to users' later
orders, margins and liquidations is left out. ``backtest.counterfactuals`` runs again to know.
"""

from decimal import Decimal
from typing import Any

from duckdb import DuckDBPyConnection

from backtest.house_pnl import COMPONENTS, house_pnl
from backtest.views import rows
from risk.settings import RiskConfig

ALL_HYPERLIQUID = "everything on Hyperliquid"
ALL_INTERNAL = "everything INTERNAL"

_VOLUMES = """
    select source, maker, coalesce(sum(price * size), 0) as volume from fills
    where action <> 'LIQUIDATION' group by source, maker
"""
_HYPERLIQUID_PNL = "select coalesce(sum(pnl), 0) as amount from fills where source = 'HYPERLIQUID'"
_HYPERLIQUID_FUNDING = """
    select coalesce(sum(payment), 0) as paid, coalesce(sum(uncollected), 0) as uncollected
    from funding_settlements where source = 'HYPERLIQUID'
"""
# Entry prices do not change with partial closes, so what is open keeps its share of the cost.
_OPEN_ON_HYPERLIQUID = """
    with last_marks as (
        select symbol, arg_max(mark, ts)::decimal(38, 12) as mark from marks group by symbol
    )
    select side, cost, size, size - size_closed as size_left, mark
    from positions join last_marks using (symbol)
    where source = 'HYPERLIQUID' and size > size_closed order by position_id
"""


def estimates(connection: DuckDBPyConnection, risk: RiskConfig) -> dict[str, dict[str, Any]]:
    """Return ``house_pnl`` (components of COMPONENTS and total, USDC) by name of what might have been.

    Everything on Hyperliquid: the builder fee on all that users traded, liquidations apart, without the bad
    debt that would come with it. Everything
    INTERNAL: users' price results on both routes as they were collected, INTERNAL fees at the normal rates
    on the volume that went to Hyperliquid, users' funding there, and the mirror of what is open there.
    """
    volumes = rows(connection, _VOLUMES)
    traded = sum((row["volume"] for row in volumes), Decimal(0))
    return {
        ALL_HYPERLIQUID: _pnl(builder_fees=traded * risk.builder_fee_rate),
        ALL_INTERNAL: _all_internal(connection, volumes, risk),
    }


def _all_internal(
    connection: DuckDBPyConnection, volumes: list[dict[str, Any]], risk: RiskConfig
) -> dict[str, Any]:
    actual = house_pnl(connection)
    rates = {True: risk.maker_fee_rate, False: risk.taker_fee_rate}
    fees = sum(
        (row["volume"] * rates[row["maker"]] for row in volumes if row["source"] == "HYPERLIQUID"), Decimal(0)
    )
    unrealised = sum(
        (
            row["side"] * (row["mark"] * row["size_left"] - row["cost"] * row["size_left"] / row["size"])
            for row in rows(connection, _OPEN_ON_HYPERLIQUID)
        ),
        Decimal(0),
    )
    (pnl,) = rows(connection, _HYPERLIQUID_PNL)
    (funding,) = rows(connection, _HYPERLIQUID_FUNDING)
    # What users lost beyond their money is bad debt there, and never collected by a house on the other side.
    uncovered = actual["bad_debt"] + funding["uncollected"]
    lost = actual["liquidation_surplus"] + uncovered - pnl["amount"]
    return _pnl(
        client_losses=actual["client_losses"] + lost,
        internal_fees=actual["internal_fees"] + fees,
        funding=actual["funding"] + funding["paid"],
        withdrawal_fees=actual["withdrawal_fees"],
        unrealised_internal=actual["unrealised_internal"] - unrealised,
    )


def _pnl(**components: Decimal) -> dict[str, Any]:
    whole = dict.fromkeys(COMPONENTS, Decimal(0)) | components
    return {"house_pnl": whole | {"total": sum(whole.values(), Decimal(0))}}
