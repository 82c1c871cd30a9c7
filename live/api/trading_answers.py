"""What is answered to a trading request."""

from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from live.api.reads.forms import DecimalText, decimal_text
from live.api.reads.orders import OrderId
from live.books.commands import Answer, Fill

AnsweredSeq = Field(description="The request's place among the inputs of the books.", examples=[1207])


class FillAnswer(BaseModel):
    """Be a fill that an order had at once."""

    fill_id: int = Field(examples=[311])
    position_id: int = Field(examples=[42])
    price: DecimalText = Field(examples=["100000"])
    size: DecimalText = Field(examples=["0.05"])
    fee: DecimalText = Field(examples=["2.500000"])
    pnl: DecimalText = Field(examples=["0.000000"])
    source: Literal["INTERNAL", "HYPERLIQUID"]
    hl_reference_price: DecimalText = Field(
        description="What the same would have cost on Hyperliquid at that moment.", examples=["100000"]
    )


class OrderAnswer(BaseModel):
    """Say what became of an order at once; ``code`` and ``detail`` tell why a part of it was refused or ended."""

    order_id: OrderId
    seq: int = AnsweredSeq
    resting: bool = Field(description="Whether something of it waits.")
    code: str | None = Field(examples=[None])
    detail: str | None = Field(examples=[None])
    fills: list[FillAnswer]


class CancelAnswer(BaseModel):
    """Say that an order was cancelled, or that Hyperliquid was asked to."""

    order_id: OrderId
    seq: int = AnsweredSeq


class CancelledOrder(BaseModel):
    """Say whether one order was cancelled, or Hyperliquid asked to; ``code`` why not."""

    order_id: OrderId
    done: bool
    code: str | None = Field(examples=[None])


class CancelAllAnswer(BaseModel):
    """Say what became of the orders that waited at input ``seq``."""

    seq: int = AnsweredSeq
    orders: list[CancelledOrder]


class MarginAnswer(BaseModel):
    """Say that margin was moved."""

    position_id: int = Field(examples=[42])
    seq: int = AnsweredSeq


def order_answer(answer: Answer) -> dict[str, Any]:
    """Return what ``OrderAnswer`` describes."""
    return {
        "order_id": answer.id,
        "seq": answer.seq,
        "resting": answer.resting,
        "code": answer.code or None,
        "detail": answer.detail or None,
        "fills": [_fill(fill) for fill in answer.fills],
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "fill_id": fill.id,
        "position_id": fill.position_id,
        "price": _plain(fill.price),
        "size": _plain(fill.size),
        "fee": _plain(fill.fee),
        "pnl": _plain(fill.pnl),
        "source": fill.source,
        "hl_reference_price": _plain(fill.hl_fill_price),
    }


def _plain(text: str) -> str | None:
    """Write a decimal without an exponent, which Python gives to very small and some round ones."""
    return decimal_text(Decimal(text)) if "E" in text else text
