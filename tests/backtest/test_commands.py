import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import hybrid_perps as cli
from backtest.report.series import MOST_POINTS, thin
from backtest.results import summarise, write_result
from backtest.scenario import load_scenario, ready_scenarios
from backtest.terminal import print_summary

from .made_run import made_run


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = made_run()
    out = tmp_path_factory.mktemp("results") / "made"
    return write_result(
        out, run.scenario, run.tables, summarise(run.scenario, run.tables, run.facts)
    ).directory


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_scenarios_are_listed_shown_and_started(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = call(capsys, "scenario", "list", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(out)] == [scenario.name for scenario in ready_scenarios()]
    status, out, _ = call(capsys, "scenario", "show", "flow-2023", "--set", "risk.hedge_debounce=3s")
    assert status == 0
    assert 'hedge_debounce = "3s"' in out
    path = tmp_path / "mine.toml"
    assert call(capsys, "scenario", "new", path, "--like", "flow-2023")[0] == 0
    assert load_scenario(str(path)).name == "mine"
    assert load_scenario(str(path)).settings() == load_scenario("flow-2023").settings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scenario", "show", "flow-2032"), "did you mean 'flow-2023'"),
        (
            ("scenario", "show", "flow-2023", "--set", "risk.hedge_debouce=3s"),
            "did you mean 'hedge_debounce'",
        ),
        (("scenario", "new", "mine"), "must end in .toml"),
        (("scenario", "new", "nowhere/mine.toml"), "could not be written"),
        (("compare", "nowhere"), "is not a result"),
        (("query", "nowhere", "select 1"), "is not a result"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_existing_scenario_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n")
    assert call(capsys, "scenario", "new", path)[0] == 2
    assert path.read_text() == "seed = 3\n"


def test_query_prints_tables_json_and_csv(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    sql = 'select "user", volume from users order by volume desc limit 3'
    _, text, _ = call(capsys, "query", directory, sql)
    _, as_json, _ = call(capsys, "query", directory, sql, "--json")
    _, as_csv, _ = call(capsys, "query", directory, sql, "--csv")
    rows = json.loads(as_json)
    assert len(rows) == 3
    assert rows == list(csv.DictReader(io.StringIO(as_csv)))
    assert all(row["user"] in text and row["volume"] in text for row in rows)
    assert call(capsys, "query", directory, "select 1 as x where false")[1] == "no rows\n"
    assert call(capsys, "query", directory, sql, "--csv", "--json")[0] == 2


def test_compare_sets_differences_from_the_first(
    capsys: pytest.CaptureFixture[str], directory: Path, tmp_path: Path
) -> None:
    run = made_run("cheaper", ("builder_fee_rate", 0))
    out = tmp_path / "cheaper"
    write_result(out, run.scenario, run.tables, summarise(run.scenario, run.tables, run.facts))
    status, text, _ = call(capsys, "compare", directory, out, "--json")
    found = json.loads(text)
    assert status == 0
    assert [each["name"] for each in found["runs"]] == ["made", "cheaper"]
    (builder,) = [row for row in found["rows"] if row["metric"] == "Builder fees"]
    assert builder["values"][1] == "0"
    assert builder["deltas"] == [f"-{builder['values'][0]}"]
    assert "cheaper" in call(capsys, "compare", directory, out)[1]


SMALL = ("--set", "data.hours=1", "--set", 'data.symbols=["BTC"]', "--set", "flow.users=5")
TAKEN = """
seed = 99
[data]
profile = "trend"
[routing."*"]
normal_threshold = 77
[routing.BTC]
betting_threshold = 88
[routing.SOL]
betting_threshold = 99
[risk]
hedge_debounce = "3s"
"""


def test_routing_and_risk_are_taken_from_another_scenario(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings, out = tmp_path / "recommended.toml", tmp_path / "out"
    settings.write_text(TAKEN)
    changed = ("--set", "risk.hedge_max_wait=9s", "--out", out, "--json")
    status, text, err = call(capsys, "backtest", "synthetic-calm", "--settings", settings, *SMALL, *changed)
    assert (status, json.loads(text)["name"]) == (0, "synthetic-calm")
    assert err == "--settings: left out the routing of SOL, which the run does not have\n"
    ran, own = load_scenario(str(out / "scenario.toml")), load_scenario("synthetic-calm")
    assert sorted(ran.routing) == ["*", "BTC"]
    assert (ran.routing["*"].normal_threshold, ran.routing["BTC"].betting_threshold) == (77, 88)
    assert (ran.risk.hedge_debounce, ran.risk.hedge_max_wait) == (3 * 10**9, 9 * 10**9)
    assert (ran.seed, ran.data.profile) == (own.seed, own.data.profile)


def test_settings_that_cannot_be_taken_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "taken.toml"
    settings.write_text("[routing.ETHH]\nbetting_threshold = 5\n[risk]\nhedge_debounce = '3s'\n")
    asked = ("backtest", "synthetic-calm", *SMALL, "--settings")
    unknown = ("--set", 'data.symbols=["BTCC"]')
    for arguments, message in (
        (("nowhere.toml",), "no file at nowhere.toml"),
        (("synthetic-clam",), "did you mean 'synthetic-calm'"),
        ((settings, "--set", "risk.hedge_max_wait=1s"), "must not be above hedge_max_wait"),
        ((settings, *unknown), "symbol was 'BTCC'"),
    ):
        status, out, err = call(capsys, *asked, *arguments)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken.toml"]


def test_the_summary_names_the_headlines() -> None:
    run = made_run()
    console = Console(file=io.StringIO(), width=140)
    print_summary(console, run.scenario, summarise(run.scenario, run.tables, run.facts))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("House PnL", "Bad debt", "WITHIN_THRESHOLD", "without funding data: ETH", "digest"):
        assert word in text


def test_thinning_keeps_ends_and_extremes() -> None:
    marks = made_run().tables["marks"]
    thinned = thin(marks, "mark")
    assert thinned.num_rows <= MOST_POINTS + 2
    for end in (0, -1):
        assert thinned.slice(end % thinned.num_rows, 1).equals(marks.slice(end % marks.num_rows, 1))
    assert max(thinned["mark"].to_pylist()) == max(marks["mark"].to_pylist())
    assert min(thinned["mark"].to_pylist()) == min(marks["mark"].to_pylist())
