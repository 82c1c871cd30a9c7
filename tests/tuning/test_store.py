"""The store: complete in itself, exact, and clear about what it cannot do."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest

from backtest.scenario_toml import dump_toml
from backtest.tuning.provenance import difference, provenance_of
from backtest.tuning.store import Store, open_store
from backtest.tuning.study import load_study
from backtest.tuning.trial import Failed, Finished, Outcome, Refused, Stopped
from risk.errors import InvalidInput

from ..postgres import Postgres, postgres  # noqa: F401
from .made_studies import DEBOUNCE, NORMAL, PROVENANCE, SPACE, SPLIT, made_slots, made_study

DRAWN = {NORMAL: 1234, DEBOUNCE: 2000, SPLIT: 1}
VALUES = {NORMAL: Decimal("1234.50"), DEBOUNCE: "2s", SPLIT: True}
OUTCOMES: list[Outcome] = [
    Finished("abc", made_slots("1.10", "-2.000000000000000001"), seconds=1.5),
    Stopped("bad_debt", Decimal("2000.01"), 77, 0.5),
    Refused("bad"),
    Failed("worker lost", 3),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/studies.db"
    server: Postgres = request.getfixturevalue("postgres")
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    return server.url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def with_outcomes(store: Store, *outcomes: Outcome) -> None:
    stored = store.create(made_study(), PROVENANCE)
    for number, outcome in enumerate(outcomes):
        stored.add_trial(VALUES, DRAWN, stored.study.space, f"job {number}")
        stored.keep_outcome(number, outcome)


# ── what is kept is found again, exactly ──


def test_a_study_is_found_again_by_its_url_alone(store: Store, url: str, tmp_path: Path) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text('description = "mine"\n[flow]\nusers = 20\n')
    definition = tmp_path / "tuned.toml"
    space = (
        f'[space]\n"{NORMAL}" = {{ low = 0.10, high = 5000.05 }}\n"{SPLIT}" = {{ choices = [true, false] }}\n'
    )
    head = 'scenario = "mine.toml"\nset = ["data.hours=3"]\n'
    rest = "[objectives]\nhouse_pnl = 'maximize'\n[constraints]\nmargin_ratio = { min = 1.50 }\n"
    definition.write_text(head + space + rest)
    study = load_study(definition)
    store.create(study, PROVENANCE)
    scenario.unlink()
    with open_store(url) as elsewhere:
        found = elsewhere.open("tuned")
        assert found.study == study
        assert str(found.study.space[NORMAL].low) == "0.10"
        assert list(found.study.space) == [NORMAL, SPLIT]
        assert dump_toml(found.study.base()) == dump_toml(study.base())
        assert found.study.base().settings() == study.base().settings()
        assert (found.study.base().flow.users, found.study.base().data.hours) == (20, 3)
        assert found.study.searched({SPLIT: True}).risk.split_at_threshold
        assert found.provenance == PROVENANCE


def test_trials_and_outcomes_are_found_again(store: Store, url: str) -> None:
    with_outcomes(store, *OUTCOMES)
    with open_store(url) as again:
        stored = again.open("made")
        stored.add_trial(VALUES, DRAWN, stored.study.space, "")
        found = stored.trials()
    assert [trial.outcome for trial in found] == [*OUTCOMES, None]
    assert [trial.number for trial in found] == [0, 1, 2, 3, 4]
    assert found[0].outcome.seconds == 1.5  # type: ignore[union-attr]
    assert {str(trial.values[NORMAL]) for trial in found} == {"1234.50"}
    assert all(trial.values == VALUES and trial.drawn == DRAWN for trial in found)
    assert [trial.key for trial in found] == ["job 0", "job 1", "job 2", "job 3", ""]


def test_runs_are_found_again_but_failures(store: Store, url: str) -> None:
    with_outcomes(store, OUTCOMES[0], Failed("lost", 3))
    stored = store.open("made")
    for outcome in OUTCOMES:
        stored.keep_run(f"run of {type(outcome).__name__}", outcome)
    with open_store(url) as again:
        found = again.open("made")
        assert [found.run(f"run of {type(outcome).__name__}") for outcome in OUTCOMES] == [
            *OUTCOMES[:3],
            None,
        ]
        assert found.run("job 0") == OUTCOMES[0]  # the search's own
        assert found.run("job 1") is found.run("never") is None


def test_optunas_own_tools_see_the_study(store: Store) -> None:
    study = made_study(constraints={"bad_debt": {"max": 2000}})
    stored = store.create(study, PROVENANCE)
    for number, outcome in enumerate([*OUTCOMES, Finished("late", made_slots(5, bad_debt=[Decimal(3000)]))]):
        stored.add_trial(VALUES, DRAWN, study.space, "")
        stored.keep_outcome(number, outcome)
    seen = optuna.load_study(study_name="made", storage=store._database.storage)
    assert [trial.state.name for trial in seen.trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "COMPLETE"]
    assert [trial.values for trial in seen.trials] == [[-0.9], None, None, None, [5.0]]
    assert seen.best_trial.number == 0  # the other is better, and breaks the constraint
    assert seen.trials[0].params == DRAWN


def test_studies_are_listed_by_name(store: Store) -> None:
    for name in ("beta", "alpha"):
        store.create(made_study(name=name), PROVENANCE)
    assert [each.name for each in store.studies()] == ["alpha", "beta"]
    with pytest.raises(InvalidInput, match=r"no study 'gamma' in .*: there are alpha, beta"):
        store.open("gamma")


# ── creating what is there ──


def test_an_equal_study_goes_on(store: Store) -> None:
    with_outcomes(store, *OUTCOMES)
    assert len(store.create(made_study(), PROVENANCE).trials()) == 4
    assert store.create(made_study(trials=99), PROVENANCE).study.trials == 99
    assert store.open("made").study.trials == 99


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 8}, "seed: 7 then, 8 now"),
        (
            {"space": SPACE | {NORMAL: {"low": 500, "high": 40000, "log": True}}},
            f"space.{NORMAL}.high: 50000",
        ),
        ({"space": dict(reversed(SPACE.items()))}, "space, in another order"),
        ({"constraints": {"bad_debt": {"max": 1}}}, "constraints.bad_debt: none then, {"),
        ({"set": ["flow.users=21"]}, "set: "),
    ],
)
def test_a_study_defined_otherwise_needs_another_name(store: Store, changes: Any, said: str) -> None:
    store.create(made_study(), PROVENANCE)
    store.create(made_study(name="made-2"), PROVENANCE)
    with pytest.raises(InvalidInput) as error:
        store.create(made_study(**changes), PROVENANCE)
    assert said in str(error.value)
    assert str(error.value).endswith("another name, such as made-3")
    assert "\n" not in str(error.value)


def test_a_scenario_file_that_changed_is_another_study(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[flow]\nusers = 20\n")
    store.create(made_study(scenario=str(path), set=[]), PROVENANCE)
    path.write_text("[flow]\nusers = 21\n")
    with pytest.raises(InvalidInput, match="scenario file"):
        store.create(made_study(scenario=str(path), set=[]), PROVENANCE)


def test_results_on_other_data_or_versions_are_not_mixed(store: Store) -> None:
    newer = PROVENANCE | {"versions": {"python": "4"}}
    store.create(made_study(), PROVENANCE)
    assert store.create(made_study(), newer).provenance == newer  # nothing was there to compare with
    with_outcomes_of = store.open("made")
    with_outcomes_of.add_trial(VALUES, DRAWN, with_outcomes_of.study.space, "")
    with_outcomes_of.keep_outcome(0, OUTCOMES[0])
    with pytest.raises(InvalidInput, match="'made' cannot go on: python was 4 and is 3, so that"):
        store.create(made_study(), PROVENANCE)
    with pytest.raises(InvalidInput, match="the data of candles is not what it was"):
        store.open("made").confirm(newer | {"inputs": {"candles": "bb"}})
    store.open("made").confirm(newer)


def test_provenance_names_versions_and_inputs() -> None:
    found = provenance_of({"candles": "aa"})
    assert found["inputs"] == {"candles": "aa"}
    assert {"python", "numpy", "optuna", "nautilus_trader"} <= found["versions"].keys()
    assert not difference(found, provenance_of({"candles": "aa"}))
    assert difference(found, found | {"format": 2}) == "format was 1 and is 2"


def test_what_a_kill_left_of_a_new_study_is_taken_over_but_not_somebody_elses(store: Store) -> None:
    storage = store._database.storage
    two = [optuna.study.StudyDirection.MINIMIZE] * 2
    storage.create_new_study(two, "made")
    assert store.studies() == []
    assert store.create(made_study(), PROVENANCE).trials() == []
    storage.set_study_user_attr(storage.create_new_study(two, "theirs"), "owner", "somebody")
    with pytest.raises(InvalidInput, match=r"'theirs' .* was not made by tune"):
        store.create(made_study(name="theirs"), PROVENANCE)


# ── one process at a time ──

_HOLD = """
import sys
from backtest.tuning.store import open_store
with open_store(sys.argv[1]) as store, store.open("made").held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_work_on_one_study(store: Store, url: str) -> None:
    stored = store.create(made_study(), PROVENANCE)
    other = store.create(made_study(name="other"), PROVENANCE)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InvalidInput, match="'made' is being worked on by another process"), stored.held():
            pass
        with other.held(), other.held():
            pass
        assert stored.trials() == []  # looking is free
        holder.kill()
    deadline = time.monotonic() + 60
    while True:
        try:
            with stored.held():
                break
        except InvalidInput:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with stored.held():  # and free again after that
        pass


# ── databases that cannot be used ──


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("studies.db", "no URL of a database; it must be sqlite:///PATH or postgresql://"),
        ("mysql://user:secret@host/db", "of kind mysql"),
        ("sqlite://", "named no file"),
        ("postgresql://user:secret@host:port/db", "no URL of a database"),
        ("sqlite:////proc/none/studies.db", "cannot write in /proc/none"),
        ("postgresql://user:secret@127.0.0.1:9/db", "user:***@127.0.0.1:9/db cannot be used: "),
        ("postgresql://user@127.0.0.1:9/db?password=secret", "cannot be used: "),
        ("postgresql+psycopg2://user:secret@127.0.0.1/db", "of kind postgresql+psycopg2"),
    ],
)
def test_a_wrong_url_is_refused_in_one_line_without_its_password(wrong: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput) as error:
        open_store(wrong)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert time.monotonic() - began < 60


def test_files_that_are_no_studies_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all\n" * 100)
    with pytest.raises(InvalidInput, match=r"notes\.txt cannot be used: file is not a database"):
        open_store(f"sqlite:///{text}")
    with pytest.raises(InvalidInput, match=r"no file at .*none\.db"):
        open_store(f"sqlite:///{tmp_path}/none.db", must_exist=True)
    assert not (tmp_path / "none.db").exists()
    newer = tmp_path / "newer.db"
    open_store(f"sqlite:///{newer}").close()
    with sqlite3.connect(newer) as connection:
        connection.execute("update alembic_version set version_num = 'v99'")
    connection.close()
    with pytest.raises(InvalidInput, match=r"newer\.db cannot be used: "):
        open_store(f"sqlite:///{newer}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path}/studies.db")


def test_a_database_that_goes_away_is_said_in_one_line(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/studies.db") as store:
        stored = store.create(made_study(), PROVENANCE)
        with sqlite3.connect(tmp_path / "studies.db") as connection:
            connection.execute("drop table trials")
        connection.close()
        with pytest.raises(InvalidInput, match=r"studies\.db cannot be used: no such table: trials"):
            stored.add_trial(VALUES, DRAWN, stored.study.space, "")
