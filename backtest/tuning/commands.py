"""What the ``tune`` commands do: run a study or go on with it, and show those there are."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from backtest.metrics import plain
from backtest.scenario_overrides import path_keys
from backtest.scenario_toml import dump_toml
from backtest.sources import open_feed
from backtest.tuning.checks import examine
from backtest.tuning.findings_json import findings_json
from backtest.tuning.options import LOCAL_RAY, Options
from backtest.tuning.outputs import check_folder, write_outputs
from backtest.tuning.pool import Pool, open_pool
from backtest.tuning.provenance import provenance_of
from backtest.tuning.ready_studies import find_study
from backtest.tuning.ready_studies import new_study as write_new_study
from backtest.tuning.search_bar import SearchBar
from backtest.tuning.store import DEFAULT_URL, Store, StoredStudy, open_store
from backtest.tuning.study import Study, check_grid
from backtest.tuning.study_run import Stages
from backtest.tuning.terminal import print_findings
from backtest.tuning.trial import Failed, Job, Outcome
from backtest.tuning.trial_listing import print_trials
from backtest.tuning.trial_table import trial_rows, trial_table, write_trials
from backtest.tuning.verdict import judge
from data.storage import replaced_file
from risk.errors import InvalidInput

STORAGE_VARIABLE = "HYBRID_PERPS_STUDIES"
OUTPUTS = Path("studies")


def run_study(name_or_path: str, trials: int | None, options: Options) -> None:
    """Run a study, or go on with it where it stopped, and write its outputs."""
    study = find_study(name_or_path)
    if trials is not None:
        study = study.model_copy(update={"trials": trials})
        check_grid(study)
    folder = _folder(study, options)
    provenance = _provenance(study, options)
    # The pool first: a cluster that cannot be reached leaves no study behind.
    with _pool(options) as pool, _store(options.storage) as store:
        _go_on(store.create(study, provenance), pool, folder, options)


def resume_study(name: str, options: Options) -> None:
    """Go on with a study that the store has."""
    with _store(options.storage, must_exist=True) as store:
        stored = store.open(name)
        folder = _folder(stored.study, options)
        stored.confirm(_provenance(stored.study, options))
        with _pool(options) as pool:
            _go_on(stored, pool, folder, options)


def list_studies(storage: str | None, as_json: bool) -> None:
    """Print every study with how far it has come."""
    with _store(storage, must_exist=True) as store:
        rows = [_listed(stored) for stored in store.studies()]
    if as_json:
        _print_json(rows)
        return
    table = Table("study", "scenario", box=None, header_style="bold")
    for heading in ("done", "of", "failed", "feasible"):
        table.add_column(heading, justify="right")
    table.add_column("what it is")
    for row in rows:
        table.add_row(*(str(row[key]) for key in _LISTED))
    Console().print(table if rows else "no studies yet: hybrid-perps tune quick")


def show_study(name: str, storage: str | None, as_json: bool) -> None:
    """Print a study's trials, the first objective's best first."""
    with _store(storage, must_exist=True) as store:
        stored = store.open(name)
        rows = trial_rows(trial_table(stored))
    if as_json:
        _print_json(rows)
        return
    print_trials(Console(), stored.study, rows)


def show_best(name: str, storage: str | None, as_json: bool) -> None:
    """Print what a study found; of one that is not through, what would be said so far."""
    with _store(storage, must_exist=True) as store:
        stored = store.open(name)
        missing: list[Job] = []

        def kept(jobs: Sequence[Job]) -> list[Outcome]:
            found = [stored.run(job.key) for job in jobs]
            missing.extend(job for job, outcome in zip(jobs, found, strict=True) if outcome is None)
            return [Failed("not run yet", 0) if outcome is None else outcome for outcome in found]

        findings = examine(stored, kept)
    if as_json:
        _print_json(findings_json(findings))
        return
    print_findings(Console(), findings)
    if missing:
        Console(stderr=True).print(
            f"This is not the end of it: go on with hybrid-perps tune resume {name}", highlight=False
        )


def export_study(name: str, path: Path, trial: int | None, storage: str | None) -> None:
    """Write all trials as a table, or the scenario of one so that ``backtest`` runs it alone."""
    if path.exists():
        raise InvalidInput(f"{path} exists; name a file that does not")
    with _store(storage, must_exist=True) as store:
        stored = store.open(name)
        if trial is None:
            write_trials(trial_table(stored), path)
            return
        if path.suffix != ".toml":
            raise InvalidInput(f"the file was {path}; that of one trial is a scenario and must end in .toml")
        values = {each.number: each.values for each in stored.trials()}
        if trial not in values:
            raise InvalidInput(f"trial was {trial}; {name!r} has the trials 0 to {len(values) - 1}")
        text = dump_toml(stored.study.searched(values[trial]))
    try:
        with replaced_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} could not be written: {error.strerror}") from None


def new_study(path: Path, like: str) -> None:
    """Write a commented study file to edit and run."""
    write_new_study(path, like)
    Console(stderr=True).print(f"wrote {path}; run it with: hybrid-perps tune {path}", highlight=False)


def _pool(options: Options) -> AbstractContextManager[Pool]:
    ray = "" if options.ray == LOCAL_RAY else options.ray
    return open_pool(options.workers, ray, options.data)


def _go_on(stored: StoredStudy, pool: Pool, folder: Path, options: Options) -> None:
    try:
        with SearchBar(stored.study, quiet=options.as_json) as bar:
            findings = Stages(stored, pool, bar, options.data).run()
    except KeyboardInterrupt:
        done = sum(trial.outcome is not None for trial in stored.trials())
        Console(stderr=True).print(
            f"stopped; {done} trials of {stored.study.trials} are done and kept. Go on with: "
            f"hybrid-perps tune resume {stored.name}",
            highlight=False,
            soft_wrap=True,
        )
        raise
    report = write_outputs(findings, trial_table(stored), folder)
    if options.as_json:
        _print_json(findings_json(findings))
        return
    console = Console()
    print_findings(console, findings)
    console.print(f"Report: {report}", soft_wrap=True, highlight=False)


def _store(storage: str | None, *, must_exist: bool = False) -> Store:
    return open_store(storage or os.environ.get(STORAGE_VARIABLE) or DEFAULT_URL, must_exist=must_exist)


def _folder(study: Study, options: Options) -> Path:
    folder = options.out or OUTPUTS / study.name
    check_folder(folder)
    return folder


def _provenance(study: Study, options: Options) -> dict[str, Any]:
    """Return what the study's results depend on; raise InvalidInput for symbols that its run does not have."""
    feed = open_feed(study.searched({}), data_dir=options.data)
    for path in study.space:
        section, symbol, *_ = [*path_keys(path), ""]
        if section == "routing" and symbol not in ("*", *feed.specs):
            raise InvalidInput(f"space.{path}: the run has no {symbol!r}; it has {', '.join(feed.specs)}")
    return provenance_of(feed.input_hashes)


_LISTED = ("name", "scenario", "done", "trials", "failed", "feasible", "description")


def _listed(stored: StoredStudy) -> dict[str, Any]:
    study, outcomes = stored.study, [trial.outcome for trial in stored.trials()]
    done = [outcome for outcome in outcomes if outcome is not None]
    return {
        "name": stored.name,
        "scenario": study.scenario,
        "done": len(done),
        "trials": study.trials,
        "failed": sum(isinstance(outcome, Failed) for outcome in done),
        "feasible": sum(judge(study, outcome).feasible for outcome in done),
        "description": study.description,
    }


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
