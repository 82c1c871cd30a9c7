"""Speed of a backtest: its throughput while no user order arrives, and the whole real flow as a command.

Throughput: NautilusTrader's bare engine and ours are given the same million tick objects made before, add them
and run, in turns, the best of three counting; bare callbacks update a dict. Ours also mirrors every quote to the
hedge account's venue, takes snapshots and records. The command: from its start to the written report, catalog
built, beside a bare engine that loads and runs its ticks only.
Run: python tests/bench/throughput.py
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import AccountType, Currency, Money, OmsType, Venue
from nautilus_trader.trading import Strategy

from backtest.engine import run_engine
from backtest.feed import Feed
from backtest.scenario import load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from data.locate import find_history
from tests.bench._bench import show
from venues.hyperliquid.instruments import TRADING_VENUE, instrument_id, perpetual

TICKS = ("data.hours=36", "data.step=1s", "flow.users=1", "report.sample_interval=1h")
ROUNDS = 3
SHARE_GOAL = 0.7
REAL_FLOW = "flow-2023"
REAL_FLOW_GOAL_S = 5.0
COMMAND = Path(sys.executable).with_name("hybrid-perps")


class Bare(Strategy):
    """Do the least a strategy can do with a tick."""

    def __new__(cls, *_):
        return super().__new__(cls)

    def __init__(self, instruments):
        super().__init__()
        self.instruments = instruments
        self.quotes = {}
        self.marks = {}

    def on_start(self):
        for instrument in self.instruments:
            self.subscribe_quotes(instrument)
            self.subscribe_mark_prices(instrument)

    def on_quote(self, quote):
        self.quotes[quote.instrument_id] = quote

    def on_mark_price(self, mark):
        self.marks[mark.instrument_id] = mark


def run_bare(feed: Feed) -> int:
    """Run the ticks of ``feed`` through a bare engine; return how many there were."""
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR), run_analysis=False)
    )
    usdc = Currency.from_str("USDC")
    fees = MakerTakerFeeModel(Decimal(0), Decimal(0))
    engine.add_venue(
        Venue(TRADING_VENUE), OmsType.NETTING, AccountType.MARGIN, [Money(1e9, usdc)], usdc, fee_model=fees
    )
    for spec in feed.specs.values():
        engine.add_instrument(perpetual(spec))
    engine.add_strategy(Bare([instrument_id(symbol) for symbol in feed.specs]))
    count = 0
    for start, end in feed.slices():
        ticks, _ = feed.load(start, end)
        count += len(ticks)
        engine.add_data(ticks, sort=False)
        engine.sort_data()
        engine.run(start=start, end=end - 1, streaming=True)
        engine.clear_data()
    engine.end()
    engine.dispose()
    return count


def throughput() -> None:
    """Time ticks without orders through both engines and show them."""
    scenario = apply_overrides(load_scenario("synthetic-calm"), TICKS)
    feed = open_feed(scenario)
    made = {part: feed.load_ticks(*part) for part in feed.slices()}
    feed = replace(feed, flow=feed.flow.between(0, 0), load_ticks=lambda *part: made[part])
    ticks = sum(map(len, made.values()))
    bare = ours = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        run_bare(feed)
        middle = perf_counter()
        run_engine(scenario, feed)
        bare, ours = min(bare, middle - start), min(ours, perf_counter() - middle)
    rows = [
        ("bare engine, dict update", ticks / bare / 1000, 1.0, ""),
        ("hybrid-perps", ticks / ours / 1000, bare / ours, SHARE_GOAL),
    ]
    show(f"{ticks:,} ticks without orders", ("run", "1 000 ticks/s", "of bare", "goal"), rows)


def real_flow() -> None:
    """Time the real flow as a command and show it, or say that its history is not there."""
    if find_history() is None:
        show(f"{REAL_FLOW}: skipped, no history here (HYBRID_PERPS_DATA names its folder)", (), ())
        return
    feed = open_feed(load_scenario(REAL_FLOW))  # builds the catalog where there is none
    start = perf_counter()
    ticks = run_bare(feed)
    bare = perf_counter() - start
    ours = float("inf")
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            command = [COMMAND, "backtest", REAL_FLOW, "--out", out]
            start = perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            ours = min(ours, perf_counter() - start)
            assert (out / "report.html").is_file()
    rows = [
        ("bare engine, ticks only", bare, 1.0, ""),
        (f"hybrid-perps backtest {REAL_FLOW}", ours, ours / bare, REAL_FLOW_GOAL_S),
    ]
    show(f"{ticks:,} ticks and the real flow", ("run", "s", "times bare", "goal, s"), rows)


def main() -> None:
    """Time both."""
    throughput()
    real_flow()


if __name__ == "__main__":
    main()
