"""What requests to trade say: decimals as text, nothing that is not known, and bounds on everything."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from live.api.reads.filters import Symbol
from live.api.reads.listing import LARGEST_ID
from risk.inputs import MarginMode, OrderSubmitted, OrderType

# With a lot of as many decimals a size still divides exactly in the core's 34 digits.
_WHOLE, _PLACES = 15, 12
_MONEY_PLACES = 6
_SIDES = {"BUY": 1, "SELL": -1}
_PRICED = {"limit_price": ("LIMIT",), "trigger_price": ("TAKE_PROFIT", "STOP_LOSS")}


class _Text:
    """Be a decimal above 0, given as text, with at most ``places`` digits after the point."""

    def __init__(self, places: int) -> None:
        self._pattern = rf"[0-9]{{1,{_WHOLE}}}(\.[0-9]{{1,{places}}})?"
        self._matches = re.compile(self._pattern).fullmatch
        self._wanted = (
            f"must be a decimal above 0 as text, at most {_WHOLE} digits before the point and {places} after"
        )

    def read(self, value: object) -> Decimal:
        """Return the number; raises ValueError for anything else: a float has digits that nobody wrote."""
        if isinstance(value, str) and self._matches(value) and (found := Decimal(value)):
            return found
        raise ValueError(self._wanted)

    def schema(self, example: str) -> WithJsonSchema:
        """Describe the text."""
        return WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^{self._pattern}$",
                "description": f"It {self._wanted}.",
                "examples": [example],
            }
        )


_coins, _money = _Text(_PLACES), _Text(_MONEY_PLACES)
Size = Annotated[Decimal, BeforeValidator(_coins.read), _coins.schema("0.05")]
Price = Annotated[Decimal, BeforeValidator(_coins.read), _coins.schema("99000")]
Money = Annotated[Decimal, BeforeValidator(_money.read), _money.schema("100")]
PositionId = Annotated[StrictInt, Field(ge=1, le=LARGEST_ID, examples=[42])]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OrderBody(_Body):
    """Ask for an order.

    ``limit_price`` belongs to LIMIT orders, ``trigger_price`` to TAKE_PROFIT and STOP_LOSS. ``reduce_only``
    closes opposite positions, oldest first, and never opens; ``position_id`` closes that one, in whole where
    ``size`` is left out, and what waits to do so ends with it (NOTHING_TO_CLOSE).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"symbol": "BTC", "side": "BUY", "type": "MARKET", "size": "0.05", "leverage": 10},
                {"symbol": "BTC", "side": "BUY", "type": "LIMIT", "size": "0.05", "limit_price": "99000"},
                {
                    "symbol": "BTC",
                    "side": "SELL",
                    "type": "STOP_LOSS",
                    "position_id": 42,
                    "trigger_price": "95000",
                },
            ]
        }
    )

    symbol: Symbol
    side: Literal["BUY", "SELL"]
    type: Literal["MARKET", "LIMIT", "TAKE_PROFIT", "STOP_LOSS"] = "MARKET"
    position_id: PositionId | None = None
    size: Size | None = Field(default=None, validate_default=True)
    limit_price: Price | None = Field(default=None, validate_default=True)
    trigger_price: Price | None = Field(
        default=None,
        validate_default=True,
        description="The mark at which it executes: at once where the mark is there or beyond it already, as with a "
        "stop-loss of a long position above the mark.",
    )
    leverage: Annotated[StrictInt, Field(ge=1, le=1_000, examples=[10])] = 1
    margin_mode: Literal["ISOLATED", "CROSS"] = "ISOLATED"
    reduce_only: StrictBool = False

    @field_validator("size", mode="after")
    @classmethod
    def _is_known(cls, size: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if size is None and info.data.get("position_id", 0) is None:
            raise ValueError("must be given; only a close by position_id may leave it out")
        return size

    @field_validator("limit_price", "trigger_price", mode="after")
    @classmethod
    def _belongs(cls, price: Decimal | None, info: ValidationInfo) -> Decimal | None:
        kinds = _PRICED[str(info.field_name)]
        if "type" in info.data and (price is not None) != (info.data["type"] in kinds):
            raise ValueError(f"belongs to {' and '.join(kinds)} orders, which need it, and to no others")
        return price

    def order(self, user: str) -> OrderSubmitted:
        """Return what the books are asked."""
        return OrderSubmitted(
            0,
            "",
            user,
            self.symbol,
            _SIDES[self.side],
            self.size,
            OrderType(self.type),
            self.limit_price,
            self.trigger_price,
            self.leverage,
            MarginMode(self.margin_mode),
            self.reduce_only,
            position_id=self.position_id,
        )


class CloseBody(_Body):
    """Ask to close a position: in whole where ``size`` is left out; at market unless ``limit_price`` is given."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"size": "0.02"}]})

    size: Size | None = None
    limit_price: Price | None = None

    def order(self, user: str, position_id: int, symbol: str, direction: str) -> OrderSubmitted:
        """Return what the books are asked."""
        return OrderSubmitted(
            0,
            "",
            user,
            symbol,
            -1 if direction == "LONG" else 1,
            self.size,
            OrderType.MARKET if self.limit_price is None else OrderType.LIMIT,
            self.limit_price,
            position_id=position_id,
        )


class MarginBody(_Body):
    """Ask to add margin to an isolated position, or to remove some."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "ADD", "amount": "100"}]})

    action: Literal["ADD", "REMOVE"]
    amount: Money

    @property
    def signed(self) -> Decimal:
        """Return the amount as the books take it: below 0 where it is removed."""
        return self.amount if self.action == "ADD" else -self.amount
