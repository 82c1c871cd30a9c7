"""A user's account at the marks of now, and what an order would do to it.

Products and sums are told with every digit; quotients are rounded, prices and ratios to 12 decimals, amounts to 6.
"""

from decimal import ROUND_FLOOR
from typing import Any, Literal

from pydantic import BaseModel, Field

from live.api.reads.forms import (
    DecimalText,
    MomentText,
    Seq,
    decimal_text,
    free_text,
    liquidation_text,
    moment_text,
    quotient_text,
    required_text,
)
from live.books.queries import AccountView, PositionView, PreviewView

# What a refusal would tell of where the order was to go.
_OF_ROUTE = ("HL_DOWN", "HL_HALTED", "HL_POSITIONS_DIFFER", "HL_MARGIN", "HL_MIN_NOTIONAL")
_NOT_TAKEN = "this order cannot be taken now"
_Ratio = Field(
    description="Equity / maintenance, rounded down: liquidated at 1; null without maintenance.",
    examples=["25.5"],
)
_DIRECTIONS = {1: "LONG", -1: "SHORT"}


class SummaryPosition(BaseModel):
    """Be an open position at mark; ``equity`` and ``margin_ratio`` of a cross one are the account's."""

    position_id: int = Field(examples=[42])
    symbol: str = Field(examples=["BTC"])
    direction: Literal["LONG", "SHORT"]
    size: DecimalText = Field(examples=["0.05"])
    entry_price: DecimalText = Field(examples=["100000"])
    mark: DecimalText = Field(examples=["100100"])
    notional: DecimalText = Field(examples=["5005"])
    leverage: int = Field(examples=[10])
    margin_mode: Literal["ISOLATED", "CROSS"]
    margin: DecimalText = Field(examples=["500"])
    maintenance: DecimalText = Field(examples=["62.5625"])
    equity: DecimalText = Field(examples=["505"])
    margin_ratio: DecimalText | None = _Ratio
    unrealised_pnl: DecimalText = Field(examples=["5"])
    funding_owed: DecimalText = Field(description="Funding since it was last settled.", examples=["0"])
    liquidation_price: DecimalText | None = Field(
        description="The mark at which it is liquidated, other marks unchanged, rounded to come sooner; else null.",
        examples=["91139.24"],
    )


class AccountSummary(BaseModel):
    """Be a user's account at mark, USDC."""

    total_balance: DecimalText = Field(examples=["9997.5"])
    cash: DecimalText = Field(examples=["9497.5"])
    order_holds: DecimalText = Field(examples=["0"])
    isolated_margin: DecimalText = Field(examples=["500"])
    withdrawals_pending: DecimalText = Field(examples=["0"])
    account_value: DecimalText = Field(description="What stands behind cross positions.", examples=["9497.5"])
    equity: DecimalText = Field(description="Everything at mark.", examples=["10002.5"])
    free: DecimalText = Field(description="What can be opened with.", examples=["9497.5"])
    withdrawable: DecimalText = Field(examples=["9497.5"])
    initial_margin: DecimalText = Field(examples=["0"])
    maintenance: DecimalText = Field(examples=["0"])
    margin_ratio: DecimalText | None = _Ratio
    positions: list[SummaryPosition]
    at: MomentText
    seq: Seq


class Preview(BaseModel):
    """Be what an order would do now; estimates are of all of it that would trade, what rests at its limit."""

    accepted: bool = Field(description="Whether it would be taken; else `code` and `detail` tell why not.")
    code: str | None = Field(examples=[None])
    detail: str | None = Field(examples=[None])
    resting: bool = Field(description="Whether something of it would wait.")
    size: DecimalText = Field(examples=["0.05"])
    price: DecimalText | None = Field(description="The mean price.", examples=["100000"])
    fee: DecimalText = Field(description="At most, of what it opens.", examples=["3.25"])
    pnl: DecimalText = Field(description="Of what it closes.", examples=["0"])
    initial_margin: DecimalText = Field(description="Of what it opens.", examples=["500"])
    liquidation_price: DecimalText | None = Field(
        description="The first one of the positions it would open.", examples=["91139.24"]
    )
    free: DecimalText = Field(description="What could be opened with afterwards.", examples=["9497.5"])
    at: MomentText
    seq: Seq


def account_summary(view: AccountView) -> dict[str, Any]:
    """Return what ``AccountSummary`` describes."""
    return {
        "total_balance": decimal_text(view.total_balance),
        "cash": decimal_text(view.cash),
        "order_holds": decimal_text(view.order_holds),
        "isolated_margin": decimal_text(view.isolated_margin),
        "withdrawals_pending": decimal_text(view.withdrawals_pending),
        "account_value": decimal_text(view.account_value),
        "equity": decimal_text(view.equity),
        "free": free_text(view.free),
        "withdrawable": free_text(view.withdrawable),
        "initial_margin": required_text(view.initial_margin),
        "maintenance": decimal_text(view.maintenance),
        "margin_ratio": quotient_text(view.margin_ratio, ROUND_FLOOR),
        "positions": [_position(each) for each in view.positions],
        "at": moment_text(view.at),
        "seq": view.seq,
    }


def _position(view: PositionView) -> dict[str, Any]:
    return {
        "position_id": view.id,
        "symbol": view.symbol,
        "direction": _DIRECTIONS[view.side],
        "size": decimal_text(view.size),
        "entry_price": quotient_text(view.entry_price),
        "mark": decimal_text(view.mark),
        "notional": decimal_text(view.notional),
        "leverage": view.leverage,
        "margin_mode": view.margin_mode,
        "margin": required_text(view.margin),
        "maintenance": decimal_text(view.maintenance),
        "equity": decimal_text(view.equity),
        "margin_ratio": quotient_text(view.margin_ratio, ROUND_FLOOR),
        "unrealised_pnl": decimal_text(view.unrealised),
        "funding_owed": decimal_text(view.funding_owed),
        "liquidation_price": liquidation_text(view.liquidation_price, view.side),
    }


def preview(view: PreviewView, side: int) -> dict[str, Any]:
    """Return what ``Preview`` describes of an order of ``side``; where the order would go is not to be read from it."""
    code, detail = view.code or None, view.detail or None
    if code in _OF_ROUTE:
        code, detail = "NOT_TAKEN", _NOT_TAKEN
    return {
        "accepted": view.status == "DONE",
        "code": code,
        "detail": detail,
        "resting": view.resting,
        "size": decimal_text(view.size),
        "price": quotient_text(view.price),
        "fee": decimal_text(view.fee),
        "pnl": decimal_text(view.pnl),
        "initial_margin": required_text(view.initial_margin),
        "liquidation_price": liquidation_text(view.liquidation_price, side),
        "free": free_text(view.free),
        "at": moment_text(view.at),
        "seq": view.seq,
    }
