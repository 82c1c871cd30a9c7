"""Time the pre-search against whole runs and against a plain loop: ``python tests/bench/presearch.py [SCENARIO]``.

The same flow, the same settings: one engine run, the same sums in a Python loop without numpy, and thousands of
settings at once, with thresholds alone and with modes that switch by exposure. Their figures are compared too.
"""

import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import accumulate, islice
from math import isclose
from time import perf_counter
from typing import Any

from _bench import show

from backtest.engine import run_engine
from backtest.scenario import load_scenario
from backtest.scenario_overrides import with_values
from backtest.sources import open_feed
from backtest.tuning.exposure_paths import unforced_limit
from backtest.tuning.internal_flow import InternalFlow
from backtest.tuning.internal_run import FlowRecorder, internal_flow
from backtest.tuning.presearch import estimate, reference
from risk.settings import HOUR_NS, Settings

SETTINGS = 4_000
PLAIN = 5  # settings that the plain loop is given
LIMIT = Decimal(20_000)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds a call took, and what it returned."""
    start = perf_counter()
    found = call()
    return perf_counter() - start, found


class PlainLoop:
    """Estimate one setting after another, thresholds alone deciding, in lists and loops."""

    def __init__(self, flow: InternalFlow) -> None:
        self._flow = flow
        self._times = flow.snapshot_ns.tolist()
        self._symbols = [
            (
                name,
                each.notional.tolist(),
                [getattr(each.yields, field).tolist() for field in ("volume", "result", "traded", "charged")],
                [getattr(each, field).tolist() for field in ("decision", "size", "gained", "charged")],
                each.seen.tolist(),
                each.snapshot_mark.tolist(),
            )
            for name, each in flow.symbols.items()
        ]

    def estimate(self, settings: Settings) -> dict[str, float]:
        """Return the estimates of ``presearch.estimate`` for one setting."""
        flow, rate = self._flow, float(settings.risk.builder_fee_rate)
        dollar = 10.0**flow.places
        totals, path = [0] * len(self._times), [0.0] * len(self._times)
        volume, pnl, traded = 0, 0.0, 0.0
        for name, notionals, yields, changes, seen, marks in self._symbols:
            config = settings.routing_of(name)
            limit = unforced_limit(flow, config.routing_mode, config, settings.risk)
            for notional, inside, result, outside, charged in zip(notionals, *yields, strict=True):
                if notional <= limit:
                    volume += inside
                    pnl += result
                else:
                    traded += outside
                    pnl += rate * charged
            columns = zip(*changes, strict=True)
            net, gained, done = 0, 0.0, 0
            for number, (upto, mark) in enumerate(zip(seen, marks, strict=True)):
                for decision, size, brought, charged in islice(columns, upto - done):
                    if notionals[decision] <= limit:
                        net += size
                        gained += brought
                    else:
                        gained += rate * charged
                done = upto
                totals[number] += abs(net) * mark
                path[number] += gained - net * mark / dollar
        above = flow.units(LIMIT)
        pairs = zip(self._times, self._times[1:], totals, strict=False)
        over = sum(after - before for before, after, total in pairs if total > above)
        peaks = accumulate(path, max, initial=0.0)
        next(peaks)
        return {
            "house_pnl": pnl,
            "max_drawdown": max(peak - at for peak, at in zip(peaks, path, strict=True)),
            "max_exposure": max(totals) / dollar,
            "hours_over_limit": over / HOUR_NS,
            "internal_share": volume / dollar / (volume / dollar + traded),
        }


def drawn(scenario: Any, auto: bool, count: int) -> list[Settings]:
    """Return ``count`` settings whose thresholds rise evenly."""
    return [
        with_values(
            scenario,
            {
                "routing.*.normal_threshold": Decimal(100 + 20_000 * number // count),
                "routing.*.betting_threshold": Decimal(500 + 50_000 * number // count),
                "routing.*.auto_switch_enabled": auto,
                "routing.*.routing_mode": "NORMAL_MODE",
            },
        ).settings()
        for number in range(count)
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure all of it, check that they agree, and print the table."""
    scenario = load_scenario(arguments[0] if arguments else "synthetic-trend")
    feed = open_feed(scenario)
    recorder = FlowRecorder()
    engine_s, _ = timed(lambda: run_engine(scenario, feed))
    reference_s, run = timed(lambda: run_engine(reference(scenario), feed, observe=recorder.watch))
    reading_s, flow = timed(lambda: internal_flow(recorder, run.recorder.tables()))
    rate = float(scenario.risk.builder_fee_rate)
    drawing_s, fixed = timed(lambda: drawn(scenario, False, SETTINGS))
    switched = drawn(scenario, True, SETTINGS)
    sizes_s, estimates = timed(lambda: estimate(flow, fixed, LIMIT, rate))
    modes_s, _ = timed(lambda: estimate(flow, switched, LIMIT, rate))
    chosen = range(0, SETTINGS, SETTINGS // PLAIN)
    loop = PlainLoop(flow)
    plain_s, plain = timed(lambda: [loop.estimate(fixed[number]) for number in chosen])
    for number, found in zip(chosen, plain, strict=True):
        for name, figure in found.items():
            # Sums of floats differ in their last digits with the order they are added up in.
            assert isclose(figure, estimates[name][number], rel_tol=1e-9, abs_tol=1e-6), name
    decisions = sum(len(each.notional) for each in flow.symbols.values())
    rows = [
        ("one engine run", engine_s, engine_s * 1000),
        (f"drawing and checking, {SETTINGS} settings", drawing_s, drawing_s / SETTINGS * 1000),
        (f"plain loop, thresholds alone, {PLAIN} settings", plain_s, plain_s / PLAIN * 1000),
        (f"thresholds alone, {SETTINGS} settings", sizes_s, sizes_s / SETTINGS * 1000),
        (f"modes that switch too, {SETTINGS} settings", modes_s, modes_s / SETTINGS * 1000),
    ]
    show(
        f"Pre-search on {scenario.name}: {decisions:,} opening orders; once: {reference_s:.1f} s run, "
        f"{reading_s:.2f} s reading",
        ("", "seconds", "ms per setting", "settings/s", "× engine"),
        [(name, spent, each, 1000 / each, engine_s * 1000 / each) for name, spent, each in rows],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
