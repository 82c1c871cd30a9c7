"""Jobs on their way through a pool: waiting, tried again when their worker was lost, done."""

from collections import deque
from dataclasses import dataclass, replace

from backtest.tuning.trial import Failed, Job, Outcome

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """Hold one job, under the driver's number for it; ``attempt`` counts from 1."""

    ticket: int
    job: Job
    attempt: int = 1


class Tasks:
    """Hold the tasks that wait for a worker and those that wait to be fetched."""

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()
        self.done: deque[tuple[int, Outcome]] = deque()

    def add(self, ticket: int, job: Job) -> None:
        """Take a new job."""
        self.waiting.append(Task(ticket, job))

    def finish(self, task: Task, outcome: Outcome) -> None:
        """Note what became of ``task``."""
        self.done.append((task.ticket, outcome))

    def retry(self, task: Task, message: str) -> None:
        """Let ``task`` go first after an attempt that ended with ``message``; its last one makes it Failed."""
        if task.attempt >= ATTEMPTS:
            self.finish(task, Failed(message, task.attempt))
        else:
            self.waiting.appendleft(replace(task, attempt=task.attempt + 1))
