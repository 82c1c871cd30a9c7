"""``hybrid-perps margin``: what a person and a program are shown, and how bad files are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

import hybrid_perps as cli
from risk.margin import account_summary

GOLDEN = Path(__file__).parents[1] / "golden" / "hyperliquid" / "2026-01-mixed-sixteen-positions.json"


@pytest.fixture
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.fixture
def files(tmp_path: Path, golden: dict[str, Any]) -> tuple[Path, Path]:
    state, meta = tmp_path / "state.json", tmp_path / "meta.json"
    state.write_text(json.dumps(golden["state"]))
    meta.write_text(json.dumps(golden["meta"]))
    return state, meta


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["hybrid-perps", "margin", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_json_is_the_summary(monkeypatch, capsys, files, golden):
    assert run(monkeypatch, *files, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == account_summary(golden["state"], golden["meta"]).to_dict()
    assert set(shown["positions"][0]) == {
        "coin",
        "size",
        "maintenance_margin",
        "unrealized_pnl",
        "liquidation_price",
    }


def test_table_shows_account_and_positions_uncut(monkeypatch, capsys, files):
    assert run(monkeypatch, *files) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for figure in ("8,272,576.57", "356,978.71", "2,313.59%", "5,387,395", "-79,672.19", "isolated", "none"):
        assert figure in captured.out
    assert "…" not in captured.out
    assert "Hyperliquid's own" not in captured.out


def test_table_warns_of_a_meta_that_does_not_fit(monkeypatch, capsys, files, golden):
    golden["meta"]["universe"][0].update(marginTableId=3, maxLeverage=3)
    files[1].write_text(json.dumps(golden["meta"]))
    assert run(monkeypatch, *files) == 0
    assert "Hyperliquid's own cross maintenance margin was 356,978.71" in capsys.readouterr().out


def test_an_account_without_positions(monkeypatch, capsys, files):
    files[0].write_text('{"assetPositions": [], "crossMarginSummary": {"accountValue": 12.5}}')
    assert run(monkeypatch, *files) == 0
    shown = capsys.readouterr().out
    assert "No open positions." in shown
    assert "12.50" in shown


@pytest.mark.parametrize("as_json", [(), ("--json",)])
@pytest.mark.parametrize(
    ("which", "content", "message"),
    [
        (0, None, "state file was {path!r}; it cannot be read: No such file or directory"),
        (1, None, "meta file was {path!r}; it cannot be read: No such file or directory"),
        (0, b"", "state file was {path!r}; it is not JSON: Expecting value"),
        (0, b'{"assetPositions": [', "state file was {path!r}; it is not JSON: Expecting value"),
        (1, b"\xff\xfe\x00", "meta file was {path!r}; it is not UTF-8 text"),
        (0, b"[" * 200_000, "state file was {path!r}; it is not JSON: "),
        (0, b"[]", "state was []; it must be a JSON object"),
        (1, b"{}", "meta.universe was missing"),
        (1, b'{"universe": []}', "coin was 'BTC'; the universe of meta does not list it"),
        (0, b'{"assetPositions": [{"position": {"coin": "BTC", "szi": NaN}}]}', "szi was nan"),
    ],
)
def test_a_bad_file_is_one_line_and_status_2(monkeypatch, capsys, files, which, content, message, as_json):
    path = files[which]
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert run(monkeypatch, *files, *as_json) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message.format(path=str(path)) in captured.err
    assert captured.err.count("\n") == 1


def test_a_directory_is_no_state_file(monkeypatch, capsys, files, tmp_path):
    assert run(monkeypatch, tmp_path, files[1]) == 2
    assert "it cannot be read: Is a directory" in capsys.readouterr().err
