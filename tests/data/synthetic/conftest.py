"""Margin tables and decimals as Hyperliquid lists these coins, and two hours of every scenario."""

from functools import cache

import pytest

from data.synthetic.dataset import SyntheticDataset, synthetic_dataset
from data.synthetic.profiles import HOUR_NS
from risk.margin import MarginTiers
from risk.market import SymbolSpec

SPECS = {
    symbol: SymbolSpec(symbol, size_decimals, 6 - size_decimals, MarginTiers.of(tiers))
    for symbol, size_decimals, tiers in (
        ("BTC", 5, ((0, 40), (150_000_000, 20))),
        ("ETH", 4, ((0, 25), (100_000_000, 15))),
        ("SOL", 2, ((0, 20), (70_000_000, 10))),
        ("DOGE", 0, ((0, 10), (20_000_000, 5))),
    )
}


@cache
def _short(name: str, seed: int) -> SyntheticDataset:
    return synthetic_dataset(name, seed, SPECS, users=60, duration_ns=2 * HOUR_NS)


@cache
def _whole_day(name: str) -> SyntheticDataset:
    return synthetic_dataset(name, 7, SPECS)


@pytest.fixture
def specs():
    return SPECS


@pytest.fixture
def short():
    """Two hours of a scenario by name and seed."""
    return lambda name, seed=7: _short(name, seed)


@pytest.fixture
def whole_day():
    """The default size of a scenario by name."""
    return _whole_day
