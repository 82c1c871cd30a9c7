"""A study from its first look at thresholds to its findings; what is kept from before is not done again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from backtest.replay import run_replay
from backtest.scenario import Scenario
from backtest.sources import open_feed
from backtest.tape import Tape
from backtest.tuning.checks import examine
from backtest.tuning.confirmation import confirm
from backtest.tuning.findings import Findings
from backtest.tuning.pool import Pool
from backtest.tuning.presearch import Narrowing, narrow
from backtest.tuning.runs import run_all
from backtest.tuning.search import search
from backtest.tuning.search_bar import SearchBar
from backtest.tuning.space import Space
from backtest.tuning.store import StoredStudy
from risk.events import Event


@dataclass(frozen=True, slots=True)
class Stages:
    """Run the stages of ``stored`` on ``pool`` and show them on ``bar``."""

    stored: StoredStudy
    pool: Pool
    bar: SearchBar
    data_dir: Path | None = None

    def run(self) -> Findings:
        """Return the findings; raise InvariantBroken if the recommended trial is another under NautilusTrader."""
        with self.stored.held():
            search(self.stored, self.pool, self._space(), self.bar.stage("search"))
            run = partial(run_all, self.stored, self.pool, tell=self.bar.stage("checks"))
            findings = examine(self.stored, run, data_dir=self.data_dir)
            with self.bar.busy("confirm"):
                confirmed = confirm(findings, self.data_dir)
        shown = {"digest confirmed by NautilusTrader": confirmed} if confirmed else {}
        return replace(findings, provenance={**findings.provenance, **shown})

    def _space(self) -> Space:
        """Return the space that is searched: the one begun on, else the study's, narrowed where it wants that."""
        study = self.stored.study
        if self.stored.space is not None:
            return self.stored.space
        if study.presearch is None:
            return study.space
        with self.bar.busy("pre-search"):
            found = narrow(study, partial(run_watched, data_dir=self.data_dir))
        self.bar.say(_outcome(found))
        return found.space


def run_watched(
    scenario: Scenario, observe: Callable[[Sequence[Event]], None], data_dir: Path | None = None
) -> Mapping[str, pa.Table]:
    """Run ``scenario`` once by replay and return its tables: what ``narrow`` looks at; ``observe`` hears all events."""
    tape = Tape.of(open_feed(scenario, data_dir=data_dir))
    return run_replay(scenario, tape, observe=observe).recorder.tables()


def _outcome(found: Narrowing) -> str:
    if found.reason:
        return f"pre-search: nothing was narrowed, {found.reason}"
    if not found.ranges:
        return f"pre-search: {found.tried.num_rows} settings looked at, no range could be narrowed"
    ranges = ", ".join(f"{path} {low} … {high}" for path, (low, high) in found.ranges.items())
    return f"pre-search: {found.tried.num_rows} settings looked at, narrowed {ranges}"
