"""What changed a user's balance: its history, funding and liquidations; and the balance itself."""

from typing import Literal

from pydantic import BaseModel, Field

from live.api.reads.forms import MOMENT, MONEY, NANOSECONDS, NUMBER, PLAIN, DecimalText, MomentText, Seq
from live.api.reads.listing import Column, Listing
from live.ledger.rows_money import BalanceLogRow, WalletRow
from live.ledger.rows_trading import FundingSettlementRow, LiquidationRow


class BalanceChangeItem(BaseModel):
    """Be one change of a user's total balance: ``before`` + ``amount`` = ``after``."""

    id: int = Field(examples=[901])
    type: str = Field(examples=["internal_fee"])
    amount: DecimalText = Field(examples=["-2.500000"])
    before: DecimalText = Field(examples=["10000.000000"])
    after: DecimalText = Field(examples=["9997.500000"])
    ref: str = Field(description="What caused it: a fill, a position, a deposit …", examples=["311"])
    at: MomentText
    seq: Seq


BALANCE_CHANGES = Listing(
    "balance_logs",
    BalanceLogRow,
    "id",
    "seq",
    (
        Column("id", "id", PLAIN),
        Column("type", "type", PLAIN),
        Column("amount", "amount", MONEY),
        Column("before", "before", MONEY),
        Column("after", "after", MONEY),
        Column("ref", "ref_id", PLAIN),
        Column("at", "ts", NANOSECONDS),
        Column("seq", "seq", PLAIN),
    ),
)


class FundingItem(BaseModel):
    """Be one payment of funding, for every hour since the position's last; above 0 the user paid."""

    id: int = Field(examples=[12])
    position_id: int = Field(examples=[42])
    symbol: str = Field(examples=["BTC"])
    rate: DecimalText = Field(description="The sum of the hourly rates it covers.", examples=["0.0001"])
    payment: DecimalText = Field(examples=["0.500000"])
    uncollected: DecimalText = Field(description="What margin did not suffice for.", examples=["0.000000"])
    source: Literal["INTERNAL", "HYPERLIQUID"]
    settled_at: MomentText
    seq: Seq


FUNDING = Listing(
    "funding_settlements",
    FundingSettlementRow,
    "id",
    "seq",
    (
        Column("id", "id", PLAIN),
        Column("position_id", "position_id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("rate", "rate", NUMBER),
        Column("payment", "payment", MONEY),
        Column("uncollected", "uncollected", MONEY),
        Column("source", "source", PLAIN),
        Column("settled_at", "settled_at", MOMENT),
        Column("seq", "seq", PLAIN),
    ),
)


class LiquidationItem(BaseModel):
    """Be one liquidation: triggered at a mark, closed at a price."""

    liquidation_id: int = Field(examples=[3])
    position_id: int = Field(examples=[42])
    symbol: str = Field(examples=["BTC"])
    size: DecimalText = Field(examples=["0.05"])
    margin_mode: Literal["ISOLATED", "CROSS"]
    source: Literal["INTERNAL", "HYPERLIQUID"]
    trigger_price: DecimalText = Field(description="The mark at which it fell due.", examples=["91100"])
    close_price: DecimalText = Field(examples=["91100"])
    margin_zeroed: DecimalText = Field(examples=["500.000000"])
    pnl: DecimalText = Field(examples=["-445.000000"])
    triggered_at: MomentText
    created_at: MomentText
    seq: Seq


LIQUIDATIONS = Listing(
    "liquidations",
    LiquidationRow,
    "id",
    "seq",
    (
        Column("liquidation_id", "id", PLAIN),
        Column("position_id", "position_id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("size", "size", NUMBER),
        Column("margin_mode", "margin_mode", PLAIN),
        Column("source", "source", PLAIN),
        Column("trigger_price", "trigger_price", NUMBER),
        Column("close_price", "close_price", NUMBER),
        Column("margin_zeroed", "margin_zeroed", MONEY),
        Column("pnl", "pnl", MONEY),
        Column("triggered_at", "triggered_at", MOMENT),
        Column("created_at", "created_at", MOMENT),
        Column("seq", "seq", PLAIN),
    ),
)


class BalanceItem(BaseModel):
    """Be a user's balance, free of marks: total_balance = cash + isolated_margin + order_holds."""

    total_balance: DecimalText = Field(examples=["9997.500000"])
    available_balance: DecimalText = Field(examples=["9497.500000"])
    frozen_margin: DecimalText = Field(examples=["500.000000"])
    cash: DecimalText = Field(examples=["9497.500000"])
    order_holds: DecimalText = Field(examples=["0.000000"])
    isolated_margin: DecimalText = Field(examples=["500.000000"])
    withdrawals_pending: DecimalText = Field(examples=["0.000000"])
    seq: Seq


BALANCES = Listing(
    "wallets",
    WalletRow,
    "updated_seq",
    "updated_seq",
    (
        Column("total_balance", "total_balance", MONEY),
        Column("available_balance", "available_balance", MONEY),
        Column("frozen_margin", "frozen_margin", MONEY),
        Column("cash", "cash", MONEY),
        Column("order_holds", "order_holds", MONEY),
        Column("isolated_margin", "isolated_margin", MONEY),
        Column("withdrawals_pending", "withdrawals_pending", MONEY),
        Column("seq", "updated_seq", PLAIN),
    ),
)
