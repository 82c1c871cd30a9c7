"""What a stranger gets wrong at the command line: one clear line, exit status 2, nothing half-written."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hybrid_perps as cli
from backtest.results import summarise, write_result
from data.flow import FLOW_ORDERS, FLOW_TRANSFERS
from data.synthetic.dataset import DEFAULT_START_NS

from .made_run import made_run

START_NS = DEFAULT_START_NS + 30 * 60 * 10**9
SMALL = ("--set", "data.hours=1", "--set", 'data.symbols=["BTC"]', "--set", "flow.users=5")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    status = cli.run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def result(tmp_path: Path) -> Path:
    run = made_run()
    summary = summarise(run.scenario, run.tables, run.facts)
    return write_result(tmp_path / "result", run.scenario, run.tables, summary).directory


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = ", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"sed = 1", "unknown key sed: did you mean 'seed'?"),
        (b"[risk]\ntaker_fee_rate = 'dear'", "risk.taker_fee_rate was 'dear'; it must be a valid decimal"),
        (b"[flow]\nusers = -3", "flow.users was -3; it must be greater than or equal to 1"),
        (b"[data]\nprofile = 'clam'", "did you mean 'calm'?"),
        (b"[data]\nsymbols = ['BTCC']", "symbol was 'BTCC'"),
        (b"[data]\nsource = 'dataset'\ndataset = 'nosuch'", "dataset was 'nosuch'"),
        (b"[flow]\nsource = 'nowhere'", "no file at nowhere/orders.parquet"),
        (b"[routing.ETHH]\nnormal_threshold = 1", "routing has a row for 'ETHH'; the run has"),
    ],
)
def test_a_scenario_that_cannot_run_writes_nothing(
    capsys, tmp_path: Path, monkeypatch, content, message
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_bytes(content)
    assert message in refused(capsys, "backtest", "mine.toml", "--out", "out")
    assert tree(tmp_path) == ["mine.toml"]


def test_a_place_that_cannot_be_written_is_refused_before_the_run(
    capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("backtest.run.open_feed", lambda *_, **__: pytest.fail("the run was started"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    for out in ("notes", "notes/mine.txt"):
        error = refused(capsys, "backtest", "synthetic-calm", "--out", tmp_path / out)
        assert "must be new, an empty folder or an earlier result" in error
    error = refused(capsys, "backtest", "synthetic-calm", "--out", tmp_path / "notes/mine.txt/deep/er")
    assert "nothing can be written in" in error
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep"
    assert tree(tmp_path) == ["notes", "notes/mine.txt"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can write")
def test_a_place_that_turns_out_unwritable_is_one_line_too(capsys) -> None:
    error = refused(capsys, "backtest", "synthetic-calm", *SMALL, "--out", "/proc/none/out")
    assert "/proc/none/out" in error


def test_a_file_that_cannot_be_read_is_named(capsys, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").mkdir()
    assert "mine.toml could not be read: Is a directory" in refused(
        capsys, "backtest", tmp_path / "mine.toml"
    )


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select * from fils", "fils does not exist"),
        ("drop view fills", "it must be one SELECT"),
        ("insert into fills select * from fills", "it must be one SELECT"),
        ("copy fills to 'fills.csv'", "it must be one SELECT"),
        ("select 1; select 2", "it must be one SELECT"),
    ],
)
def test_queries_only_read(capsys, result: Path, sql: str, message: str) -> None:
    before = tree(result)
    assert message in refused(capsys, "query", result, sql)
    assert tree(result) == before


def test_a_damaged_result_is_named(capsys, result: Path, tmp_path: Path) -> None:
    (result / "tables" / "fills.parquet").write_text("junk")
    assert "fills.parquet is not a readable Parquet file" in refused(capsys, "query", result, "select 1")
    shutil.rmtree(result / "tables")
    assert "no file at" in refused(capsys, "query", result, "select 1")
    whole = json.loads((result / "result.json").read_text())
    (result / "result.json").write_text(json.dumps(whole | {"metrics": {"house_pnl": {}}}))
    assert "has no metric house_pnl.total" in refused(capsys, "compare", result)
    (result / "result.json").write_text(json.dumps({"format": whole["format"]}))
    assert "result.json has no name, digest, counts, metrics" in refused(capsys, "compare", result)
    assert "is not a result" in refused(capsys, "compare", tmp_path)


def write_flow_as_it_is(folder: Path, *changes: dict) -> Path:
    """Write orders without the checks of ``data.flow``: one good order, changed by each of ``changes``."""
    good = {
        "ts": START_NS,
        "user": "u",
        "symbol": "BTC",
        "intent": "OPEN",
        "side": "BUY",
        "type": "MARKET",
        "size": "0.01",
        "leverage": 5,
        "margin_mode": "CROSS",
        "reduce_only": False,
        "source_fills": 0,
    }
    rows = [good | {"order_id": f"o{i}"} | change for i, change in enumerate(changes)]
    paid = {"ts": START_NS - 10**9, "user": "u", "amount": "10000", "kind": "DEPOSIT"}
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, FLOW_ORDERS), folder / "orders.parquet")
    pq.write_table(pa.Table.from_pylist([paid], FLOW_TRANSFERS), folder / "transfers.parquet")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"size": "-1"}], "order row 0: size was '-1', it must be a decimal above 0"),
        ([{"size": "nan"}], "order row 0: size was 'nan'"),
        ([{"type": "LIMIT", "limit_price": "NaN"}], "order row 0: limit_price was 'NaN'"),
        ([{}, {"ts": START_NS - 1}], "order row 1: ts was"),
        ([{}, {"order_id": "o0"}], "order row 1: order_id was 'o0', it must be unique"),
        ([{"symbol": "BTCC"}], "order row 0: symbol was 'BTCC'"),
        ([{"leverage": 4_000}], "order 'o0' of 'u': leverage was 4000"),
        ([{"ts": 10**18}], "has no order in that of the data"),
    ],
)
def test_a_bad_row_of_a_flow_given_by_its_path_is_named(capsys, tmp_path: Path, changes, message) -> None:
    folder = write_flow_as_it_is(tmp_path / "flow", *changes)
    out = tmp_path / "out"
    error = refused(
        capsys, "backtest", "synthetic-calm", *SMALL, "--set", f"flow.source={folder}", "--out", out
    )
    assert message in error
    assert tree(tmp_path) == ["flow", "flow/orders.parquet", "flow/transfers.parquet"]


def test_a_good_flow_given_by_its_path_runs(capsys, tmp_path: Path) -> None:
    folder = write_flow_as_it_is(tmp_path / "flow", {}, {"leverage": 10})
    arguments = ("--set", f"flow.source={folder}", "--out", str(tmp_path / "out"), "--json")
    assert cli.run(["backtest", "synthetic-calm", *SMALL, *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["extra"]["order_outcomes"] == {"FILLED_INTERNAL": 2}
