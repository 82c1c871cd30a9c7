"""Workers that are processes of this machine, started when there are jobs for them.

They are fresh interpreters, not forks, since neither NautilusTrader's nor Arrow's threads live through a fork; and
they do not import the driver's main module, as ``multiprocessing`` would: a notebook, a test or a script without a
``__main__`` guard may drive them. A session of their own keeps Ctrl-C from them. Each hangs on one socket: its end
tells the driver of a dead worker, whose job is known, and every worker of a dead driver.
"""

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Self

from backtest.tuning.tasks import Task, Tasks
from backtest.tuning.trial import Job, Outcome
from backtest.tuning.worker import Raised, Source

_ENDING_S = 2.0  # a process whose socket is shut has this long to be gone by itself
_LAST_WORDS = 2000  # bytes


class LocalPool:
    """Run jobs in up to ``workers`` processes that open their data from ``source``; leaving it ends them."""

    def __init__(self, workers: int, source: Source) -> None:
        self.workers = workers
        self._source = source
        self._tasks = Tasks()
        self._idle: list[_Process] = []
        self._busy: dict[Connection, tuple[_Process, Task]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for process in [*self._idle, *(process for process, _ in self._busy.values())]:
            process.stop()

    def submit(self, ticket: int, job: Job) -> None:
        """Take ``job``; ``next_done`` gives its outcome under ``ticket``."""
        self._tasks.add(ticket, job)
        self._hand_out()

    def next_done(self) -> tuple[int, Outcome]:
        """Wait for a job to be done and return its ticket and outcome; raise LookupError when none is left."""
        while not self._tasks.done:
            if not self._busy:
                raise LookupError("every job submitted was answered before")
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                self._take(*self._busy.pop(connection))
            self._hand_out()
        return self._tasks.done.popleft()

    def _hand_out(self) -> None:
        while self._tasks.waiting:
            process = self._free_for(self._tasks.waiting[0])
            if process is None:
                return
            task = self._tasks.waiting.popleft()
            try:
                process.connection.send((self._source, task.job))
            except OSError:
                self._tasks.retry(task, process.ended())
            else:
                self._busy[process.connection] = process, task

    def _free_for(self, task: Task) -> "_Process | None":
        """Return a process for ``task``, a new one if it is tried again; None while all are busy."""
        if self._idle and task.attempt == 1:
            return self._idle.pop()
        if len(self._idle) + len(self._busy) < self.workers:
            return _Process()
        return None

    def _take(self, process: "_Process", task: Task) -> None:
        try:
            answer: Outcome | Raised = process.connection.recv()
        except (EOFError, OSError):
            self._tasks.retry(task, process.ended())
            return
        if isinstance(answer, Raised):
            process.stop()
            self._tasks.retry(task, answer.message)
        else:
            self._tasks.finish(task, answer)
            self._idle.append(process)


class _Process:
    """Start a worker process and hold the driver's end of its socket."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- it lives as long as the process
        descriptor = theirs.fileno()
        # -P: a folder called ``data`` where the user stands must not shadow ours.
        command = f"from backtest.tuning.local_worker import serve; serve({descriptor})"
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=os.environ | {"OMP_NUM_THREADS": "1"},  # one core per worker, for Arrow and BLAS too
                pass_fds=(descriptor,),
                start_new_session=True,
            )

    def ended(self) -> str:
        """Say how a process ended whose socket is shut."""
        try:
            code = self._popen.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self.stop()
            return "the worker closed its connection"
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        words = self._last_words()
        self.stop()
        return f"the worker ended with {how}" + (f": {words}" if words else "")

    def stop(self) -> None:
        """End the process at once; it has nothing to save."""
        self._popen.kill()
        self._popen.wait()
        self.connection.close()
        self._errors.close()

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS))
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
