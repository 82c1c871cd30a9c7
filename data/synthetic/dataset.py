"""A whole synthetic data set, market and flow, from a scenario's name and a seed."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from data.flow import Flow
from data.synthetic.flow import synthetic_flow
from data.synthetic.market import DAY_NS, MarketFrames, outages, synthetic_market
from data.synthetic.profiles import SECOND_NS, Profile, profile_named
from risk.errors import InvalidInput
from risk.market import SymbolSpec
from venues.hyperliquid.specs import bundled_specs

DEFAULT_SYMBOLS = ("BTC", "ETH", "SOL", "DOGE")
DEFAULT_START_NS = 1_748_736_000 * SECOND_NS  # 2025-06-01T00:00Z


@dataclass(frozen=True, slots=True)
class SyntheticDataset:
    """Hold one generated market and flow; ``span`` is ``[start, end)`` in nanoseconds."""

    profile: Profile
    seed: int
    specs: Mapping[str, SymbolSpec]
    step_ns: int
    span: tuple[int, int]
    market: Mapping[str, MarketFrames]
    flow: Flow
    outages: list[tuple[int, int]]

    @property
    def symbols(self) -> list[str]:
        """Return the symbols in the order they were asked for."""
        return list(self.market)

    @property
    def resolution_ns(self) -> dict[str, int]:
        """Return the time between two rows of each symbol's market."""
        return dict.fromkeys(self.market, self.step_ns)

    @property
    def funding(self) -> dict[str, pa.Table]:
        """Return each symbol's FUNDING frame."""
        return {symbol: frames.funding for symbol, frames in self.market.items()}

    @property
    def oracles(self) -> dict[str, pa.Table]:
        """Return each symbol's ORACLES frame."""
        return {symbol: frames.oracles for symbol, frames in self.market.items()}


def synthetic_dataset(
    profile_name: str,
    seed: int,
    specs: Mapping[str, SymbolSpec] | None = None,
    *,
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS,
    users: int = 250,
    start_ns: int = DEFAULT_START_NS,
    duration_ns: int = DAY_NS,
    step_ns: int = 5 * SECOND_NS,
) -> SyntheticDataset:
    """Generate the scenario ``profile_name``; ``specs`` default to the bundled snapshot of Hyperliquid's.

    The defaults make a day of four coins: some 140 000 quotes and marks and 4 000 orders, in half a second.
    Raise InvalidInput for an unknown scenario or symbol, a negative seed, or sizes out of range.
    """
    profile = profile_named(profile_name)
    specs = bundled_specs() if specs is None else specs
    if seed < 0:
        raise InvalidInput(f"seed was {seed}: must be 0 or more")
    for symbol in symbols:
        if symbol not in specs:
            raise InvalidInput(f"symbol was {symbol!r}: must be one of {', '.join(specs)}")
    chosen = {symbol: specs[symbol] for symbol in symbols}
    market = synthetic_market(profile, chosen, start_ns, duration_ns, step_ns, seed)
    return SyntheticDataset(
        profile=profile,
        seed=seed,
        specs=chosen,
        step_ns=step_ns,
        span=(start_ns, start_ns + duration_ns),
        market=market,
        flow=synthetic_flow(profile, market, chosen, users, seed),
        outages=outages(profile, start_ns, duration_ns, step_ns),
    )
