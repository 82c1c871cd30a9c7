"""What the core knows of a symbol (``SymbolSpec``) and of its market at one moment (``SymbolView``)."""

from dataclasses import field
from decimal import Decimal

from risk.margin import MarginTiers
from risk.numbers import round_price
from risk.record import record

Level = tuple[Decimal, Decimal]  # price, size


@record
class SymbolSpec:
    """Describe one perpetual as Hyperliquid lists it; fee rates are Hyperliquid's own, as fractions."""

    symbol: str
    size_decimals: int
    price_decimals: int
    tiers: MarginTiers
    taker_fee_rate: Decimal = Decimal("0.00045")
    maker_fee_rate: Decimal = Decimal("0.00015")
    min_notional: Decimal = Decimal(10)
    lot: Decimal = field(init=False, repr=False, compare=False)  # the smallest size step, in base coin

    def __post_init__(self) -> None:
        """Work the lot out once: every order is measured in it."""
        object.__setattr__(self, "lot", Decimal(1).scaleb(-self.size_decimals))

    def limit_on_grid(self, price: Decimal, side: int) -> Decimal:
        """Round a limit price to Hyperliquid's grid, away from the market: down for a buy, up for a sell.

        At most five significant figures and ``price_decimals`` places; integers always.
        """
        digits = min(self.price_decimals, max(0, 4 - price.adjusted()))
        step = Decimal(1).scaleb(-digits)
        return (price / step).to_integral_value("ROUND_FLOOR" if side > 0 else "ROUND_CEILING") * step


@record
class SymbolView:
    """Carry the market a decision is made on: prices in USDC per coin, times in UTC nanoseconds.

    ``mark`` is the last one received and ``prev_mark`` the one received before it (price sanity compares
    the two); ``low_60m`` and ``high_60m`` span the marks of the last 60 minutes; ``seen_ns`` is the time
    of the last message of any kind. ``bids`` and ``asks`` hold at least the best level, best first.
    ``mark_seq`` counts the marks received, so that a view with new quotes only is not judged as a new mark.
    """

    symbol: str
    ts: int
    mark: Decimal
    prev_mark: Decimal
    oracle: Decimal
    low_60m: Decimal
    high_60m: Decimal
    seen_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    mark_seq: int = 0

    def walk(self, side: int, size: Decimal) -> Decimal:
        """Return the size-weighted price a taker of ``size`` gets: the best price where depth is unknown.

        ``side`` is +1 for a buy, −1 for a sell. What exceeds the known depth takes the last known level. The
        quotient is rounded to 12 decimals.
        """
        levels = self.asks if side > 0 else self.bids
        if size <= levels[0][1] or len(levels) == 1:
            return levels[0][0]
        left, paid = size, Decimal(0)
        for price, available in levels:
            take = min(left, available)
            paid += take * price
            left -= take
            if not left:
                return round_price(paid / size)
        return round_price((paid + left * levels[-1][0]) / size)

    def within(self, side: int, limit: Decimal, size: Decimal) -> Decimal:
        """Return how much of ``size`` a taker gets at ``limit`` or better.

        All of it where every known level is within the limit, since depth beyond them is not known.
        """
        levels = self.asks if side > 0 else self.bids
        found = Decimal(0)
        for price, available in levels:
            if side * price > side * limit:
                return min(found, size)
            found += available
        return size
