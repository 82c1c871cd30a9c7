"""Time quiet ticks through ``MarketWatch`` against a dict update per tick: ``python tests/bench/watch.py``.

50 symbols in turn, every tick with a new price. The plain alternative keeps the last tick in a dict and
decides nothing; the loop that calls them is timed with either.
"""

import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

from _bench import show

from risk.margin_tiers import MarginTiers
from risk.market import SymbolSpec
from risk.settings import Settings
from risk.watch import Bands, MarketWatch

TICKS = 500_000
ROUNDS = 3
STEP_NS = 10_000_000
SYMBOLS = [f"S{i:02}" for i in range(50)]

Quote = tuple[str, int, float, float, float, float]
Mark = tuple[str, int, float]


def draw(seed: int = 1) -> tuple[list[Quote], list[Mark]]:
    """Draw ticks of calm markets, each symbol's mark wandering within 0.2 % of 1000."""
    rng = random.Random(seed)
    quotes: list[Quote] = []
    marks: list[Mark] = []
    for i in range(TICKS):
        symbol, ts = SYMBOLS[i % len(SYMBOLS)], i * STEP_NS
        mark = 1000 + rng.randint(-20, 20) / 10
        quotes.append((symbol, ts, mark - 0.1, mark + 0.1, 1.0, 1.0))
        marks.append((symbol, ts, mark))
    return quotes, marks


def best_ns(prepare: Callable[[], Callable[..., Any]], ticks: list[Any]) -> float:
    """Give nanoseconds per tick of the best of a few rounds, each with a fresh receiver."""
    best = float("inf")
    for _ in range(ROUNDS):
        receive = prepare()
        start = perf_counter()
        for tick in ticks:
            receive(*tick)
        best = min(best, perf_counter() - start)
    return best / len(ticks) * 1e9


def calm_watch() -> MarketWatch:
    """Set up a watch whose bands no tick leaves."""
    tiers = MarginTiers.of([(0, 40)])
    watch = MarketWatch({name: SymbolSpec(name, 3, 1, tiers) for name in SYMBOLS}, Settings())
    for name in SYMBOLS:
        watch.set_bands(name, Bands(mark_low=900.0, mark_high=1100.0, ask_low=900.0, bid_high=1100.0))
    return watch


def plain_dict() -> Callable[..., None]:
    """Give a receiver that keeps the last tick of each symbol."""
    last: dict[str, tuple[Any, ...]] = {}

    def receive(symbol: str, *tick: Any) -> None:
        last[symbol] = tick

    return receive


def main() -> None:
    """Check that every tick is quiet, measure, and print the table."""
    quotes, marks = draw()
    told, rows = 0, []
    for name, ticks in (("on_quote", quotes), ("on_mark", marks)):
        take = getattr(calm_watch(), name)
        told += sum(take(*tick) for tick in ticks)
        ours = best_ns(lambda name=name: getattr(calm_watch(), name), ticks)
        plain = best_ns(plain_dict, ticks)
        rows.append((name, ours, 1e3 / ours, plain, ours / plain))
    show(
        f"Quiet ticks, {TICKS:,} over {len(SYMBOLS)} symbols, best of {ROUNDS}; not quiet: {told}",
        ["MarketWatch", "ns per tick", "million/s", "dict update ns", "× dict"],
        rows,
    )


if __name__ == "__main__":
    main()
