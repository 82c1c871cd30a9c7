"""Small jobs for the tests of pools, and what they come to in this process."""

from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from typing import Any, cast

from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.tuning.pool import Pool
from backtest.tuning.study import Limit
from backtest.tuning.trial import Job, Outcome
from backtest.tuning.worker import Raised, Source, Worker

SMALL = ["flow.users=20", "data.hours=2", "data.step=60s"]


def scenario(*overrides: str) -> Scenario:
    return apply_overrides(load_scenario("synthetic-flash-crash"), [*SMALL, *overrides])


def job(*overrides: str, **asked: Any) -> Job:
    return Job(scenario(*overrides), **asked)


def long_job(seed: int = 1) -> Job:
    """Take many seconds: it is to be interrupted."""
    return job("data.hours=24", "data.step=1s", "flow.users=300", f"seed={seed}")


def raising_job() -> Job:
    """Raise whatever is done with it."""
    return Job(cast(Scenario, None))


def varied_jobs() -> list[Job]:
    """Ask for runs on three worlds, with an end of each kind but Failed."""
    return [
        job("routing.*.betting_threshold=1"),
        job("routing.*.betting_threshold=5000", cells=True),
        job("seed=8", exposure_limit=Decimal(1000)),
        job("routing.NONE.normal_threshold=1"),
        job("flow.source=/missing"),
        job("data.hours=3", limits={"max_exposure": Limit(max=Decimal(1))}),
        job("routing.*.betting_threshold=20000"),
    ]


def outcomes_here(jobs: Iterable[Job]) -> list[Outcome | Raised]:
    """Evaluate ``jobs`` one by one, each by a worker of its own: the oracle of every pool."""
    return [Worker().evaluate(each, partial(Source().open, each.scenario)) for each in jobs]


def outcomes_of(pool: Pool, jobs: list[Job]) -> list[Outcome]:
    """Evaluate ``jobs`` in ``pool``."""
    for ticket, each in enumerate(jobs):
        pool.submit(ticket, each)
    done = dict(pool.next_done() for _ in jobs)
    return [done[ticket] for ticket in range(len(jobs))]
