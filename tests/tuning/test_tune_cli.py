"""``hybrid-perps tune`` as a user types it: a study from its file to its report, stopped, resumed, asked about."""

import json
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hybrid_perps import main

PROGRAM = Path(sys.executable).with_name("hybrid-perps")
TINY = """
description = "Small enough for a test."
scenario = "synthetic-flash-crash"
set = ["data.step=60s", "flow.users=40", "data.hours=4", "report.counterfactuals=false"]
trials = 6
lag = 2
sampler = "random"
[space]
"routing.*.normal_threshold" = { low = 100, high = 50000, log = true }
"risk.hedge_tiers.0.ratio" = { low = 0.0, high = 1.0, step = 0.25 }
[objectives]
house_pnl = "maximize"
max_drawdown = "minimize"
[checks]
finalists = 2
bootstrap = 100
stress = ["synthetic-calm"]
"""
CALM = 'stress = ["synthetic-calm"]'


@dataclass
class Told:
    """What a command left: its exit status and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def tune(folder: Path, *arguments: str, command: str = "tune") -> Told:
    """Run the command line in this process, for speed; workers are processes all the same."""
    out, err, argv = StringIO(), StringIO(), sys.argv
    sys.argv = ["hybrid-perps", command, *arguments]
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
            main()
    finally:
        sys.argv = argv
    assert isinstance(stop.value.code, int)
    return Told(stop.value.code, out.getvalue(), err.getvalue())


def heed_interrupts() -> None:
    """Undo in a child what tests in the background inherit: that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def study_file(folder: Path, name: str = "tiny", **replaced: str) -> Path:
    text = TINY.replace(CALM, "stress = []")
    for old, new in replaced.items():
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run one study to its end; the other tests look at what it left."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "tiny.toml").write_text(TINY)
    found = tune(folder, "tiny.toml", "--workers", "2")
    assert found.returncode == 0, found.stderr
    assert "Report: studies/tiny/report.html" in found.stdout
    return folder


def test_a_study_leaves_a_report_its_trials_and_what_it_recommends(done: Path) -> None:
    outputs = done / "studies/tiny"
    findings = json.loads((outputs / "findings.json").read_text())
    trials = pq.read_table(outputs / "trials.parquet").to_pylist()
    assert [row["trial"] for row in trials] == list(range(6))
    assert "<html" in (outputs / "report.html").read_text()
    assert (outputs / "recommended.toml").exists() == (findings["recommended"] is not None)
    assert {each["scenario"] for each in findings["stress"]} <= {"synthetic-calm"}


def test_any_trial_can_be_run_alone_and_gives_the_same_digest(done: Path) -> None:
    row = next(row for row in json.loads(tune(done, "show", "tiny", "--json").stdout) if row["digest"])
    assert tune(done, "export", "tiny", "alone.toml", "--trial", str(row["trial"])).returncode == 0
    alone = json.loads(tune(done, "alone.toml", "--json", command="backtest").stdout)
    assert alone["digest"] == row["digest"]
    assert alone["metrics"]["house_pnl"]["total"] == row["house_pnl"]


def test_what_is_recommended_is_a_scenario_that_backtest_takes(done: Path) -> None:
    findings = json.loads((done / "studies/tiny/findings.json").read_text())
    assert findings["recommended"] is not None, findings["reason"]
    found = tune(done, "studies/tiny/recommended.toml", "--json", command="backtest")
    assert json.loads(found.stdout)["name"] == "tiny-recommended"


def test_an_ended_study_is_not_run_again(done: Path) -> None:
    trials = (done / "studies/tiny/trials.parquet").read_bytes()
    again = tune(done, "tiny.toml", "--json")
    assert again.returncode == 0, again.stderr
    first = json.loads((done / "studies/tiny/findings.json").read_text())
    assert json.loads(again.stdout) == first
    assert (done / "studies/tiny/trials.parquet").read_bytes() == trials  # seconds and all


def test_studies_can_be_listed_shown_judged_and_exported(done: Path) -> None:
    listed = json.loads(tune(done, "list", "--json").stdout)
    assert [(row["name"], row["done"], row["trials"]) for row in listed] == [("tiny", 6, 6)]
    assert "synthetic-flash-crash" in tune(done, "list").stdout
    shown = tune(done, "show", "tiny").stdout
    assert "normal_threshold " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "House PnL" in tune(done, "best", "tiny").stdout
    for ending in ("csv", "json", "parquet"):
        assert tune(done, "export", "tiny", f"all.{ending}").returncode == 0
    assert (done / "all.csv").read_text().count("\n") == 7
    assert len(json.loads((done / "all.json").read_text())) == 6


def test_more_trials_go_on_where_the_study_ended(done: Path) -> None:
    found = tune(done, "tiny.toml", "--trials", "7", "--json", "--out", "more")
    assert found.returncode == 0, found.stderr
    rows = pq.read_table(done / "more/trials.parquet").to_pylist()
    first = pq.read_table(done / "studies/tiny/trials.parquet").to_pylist()
    assert len(rows) == 7
    assert rows[:6] == first


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    study_file(tmp_path, **{"trials = 6": "trials = 400"})
    process = subprocess.Popen(
        [PROGRAM, "tune", "tiny.toml", "--workers", "1"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and len(_done(tmp_path)) < 3:
        time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    kept = _done(tmp_path)
    assert process.returncode == 130
    assert 3 <= len(kept) < 400
    assert f"stopped; {len(kept)} trials of 400 are done and kept" in told
    assert "hybrid-perps tune resume tiny" in told
    assert "Traceback" not in told
    best = tune(tmp_path, "best", "tiny")
    assert best.returncode == 0, best.stderr
    assert "tune resume tiny" in best.stderr


def _done(folder: Path) -> list[dict]:
    found = tune(folder, "show", "tiny", "--json")
    return (
        [row for row in json.loads(found.stdout) if row["state"] != "pending"] if not found.returncode else []
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml"], "no file at none.toml: a study in TOML was expected there"),
        (["quik"], "did you mean 'quick'"),
        (["unknown.toml"], "did you mean 'hedge_debounce'"),
        (["empty.toml"], "the range was empty"),
        (["measure.toml"], "constraints names 'bad_dept', which is no measure"),
        (["symbol.toml"], "space.routing.NOPE.normal_threshold: the run has no 'NOPE'; it has BTC"),
        (["tiny.toml", "--ray", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["tiny.toml", "--ray", "nowhere"], "it must be HOST:PORT"),
        (["tiny.toml", "--storage", "postgresql://nobody:secret@127.0.0.1:1/x"], "cannot be used"),
        (["tiny.toml", "--storage", "mysql://x/y"], "it must be sqlite:///PATH or postgresql://"),
        (["tiny.toml", "--workers", "0"], "greater than or equal to 1"),
        (["tiny.toml", "--out", "tiny.toml"], "--out was tiny.toml"),
        (["resume", "tiny"], "studies.db"),
        (["list"], "studies.db"),
        (["export", "tiny", "tiny.toml"], "tiny.toml exists"),
        (["new", "tiny.toml"], "tiny.toml exists"),
        (["new", "fresh.toml", "--like", "slow"], "ready are"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    study_file(tmp_path)
    study_file(tmp_path, "unknown", **{"risk.hedge_tiers.0.ratio": "risk.hedge_debouce"})
    study_file(tmp_path, "empty", **{"low = 100, high = 50000, log = true": "low = 5, high = 5"})
    study_file(tmp_path, "measure", **{"[checks]": "[constraints]\nbad_dept = { max = 0 }\n[checks]"})
    study_file(tmp_path, "symbol", **{"routing.*.normal": "routing.NOPE.normal"})
    found = tune(tmp_path, *arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert not (tmp_path / "studies/studies.db").exists()
    assert message in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert "secret" not in found.stderr


def test_a_new_study_file_is_one_that_runs(tmp_path: Path) -> None:
    assert tune(tmp_path, "new", "mine.toml", "--like", "flow-2023").returncode == 0
    assert "routing" in (tmp_path / "mine.toml").read_text()


def test_a_study_that_cannot_be_satisfied_recommends_nothing_and_says_so(tmp_path: Path) -> None:
    study_file(tmp_path, **{"[checks]": "[constraints]\nhouse_pnl = { min = 1000000000 }\n[checks]"})
    found = tune(tmp_path, "tiny.toml", "--trials", "2")
    assert found.returncode == 0, found.stderr
    assert "None of 2 trials met every constraint" in " ".join(found.stdout.split())
    assert not (tmp_path / "studies/tiny/recommended.toml").exists()
