"""Runs beside the search: whatever the checks ask for, each once, and never again once it is kept."""

from collections.abc import Callable, Sequence

from backtest.tuning.pool import Pool
from backtest.tuning.progress import Progress
from backtest.tuning.store import StoredStudy
from backtest.tuning.trial import Failed, Job, Outcome


def run_all(
    stored: StoredStudy,
    pool: Pool,
    jobs: Sequence[Job],
    tell: Callable[[Progress], None] = lambda _: None,
) -> list[Outcome]:
    """Return the outcome of every job, in their order; ``tell`` hears of each that is new.

    Equal jobs run once, those whose outcome the study keeps not at all. The pool must have nothing under way.
    Raises InvalidInput when another process works on the study.
    """
    with stored.held():
        keys = [job.key for job in jobs]
        by_key = dict(zip(keys, jobs, strict=True))
        found = {key: outcome for key in by_key if (outcome := stored.run(key)) is not None}
        missing = [key for key in by_key if key not in found]
        kept, failed = len(found), 0
        for ticket, key in enumerate(missing):
            pool.submit(ticket, by_key[key])
        for _ in missing:
            ticket, outcome = pool.next_done()
            stored.keep_run(missing[ticket], outcome)
            found[missing[ticket]] = outcome
            failed += isinstance(outcome, Failed)
            tell(Progress(len(found), len(by_key), kept, failed))
        return [found[key] for key in keys]
