"""The search: points proposed, run by a pool, and their outcomes kept, alike for any number of workers.

Point n is proposed knowing the outcomes of points 0 to n - lag, no fewer and no more. What has been kept is
taken from the store where a new search would run it, so that going on after a kill is the same search again.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from backtest.tuning.pool import Pool
from backtest.tuning.progress import Best, Progress
from backtest.tuning.samplers import open_proposer
from backtest.tuning.space import Space, grid
from backtest.tuning.store import StoredStudy, StoredTrial
from backtest.tuning.study import Study
from backtest.tuning.trial import Failed, Job, Outcome, Refused
from backtest.tuning.verdict import judge
from risk.errors import InvalidInput


def search(
    stored: StoredStudy, pool: Pool, space: Space, tell: Callable[[Progress], None] = lambda _: None
) -> None:
    """Run the study's trials over ``space``, those without an outcome only; ``tell`` hears of each outcome.

    The pool must have nothing under way. Raises InvalidInput when another process works on the study or
    ``space`` is not the one it was begun on.
    """
    with stored.held():
        stored.fix_space(space)
        stored.settle()
        _Search(stored, pool, space, tell).run()


def search_job(study: Study, values: Mapping[str, Any]) -> Job:
    """Return the job of a trial; raise InvalidInput where ``values`` make no scenario."""
    return Job(
        study.searched(values),
        exposure_limit=Decimal("Infinity") if study.exposure_limit is None else study.exposure_limit,
        limits=study.constraints if study.prune else {},
    )


class _Search:
    """Hold one search while it runs."""

    def __init__(
        self, stored: StoredStudy, pool: Pool, space: Space, tell: Callable[[Progress], None]
    ) -> None:
        self._stored, self._study, self._pool, self._space = stored, stored.study, pool, space
        self._tell_progress = tell
        self._proposer = open_proposer(self._study, space)
        self._before = {trial.number: trial for trial in stored.trials()}
        self._values: dict[int, Mapping[str, Any]] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._told = 0
        # Of equal jobs the first is run; the numbers of the others wait for its outcome.
        self._first: dict[str, int] = {}
        self._waiting: dict[int, list[int]] = {}
        self._kept = self._failed = 0
        self._best: Best | None = None

    def run(self) -> None:
        for number in range(self._study.trials):
            while self._told <= number - self._study.lag:
                self._proposer.tell(self._told, self._outcome(self._told))
                self._told += 1
            if not self._begin(number):
                break
        for number in self._values:
            self._outcome(number)
        self._report()

    def _outcome(self, number: int) -> Outcome:
        """Return the outcome of trial ``number`` once it is there."""
        while number not in self._outcomes:
            self._take(*self._pool.next_done())
        return self._outcomes[number]

    def _begin(self, number: int) -> bool:
        """Propose trial ``number`` and see that it is run; return False when there are no more points."""
        before = self._before.get(number)
        proposal = self._proposer.ask(number, None if before is None else before.drawn)
        if proposal is None:
            return False
        self._values[number] = values = before.values if before else proposal.values
        if before is not None and before.outcome is not None:
            self._take_kept(before, before.outcome)
            return True
        try:
            job = search_job(self._study, values)
        except InvalidInput as error:
            job, refusal = None, Refused(str(error))
        key = job.key if job else ""
        if before is None:
            self._stored.add_trial(values, proposal.drawn, self._space, key)
        if job is None:
            self._take(number, refusal)
        elif (first := self._first.setdefault(key, number)) == number:
            self._pool.submit(number, job)
        elif first in self._outcomes:
            self._take(number, self._outcomes[first])
        else:
            self._waiting.setdefault(first, []).append(number)
        return True

    def _take_kept(self, trial: StoredTrial, outcome: Outcome) -> None:
        self._kept += 1
        if trial.key:
            self._first.setdefault(trial.key, trial.number)
        self._count(trial.number, outcome)

    def _take(self, number: int, outcome: Outcome) -> None:
        """Keep a new outcome, then pass it to the trials that wait for it."""
        self._stored.keep_outcome(number, outcome)
        self._count(number, outcome)
        self._report()
        for other in self._waiting.pop(number, ()):
            self._take(other, outcome)

    def _count(self, number: int, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        self._failed += isinstance(outcome, Failed)
        verdict = judge(self._study, outcome)
        if verdict.feasible and verdict.figures is not None and verdict.figures[0] is not None:
            own = Best(number, verdict.figures[0], self._values[number])
            if own.beats(self._best, next(iter(self._study.objectives.values()))):
                self._best = own

    def _report(self) -> None:
        total = self._study.trials
        if self._study.sampler == "grid":
            total = min(total, sum(1 for _ in grid(self._space)))
        self._tell_progress(Progress(len(self._outcomes), total, self._kept, self._failed, self._best))
