"""A user's positions, open and closed."""

from typing import Literal

from pydantic import BaseModel, Field

from live.api.reads.fills import OF_ORDER
from live.api.reads.forms import MOMENT, MONEY, NUMBER, PLAIN, QUOTIENT, DecimalText, MomentText, Seq
from live.api.reads.listing import Column, Listing
from live.ledger.rows_trading import PositionRow


class PositionItem(BaseModel):
    """Be a position as the books have it; what it is worth at mark stands in the account."""

    position_id: int = Field(examples=[42])
    symbol: str = Field(examples=["BTC"])
    direction: Literal["LONG", "SHORT"]
    size: DecimalText = Field(examples=["0.05"])
    entry_price: DecimalText = Field(examples=["100000"])
    cost: DecimalText = Field(examples=["5000"])
    leverage: int = Field(examples=[10])
    margin_mode: Literal["ISOLATED", "CROSS"]
    margin: DecimalText = Field(description="Its own margin; 0 where it is cross.", examples=["500.000000"])
    source: Literal["INTERNAL", "HYPERLIQUID"] = Field(
        description="Who the counterparty is, for all its life."
    )
    status: Literal["OPEN", "CLOSED", "LIQUIDATED"]
    order_id: str = Field(description="The order that opened it.", examples=["o1207"])
    opened_at: MomentText
    updated_at: MomentText
    seq: Seq


POSITIONS = Listing(
    "positions",
    PositionRow,
    "id",
    "updated_seq",
    (
        Column("position_id", "id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("direction", "direction", PLAIN),
        Column("size", "size", NUMBER),
        Column("entry_price", "entry_price", QUOTIENT),
        Column("cost", "cost", NUMBER),
        Column("leverage", "leverage", PLAIN),
        Column("margin_mode", "margin_mode", PLAIN),
        Column("margin", "margin", MONEY),
        Column("source", "position_source", PLAIN),
        Column("status", "status", PLAIN),
        Column("order_id", "order_id", OF_ORDER),
        Column("opened_at", "opened_at", MOMENT),
        Column("updated_at", "updated_at", MOMENT),
        Column("seq", "updated_seq", PLAIN),
    ),
)
