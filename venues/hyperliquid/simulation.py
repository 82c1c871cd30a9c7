"""Hyperliquid as Nautilus simulates it: its fees, its latency, and what a taker pays beyond the quote."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.execution import FillModel, MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import (
    BookOrder,
    BookType,
    InstrumentId,
    OrderBook,
    OrderSide,
    Price,
    Quantity,
    TimeInForce,
)

from risk.market import SymbolSpec

_LEVELS = 50  # of a simulated book; what exceeds them does not fill and is cancelled
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Slippage:
    """Say what a taker pays: ``bps`` beyond the quote, and as much again per further ``depth_usd`` of notional.

    Without a depth it is ``bps`` for any size.
    """

    bps: Decimal = Decimal(0)
    depth_usd: Decimal = Decimal(0)


class TakerSlippage(FillModel):
    """Fill immediate-or-cancel orders through the levels of a ``Slippage``; resting ones at their limit.

    The quote's own size is no limit: in most histories it is an assumption, the slippage is the scenario's.
    """

    def __new__(cls, *_: Any) -> "TakerSlippage":
        """Make the native object."""
        return super().__new__(cls)

    def __init__(self, slippage: Slippage, specs: Mapping[InstrumentId, SymbolSpec]) -> None:
        self._slippage = slippage
        self._specs = specs

    def is_limit_filled(self) -> bool:
        """Fill a resting order when the market touches it."""
        return True

    def is_slipped(self) -> bool:
        """Leave slippage to the book's levels."""
        return False

    def fill_limit_inside_spread(self) -> bool:
        """Never fill a resting order that the market has not reached."""
        return False

    def get_orderbook_for_fill_simulation(
        self, instrument: Any, order: Any, best_bid: Price | None = None, best_ask: Price | None = None
    ) -> OrderBook | None:
        """Give the book an order meets; None leaves a resting order to the venue's own rule."""
        if order.time_in_force != TimeInForce.IOC or best_bid is None or best_ask is None:
            return None
        spec = self._specs[instrument.id]
        buys = order.side == OrderSide.BUY
        best = (best_ask if buys else best_bid).as_decimal()
        sizes = order.quantity.as_decimal()
        book = OrderBook(instrument.id, BookType.L2_MBP)
        side = OrderSide.SELL if buys else OrderSide.BUY
        for number, (price, size) in enumerate(
            taker_levels(best, 1 if buys else -1, sizes, self._slippage, spec)
        ):
            level = BookOrder(
                side,
                Price.from_decimal_dp(price, spec.price_decimals),
                Quantity.from_decimal_dp(size, spec.size_decimals),
                number,
            )
            book.add(level, 0, number, 0)
        return book


def taker_levels(
    best: Decimal, side: int, wanted: Decimal, slippage: Slippage, spec: SymbolSpec
) -> list[tuple[Decimal, Decimal]]:
    """Return the (price, size) levels that a taker of ``wanted`` coins meets beyond ``best``, best first.

    ``side`` is +1 for a buy. Prices lie on Hyperliquid's grid, rounded against the taker; steps of slippage
    finer than the grid share a level, without any there is but one.
    """
    depth = (slippage.depth_usd / best) // spec.lot * spec.lot
    levels: dict[Decimal, Decimal] = {}
    left = wanted
    for number in range(1, _LEVELS + 1):
        # limit_on_grid rounds away from a market that side would lift: asks up, bids down.
        price = spec.limit_on_grid(best * (1 + side * number * slippage.bps / _BPS), -side)
        size = min(left, max(depth, spec.lot)) if slippage.depth_usd and slippage.bps else left
        levels[price] = levels.get(price, Decimal(0)) + size
        left -= size
        if not left:
            break
    return list(levels.items())


def fee_model(specs: Mapping[InstrumentId, SymbolSpec]) -> MakerTakerFeeModel:
    """Return Hyperliquid's fees: each coin's own maker and taker rate."""
    rates = {instrument: (spec.maker_fee_rate, spec.taker_fee_rate) for instrument, spec in specs.items()}
    maker, taker = next(iter(rates.values()))
    return MakerTakerFeeModel(maker, taker, rates)


def latency_model(order_latency_ns: int) -> StaticLatencyModel:
    """Return the time from our decision to the venue's book, for orders and cancels alike."""
    return StaticLatencyModel(order_latency_ns)
