"""Time one routing decision against a bare chain of float comparisons: ``python tests/bench/routing.py``.

Every call is timed on its own, the collector running; a timer's own cost is measured the same way and shown.
Orders and house states are drawn with a fixed seed, so that every branch is taken and none is predictable.
"""

import random
from collections.abc import Callable
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

from rich.console import Console
from rich.table import Table

from risk.events import Source
from risk.routing import HouseState, decide
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

CALLS = 200_000
GOAL_P99_US = 20.0

Order = tuple[Decimal, RoutingMode, HouseState]
FloatOrder = tuple[float, RoutingMode, tuple[bool, float, bool, float, float, bool, bool, bool]]


def draw_orders(count: int, seed: int = 1) -> list[Order]:
    """Draw orders of log-uniform size in houses of which about a third has a reason to forward."""
    rng = random.Random(seed)

    def cents(low: int, high: int) -> Decimal:
        return Decimal(rng.randint(low * 100, high * 100)) / 100

    modes = list(RoutingMode)
    return [
        (
            Decimal(round(10 ** rng.uniform(1, 5.5) * 100)) / 100,
            rng.choice(modes),
            HouseState(
                whitelisted=rng.random() > 0.05,
                reserve=cents(150_000, 1_000_000),
                breaker_open=rng.random() < 0.05,
                symbol_exposure=cents(0, 1_050_000),
                total_exposure=cents(0, 5_250_000),
                range_open=rng.random() < 0.05,
                channel_unhealthy=rng.random() < 0.05,
                quarantined=rng.random() < 0.05,
            ),
        )
        for _ in range(count)
    ]


def as_floats(order: Order) -> FloatOrder:
    """Give the same order in floats."""
    notional, mode, s = order
    house = (
        s.whitelisted,
        float(s.reserve),
        s.breaker_open,
        float(s.symbol_exposure),
        float(s.total_exposure),
        s.range_open,
        s.channel_unhealthy,
        s.quarantined,
    )
    return float(notional), mode, house


def goes_internal(order: FloatOrder) -> bool:
    """Decide in the plainest way: no reason, no record, limits typed in."""
    notional, mode, (whitelisted, reserve, breaker, exposure, total, wide, unhealthy, jumped) = order
    if not whitelisted or reserve < 200_000 or breaker or exposure > 1_000_000 or total > 5_000_000:
        return False
    if wide or unhealthy or jumped or mode is RoutingMode.HL_MODE:
        return False
    threshold = 50_000.0 if mode is RoutingMode.BETTING_MODE else 10_000.0
    return notional <= (threshold / 2 if reserve < 500_000 else threshold)


def time_each(call: Callable[[Any], object], arguments: list[Any]) -> list[int]:
    """Time each call by itself; return nanoseconds, ascending."""
    for argument in arguments[:1000]:
        call(argument)
    spent = []
    for argument in arguments:
        start = perf_counter_ns()
        call(argument)
        spent.append(perf_counter_ns() - start)
    return sorted(spent)


def main() -> None:
    """Run all three, check that core and plain chain agree, and print the table."""
    config, risk = RoutingConfig(), RiskConfig()
    orders = draw_orders(CALLS)
    floats = [as_floats(order) for order in orders]

    def core(order: Order) -> bool:
        notional, mode, house = order
        return decide(notional, mode, config, risk, house).route is Source.INTERNAL

    differing = sum(
        core(order) is not goes_internal(plain) for order, plain in zip(orders, floats, strict=True)
    )
    rows = {
        "risk.routing.decide": time_each(core, orders),
        "plain float chain": time_each(goes_internal, floats),
        "timing an empty call": time_each(lambda _: None, orders),
    }
    baseline = rows["plain float chain"]
    table = Table(title=f"Routing decision, {CALLS:,} calls timed singly (goal: p99 {GOAL_P99_US:g} µs)")
    for name in ("", "p50 µs", "p99 µs", "max µs", "p50 × plain", "p99 × plain"):
        table.add_column(name, justify="right" if name else "left")
    p50, p99 = CALLS // 2, CALLS * 99 // 100
    for name, spent in rows.items():
        figures = [f"{spent[at] / 1000:.2f}" for at in (p50, p99, -1)]
        ratios = [f"{spent[at] / baseline[at]:.1f}" for at in (p50, p99)]
        table.add_row(name, *figures, *ratios)
    reached = rows["risk.routing.decide"][p99] / 1000 <= GOAL_P99_US
    console = Console()
    console.print(table)
    console.print(
        f"goal {'reached' if reached else 'MISSED'}; decisions that differ from the plain chain: {differing}"
    )


if __name__ == "__main__":
    main()
