import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.layouts import read_candles, read_funding, read_ticks
from data.locate import default_catalog_dir, find_history
from risk.errors import InvalidInput

START_MS = 1_704_067_200_000  # 2024-01-01
TIMES_MS = [START_MS + hours * 3_600_000 for hours in (0, 8, 9)]
TIMES = pa.array(TIMES_MS, pa.timestamp("ms", "UTC"))


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_candles_are_read_and_those_filled_in_upstream_left_out(tmp_path):
    prices = {name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close")}
    path = parquet(tmp_path / "c.parquet", date=TIMES, **prices, volume=[0.0, 5.0, 6.0])
    assert read_candles(path).num_rows == 3
    kept = read_candles(path, drop_empty=True)
    assert kept["ts_open"].to_pylist() == [ms * 1_000_000 for ms in TIMES_MS[1:]]
    assert kept["volume"].to_pylist() == [5.0, 6.0]


def test_a_rates_interval_is_its_distance_to_the_nearer_neighbour(tmp_path):
    path = parquet(tmp_path / "f.parquet", date=TIMES, funding_rate=[1e-4, 2e-4, 3e-4])
    assert read_funding(path)["interval_hours"].to_pylist() == [8, 1, 1]


def test_files_of_another_shape_are_refused(tmp_path):
    path = parquet(tmp_path / "x.parquet", date=np.arange(3), funding_rate=[0.0] * 3)
    with pytest.raises(InvalidInput, match="times were of type int64"):
        read_funding(path)
    with pytest.raises(InvalidInput, match="no column 'open'"):
        read_candles(path)


STREAM = """\
5 {"stream":"s","data":{"e":"bookTicker","b":"10.0","B":"1","a":"10.1","A":"2"}}
6 {"stream":"s","data":{"e":"trade","t":77,"p":"10.1","q":"0.5","m":false}}
7 {"stream":"s","data":{"e":"depthUpdate","b":[["9.9","3"]],"a":[["10.2","0"]]}}
8 {"lastUpdateId":1,"bids":[["10.0","1"],["9.9","3"]],"asks":[["10.1","2"]]}
"""


def test_a_tick_stream_is_sorted_by_kind(tmp_path):
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(STREAM.encode()))
    stream = read_ticks(path)
    assert stream.quotes.to_pylist() == [
        {"ts": 5, "bid": 10.0, "ask": 10.1, "bid_size": 1.0, "ask_size": 2.0}
    ]
    assert stream.trades.to_pylist() == [
        {"ts": 6, "price": 10.1, "size": 0.5, "aggressor": "BUY", "trade_id": "77"}
    ]
    assert stream.depth["size"].to_pylist() == [3.0, 0.0]
    assert stream.books["level"].to_pylist() == [0, 1, 0]


@pytest.mark.parametrize("text", ["5 {", "x {}", '5 {"data":{"e":"bookTicker"}}', '5 {"data":{"e":"what"}}'])
def test_a_broken_tick_stream_is_named_by_file_and_line(tmp_path, text):
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress((STREAM + text).encode()))
    with pytest.raises(InvalidInput, match=r"t\.gz, near line 5"):
        read_ticks(path)
    path.write_bytes(gzip.compress(STREAM.encode())[:-20])
    with pytest.raises(InvalidInput, match="not a raw tick stream"):
        read_ticks(path)


def test_history_is_found_by_name_then_by_place(tmp_path, monkeypatch):
    monkeypatch.setattr("data.locate.PROJECT", tmp_path / "nowhere/project")
    monkeypatch.delenv("HYBRID_PERPS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_history() is None
    (tmp_path / "shared/data").mkdir(parents=True)
    assert find_history() == tmp_path / "shared/data"
    monkeypatch.setenv("HYBRID_PERPS_DATA", str(tmp_path))
    assert find_history() == tmp_path
    assert find_history(tmp_path / "shared") == tmp_path / "shared"
    with pytest.raises(InvalidInput, match=r"the data folder was .*, it must be an existing folder"):
        find_history(tmp_path / "missing")
    monkeypatch.setenv("HYBRID_PERPS_DATA", "/missing")
    with pytest.raises(InvalidInput, match="HYBRID_PERPS_DATA was '/missing'"):
        find_history()


def test_the_catalogs_place_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_PERPS_CATALOG", str(tmp_path))
    assert default_catalog_dir() == tmp_path
    monkeypatch.delenv("HYBRID_PERPS_CATALOG")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert str(default_catalog_dir()) == "/cache/hybrid-perps/catalog"
