"""Hyperliquid's perpetuals as NautilusTrader instruments, under the names of our two accounts' venues."""

from decimal import Decimal

from nautilus_trader.model import CryptoPerpetual, Currency, InstrumentId, Price, Quantity, Symbol, Venue

from risk.market import SymbolSpec

TRADING_VENUE = "HYPERLIQUID"
HEDGE_VENUE = "HL_HEDGE"
SUFFIX = "-USD-PERP"


def instrument_id(symbol: str, venue: str = TRADING_VENUE) -> InstrumentId:
    """Return the id Nautilus's own Hyperliquid adapter gives ``symbol``, on ``venue``."""
    return InstrumentId(Symbol(symbol + SUFFIX), Venue(venue))


def symbol_of(instrument: InstrumentId) -> str:
    """Return Hyperliquid's coin name of an instrument id made by ``instrument_id``."""
    return str(instrument.symbol).removesuffix(SUFFIX)


def perpetual(spec: SymbolSpec, venue: str = TRADING_VENUE) -> CryptoPerpetual:
    """Return the Nautilus instrument of a coin.

    Margin is the core's business: the venue asks for one over the highest leverage to open, and nothing
    to hold.
    """
    usdc = Currency.from_str("USDC")
    return CryptoPerpetual(
        instrument_id=instrument_id(spec.symbol, venue),
        raw_symbol=Symbol(spec.symbol),
        base_currency=Currency.from_str(spec.symbol.upper()),
        quote_currency=usdc,
        settlement_currency=usdc,
        is_inverse=False,
        price_precision=spec.price_decimals,
        size_precision=spec.size_decimals,
        price_increment=Price(10.0**-spec.price_decimals, spec.price_decimals),
        size_increment=Quantity(10.0**-spec.size_decimals, spec.size_decimals),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal(1) / max(spec.tiers.leverages),
        margin_maint=Decimal(0),
    )
