"""Workers that are actors on a Ray cluster. The driver makes each material, and Ray carries it once to a node."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backtest.tuning.provenance import provenance_of
from backtest.tuning.tasks import Task, Tasks
from backtest.tuning.trial import Job, Material, Outcome, Refused, material_key
from backtest.tuning.worker import Kept, Raised, Source, Worker
from risk.errors import InvalidInput

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or every start warns of graphics cards
try:
    import ray
    from ray.exceptions import RayError
except ImportError:
    raise InvalidInput(
        "--ray needs Ray, which is not installed: install the extra, as in pip install 'hybrid-perps[cluster]'"
    ) from None

_ANSWER_S = 5.0
_STARTS = 3  # of workers lost in a row before they were ready, after which there is no use in more
# What an HTTP/2 client says first, with empty settings; a server answers with its settings, a frame of type 4.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_FRAME_HEAD, _FRAME_TYPE, _SETTINGS = 9, 3, 4


@contextmanager
def open_ray_pool(workers: int | None, address: str, source: Source) -> Iterator["RayPool"]:
    """Connect to the cluster at ``address`` (HOST:PORT), or for "" start Ray on this machine; end it afterwards.

    Raises InvalidInput when no cluster answers or it cannot be joined.
    """
    if address:
        _check_reachable(address)
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "5")  # of refusals, say for want of a token
        options: dict[str, Any] = {"address": address}
    else:
        workers = workers or os.process_cpu_count() or 1
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        raise InvalidInput(f"{where} could not be used: {_cause(error)}") from None
    try:
        pool = RayPool(workers or max(1, int(ray.cluster_resources().get("CPU", 1))), source)
        yield pool
    finally:
        ray.shutdown()  # which ends our actors too


def _cause(error: Exception) -> str:
    """Return in one line why Ray could not be used; its own texts have many, and tracebacks in them."""
    text = str(error.__cause__ or error).strip()
    if "AuthenticationError" in text:
        return "it wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token to it"
    return text.rpartition("\n")[2] if error.__cause__ else " ".join(text.split())


def _check_reachable(address: str) -> None:
    """Raise InvalidInput unless something that speaks HTTP/2, as Ray does, is there: Ray itself waits minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise InvalidInput(
            f"--ray was {address!r}; it must be HOST:PORT of a Ray cluster, such as 10.0.0.1:6379"
        )
    try:
        with socket.create_connection((host, int(port)), _ANSWER_S) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(_FRAME_HEAD)
    except OSError as error:
        raise InvalidInput(f"no Ray cluster answers at {address}: {error.strerror or error}") from None
    if len(answer) <= _FRAME_TYPE or answer[_FRAME_TYPE] != _SETTINGS:
        raise InvalidInput(f"what answers at {address} is no Ray cluster")


class RayPool:
    """Run jobs on up to ``workers`` actors, one CPU each, on data that the driver opens from ``source``."""

    def __init__(self, workers: int, source: Source) -> None:
        self.workers = workers
        self._source = source
        self._tasks = Tasks()
        self._placed: Kept[Any] = Kept()
        self._starting: dict[Any, Any] = {}  # actors by the reference that says when they are ready
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task]] = {}  # by the reference of what they will answer
        self._lost_starts = 0
        self._actor = ray.remote(num_cpus=1)(_Actor)
        self._versions = provenance_of({})["versions"]

    def submit(self, ticket: int, job: Job) -> None:
        """Take ``job``; ``next_done`` gives its outcome under ``ticket``."""
        self._tasks.add(ticket, job)
        self._hand_out()

    def next_done(self) -> tuple[int, Outcome]:
        """Wait for a job to be done and return its ticket and outcome.

        Raises LookupError when none is left, InvalidInput when the cluster's nodes cannot run our jobs.
        """
        while not self._tasks.done:
            if not (self._busy or self._tasks.waiting):
                raise LookupError("every job submitted was answered before")
            (ready, *_), _ = ray.wait([*self._busy, *self._starting])
            if ready in self._busy:
                self._take(ready, *self._busy.pop(ready))
            else:
                self._welcome(ready, self._starting.pop(ready))
            self._hand_out()
        return self._tasks.done.popleft()

    def _hand_out(self) -> None:
        """Give waiting tasks to idle actors, and start more where there are too few."""
        while self._tasks.waiting and self._idle:
            task = self._tasks.waiting.popleft()
            placed = self._place(task)
            if placed is not None:
                actor = self._idle.pop()
                self._busy[actor.evaluate.remote(task.job, [placed])] = actor, task
        actors = len(self._busy) + len(self._starting)
        for _ in range(min(len(self._tasks.waiting) - len(self._starting), self.workers - actors)):
            fresh: Any = self._actor.remote()
            self._starting[fresh.versions.remote()] = fresh

    def _place(self, task: Task) -> Any:
        """Return a reference to the task's material, put into Ray's store; None if that ended the attempt."""
        scenario = task.job.scenario
        try:
            return self._placed.get(material_key(scenario), lambda: ray.put(self._source.open(scenario)))
        except InvalidInput as error:
            self._tasks.finish(task, Refused(str(error)))
        except Exception as error:
            self._tasks.retry(task, Raised.of(error).message)
        return None

    def _welcome(self, ready: Any, actor: Any) -> None:
        """Let an actor that is ready work, if it computes with what we would compute with."""
        try:
            versions = ray.get(ready)
        except RayError as error:
            self._lost_starts += 1
            if self._lost_starts >= _STARTS:
                raise InvalidInput(f"no worker starts on the Ray cluster: {_reason(error)}") from None
            return
        self._lost_starts = 0
        for name, version in self._versions.items():
            if versions.get(name) != version:
                raise InvalidInput(
                    f"a node of the Ray cluster has {name} {versions.get(name)}; here it is {version}, "
                    "and results would differ: install the same on every node"
                )
        self._idle.append(actor)

    def _take(self, ready: Any, actor: Any, task: Task) -> None:
        try:
            answer = ray.get(ready)
        except RayError as error:
            answer = Raised(_reason(error))
        if isinstance(answer, Raised):
            ray.kill(actor)
            self._tasks.retry(task, answer.message)
        else:
            self._tasks.finish(task, answer)
            self._idle.append(actor)


class _Actor:
    """Be a worker within Ray."""

    def __init__(self) -> None:
        self._worker = Worker()

    def versions(self) -> dict[str, str]:
        """Return the versions of what computes here."""
        return provenance_of({})["versions"]

    def evaluate(self, job: Job, placed: list[Any]) -> Outcome | Raised:
        """Evaluate ``job`` on the material behind the one reference in ``placed``, fetched only if needed."""

        def fetch() -> Material:
            return ray.get(placed[0])

        return self._worker.evaluate(job, fetch)


def _reason(error: RayError) -> str:
    """Return in one line why Ray lost a worker."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
