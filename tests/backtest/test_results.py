import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.report.summary import verdict
from backtest.results import Result, check_out, open_result, query, summarise, write_result
from backtest.scenario_toml import dump_toml
from risk.errors import InvalidInput

from .made_run import made_run


def write(out: Path) -> Result:
    run = made_run()
    return write_result(out, run.scenario, run.tables, summarise(run.scenario, run.tables, run.facts))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return write(tmp_path_factory.mktemp("results") / "made")


def test_a_result_holds_all_it_takes_to_run_again(result: Result) -> None:
    run = made_run()
    assert result.scenario.settings() == run.scenario.settings()
    assert (result.directory / "scenario.toml").read_text() == dump_toml(run.scenario)
    facts = result.facts
    assert facts["seed"] == 7
    assert facts["inputs"] == {"made": "0" * 64}
    assert facts["symbols_without_funding"] == ["ETH"]
    assert facts["source_fills"] == {"TAKER_ORDER": 3, "LIQUIDATION": 1}
    assert facts["counts"]["fills"] == run.tables["fills"].num_rows
    assert {"python", "nautilus_trader", "hybrid-perps"} <= facts["versions"].keys()
    assert len(facts["digest"]) == 64


def test_the_tables_come_back_as_they_were(result: Result) -> None:
    for name, table in made_run().tables.items():
        assert pq.read_table(result.directory / "tables" / f"{name}.parquet").equals(table)
        assert result.tables[name].equals(table)


def test_the_same_run_writes_the_same_bytes(result: Result, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    for name in ("result.json", "scenario.toml", "report.html"):
        assert (again.directory / name).read_bytes() == (result.directory / name).read_bytes()


def test_only_a_free_place_or_an_earlier_result_is_written_to(tmp_path: Path) -> None:
    out = tmp_path / "out"
    check_out(out)
    out.mkdir()
    check_out(out)
    (out / "mine.txt").write_text("keep")
    with pytest.raises(InvalidInput, match="must be new, an empty folder or an earlier result"):
        write(out)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]
    (out / "mine.txt").unlink()
    write(out)
    write(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_report_that_fails_leaves_nothing(tmp_path: Path) -> None:
    run = made_run()
    with pytest.raises(KeyError):
        write_result(tmp_path / "out", run.scenario, run.tables, {"format": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a result"):
        open_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(InvalidInput, match="not valid JSON"):
        open_result(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InvalidInput, match="result format"):
        open_result(tmp_path)


def test_queries_see_tables_times_and_joined_views(result: Result) -> None:
    found = query(result.directory, "select count(*) as n, min(time) as first, min(ts) as ts from fills")
    assert found["n"].to_pylist() == [result.facts["counts"]["fills"]]
    assert found["first"].cast(pa.int64()) == found["ts"]
    opened = query(
        result.directory, "select count(*) as n, sum(size_closed) as closed from positions"
    ).to_pylist()[0]
    assert opened["n"] == len(set(result.tables["positions_opened"]["position_id"].to_pylist()))
    assert opened["closed"] == sum(result.tables["positions_closed"]["size"].to_pylist())
    assert "journal" in query(result.directory, "show tables")["name"].to_pylist()


@pytest.mark.parametrize(
    "sql",
    [
        "drop view fills",
        "copy fills to '/tmp/fills.csv'",
        "select 1; select 2",
        "set threads = 4",
        "selec",
        "select * from nothing",
        "select * from read_text('/etc/hostname')",
        "",
    ],
)
def test_anything_but_one_harmless_select_is_refused(result: Result, sql: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        result.query(sql)
    assert "\n" not in str(caught.value)


def test_the_report_needs_nothing_but_itself(result: Result) -> None:
    html = (result.directory / "report.html").read_text()
    own = html.split("<script>/**", 1)[0]  # what follows is plotly's own code
    assert "src=" not in own
    assert "href=" not in own
    assert "http" not in own
    figures = json.loads(own.split("<script id='figures' type='application/json'>")[1].split("</script>")[0])
    assert {
        "waterfall",
        "path",
        "exposure",
        "coverage",
        "ratios",
        "reserve",
        "liquidations",
        "routing",
        "modes",
    } < set(figures)
    for name, figure in figures.items():
        assert f"<div id='{name}'" in own
        assert figure["data"]


def test_the_report_says_what_the_metrics_say(result: Result) -> None:
    html = (result.directory / "report.html").read_text()
    figures = json.loads(html.split("type='application/json'>")[1].split("</script>")[0])
    assert figures["waterfall"]["data"][0]["y"][-1] == pytest.approx(
        float(result.metrics["house_pnl"]["total"])
    )
    assert figures["path"]["data"][0]["y"][-1] == pytest.approx(
        float(result.metrics["house_pnl"]["total"]), rel=1e-5
    )
    assert "stayed solvent throughout" in html


def test_the_report_tells_every_outcome_and_the_real_liquidations(tmp_path: Path) -> None:
    run = made_run()
    extra = {
        "orders": 7,
        "order_outcomes": {
            "FILLED_INTERNAL": 4,
            "FILLED_ON_BOTH_REST_REFUSED_HL_MIN_NOTIONAL": 2,
            "CANCELLED_UNFILLED": 1,
        },
        "source_fill_outcomes": {"TAKER_ORDER": {"FILLED_INTERNAL": 3}, "LIQUIDATION": {"NO_ORDER": 1}},
        "real_liquidations": {
            "real": 62,
            "simulated_accounts": 98,
            "matched_within": {"1 h": 12},
            "users_liquidated_really": 42,
            "users_liquidated_in_both": 29,
            "users_liquidated_only_here": 5,
        },
    }
    facts = run.facts.__class__(**{**vars_of(run.facts), "extra": extra})
    summary = summarise(run.scenario, run.tables, facts)
    html = (
        write_result(tmp_path / "out", run.scenario, run.tables, summary).directory / "report.html"
    ).read_text()
    text = " ".join(re.sub("<[^>]+>", " ", html.split("<script")[0]).split())
    for line in (
        "all orders 7 filled INTERNAL 4",
        "filled on both routes, the rest refused: HL_MIN_NOTIONAL 2",
        "cancelled: UNFILLED 1",
        "all source fills 4 TAKER_ORDER filled INTERNAL 3 LIQUIDATION not made into an order 1",
        "real ones matched within 1 h 12",
    ):
        assert line in text


def test_names_from_outside_cannot_become_html(tmp_path: Path) -> None:
    run = made_run()
    facts = run.facts.__class__(**{**vars_of(run.facts), "inputs": {"<script>alert(1)</script>": "x"}})
    summary = summarise(run.scenario, run.tables, facts)
    result = write_result(tmp_path / "out", run.scenario, run.tables, summary)
    assert "<script>alert(1)" not in (result.directory / "report.html").read_text()


def vars_of(facts: object) -> dict:
    return {name: getattr(facts, name) for name in facts.__slots__}  # type: ignore[attr-defined]


def test_without_reruns_the_report_says_that_it_estimates_and_the_verdict_does_not_compare(
    result: Result,
) -> None:
    assert "everything" not in verdict(result.facts)
    assert result.facts["reruns"] == {}
    html = (result.directory / "report.html").read_text()
    assert "everything INTERNAL (estimate)" in html
    assert "everything INTERNAL (rerun)" not in html


def test_the_verdict_compares_with_the_runs_that_were_not() -> None:
    run = made_run()
    others = {
        name: {"house_pnl": {"total": total}} for name, total in (("all of it", "1e6"), ("nothing", "-1e6"))
    }
    summary = summarise(run.scenario, run.tables, run.facts, others)
    total = float(summary["metrics"]["house_pnl"]["total"])
    less, more = (f"{gap:,.0f}".replace(",", " ") for gap in (1e6 - total, 1e6 + total))
    assert verdict(summary).endswith(
        f"That is {less} less than with all of it and {more} more than with nothing (each run again)."
    )
