"""The coins synthetic markets know: price level, liveliness and liquidity of mid-2025."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coin:
    """Describe one coin's market; volatility is of log returns, depth the notional at the best price."""

    symbol: str
    price: float
    daily_volatility: float
    beta: float  # to the market factor, for drift and crashes
    correlation: float  # with the market factor, for ordinary noise
    spread_bps: float
    depth_usd: float
    popularity: float  # relative odds that a user trades it


COINS = {
    coin.symbol: coin
    for coin in (
        Coin("BTC", 96_000.0, 0.022, 1.0, 0.90, 0.4, 600_000.0, 0.40),
        Coin("ETH", 3_400.0, 0.032, 1.1, 0.85, 0.6, 300_000.0, 0.28),
        Coin("SOL", 165.0, 0.040, 1.15, 0.80, 1.2, 150_000.0, 0.20),
        Coin("DOGE", 0.21, 0.046, 1.25, 0.75, 2.5, 60_000.0, 0.12),
        Coin("XRP", 2.3, 0.038, 1.1, 0.75, 1.5, 100_000.0, 0.10),
        Coin("AVAX", 21.0, 0.044, 1.2, 0.80, 2.5, 40_000.0, 0.06),
    )
}
