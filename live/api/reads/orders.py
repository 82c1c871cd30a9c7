"""A user's orders."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from live.api.reads.fills import FillItem
from live.api.reads.forms import MOMENT, NUMBER, PLAIN, DecimalText, MomentText, Seq
from live.api.reads.listing import Column, Listing
from live.ledger.rows_trading import OrderRow

Status = Literal["PENDING", "RESTING", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED", "REFUSED"]
OrderId = Annotated[str, Field(description="The books' name of an order.", examples=["o1207"])]
OPEN = ("PENDING", "RESTING", "PARTIALLY_FILLED")


class OrderItem(BaseModel):
    """Be an order as it stands; ``price`` is its limit or its trigger."""

    order_id: OrderId
    symbol: str = Field(examples=["BTC"])
    side: Literal["BUY", "SELL"]
    type: Literal["MARKET", "LIMIT", "TAKE_PROFIT", "STOP_LOSS"]
    size: DecimalText | None = Field(examples=["0.05"])
    price: DecimalText | None = Field(examples=["99000"])
    leverage: int = Field(examples=[10])
    margin_mode: Literal["ISOLATED", "CROSS"]
    reduce_only: bool
    position_id: int | None = Field(
        description="The position it closes, where it names one.", examples=[None]
    )
    filled_size: DecimalText = Field(examples=["0.05"])
    status: Status
    reason: str | None = Field(description="Why it, or its rest, was refused or ended.", examples=[None])
    created_at: MomentText
    updated_at: MomentText
    seq: Seq


class OrderWithFills(OrderItem):
    """Be an order and all of its fills, newest first."""

    fills: list[FillItem]


ORDERS = Listing(
    "orders",
    OrderRow,
    "seq",
    "updated_seq",
    (
        Column("order_id", "id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("side", "side", PLAIN),
        Column("type", "type", PLAIN),
        Column("size", "size", NUMBER),
        Column("price", "price", NUMBER),
        Column("leverage", "leverage", PLAIN),
        Column("margin_mode", "margin_mode", PLAIN),
        Column("reduce_only", "reduce_only", PLAIN),
        Column("position_id", "position_id", PLAIN),
        Column("filled_size", "filled_size", NUMBER),
        Column("status", "status", PLAIN),
        Column("reason", "reason", PLAIN),
        Column("created_at", "created_at", MOMENT),
        Column("updated_at", "updated_at", MOMENT),
        Column("seq", "updated_seq", PLAIN),
    ),
)
