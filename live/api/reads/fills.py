"""A user's fills, each with Hyperliquid's price for the same size at the same moment."""

from typing import Literal

from pydantic import BaseModel, Field

from live.api.reads.forms import MOMENT, MONEY, NUMBER, PLAIN, DecimalText, Form, MomentText, Seq
from live.api.reads.listing import Column, Listing
from live.ledger.rows_trading import FillRow
from risk.state import SPLIT_SUFFIX

# An order that went both ways fills under two ids, of which users know one.
OF_ORDER = Form(
    f"case when {{0}} like '%{SPLIT_SUFFIX}' then left({{0}}, -{len(SPLIT_SUFFIX)}) else {{0}} end",
    lambda name: name.removesuffix(SPLIT_SUFFIX),
)


class FillItem(BaseModel):
    """Be one fill; ``fee`` is all that was paid for it, ``pnl`` what a close realised before fees."""

    fill_id: int = Field(examples=[311])
    order_id: str = Field(description="Its order; `liquidation:…` where there was none.", examples=["o1207"])
    position_id: int = Field(examples=[42])
    symbol: str = Field(examples=["BTC"])
    side: Literal["BUY", "SELL"]
    action: Literal["OPEN", "CLOSE", "LIQUIDATION"]
    price: DecimalText = Field(examples=["100000"])
    size: DecimalText = Field(examples=["0.05"])
    fee: DecimalText = Field(examples=["2.500000"])
    pnl: DecimalText = Field(examples=["0.000000"])
    maker: bool
    source: Literal["INTERNAL", "HYPERLIQUID"] = Field(description="Who the counterparty was.")
    hl_reference_price: DecimalText = Field(
        description="What the same would have cost on Hyperliquid at that moment.", examples=["100000"]
    )
    mark: DecimalText = Field(examples=["100000"])
    created_at: MomentText
    seq: Seq


FILLS = Listing(
    "fills",
    FillRow,
    "id",
    "seq",
    (
        Column("fill_id", "id", PLAIN),
        Column("order_id", "order_id", OF_ORDER),
        Column("position_id", "position_id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("side", "side", PLAIN),
        Column("action", "action", PLAIN),
        Column("price", "price", NUMBER),
        Column("size", "size", NUMBER),
        Column("fee", "fee", MONEY),
        Column("pnl", "pnl", MONEY),
        Column("maker", "maker", PLAIN),
        Column("source", "source", PLAIN),
        Column("hl_reference_price", "hl_fill_price", NUMBER),
        Column("mark", "mark", NUMBER),
        Column("created_at", "created_at", MOMENT),
        Column("seq", "seq", PLAIN),
    ),
)


def names_of(order_id: str) -> list[str]:
    """Return the ids under which an order's fills are kept."""
    return [order_id, order_id + SPLIT_SUFFIX]
