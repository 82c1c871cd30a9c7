"""Datasets built from the real files, and what they give a run."""

import time

import numpy as np
import pytest

from data.dataset import open_dataset
from data.importer import RECIPES
from risk.errors import InvalidInput


@pytest.fixture(scope="module")
def catalog_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("catalog")


def test_the_2023_catalog_is_built_in_under_a_minute_and_reused(real_history, catalog_dir):
    started = time.perf_counter()
    dataset = open_dataset("flow-2023", catalog_dir, real_history)
    assert time.perf_counter() - started < 60
    built_at = (dataset.catalog.root / "manifest.json").stat().st_mtime_ns
    again = open_dataset("flow-2023", catalog_dir, real_history)
    assert (again.catalog.root / "manifest.json").stat().st_mtime_ns == built_at


def test_the_2023_dataset_has_prices_for_every_coin_of_its_flow(real_history, catalog_dir):
    dataset = open_dataset("flow-2023", catalog_dir, real_history)
    assert dataset.symbols == dataset.flow.symbols
    assert len(dataset.symbols) == 14
    assert sorted(dataset.funding) == ["BTC", "ETH", "LTC"]
    assert len(dataset.without_funding) == 11
    start, end = dataset.span
    loaded = dataset.load(start, end + 1, ["ARB"])
    quotes = [item for item in loaded if hasattr(item, "bid_price")]
    marks = [item for item in loaded if not hasattr(item, "bid_price")]
    assert len(quotes) == len(marks) > 12_000
    assert all(q.bid_price <= q.ask_price for q in quotes)
    assert dataset.accounting.num_rows == 35_691
    assert dataset.liquidations.num_rows == 62


def test_no_order_of_2023_comes_before_its_coin_has_a_price(real_history, catalog_dir):
    dataset = open_dataset("flow-2023", catalog_dir, real_history)
    first_mark = {e.symbol: e.first_ns for e in dataset.catalog.imports if e.kind == "marks"}
    orders = zip(
        dataset.flow.orders["symbol"].to_pylist(), dataset.flow.orders["ts"].to_pylist(), strict=True
    )
    assert all(first_mark[symbol] <= ts for symbol, ts in orders)


def test_no_mark_of_2023_is_a_liquidations_price(real_history, catalog_dir):
    """AVAX was liquidated at 13.85 while it traded above 18; Hyperliquid's own candle has it as its low."""
    marks = open_dataset("flow-2023", catalog_dir, real_history).catalog.frame("marks", "AVAX")
    day = int(np.datetime64("2023-04-14", "ns").astype(int))
    times, prices = marks["ts"].to_numpy(), marks["mark"].to_numpy()
    assert prices[(times >= day) & (times < day + 86_400 * 10**9)].min() > 18


def test_a_dataset_is_built_again_when_a_source_file_changed(real_history, tmp_path):
    history = tmp_path / "history"
    for name in ("BTC", "SOL"):
        target = history / f"binance/crash_2024_08/{name}USDT-5m.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((real_history / target.relative_to(history)).read_bytes())
    first = open_dataset("crash-2024-08", tmp_path / "catalog", history).input_hashes
    btc, sol = (history / f"binance/crash_2024_08/{name}USDT-5m.parquet" for name in ("BTC", "SOL"))
    btc.write_bytes(sol.read_bytes())
    second = open_dataset("crash-2024-08", tmp_path / "catalog", history).input_hashes
    assert (
        first["binance/crash_2024_08/BTCUSDT-5m.parquet"]
        != second["binance/crash_2024_08/BTCUSDT-5m.parquet"]
    )


def test_a_corrupt_source_is_named_and_leaves_what_was_built(real_history, tmp_path):
    name = "binance/crash_2024_08/BTCUSDT-5m.parquet"
    for coin in ("BTC", "SOL"):
        target = tmp_path / "history" / name.replace("BTC", coin)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((real_history / name.replace("BTC", coin)).read_bytes())
    first = open_dataset("crash-2024-08", tmp_path / "catalog", tmp_path / "history")
    (tmp_path / "history" / name).write_bytes(b"PAR1 no more")
    with pytest.raises(InvalidInput, match=r"BTCUSDT-5m\.parquet is not a readable Parquet file"):
        open_dataset("crash-2024-08", tmp_path / "catalog", tmp_path / "history")
    assert first.catalog.frame("marks", "BTC").num_rows == 54_144
    assert list((tmp_path / "catalog").glob(".*partial*")) == []
    (tmp_path / "history" / name).unlink()
    assert open_dataset("crash-2024-08", tmp_path / "catalog", tmp_path / "history").symbols == ["BTC", "SOL"]


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("flow-2023", "hl-2025")])
def test_every_recipe_gives_sane_prices(real_history, catalog_dir, name):
    dataset = open_dataset(name, catalog_dir, real_history)
    for symbol in dataset.symbols:
        quotes, marks = (dataset.catalog.frame(kind, symbol) for kind in ("quotes", "marks"))
        assert np.all(quotes["bid"].to_numpy() < quotes["ask"].to_numpy())
        assert np.all(quotes["bid"].to_numpy() > 0)
        assert np.all(np.diff(marks["ts"].to_numpy()) > 0)
        assert dataset.resolution_ns[symbol] > 0


def test_the_crashes_reach_their_known_lows(real_history, catalog_dir):
    def low(name, symbol):
        return (
            open_dataset(name, catalog_dir, real_history)
            .catalog.frame("marks", symbol)["mark"]
            .to_numpy()
            .min()
        )

    assert low("crash-2024-08", "BTC") == 48_888.0
    assert low("crash-2025-10", "BTC") == 101_516.5
    assert low("crash-2025-10", "ETH") == 3_400.0
    assert low("crash-2025-10", "SOL") == 141.28
