"""Time a mark update over a million open positions: ``python tests/bench/liquidation_scan.py``.

50 symbols; the updated one holds 100 000 positions, a fifth of them in cross accounts of four symbols each.
Measured are marks inside the band (``quiet``), a walk in steps of up to 2 bps that keeps meeting the bands of
cross accounts (``walk``), and a jump that puts 1 % of the symbol's positions under water (``burst``); each with
finding candidates, confirming them in exact decimal and filing healthy cross accounts anew. Left out: booking
what follows. Beside it, in the same run, scans of that symbol's positions in decimal and in numpy, of which
the ratios say how many times longer they take. All three must name the same positions.
After loading, ``gc.freeze`` takes what was loaded out of the collector's sight, as a service would at start;
the collector then runs as usual.
"""

import gc
import random
import resource
from decimal import Decimal
from time import perf_counter
from typing import NamedTuple

import numpy as np
from _bench import p50, p99, show, time_each

from risk.margin_tiers import MarginTiers
from risk.scan import CrossLeg, LiquidationIndex

SYMBOLS = [f"S{i:02}" for i in range(50)]
HOT = SYMBOLS[0]
ISOLATED, ISOLATED_HOT = 800_000, 80_000
ACCOUNTS, ACCOUNTS_HOT, LEGS = 50_000, 20_000, 4
MARK = Decimal(1000)
TIERS = MarginTiers.of([(0, 40), (150_000, 20), (500_000, 10)])
GOALS = {"quiet": 50.0, "walk": 2_000.0, "burst": 20_000.0}  # microseconds


class Held(NamedTuple):
    """One position in the hot symbol, or one leg of a cross account anywhere."""

    symbol: str
    side: int
    size: Decimal
    cost: Decimal
    margin: Decimal

    def excess(self, mark: Decimal) -> Decimal:
        """Give margin + unrealised PnL − maintenance, exactly."""
        notional = self.size * mark
        return self.margin + self.side * (notional - self.cost) - TIERS.maintenance(notional)


class Account(NamedTuple):
    """A cross account: its cash and its legs, the hot symbol's first where it has one."""

    cash: Decimal
    legs: tuple[Held, ...]

    def slack(self, mark: Decimal) -> Decimal:
        """Give account value − maintenance while only the hot symbol's mark moves."""
        return self.cash + sum(leg.excess(mark if leg.symbol == HOT else MARK) for leg in self.legs)


class Market:
    """The loaded index, and of the hot symbol the positions themselves."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.index = LiquidationIndex()
        self.isolated: dict[int, Held] = {}
        self.accounts: dict[str, Account] = {}
        for position_id in range(ISOLATED):
            held = self.draw(HOT if position_id < ISOLATED_HOT else self.rng.choice(SYMBOLS[1:]))
            self.index.put_isolated(position_id, *held, TIERS)
            if held.symbol == HOT:
                self.isolated[position_id] = held
        for number in range(ACCOUNTS):
            first = [HOT] if number < ACCOUNTS_HOT else []
            names = first + self.rng.sample(SYMBOLS[1:], LEGS - len(first))
            account = Account(Decimal(0), tuple(self.draw(name) for name in names))
            user = f"u{number:05}"
            self.file(user, account, MARK)
            if first:
                self.accounts[user] = account

    def draw(self, symbol: str) -> Held:
        """Draw a position opened at the mark with 1.5 to 25 times leverage, its size log-uniform."""
        size = Decimal(int(10 ** self.rng.uniform(2, 6))) / 1000
        margin = size * MARK / Decimal(round(self.rng.uniform(1.5, 25), 2))
        return Held(symbol, self.rng.choice((1, -1)), size, size * MARK, margin)

    def file(self, user: str, account: Account, mark: Decimal) -> bool:
        """Put an account back with the slack it has now, unless it has none; say whether it is under water."""
        slack = account.slack(mark)
        if slack <= 0:
            return True
        rate = TIERS.rates[-1]
        self.index.put_cross(
            user,
            slack,
            [
                CrossLeg(leg.symbol, leg.side * leg.size, leg.size, mark if leg.symbol == HOT else MARK, rate)
                for leg in account.legs
            ],
        )
        return False

    def update(self, mark: Decimal) -> tuple[list[int], list[str]]:
        """Find and confirm, as the book does on a mark that leaves its band."""
        ids, users = self.index.candidates(HOT, float(mark))
        isolated = [i for i in ids if self.isolated[i].excess(mark) <= 0]
        return isolated, [user for user in users if self.file(user, self.accounts[user], mark)]

    def exact_scan(self, mark: Decimal) -> tuple[list[int], list[str]]:
        """Look at every position of the symbol in decimal."""
        isolated = [i for i, held in self.isolated.items() if held.excess(mark) <= 0]
        return isolated, [user for user, account in self.accounts.items() if account.slack(mark) <= 0]


class ArrayScan:
    """The numpy alternative: every position of the hot symbol in columns, in floats, unconfirmed."""

    def __init__(self, market: Market) -> None:
        self.users = np.array(list(market.accounts))
        legs = [account.legs[0] for account in market.accounts.values()]
        rest = [float(a.slack(MARK) - a.legs[0].excess(MARK)) for a in market.accounts.values()]
        held = [*market.isolated.values(), *legs]
        self.side = np.array([p.side for p in held], float)
        self.size = np.array([float(p.size) for p in held])
        self.fixed = np.array([float(p.margin - p.side * p.cost) for p in held])
        self.fixed[ISOLATED_HOT:] += rest
        self.lowers, self.rates, self.deductions = (
            np.array(column, float) for column in (TIERS.lowers, TIERS.rates, TIERS.deductions)
        )

    def scan(self, mark: Decimal) -> tuple[list[int], list[str]]:
        """Give what is under water in floats."""
        notional = self.size * float(mark)
        tier = np.searchsorted(self.lowers, notional, side="right") - 1
        maintenance = notional * self.rates[tier] - self.deductions[tier]
        under = self.fixed + self.side * notional <= maintenance
        return np.flatnonzero(under[:ISOLATED_HOT]).tolist(), self.users[under[ISOLATED_HOT:]].tolist()


def find_burst(plain: ArrayScan) -> Decimal:
    """Find the mark, by tenths downwards, at which 1 % of the symbol's positions are under water."""
    mark = MARK
    while sum(map(len, plain.scan(mark))) < (ISOLATED_HOT + ACCOUNTS_HOT) // 100:
        mark -= Decimal("0.1")
    return mark


def walk(rng: random.Random, steps: int) -> list[Decimal]:
    """Draw marks that move by up to 2 bps at a time, 1 % off at most."""
    mark, marks = MARK, []
    for _ in range(steps):
        mark = min(max(mark + Decimal(rng.randint(-20, 20)) / 100, MARK * 99 / 100), MARK * 101 / 100)
        marks.append(mark)
    return marks


def time_burst(market: Market, mark: Decimal) -> int:
    """Time one jump from the mark at which all accounts were filed afresh."""
    for user, account in market.accounts.items():
        market.file(user, account, MARK)
    return time_each(market.update, [mark])[0]


def main() -> None:
    """Load, measure all three on the same marks, and print the table."""
    start = perf_counter()
    market = Market()
    loaded_s, memory_gib = perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    plain = ArrayScan(market)
    gc.collect()
    gc.freeze()

    low, high = market.index.band(HOT)
    inside = [low + (high - low) * share / 20_001 for share in range(1, 20_001)]
    spent = {"quiet": time_each(lambda mark: market.index.candidates(HOT, mark), inside)}
    spent["walk"] = time_each(market.update, walk(market.rng, 20_000))
    burst = find_burst(plain)
    spent["burst"] = sorted(time_burst(market, burst) for _ in range(5))

    found, exact, arrays = market.update(burst), market.exact_scan(burst), plain.scan(burst)
    decimal_us = p50(time_each(market.exact_scan, [burst] * 3))
    numpy_us = p50(time_each(plain.scan, [burst] * 50))
    show(
        f"Mark update, {ISOLATED + ACCOUNTS * LEGS:,} positions, {ISOLATED_HOT + ACCOUNTS_HOT:,} of the symbol",
        ["", "calls", "p50 µs", "p99 µs", "goal µs", "decimal scan ×", "numpy scan ×"],
        [
            (
                name,
                f"{len(each):,}",
                p50(each),
                p99(each),
                f"{GOALS[name]:,.0f}{'' if p99(each) <= GOALS[name] else ' MISSED'}",
                decimal_us / p50(each),
                numpy_us / p50(each),
            )
            for name, each in spent.items()
        ],
    )
    show(
        "Beside it",
        ["", "figure"],
        [
            (f"positions under water after the jump from {MARK} to {burst}", f"{len(exact[0])}"),
            ("cross accounts under water after it", f"{len(exact[1])}"),
            ("answers that differ from the decimal scan: index", f"{_differing(found, exact)}"),
            ("answers that differ from the decimal scan: numpy", f"{_differing(arrays, exact)}"),
            ("scan of the symbol in decimal, ms", decimal_us / 1000),
            ("scan of the symbol in numpy, floats, unconfirmed, ms", numpy_us / 1000),
            ("drawing positions and loading the index, s", loaded_s),
            ("memory with what the benchmark itself holds, GiB", memory_gib),
        ],
    )


def _differing(one: tuple[list[int], list[str]], other: tuple[list[int], list[str]]) -> int:
    return sum(len(set(a) ^ set(b)) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
