"""How the house's standing is shown."""

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from live.api.reads.forms import DecimalText, MomentText, decimal_text, moment_text
from live.api.reads.operators import Mode
from live.books.queries import HouseView


class SymbolHouseItem(BaseModel):
    """Show where the house stands in a symbol; ``net_exposure`` is the users' INTERNAL one in USDC, signed."""

    symbol: str = Field(examples=["BTC"])
    mode: Mode
    pinned: bool
    whitelisted: bool
    auto_switch: bool
    normal_threshold: DecimalText = Field(examples=["10000"])
    betting_threshold: DecimalText = Field(examples=["100000"])
    hl_mode_exposure_threshold: DecimalText = Field(examples=["300000"])
    betting_mode_exposure_threshold: DecimalText = Field(examples=["100000"])
    mark: DecimalText = Field(examples=["100000"])
    net_size: DecimalText = Field(examples=["0.5"])
    net_exposure: DecimalText = Field(examples=["50000"])
    hl_size: DecimalText = Field(examples=["0.2"])
    hedge_size: DecimalText = Field(examples=["-0.3"])
    hedge_cost: DecimalText = Field(examples=["30000"])
    hl_halted: bool
    quarantined: bool


class HouseItem(BaseModel):
    """Show the house at the marks of now."""

    seq: int = Field(examples=[1207])
    at: MomentText
    reserve: DecimalText = Field(examples=["500000.000000"])
    reserve_level: str = Field(examples=["NORMAL"])
    solvency: DecimalText = Field(examples=["2200000.000000"])
    users_open: DecimalText = Field(examples=["-1250.000000"])
    total_exposure: DecimalText = Field(examples=["50000"])
    daily_loss: DecimalText = Field(examples=["1200"])
    breaker_open: bool
    hl_halted: bool
    halted: str | None = Field(examples=[None])
    service_level: int = Field(examples=[0])
    symbols: list[SymbolHouseItem]


def house_item(view: HouseView) -> dict[str, Any]:
    """Return what is shown of a view of the house."""
    item = {name: _written(getattr(view, name)) for name in HouseItem.model_fields}
    item["at"] = moment_text(view.at)
    item["symbols"] = [
        {name: _written(getattr(symbol, name)) for name in SymbolHouseItem.model_fields}
        for symbol in view.symbols
    ]
    return item


def _written(value: Any) -> Any:
    return decimal_text(value) if isinstance(value, Decimal) else value
