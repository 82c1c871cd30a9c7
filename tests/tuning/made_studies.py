"""Small studies for tests, and pools without processes: one that runs jobs, one that only computes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Any

from backtest.scenario_values import parse_duration
from backtest.sources import open_feed
from backtest.tuning.slots import Slots
from backtest.tuning.stored_study import StoredTrial
from backtest.tuning.study import Study, parse_study
from backtest.tuning.trial import Finished, Job, Material, Outcome, material_key, run_trial
from risk.settings import HOUR_NS

NORMAL = "routing.*.normal_threshold"
TINY = """
description = "Two quiet hours."
data.hours = 2
data.step = "60s"
flow.users = 15
routing.ETH.normal_threshold = 5
report.counterfactuals = true
"""
DEBOUNCE = "risk.hedge_debounce"
SPLIT = "risk.split_at_threshold"
SPACE: dict[str, Any] = {
    NORMAL: {"low": 500, "high": 50000, "log": True},
    DEBOUNCE: {"low": "1s", "high": "15s", "log": True},
    SPLIT: {"choices": [False, True]},
}
PROVENANCE = {"format": 1, "versions": {"python": "3"}, "inputs": {"candles": "aa"}}


def made_study(**changes: Any) -> Study:
    """Return a study whose runs take a fraction of a second."""
    values: dict[str, Any] = {
        "name": "made",
        "scenario": "synthetic-flash-crash",
        "set": ["flow.users=20", "data.hours=2", "data.step=60s"],
        "trials": 12,
        "seed": 7,
        "lag": 3,
        "space": SPACE,
        "objectives": {"house_pnl": "maximize"},
    }
    return parse_study(values | changes)


def run_study(**changes: Any) -> Study:
    """Return a study with users enough for every setting to matter; a run takes a fraction of a second."""
    values: dict[str, Any] = {
        "set": ["flow.users=60", "data.hours=3", "data.step=60s"],
        "space": {NORMAL: SPACE[NORMAL], "routing.*.betting_threshold": {"low": 2000, "high": 100000}},
        "objectives": {"house_pnl": "maximize", "max_drawdown": "minimize"},
        "split": {"test_share": 0, "test_groups": []},
    }
    return made_study(**values | changes)


def made_slots(*gains: Any, **columns: Any) -> Slots:
    """Return one slot per gain, of an hour each, in which else nothing happened but for ``columns``."""
    count, zero = len(gains), Decimal(0)
    money = ("low", "high", "drawdown", "reserve_gain", "reserve_low", "exposure", "hedge_cost", "bad_debt")
    values: dict[str, Any] = {name: [zero] * count for name in (*money, "volume", "internal_volume")}
    values |= {name: [None] * count for name in ("trading_ratio", "hedge_ratio")}
    values |= {name: [0] * count for name in ("over_limit_ns", "liquidations", "breaker_openings")}
    starts = [number * HOUR_NS for number in range(count)]
    values |= {"start_ns": starts, "gain": [Decimal(gain) for gain in gains]}
    return Slots(HOUR_NS, **(values | columns))


def computed(job: Job) -> Outcome:
    """Return an outcome that depends on the settings alone, without running anything."""
    scenario = job.scenario
    threshold = Decimal(scenario.routing["*"].normal_threshold or 0) + scenario.risk.split_at_threshold
    debounce = Decimal(parse_duration(scenario.risk.model_dump()["hedge_debounce"])) / 10**9
    gain = -abs(threshold - 7000) / 10 - abs(debounce - 5)
    return Finished(f"digest of {threshold}, {debounce}", made_slots(gain, drawdown=[debounce * 3]))


class InlinePool:
    """Compute outcomes when they are asked for; ``pick`` chooses which of those under way is done next."""

    workers = 1

    def __init__(
        self, outcome: Callable[[Job], Outcome] = computed, pick: Callable[[int], int] = lambda _: 0
    ) -> None:
        self._outcome, self._pick = outcome, pick
        self._under_way: list[tuple[int, Job]] = []
        self.submitted: list[int] = []
        self.most = 0

    def submit(self, ticket: int, job: Job) -> None:
        """Take a job."""
        self._under_way.append((ticket, job))
        self.submitted.append(ticket)
        self.most = max(self.most, len(self._under_way))

    def next_done(self) -> tuple[int, Outcome]:
        """Return the next outcome."""
        ticket, job = self._under_way.pop(self._pick(len(self._under_way)))
        return ticket, self._outcome(job)


class Runner:
    """Run jobs really, here, on material opened once."""

    def __init__(self) -> None:
        self._materials: dict[str, Material] = {}

    def __call__(self, job: Job) -> Outcome:
        """Run one job."""
        key = material_key(job.scenario)
        if key not in self._materials:
            self._materials[key] = Material.of(open_feed(job.scenario))
        return run_trial(job, self._materials[key])


class MemoryStudy:
    """Stand for a stored study where only what is proposed matters: trials in lists, no database."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.space: Any = None
        self._settings: list[Any] = []
        self._outcomes: dict[int, Outcome] = {}

    def held(self) -> AbstractContextManager[None]:
        """Let anybody in."""
        return nullcontext()

    def fix_space(self, space: Any) -> None:
        """Take the space."""

    def settle(self) -> None:
        """Do nothing."""

    def trials(self) -> list[StoredTrial]:
        """Return the trials so far."""
        return [
            StoredTrial(number, values, self._outcomes.get(number), {}, key)
            for number, (values, key) in enumerate(self._settings)
        ]

    def add_trial(self, values: Any, _drawn: Any, _space: Any, key: str) -> None:
        """Keep a trial."""
        self._settings.append((values, key))

    def keep_outcome(self, number: int, outcome: Outcome) -> None:
        """Keep an outcome, once."""
        assert number not in self._outcomes
        self._outcomes[number] = outcome


def unseen(_: Any) -> None:
    """Take progress and do nothing."""


def told(trials: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return what must not depend on workers, order or stops: settings and outcome of each trial."""
    return [(trial.number, trial.values, trial.outcome) for trial in trials]
