"""The named scenarios: what happens to prices, funding, liquidity and the crowd in each.

Places in time are fractions of the span, so a shorter run keeps its events; lengths that a scenario is
named for (a minute, five minutes) are absolute.
"""

import difflib
from dataclasses import dataclass

from risk.errors import InvalidInput

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3_600 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Slide:
    """A sudden fall of the market factor by log ``depth``, of which ``recovered`` comes back slowly."""

    at: float
    depth: float
    fall_ns: int
    recovered: float = 0.0
    recovery_half_life_ns: int = 10 * MINUTE_NS
    aftershock: float = 0.0  # extra volatility right after the fall, as a multiple of the usual


@dataclass(frozen=True, slots=True)
class PremiumSpike:
    """A stretch of the span in which the perpetual trades ``premium`` above its oracle."""

    begin: float
    end: float
    premium: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A silence of the venue's channel, ``[begin, begin + length)``."""

    at: float
    length_ns: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Describe one scenario; multipliers are relative to the coin's own figures.

    ``drift`` holds (fraction of the span, log level of the market factor) knots, linear in between.
    ``crowd`` is the share of retail users who only buy and hold; ``mix`` the odds of each user kind.
    """

    name: str
    summary: str
    volatility: float = 1.0
    spread: float = 1.0
    depth: float = 1.0
    drift: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    slide: Slide | None = None
    premium_spike: PremiumSpike | None = None
    outage: Outage | None = None
    crowd: float = 0.1
    mix: tuple[tuple[str, float], ...] = (
        ("retail", 0.80),
        ("informed", 0.08),
        ("whale", 0.04),
        ("hedger", 0.08),
    )


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("calm", "a quiet day without direction", volatility=0.6),
        Profile("trend", "a day of steady rise, +8 %", drift=((0.0, 0.0), (1.0, 0.08)), crowd=0.2),
        Profile(
            "one-way-crowd",
            "users pile into longs, the market first proves them right, then drops back",
            drift=((0.0, 0.0), (0.3, 0.02), (0.85, 0.22), (1.0, 0.12)),
            crowd=0.85,
        ),
        Profile(
            "flash-crash",
            "-15 % within a minute, about half of it recovered over the next half hour",
            slide=Slide(
                at=0.6,
                depth=0.19,
                fall_ns=40 * SECOND_NS,
                recovered=0.55,
                aftershock=3.0,
            ),
            crowd=0.4,
        ),
        Profile(
            "funding-spike",
            "six of twenty-four hours in which longs pay over 0.1 % an hour",
            premium_spike=PremiumSpike(begin=0.4, end=0.65, premium=0.012),
            crowd=0.4,
        ),
        Profile(
            "hl-outage",
            "five minutes of silence from Hyperliquid, during which the market slips 3 %",
            slide=Slide(at=0.52, depth=0.03, fall_ns=5 * MINUTE_NS),
            outage=Outage(at=0.52, length_ns=5 * MINUTE_NS),
            crowd=0.2,
        ),
        Profile("thin-book", "small sizes and wide spreads", spread=8.0, depth=0.02, volatility=1.3),
    )
}


def profile_named(name: str) -> Profile:
    """Return the scenario of that name; raise InvalidInput, suggesting the near one, when there is none."""
    if name in PROFILES:
        return PROFILES[name]
    near = difflib.get_close_matches(name, PROFILES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PROFILES)}"
    raise InvalidInput(f"synthetic profile was {name!r}: {hint}")
