"""Speed of tuning: runs of the real flow on two workers against fresh ``backtest`` commands one after another.

Every run has a threshold of its own. Fresh commands are timed first and last, a few of them, and each must have
the digest of its trial; the pool's time counts from nothing to the last outcome, start-up and data included, with
the highest memory of its workers.
Run: python tests/bench/tuning.py [RUNS [FRESH]], 100 and 4 by default: about ten minutes
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter, sleep

import psutil

from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import with_values
from backtest.scenario_toml import dump_toml
from backtest.tuning.pool import open_pool
from backtest.tuning.trial import Finished, Job
from data.locate import find_history
from tests.bench._bench import show

FLOW = "flow-2023"
WORKERS = 2
GOAL = 4.0
COMMAND = Path(sys.executable).with_name("hybrid-perps")


def variants(count: int) -> list[Scenario]:
    """Return the flow's scenario at so many normal thresholds."""
    base = load_scenario(FLOW)
    return [with_values(base, {"routing.*.normal_threshold": 200 + 90 * n}) for n in range(count)]


def fresh(scenario: Scenario, folder: Path) -> tuple[float, str]:
    """Run one command; return its seconds and the digest."""
    path = folder / "one.toml"
    path.write_text(dump_toml(scenario))
    command = [COMMAND, "backtest", path, "--json", "--out", folder / "out"]
    start = perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return perf_counter() - start, json.loads(told)["digest"]


class Memory(threading.Thread):
    """Watch the workers' memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = 0

    def run(self) -> None:
        while True:
            for child in psutil.Process().children():
                try:
                    self.highest = max(self.highest, child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            sleep(0.5)


def main() -> None:
    """Print the figures."""
    given = [int(each) for each in sys.argv[1:]]
    runs, few = (*given, *(100, 4)[len(given) :])
    if find_history() is None:
        sys.exit("no history at hand: this bench needs flow-2023")
    scenarios = variants(runs)
    chosen = [n * (runs - 1) // max(1, few - 1) for n in range(few)]
    with tempfile.TemporaryDirectory() as folder:
        fresh(scenarios[0], Path(folder))  # the catalog is built, files are in the cache
        before = [fresh(scenarios[n], Path(folder)) for n in chosen[: few // 2]]
        memory = Memory()
        memory.start()
        start = perf_counter()
        outcomes = {}
        with open_pool(WORKERS) as pool:
            for ticket, scenario in enumerate(scenarios):
                pool.submit(ticket, Job(scenario))
            for _ in scenarios:
                ticket, outcome = pool.next_done()
                assert isinstance(outcome, Finished), outcome
                outcomes[ticket] = outcome
            spent = perf_counter() - start
        after = [fresh(scenarios[n], Path(folder)) for n in chosen[few // 2 :]]
    for n, (_, digest) in zip(chosen, before + after, strict=True):
        assert outcomes[n].digest == digest, f"run {n}: {outcomes[n].digest} is not {digest}"
    one = sum(seconds for seconds, _ in before + after) / few
    trial = sum(outcome.seconds for outcome in outcomes.values()) / runs
    show(
        f"{runs} runs of {FLOW}, {WORKERS} workers; the same digests as {few} fresh commands",
        ("", "seconds", "of fresh"),
        [
            ("one fresh command, mean", one, 1.0),
            ("one trial within a worker, mean", trial, trial / one),
            (f"{runs} fresh commands, one after another (the mean, so many times)", one * runs, 1.0),
            (f"{runs} trials on {WORKERS} workers, start to end", spent, spent / (one * runs)),
        ],
    )
    times, highest = one * runs / spent, memory.highest / 1e6
    print(f"{times:.2f} times faster (goal {GOAL:.0f}); highest memory of a worker {highest:.0f} MB")


if __name__ == "__main__":
    main()
