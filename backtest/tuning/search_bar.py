"""How far a study has come, on stderr: done, best so far, failures, and when it will be through."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from backtest.tuning.measures import MEASURES
from backtest.tuning.progress import Progress as Done
from backtest.tuning.study import Study


class SearchBar:
    """Show a bar per stage; ``stage`` gives what is to be told of each outcome."""

    def __init__(self, study: Study, *, quiet: bool) -> None:
        first = next(iter(study.objectives))
        self._title, self._unit = MEASURES[first].title, MEASURES[first].unit
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(24),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, name: str) -> Callable[[Done], None]:
        """Begin a stage; what is returned takes its progress."""
        task = self._bar.add_task(name, total=None, note="")

        def tell(done: Done) -> None:
            # What was kept took no time: it must not make the rest look quick.
            if self._bar.tasks[task].total is None:
                self._bar.reset(task, completed=done.kept, total=done.total)
            self._bar.update(task, completed=done.done, total=done.total, note=self._note(done))

        return tell

    @contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Show that something goes on that has no count."""
        task = self._bar.add_task(name, total=1, note="")
        yield
        self._bar.update(task, completed=1)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _note(self, done: Done) -> str:
        notes = []
        if done.best is not None:
            notes.append(
                f"best {self._title} {done.best.figure:,.2f} {self._unit} (trial {done.best.number})"
            )
        if done.failed:
            notes.append(f"[red]{done.failed} failed[/]")
        return ", ".join(notes)
