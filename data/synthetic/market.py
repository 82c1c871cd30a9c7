"""Synthetic markets: quotes, marks, oracles and funding of several coins that move together.

Log prices are a random walk: one market factor plus each coin's own noise, both scaled by one slow
volatility regime, plus the scenario's drift and slide times the coin's beta. The perpetual trades at a
small mean-reverting basis to spot; spreads widen and sizes shrink as volatility rises.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.frames import FUNDING, MARKS, ORACLES, QUOTES
from data.synthetic.arrays import Bools, Floats, Ints, mean_reverting, smooth
from data.synthetic.coins import COINS, Coin
from data.synthetic.funding import hourly_funding
from data.synthetic.profiles import HOUR_NS, MINUTE_NS, SECOND_NS, Profile
from data.synthetic.seeds import stream
from data.synthetic.ticks import round_down, round_near, round_up
from risk.errors import InvalidInput
from risk.market import SymbolSpec

DAY_NS = 24 * HOUR_NS

_REGIME_HALF_LIFE_NS = 2 * HOUR_NS
_REGIME_SIGMA = 0.35
_BASIS_HALF_LIFE_NS = 20 * MINUTE_NS
_BASIS_SIGMA = 0.00015
_MARK_HALF_LIFE_NS = 3 * SECOND_NS  # Hyperliquid's mark follows the mid within seconds
_ORACLE_HALF_LIFE_NS = 10 * SECOND_NS
_ORACLE_EVERY_NS = MINUTE_NS


@dataclass(frozen=True, slots=True)
class MarketFrames:
    """Hold one symbol's frames, in the columns of data.frames."""

    quotes: pa.Table
    marks: pa.Table
    oracles: pa.Table
    funding: pa.Table


@dataclass(frozen=True, slots=True)
class _Grid:
    """The common clock of a market: the time of every step and what the scenario does there."""

    ts: Ints
    step_ns: int
    level: Floats  # the scenario's log level of the market factor
    regime: Floats  # volatility as a multiple of the usual
    shock: Floats  # standard normal steps of the market factor
    audible: Bools  # false in an outage


def synthetic_market(
    profile: Profile,
    specs: Mapping[str, SymbolSpec],
    start_ns: int,
    duration_ns: int,
    step_ns: int,
    seed: int,
) -> dict[str, MarketFrames]:
    """Generate a row per step in ``[start_ns, start_ns + duration_ns)`` for every symbol of ``specs``.

    The same arguments give the same frames; a symbol's frames do not depend on which others are asked for.
    Raise InvalidInput for an unknown symbol, a step outside 1-60 s, or a span that is shorter than an hour
    or not whole steps.
    """
    _check_clock(duration_ns, step_ns)
    grid = _grid(profile, start_ns, duration_ns, step_ns, seed)
    return {symbol: _frames(profile, _coin(symbol), spec, grid, seed) for symbol, spec in specs.items()}


def outages(profile: Profile, start_ns: int, duration_ns: int, step_ns: int) -> list[tuple[int, int]]:
    """Return the ``[begin, end)`` times in which the scenario's venue sends nothing."""
    if profile.outage is None:
        return []
    begin = start_ns + _whole_steps(profile.outage.at, duration_ns, step_ns) * step_ns
    return [(begin, begin + profile.outage.length_ns)]


def _check_clock(duration_ns: int, step_ns: int) -> None:
    if not SECOND_NS <= step_ns <= MINUTE_NS:
        raise InvalidInput(f"step_ns was {step_ns}: must be from {SECOND_NS} to {MINUTE_NS} (1 s to 60 s)")
    if duration_ns < HOUR_NS or duration_ns % step_ns:
        raise InvalidInput(
            f"duration_ns was {duration_ns}: must be whole steps of {step_ns}, at least an hour"
        )


def _coin(symbol: str) -> Coin:
    if symbol not in COINS:
        raise InvalidInput(f"synthetic symbol was {symbol!r}: must be one of {', '.join(COINS)}")
    return COINS[symbol]


def _whole_steps(fraction: float, duration_ns: int, step_ns: int) -> int:
    return int(fraction * (duration_ns // step_ns))


def _grid(profile: Profile, start_ns: int, duration_ns: int, step_ns: int, seed: int) -> _Grid:
    count = duration_ns // step_ns
    rng = stream(seed, "market")
    ts = start_ns + np.arange(count, dtype=np.int64) * step_ns
    fractions, levels = zip(*profile.drift, strict=True)
    level = np.interp(np.arange(count) / count, fractions, levels)
    regime = np.exp(_REGIME_SIGMA * mean_reverting(rng.standard_normal(count), step_ns, _REGIME_HALF_LIFE_NS))
    if (slide := profile.slide) is not None:
        since = ts - ts[_whole_steps(slide.at, duration_ns, step_ns)]
        after = np.maximum(since - slide.fall_ns, 0)
        back = 1.0 - np.exp2(-after / slide.recovery_half_life_ns)
        level -= slide.depth * (np.clip(since / slide.fall_ns, 0.0, 1.0) - slide.recovered * back)
        regime *= 1.0 + slide.aftershock * (since >= 0) * np.exp2(-after / slide.recovery_half_life_ns)
    audible = np.ones(count, dtype=np.bool_)
    for begin, end in outages(profile, start_ns, duration_ns, step_ns):
        audible &= (ts < begin) | (ts >= end)
    return _Grid(ts, step_ns, level, profile.volatility * regime, rng.standard_normal(count), audible)


def _frames(profile: Profile, coin: Coin, spec: SymbolSpec, grid: _Grid, seed: int) -> MarketFrames:
    rng = stream(seed, "symbol", coin.symbol)
    spot = _spot(coin, grid, rng)
    mid = spot * (1.0 + _basis(profile, grid, rng))
    half_spread = mid * coin.spread_bps * profile.spread * grid.regime / 20_000.0
    bid = round_down(mid - half_spread, spec.price_decimals)
    ask = round_up(mid + half_spread, spec.price_decimals)
    mark = round_near(smooth(mid, grid.step_ns, _MARK_HALF_LIFE_NS), spec.price_decimals)
    oracle = round_near(smooth(spot, grid.step_ns, _ORACLE_HALF_LIFE_NS), spec.price_decimals)
    depth = coin.depth_usd * profile.depth / grid.regime / mid
    bid_size, ask_size = (_sizes(depth, spec.size_decimals, rng) for _ in range(2))
    heard = grid.audible
    published = heard & (np.arange(len(heard)) % max(1, _ORACLE_EVERY_NS // grid.step_ns) == 0)
    quotes = [column[heard] for column in (grid.ts, bid, ask, bid_size, ask_size)]
    funding = hourly_funding(grid.ts[heard], bid[heard], ask[heard], oracle[heard])
    return MarketFrames(
        quotes=pa.Table.from_arrays([pa.array(column) for column in quotes], schema=QUOTES),
        marks=pa.table([grid.ts[heard], mark[heard]], schema=MARKS),
        oracles=pa.table([grid.ts[published], oracle[published]], schema=ORACLES),
        funding=pa.table(list(funding), schema=FUNDING),
    )


def _spot(coin: Coin, grid: _Grid, rng: np.random.Generator) -> Floats:
    own = rng.standard_normal(len(grid.ts))
    step_sigma = coin.daily_volatility * np.sqrt(grid.step_ns / DAY_NS)
    common = coin.correlation
    steps = step_sigma * grid.regime * (common * grid.shock + np.sqrt(1.0 - common**2) * own)
    steps[0] = 0.0
    return np.asarray(coin.price * np.exp(np.cumsum(steps) + coin.beta * grid.level))


def _basis(profile: Profile, grid: _Grid, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(len(grid.ts))
    basis = _BASIS_SIGMA * mean_reverting(noise, grid.step_ns, _BASIS_HALF_LIFE_NS)
    if (spike := profile.premium_spike) is not None:
        ramp = 0.1 * (spike.end - spike.begin)
        corners = (spike.begin, spike.begin + ramp, spike.end - ramp, spike.end)
        fraction = np.arange(len(grid.ts)) / len(grid.ts)
        basis += np.interp(fraction, corners, (0.0, spike.premium, spike.premium, 0.0))
    return basis


def _sizes(depth: Floats, size_decimals: int, rng: np.random.Generator) -> Floats:
    lots_per_coin = 10.0**size_decimals
    lots = np.rint(depth * rng.lognormal(0.0, 0.6, len(depth)) * lots_per_coin)
    return np.maximum(lots, 1.0) / lots_per_coin
