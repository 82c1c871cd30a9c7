"""What everybody may know of the market: symbols, their rules, marks and funding."""

import asyncio
import time
from typing import Any

from pydantic import BaseModel, Field

from live.api.reads.forms import DecimalText, MomentText, decimal_text, moment_text
from live.books.bus import Bus
from live.books.queries import MarketQuery, MarketView, SymbolMarket

_FRESH_S = 0.25  # as often as the books tell of marks


class TierItem(BaseModel):
    """Be a step of a margin table: from ``from_notional`` on a position may have that leverage at most."""

    from_notional: DecimalText = Field(examples=["0"])
    max_leverage: int = Field(examples=[40])


class MarketItem(BaseModel):
    """Be a symbol with its rules and its market; prices are null before the first one came."""

    symbol: str = Field(examples=["BTC"])
    mark: DecimalText | None = Field(examples=["100000"])
    bid: DecimalText | None = Field(examples=["99999"])
    ask: DecimalText | None = Field(examples=["100001"])
    oracle: DecimalText | None = Field(examples=["100000"])
    funding_rate: DecimalText | None = Field(description="Of the last hour.", examples=["0.0000125"])
    max_leverage: int = Field(examples=[40])
    tiers: list[TierItem]
    lot: DecimalText = Field(description="Sizes are multiples of it.", examples=["0.00001"])
    size_decimals: int = Field(examples=[5])
    price_decimals: int = Field(examples=[1])
    min_notional: DecimalText = Field(
        description="The least USDC that Hyperliquid takes of an order, or of the part of one that goes there, closes "
        "included; what the house takes itself may be smaller.",
        examples=["10"],
    )


class MarketList(BaseModel):
    """Be all symbols at a moment."""

    at: MomentText
    symbols: list[MarketItem]


class Markets:
    """Give the market, a quarter of a second old at most: whoever asks meanwhile costs the books nothing."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: MarketView | None = None
        self._known_s = float("-inf")
        self._asking: asyncio.Task[MarketView] | None = None

    async def now(self) -> MarketView:
        """Return all symbols; raises what the bus does."""
        if self._known is not None and time.monotonic() - self._known_s < _FRESH_S:
            return self._known
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> MarketView:
        try:
            began = time.monotonic()
            self._known = await self._bus.ask(MarketQuery())
            self._known_s = began
            return self._known
        finally:
            self._asking = None


def market_list(view: MarketView) -> dict[str, Any]:
    """Return what ``MarketList`` describes."""
    return {"at": moment_text(view.at), "symbols": [market_item(each) for each in view.symbols]}


def market_item(market: SymbolMarket) -> dict[str, Any]:
    """Return what ``MarketItem`` describes."""
    return {
        "symbol": market.symbol,
        "mark": decimal_text(market.mark),
        "bid": decimal_text(market.bid),
        "ask": decimal_text(market.ask),
        "oracle": decimal_text(market.oracle),
        "funding_rate": decimal_text(market.funding_rate),
        "max_leverage": market.max_leverage,
        "tiers": [{"from_notional": decimal_text(low), "max_leverage": most} for low, most in market.tiers],
        "lot": decimal_text(market.lot),
        "size_decimals": market.size_decimals,
        "price_decimals": market.price_decimals,
        "min_notional": decimal_text(market.min_notional),
    }
