"""``data fetch`` as a person calls it, against a server on this machine."""

import json

import lz4.frame
import pytest
from typer.testing import CliRunner

from data.cli_fetch import fetch_app
from data.sources.detect import read_source
from risk.errors import HybridPerpsError

KLINE = "1704067200000,42314.0,42335.8,42289.6,42331.9,289.6,1704067259999,1.0,3310,1.0,1.0,0\n"
SPAN = ["--from", "2024-01-31", "--to", "2024-02-29"]


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    base = ["--base-url", server.url, "--out", str(tmp_path / "out")]

    def call(*arguments, options=base):
        return CliRunner().invoke(fetch_app, [*arguments, *options])

    return call


def publish_klines(server, make_zip_bytes, *stamps):
    for stamp in stamps:
        size = "daily" if len(stamp) == 10 else "monthly"
        name = f"BTCUSDT-1m-{stamp}"
        key = f"data/futures/um/{size}/klines/BTCUSDT/1m/{name}.zip"
        server.publish(key, make_zip_bytes(f"{name}.csv", KLINE))


BINANCE = ["binance", "--kind", "klines", "--symbol", "btcusdt", "--interval", "1m", *SPAN]


def test_binance_files_land_where_they_were_published_and_read_back(run, server, make_zip_bytes, tmp_path):
    publish_klines(server, make_zip_bytes, "2024-01-31", "2024-02")
    result = run(*BINANCE, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["counts"] == {"fetched": 2}
    files = sorted((tmp_path / "out").rglob("*.zip"))
    assert [path.name for path in files] == ["BTCUSDT-1m-2024-01-31.zip", "BTCUSDT-1m-2024-02.zip"]
    assert read_source(files[0])[0].table.num_rows == 1
    again = run(*BINANCE)
    assert "kept" in again.stdout


def test_an_unpublished_file_is_reported_and_none_at_all_is_an_error(run, server, make_zip_bytes):
    result = run(*BINANCE)
    assert isinstance(result.exception, HybridPerpsError)
    assert str(result.exception) == "none of 2 files is published (yet), such as BTCUSDT-1m-2024-01-31.zip"
    publish_klines(server, make_zip_bytes, "2024-02")
    partial = run(*BINANCE)
    assert partial.exit_code == 0
    assert "missing" in partial.stdout


def test_one_failing_file_fails_the_command_after_the_others(run, server, make_zip_bytes, tmp_path):
    publish_klines(server, make_zip_bytes, "2024-01-31", "2024-02")
    server.files = {
        path: (b"ab" * 32 + b"  BTCUSDT-1m-2024-01-31.zip" if path.endswith("31.zip.CHECKSUM") else body)
        for path, body in server.files.items()
    }
    result = run(*BINANCE)
    assert isinstance(result.exception, HybridPerpsError)
    assert str(result.exception).startswith("1 of 2 failed, run again to go on; first: ")
    assert [path.name for path in (tmp_path / "out").rglob("*.zip")] == ["BTCUSDT-1m-2024-02.zip"]


def test_hyperliquid_archive_from_a_mirror_needs_no_key(run, server, tmp_path):
    header = "time,coin,funding,oracle_px,mark_px,impact_bid_px,impact_ask_px\n"
    body = lz4.frame.compress(f"{header}2024-01-31T00:00:00Z,BTC,0.1,1,2,3,4\n".encode())
    server.files["/asset_ctxs/20240131.csv.lz4"] = body
    result = run("hyperliquid-archive", "--kind", "asset_ctxs", "--from", "2024-01-31", "--to", "2024-01-31")
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out").rglob("*.lz4")
    assert {part.kind for part in read_source(path)} == {"marks", "oracles", "quotes"}


def test_hyperliquid_archive_without_a_key_says_what_to_set(run, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    result = run("hyperliquid-archive", "--kind", "asset_ctxs", *SPAN, options=["--out", str(tmp_path)])
    assert isinstance(result.exception, HybridPerpsError)
    assert "AWS_ACCESS_KEY_ID" in str(result.exception)


def test_hyperliquid_info_stores_what_can_be_read(run, server, tmp_path):
    start_ms = 1706659200000
    items = [
        {"coin": "BTC", "fundingRate": "0.0000125", "premium": "0", "time": start_ms + hour * 3_600_000}
        for hour in range(24)
    ]
    server.info = lambda body: [
        item for item in items if body["startTime"] <= item["time"] <= body["endTime"]
    ]
    result = run(
        "hyperliquid-info", "--kind", "funding", "--coin", "BTC", "--from", "2024-01-31", "--to", "2024-01-31"
    )
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "funding-BTC-2024-01-31_2024-01-31.jsonl"
    assert read_source(path)[0].table["interval_hours"].to_pylist() == [1] * 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["binance", "--kind", "trades", "--symbol", "BTCUSDT", *SPAN], "kind was 'trades'"),
        (["binance", "--kind", "klines", "--symbol", "BTCUSDT", *SPAN], "interval was ''"),
        ([*BINANCE[:-2], "--to", "2024-01-01"], "must not be before --from"),
        ([*BINANCE[:-2], "--to", "2999-01-01"], "must be before today"),
        (["hyperliquid-archive", "--kind", "l2Book", *SPAN], "l2Book needs one"),
        (["hyperliquid-info", "--kind", "fills", "--coin", "BTC", *SPAN], "fills need --user"),
        (["hyperliquid-info", "--kind", "fills", "--user", "me", *SPAN], "must be an address"),
        (["hyperliquid-info", "--kind", "candles", "--coin", "BTC", *SPAN], "interval was ''"),
    ],
)
def test_impossible_requests_are_refused_at_once(run, server, tmp_path, arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, HybridPerpsError)
    assert message in str(result.exception)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []
