"""A study whose process is killed, wherever that is, and goes on: nothing lost, nothing run twice, the same end."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backtest.tuning.search import search
from backtest.tuning.store import Store, open_store
from backtest.tuning.trial import Finished
from risk.errors import InvalidInput

from ..postgres import Postgres, postgres, start_postgres  # noqa: F401
from .made_studies import PROVENANCE, InlinePool, MemoryStudy, Runner, made_study, run_study, told, unseen

_HERE = Path(__file__).parent
_SEARCH = f"""
import sys
sys.path.insert(0, {str(_HERE)!r})
from made_studies import PROVENANCE, run_study
from backtest.tuning.pool import open_pool
from backtest.tuning.search import search
from backtest.tuning.store import open_store

study = run_study(trials=14)
with open_store(sys.argv[1]) as store, open_pool(workers=2) as pool:
    stored = store.create(study, PROVENANCE)
    search(stored, pool, study.space, lambda progress: print(progress.done, flush=True))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder}/studies.db"
    server: Postgres = request.getfixturevalue("postgres")
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    return server.url


def undisturbed(study: Any, pool: InlinePool) -> list[Any]:
    stored: Any = MemoryStudy(study)
    search(stored, pool, study.space, unseen)
    return told(stored.trials())


@cache
def really_run() -> list[Any]:
    """Return the trials of the study of ``_SEARCH`` as one process without workers runs them."""
    return undisturbed(run_study(trials=14), InlinePool(Runner()))


@pytest.mark.parametrize(
    ("url", "sampler"), [("sqlite", "tpe"), ("sqlite", "nsga2"), ("postgresql", "nsga2")], indirect=["url"]
)
def test_a_kill_at_any_commit_loses_nothing_and_repeats_nothing(url: str, sampler: str) -> None:
    trials = 25 if sampler == "nsga2" else 11
    command = [sys.executable, str(_HERE / "die_and_resume.py"), url, sampler, str(trials)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    lives = [json.loads(line) for line in found.stdout.splitlines()]
    assert [life["killed"] for life in lives] == [True] * (len(lives) - 1) + [False]
    assert lives[-1]["exit"] == 0, found.stderr
    assert len(lives) > 8
    for before, after in pairwise(lives):
        assert not set(before["kept"]) & set(after["ran"])
        assert set(before["kept"]) <= set(after["kept"])
    study = made_study(sampler=sampler, trials=trials, lag=3, constraints={"max_drawdown": {"max": 10}})
    with open_store(url) as store:
        assert told(store.open("made").trials()) == undisturbed(study, InlinePool())


def kept_seconds(store: Store) -> dict[int, float]:
    """Return the seconds of each finished run: no two runs share them, so that they tell one from its repetition."""
    studies = store.studies()
    trials = studies[0].trials() if studies else []
    return {t.number: t.outcome.seconds for t in trials if isinstance(t.outcome, Finished)}


@pytest.mark.parametrize(("url", "lives"), [("sqlite", (1, 2)), ("postgresql", (2,))], indirect=["url"])
def test_real_runs_on_real_workers_survive_real_kills(url: str, lives: tuple[int, ...]) -> None:
    finished: dict[int, float] = {}
    for lines in lives:  # outcomes to see, and then the end
        process = subprocess.Popen([sys.executable, "-c", _SEARCH, url], stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
            process.kill()
        with open_store(url) as store:
            now = kept_seconds(store)
        assert len(now) >= len(finished) + lines
        assert {number: now[number] for number in finished} == finished
        finished = now
    assert len(finished) < 14  # or there was nothing left to go on with
    last = subprocess.run([sys.executable, "-c", _SEARCH, url], capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    with open_store(url) as store:
        now = kept_seconds(store)
        assert {number: now[number] for number in finished} == finished
        trials = told(store.open("made").trials())
    assert trials == really_run()


def test_a_server_that_was_killed_has_kept_every_outcome() -> None:
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        Path(name).chmod(0o755)
        server = start_postgres(Path(name))
        study, done = made_study(trials=15), [0]

        def ends_the_server(progress: Any) -> None:
            done[0] = progress.done
            if progress.done == 9:
                server.kill()

        try:
            with (
                open_store(server.url) as store,
                pytest.raises(InvalidInput, match="cannot be used") as error,
            ):
                search(store.create(study, PROVENANCE), InlinePool(), study.space, ends_the_server)
            assert "\n" not in str(error.value)
            server = start_postgres(Path(name))
            with open_store(server.url) as store:
                stored = store.open("made")
                assert sum(trial.outcome is not None for trial in stored.trials()) == done[0] == 9
                search(stored, InlinePool(), study.space, unseen)
                assert told(stored.trials()) == undisturbed(study, InlinePool())
        finally:
            server.stop()
