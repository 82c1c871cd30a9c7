"""Where jobs run: processes of this machine, or a Ray cluster. The outcomes are the same."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from backtest.tuning.local_pool import LocalPool
from backtest.tuning.trial import Job, Outcome
from backtest.tuning.worker import Source
from risk.errors import InvalidInput


class Pool(Protocol):
    """Run jobs, ``workers`` at once; a job whose worker is lost, or that raises, is tried three times in all."""

    workers: int

    def submit(self, ticket: int, job: Job) -> None:
        """Take ``job``; ``next_done`` gives its outcome under ``ticket``."""

    def next_done(self) -> tuple[int, Outcome]:
        """Wait for a job to be done and return its ticket and outcome; raise LookupError when none is left."""


def open_pool(
    workers: int | None = None,
    ray: str | None = None,
    data_dir: Path | None = None,
    catalog_dir: Path | None = None,
) -> AbstractContextManager[Pool]:
    """Open a pool: local processes, or with ``ray`` the cluster at that address, one of this machine if it is "".

    ``workers`` is a process per core by default, on a cluster one per CPU it has. Leaving the context ends what
    still runs. Raises InvalidInput for an address without a cluster, or without Ray installed.
    """
    if workers is not None and workers < 1:
        raise InvalidInput(f"workers was {workers}; it must be at least 1")
    source = Source(data_dir, catalog_dir)
    if ray is None:
        return LocalPool(workers or os.process_cpu_count() or 1, source)
    from backtest.tuning.ray_pool import open_ray_pool  # Ray is an extra, and takes long to import

    return open_ray_pool(workers, ray, source)
