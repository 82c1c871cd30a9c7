"""The kinds of synthetic users: how much they bring, how they trade, and who a given user is."""

from dataclasses import dataclass

import numpy as np

from data.synthetic.profiles import Profile


@dataclass(frozen=True, slots=True)
class Habits:
    """Describe one kind of user; pairs are the ends of a range that each user or trade draws from."""

    kind: str
    deposit_usd: float  # median
    deposit_spread: float  # sigma of its logarithm
    leverage: tuple[int, int]
    isolated_share: float
    stake: tuple[float, float]  # margin of one trade, as a share of the deposit
    trades_per_day: float
    limit_share: float


HABITS = {
    habits.kind: habits
    for habits in (
        Habits("retail", 700.0, 1.0, (8, 40), 0.65, (0.10, 0.35), 12.0, 0.25),
        Habits("crowd", 4_000.0, 0.6, (5, 15), 0.50, (0.08, 0.18), 9.0, 0.15),
        Habits("informed", 8_000.0, 0.5, (5, 12), 0.10, (0.05, 0.12), 15.0, 0.0),
        Habits("whale", 120_000.0, 0.6, (8, 25), 0.40, (0.10, 0.30), 4.0, 0.0),
        Habits("hedger", 12_000.0, 0.5, (2, 5), 0.0, (0.08, 0.20), 6.0, 0.0),
    )
}


@dataclass(frozen=True, slots=True)
class User:
    """Be one synthetic user; ``joined`` is a fraction of the span, ``deposit_usd`` whole dollars."""

    name: str
    habits: Habits
    joined: float
    deposit_usd: int
    leverage: int
    margin_mode: str


def draw_user(profile: Profile, name: str, rng: np.random.Generator) -> User:
    """Draw who ``name`` is: a kind by the scenario's odds, then that kind's means and habits."""
    kinds, odds = zip(*profile.mix, strict=True)
    kind = str(rng.choice(kinds, p=odds))
    if kind == "retail" and rng.random() < profile.crowd:
        kind = "crowd"
    habits = HABITS[kind]
    late = rng.random() < 0.3
    return User(
        name=name,
        habits=habits,
        joined=float(rng.uniform(0.0, 0.6 if late else 0.01)),
        deposit_usd=max(50, int(habits.deposit_usd * rng.lognormal(0.0, habits.deposit_spread))),
        leverage=int(rng.integers(habits.leverage[0], habits.leverage[1] + 1)),
        margin_mode="ISOLATED" if rng.random() < habits.isolated_share else "CROSS",
    )
