import pyarrow as pa
import pytest

from data.catalog import MarketCatalog, Source
from data.frames import FUNDING, MARKS, QUOTES
from risk.errors import InvalidInput
from venues.hyperliquid.instruments import symbol_of
from venues.hyperliquid.specs import bundled_meta

SOURCES = [Source("some/file", "00ff")]


def quotes(*times):
    row = {"bid": 100_000.7, "ask": 100_001.2, "bid_size": 1.5, "ask_size": 0.00002}
    return pa.Table.from_pylist([{"ts": ts} | row for ts in times], QUOTES)


def marks(*times):
    return pa.Table.from_pylist([{"ts": ts, "mark": 100_000.96 + ts} for ts in times], MARKS)


@pytest.fixture
def catalog(tmp_path):
    return MarketCatalog(tmp_path / "set", bundled_meta())


def test_a_market_comes_back_for_its_time_range_on_hyperliquids_grid(catalog):
    catalog.write_market("BTC", quotes(10, 20, 30), marks(10, 20, 30), SOURCES)
    loaded = MarketCatalog(catalog.root).load(["BTC"], 20, 30)
    quote, mark = loaded
    assert (str(quote.bid_price), str(quote.ask_price)) == ("100000.0", "100002.0")
    assert (str(quote.bid_size), str(quote.ask_size)) == ("1.50000", "0.00002")
    assert (str(mark.value), mark.ts_init, symbol_of(mark.instrument_id)) == ("100021.0", 20, "BTC")


def test_the_manifest_says_what_was_imported(catalog):
    catalog.write_market("BTC", quotes(10, 20, 40), marks(10, 20, 40), SOURCES)
    entry = MarketCatalog(catalog.root).imports[0]
    assert (entry.kind, entry.symbol, entry.sources, entry.sha256) == (
        "quotes",
        "BTC",
        ("some/file",),
        ("00ff",),
    )
    assert (entry.rows, entry.first_ns, entry.last_ns, entry.resolution_ns) == (3, 10, 40, 20)


def test_data_written_twice_is_refused_and_changes_nothing(catalog):
    catalog.write_market("BTC", quotes(10, 20), marks(10, 20), SOURCES)
    with pytest.raises(
        InvalidInput, match="quotes of BTC from 20 to 30 overlaps what is there from 10 to 20"
    ):
        catalog.write_market("BTC", quotes(20, 30), marks(20, 30), SOURCES)
    assert len(catalog.load(["BTC"], 0, 100)) == 4
    catalog.write_market("BTC", quotes(21, 30), marks(21, 30), SOURCES)
    assert len(catalog.load(["BTC"], 0, 100)) == 8


def test_what_is_dropped_can_be_written_again(catalog):
    catalog.write_market("BTC", quotes(10, 20), marks(10, 20), SOURCES)
    for kind in ("quotes", "marks"):
        catalog.drop(kind, "BTC")
    catalog.write_market("BTC", quotes(20, 30), marks(20, 30), SOURCES)
    assert [item.ts_init for item in catalog.load(["BTC"], 0, 100)] == [20, 30, 20, 30]


def test_frames_read_back_as_plain_numbers(catalog):
    catalog.write_market("BTC", quotes(10, 20), marks(10, 20), SOURCES)
    assert catalog.frame("quotes", "BTC").to_pylist()[0] == {
        "ts": 10, "bid": 100_000.0, "ask": 100_002.0, "bid_size": 1.5, "ask_size": 0.00002,
    }  # fmt: skip
    assert catalog.frame("marks", "BTC")["mark"].to_pylist() == [100_011.0, 100_021.0]


def test_funding_is_kept_beside_the_market_in_time_order(catalog):
    def rate(ts):
        return pa.Table.from_pylist([{"ts": ts, "rate": ts / 1e6, "interval_hours": 1}], FUNDING)

    catalog.write_table("funding", "ETH", rate(20), SOURCES)
    catalog.write_table("funding", "ETH", rate(10), SOURCES)
    assert MarketCatalog(catalog.root).read("funding")["ETH"]["ts"].to_pylist() == [10, 20]
    with pytest.raises(InvalidInput, match="funding of ETH from 10 to 10 overlaps"):
        catalog.write_table("funding", "ETH", rate(10), SOURCES)


def test_unusable_input_is_refused(catalog, tmp_path):
    with pytest.raises(InvalidInput, match="symbol was 'XYZ', it must be one of"):
        catalog.write_market("XYZ", quotes(1), marks(1), SOURCES)
    with pytest.raises(InvalidInput, match=r"quotes of BTC: row 2: time .* is before"):
        catalog.write_market("BTC", quotes(10, 5), marks(10), SOURCES)
    bad = pa.Table.from_pylist([{"ts": 1, "mark": float("nan")}], MARKS)
    with pytest.raises(InvalidInput, match="marks of BTC: row 1: mark was nan, must be a number"):
        catalog.write_market("BTC", quotes(1), bad, SOURCES)
    with pytest.raises(InvalidInput, match="had no rows"):
        catalog.write_market("BTC", quotes(), marks(10), SOURCES)
    with pytest.raises(InvalidInput, match="no dataset at"):
        MarketCatalog(tmp_path / "elsewhere")
    assert catalog.imports == []


def test_a_damaged_manifest_is_named(catalog):
    for text, message in (
        ("{", "not valid JSON"),
        ("{}", "is no manifest"),
        ('{"imports": [{}]}', "is no manifest"),
    ):
        (catalog.root / "manifest.json").write_text(text)
        with pytest.raises(InvalidInput, match=message):
            MarketCatalog(catalog.root).symbols  # noqa: B018 (read for its error)
