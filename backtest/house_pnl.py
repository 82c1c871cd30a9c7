"""House PnL: what the house's accounts gained, by cause, read off the journal (rulebook §7).

Every entry on an account of the house's equity belongs to exactly one component, so that the components
and the unrealised results at the end sum to the change of solvency, to the last digit.
"""

from decimal import Decimal
from typing import Any

from duckdb import DuckDBPyConnection

from backtest.views import rows
from risk.ledger import EQUITY_ACCOUNTS

# In the order a report shows them; each says what it is.
COMPONENTS = {
    "client_losses": "Client losses, net of gains",
    "internal_fees": "INTERNAL fees",
    "builder_fees": "Builder fees",
    "funding": "Funding, INTERNAL",
    "hedge_pnl": "Hedge PnL, realised",
    "hedge_fees": "Hedge fees",
    "hedge_slippage": "Hedge slippage",
    "hedge_funding": "Hedge funding",
    "deviation": "Deviation",
    "bad_debt": "Bad debt",
    "liquidation_surplus": "Margin left by HL liquidations",
    "funding_corrections": "Funding corrections",
    "withdrawal_fees": "Withdrawal fees",
    "rounding": "Rounding",
    "other": "Other",
    "unrealised_internal": "Unrealised, INTERNAL book",
    "unrealised_hedge": "Unrealised, hedges",
}
_BY_ACCOUNT_AND_KIND = """
    case
        when account = 'fee_income' and kind in ('withdrawal_fee', 'withdrawal_fee_returned') then 'withdrawal_fees'
        when account = 'fee_income' then 'internal_fees'
        when account = 'builder_income' then 'builder_fees'
        when account = 'funding_income' then 'funding'
        when account = 'hedge_cost' and kind = 'hedge_funding' then 'hedge_funding'
        when account = 'hedge_cost' then 'hedge_fees'
        when account in ('deviation', 'rounding') then account
        when kind = 'bad_debt' then 'bad_debt'
        when kind = 'funding_correction' then 'funding_corrections'
        when kind = 'hedge_fill' then 'hedge_pnl'
        when kind = 'liquidation' and seq in (select seq from surplus) then 'liquidation_surplus'
        when kind in ('close', 'liquidation', 'deficit_forgiven') then 'client_losses'
        else 'other'
    end
"""
# Margin left over in an isolated liquidation at Hyperliquid goes to the reserve, without any client loss.
_SURPLUS = """
    select distinct seq from journal join positions_opened
        on account = 'isolated_margin:' || position_id and source = 'HYPERLIQUID'
    where kind = 'liquidation'
"""
# Starting capital is not earned, and a top-up moves capital between the house's own pockets.
_NOT_EARNED = "('opening', 'top_up')"


def house_pnl(connection: DuckDBPyConnection) -> dict[str, Decimal]:
    """Return each component of COMPONENTS in USDC (+ earned), and ``total``."""
    accounts = ", ".join(f"'{account}'" for account in EQUITY_ACCOUNTS)
    booked = rows(
        connection,
        f"""with surplus as ({_SURPLUS})
            select {_BY_ACCOUNT_AND_KIND} as component, sum(amount) as amount from journal
            where account in ({accounts}) and kind not in {_NOT_EARNED} group by component""",
    )
    slippage = _single(connection, "select sum(slippage) from venue_fills where account = 'HEDGE'")
    found = dict.fromkeys(COMPONENTS, Decimal(0)) | {row["component"]: row["amount"] for row in booked}
    found["hedge_fees"] += slippage
    found["hedge_slippage"] = -slippage
    found["unrealised_internal"] = _single(connection, "select last(house_unrealised) from house")
    found["unrealised_hedge"] = _single(connection, "select last(hedge_unrealised) from house")
    return found | {"total": sum(found.values(), Decimal(0))}


def reserve_path(connection: DuckDBPyConnection, start: Decimal) -> list[tuple[int, Decimal]]:
    """Return (ts, balance) of the risk reserve after each of its entries, the opening left out."""
    found = connection.execute(
        """select ts, ? + sum(amount) over (order by seq rows unbounded preceding)
           from (select seq, ts, sum(amount) as amount from journal
                 where account = 'risk_reserve' and kind <> 'opening' group by seq, ts)
           order by seq""",
        [start],
    )
    return [(ts, balance) for ts, balance in found.fetchall()]


def _single(connection: DuckDBPyConnection, sql: str) -> Any:
    (value,) = connection.execute(sql).fetchall()[0]
    return Decimal(0) if value is None else value
