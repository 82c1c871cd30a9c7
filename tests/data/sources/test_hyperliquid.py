"""Hyperliquid's archive and info answers as frames."""

import json
from datetime import date

import lz4.frame
import pytest

from data import frames
from data.sources import hyperliquid_archive as archive
from data.sources import hyperliquid_info as info
from data.sources.detect import detect_format, read_source
from data.sources.hyperliquid_fills import fills_table, is_perpetual
from risk.errors import InvalidInput

HEADER = (
    "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,"
    "impact_bid_px,impact_ask_px\n"
)
HOUR_NS = 3_600_000_000_000
T0 = 1_735_689_600_000_000_000  # 2025-01-01T00:00Z
USER, OTHER = "0x" + "Ab" * 20, "0x" + "cd" * 20


def context(time, coin="BTC", funding="0.0000125", mark="42050.0", bid="42000.0", ask="42030.0"):
    return f"{time},{coin},{funding},100.0,42000.0,5000000.0,0.0001,42100.0,{mark},42025.0,{bid},{ask}\n"


def fill(**changes):
    base = {
        "coin": "BTC",
        "px": "66653.0",
        "sz": "0.001",
        "side": "A",
        "time": 1781528065899,
        "dir": "Open Short",
        "hash": "0xe2",
        "oid": 55,
        "crossed": False,
        "tid": 745,
    }
    return base | changes


def by_kind(parts):
    return {(part.symbol, part.kind): part.table for part in parts}


def test_asset_ctxs_give_four_frames_per_coin(make_lz4):
    text = (
        HEADER + context("2025-01-01T00:00:00Z") + context("2025-01-01T00:00:00Z", "ETH", bid="", ask="null")
    )
    parts = by_kind(read_source(make_lz4("20250101.csv.lz4", text)))
    assert parts["BTC", "marks"].to_pylist() == [{"ts": T0, "mark": 42050.0}]
    assert parts["ETH", "oracles"].to_pylist() == [{"ts": T0, "oracle": 42100.0}]
    (quote,) = parts["BTC", "quotes"].to_pylist()
    assert (quote["bid"], quote["ask"]) == (42000.0, 42030.0)
    assert quote["bid_size"] * quote["bid"] == pytest.approx(20_000)  # BTC's impact notional
    assert ("ETH", "quotes") not in parts  # too thin to have impact prices


def test_asset_ctxs_time_may_carry_a_space_and_a_fraction(make_lz4):
    path = make_lz4("20250101.csv.lz4", HEADER + context("2025-01-01 00:01:00.000"))
    assert by_kind(read_source(path))["BTC", "marks"]["ts"].to_pylist() == [T0 + 60_000_000_000]


def test_asset_ctxs_funding_is_the_last_sample_of_an_hour_at_its_end(make_lz4):
    rows = [
        ("00:00:00", "0.1"),
        ("00:58:00", "0.2"),
        ("00:59:00", "0.3"),
        ("01:00:00", "0.4"),
        ("01:20:00", "0.5"),
    ]
    text = HEADER + "".join(context(f"2025-01-01T{time}Z", funding=rate) for time, rate in rows)
    funding = by_kind(read_source(make_lz4("20250101.csv.lz4", text)))["BTC", "funding"]
    # The second hour breaks off at 01:20, so what it settled at is not known.
    assert funding.to_pylist() == [{"ts": T0 + HOUR_NS, "rate": 0.3, "interval_hours": 1}]


def test_asset_ctxs_of_one_coin_or_of_an_absent_one(make_lz4):
    path = make_lz4("20250101.csv.lz4", HEADER + context("2025-01-01T00:00:00Z") * 2)
    assert {part.symbol for part in read_source(path, symbol="BTC")} == {"BTC"}
    with pytest.raises(InvalidInput, match="coin was 'SOL', the file holds 1 others"):
        read_source(path, symbol="SOL")


@pytest.mark.parametrize(
    "text", ["time,coin\n", HEADER + context("yesterday"), HEADER + context("", mark="x")]
)
def test_asset_ctxs_with_wrong_content_are_refused(make_lz4, text):
    with pytest.raises(InvalidInput, match=r"20250101.csv.lz4: "):
        read_source(make_lz4("20250101.csv.lz4", text))


def snapshot(time_ms, bids, asks, coin="SOL"):
    levels = [[{"px": px, "sz": sz, "n": 1} for px, sz in side] for side in (bids, asks)]
    data = {"coin": coin, "time": time_ms, "levels": levels}
    stamp = "2023-09-16T09:00:00.123456789"
    return json.dumps({"time": stamp, "ver_num": 1, "raw": {"channel": "l2Book", "data": data}}) + "\n"


def test_l2_book_gives_levels_and_best_quotes(make_lz4):
    text = snapshot(1694854800512, [("18.9", "10"), ("18.8", "5.5")], [("19.1", "7")])
    text += snapshot(1694854801012, [("18.9", "10")], [])
    book, quotes = read_source(make_lz4("market_data/20230916/9/l2Book/SOL.lz4", text))
    assert (book.kind, book.symbol, book.table.schema) == ("book", "SOL", frames.BOOK)
    assert [(row["side"], row["level"], row["price"]) for row in book.table.to_pylist()] == [
        ("BUY", 0, 18.9),
        ("BUY", 1, 18.8),
        ("SELL", 0, 19.1),
        ("BUY", 0, 18.9),
    ]
    assert quotes.table.to_pylist() == [
        {"ts": 1694854800512000000, "bid": 18.9, "ask": 19.1, "bid_size": 10.0, "ask_size": 7.0}
    ]


def test_l2_book_names_the_bad_line(make_lz4):
    text = snapshot(1694854800512, [("18.9", "10")], [("19.1", "7")])
    with pytest.raises(InvalidInput, match=r"line 2: expected JSON"):
        read_source(make_lz4("l2Book/SOL.lz4", text + "{cut"))
    with pytest.raises(InvalidInput, match=r"line 2: expected an l2Book snapshot"):
        read_source(make_lz4("l2Book/SOL.lz4", text + '{"raw": {}}'))
    with pytest.raises(InvalidInput, match=r"one coin, was \['ETH', 'SOL'\]"):
        read_source(make_lz4("l2Book/SOL.lz4", text + snapshot(1694854801000, [], [], "ETH")))


def block(*events):
    stamp = "2025-10-24T20:00:00.021156698"
    return json.dumps({"local_time": stamp, "block_time": stamp, "block_number": 7, "events": events}) + "\n"


def test_node_fills_keep_both_sides_of_a_trade(make_lz4):
    maker, taker = fill(), fill(side="B", crossed=True, oid=56)
    path = make_lz4(
        "node_fills_by_block/hourly/20251024/20.lz4", block([USER, maker], [OTHER, taker]) + block()
    )
    (part,) = read_source(path)
    rows = part.table.to_pylist()
    assert part.table.schema == frames.FILLS
    assert [(row["fill_id"], row["side"], row["taker"]) for row in rows] == [
        ("745-A", "SELL", False),
        ("745-B", "BUY", True),
    ]
    assert rows[0]["user"] == USER.lower()
    assert rows[0]["ts"] == 1781528065899000000


def test_older_node_fills_have_one_pair_per_line(make_lz4):
    path = make_lz4("node_fills/hourly/20250601/3.lz4", json.dumps([USER, fill()]) + "\n")
    assert read_source(path)[0].table.num_rows == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"events": 3}',
        '[["0x1"]]',
        json.dumps([USER, fill(side="S")]),
        json.dumps([USER, fill(px="cheap")]),
        "7",
    ],
)
def test_bad_node_fills_name_file_and_line(make_lz4, line):
    good = json.dumps([USER, fill()]) + "\n"
    with pytest.raises(InvalidInput, match=r"3\.lz4: line 2: expected "):
        read_source(make_lz4("node_fills/hourly/20250601/3.lz4", good + line))


def test_forced_fills_are_marked_on_the_side_that_was_forced():
    liquidation = {"liquidatedUser": OTHER, "markPx": "66607.0", "method": "market"}
    rows = [
        ("a", USER, fill(liquidation=liquidation)),
        ("b", OTHER, fill(liquidation=liquidation, side="B", dir="Close Short")),
        ("c", USER, fill(tid=746, dir="Auto-Deleveraging")),
        ("d", USER, fill(tid=747, dir="Liquidated Isolated Long", liquidation=None)),
    ]
    assert fills_table(rows)["liquidation"].to_pylist() == [False, True, True, True]


def test_equal_fills_stay_separate_with_ids_of_their_own():
    bare = {key: value for key, value in fill().items() if key != "tid"}
    ids = fills_table([("a", USER, bare), ("b", USER, bare), ("c", USER, fill())])["fill_id"].to_pylist()
    assert ids == ["0xe2-55-A", "0xe2-55-A#2", "745-A"]


def test_spot_and_outcome_coins_are_not_perpetuals():
    assert [is_perpetual(coin) for coin in ("BTC", "xyz:NVDA", "@107", "PURR/USDC", "#12")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "name", ["20250101.csv.lz4", "l2Book/SOL.lz4", "node_fills_by_block/hourly/20251024/20.lz4"]
)
def test_damaged_lz4_is_named(tmp_path, name):
    whole = lz4.frame.compress(
        (HEADER + context("2025-01-01T00:00:00Z") * 5000).encode(), content_checksum=True
    )
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for damaged in (whole[: len(whole) // 2], b"not lz4 at all", b""):
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput) as caught:
            read_source(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_archive_keys_have_unpadded_hours():
    assert archive.archive_keys("asset_ctxs", date(2025, 1, 31), date(2025, 2, 1)) == [
        "asset_ctxs/20250131.csv.lz4",
        "asset_ctxs/20250201.csv.lz4",
    ]
    books = archive.archive_keys("l2Book", date(2023, 9, 16), date(2023, 9, 16), "SOL")
    assert len(books) == 24
    assert books[9] == "market_data/20230916/9/l2Book/SOL.lz4"
    fills = archive.archive_keys("node_fills_by_block", date(2025, 8, 1), date(2025, 8, 1))
    assert fills[0] == "node_fills_by_block/hourly/20250801/0.lz4"
    for kind, coin in (("l2Book", None), ("asset_ctxs", "BTC"), ("trades", None)):
        with pytest.raises(InvalidInput):
            archive.archive_keys(kind, date(2025, 1, 1), date(2025, 1, 1), coin)


def test_recorded_candles(payloads):
    part = info.candles(info.read_items(payloads / "hl_candle_snapshot.json"), "recorded")
    assert (part.symbol, part.interval_ns, part.table.num_rows) == ("kPEPE", HOUR_NS, 8)
    assert part.table.to_pylist()[0] == {
        "ts_open": 1684699200000000000,
        "open": 0.001601,
        "high": 0.001616,
        "low": 0.001601,
        "close": 0.001604,
        "volume": 520665683.0,
    }


def test_recorded_funding_was_eight_hourly(payloads):
    part = info.funding(info.read_items(payloads / "hl_funding_history.json"), "recorded")
    assert (part.symbol, part.table.num_rows) == ("BTC", 12)
    assert set(part.table["interval_hours"].to_pylist()) == {8}
    assert part.table["rate"][0].as_py() == -0.00061334


def test_funding_interval_survives_gaps_and_the_change_to_hourly():
    hours = [0, 8, 16, 17, 18, 21, 22]
    items = [
        {"coin": "BTC", "fundingRate": "0.1", "time": 1683849600048 + hour * 3_600_000} for hour in hours
    ]
    assert info.funding(items, "x").table["interval_hours"].to_pylist() == [8, 8, 8, 1, 1, 1, 1]
    assert info.funding(items[:1], "x").table["interval_hours"].to_pylist() == [1]


def test_recorded_user_fills_come_out_oldest_first(payloads, tmp_path):
    path = tmp_path / f"fills-{USER}-2023-05-05_2023-05-05.json"
    path.write_bytes((payloads / "hl_user_fills_by_time.json").read_bytes())
    assert detect_format(path) == "hl-fills"
    (part,) = read_source(path)
    items = info.read_items(path)
    assert part.table["ts"].to_pylist() == [item["time"] * 1_000_000 for item in reversed(items)]
    assert part.table["price"].to_pylist()[-1] == 1.3189
    assert len(set(part.table["fill_id"].to_pylist())) == 40
    sui = read_source(path, symbol="SUI")[0].table
    assert set(sui["symbol"].to_pylist()) == {"SUI"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "expected JSON lines or one JSON array"),
        ("[3]", "item 1: expected an object, was '3'"),
        ("", "expected at least one item"),
        ('{"t": 1, "s": "BTC"}', "item 1: o was None"),
    ],
)
def test_bad_info_files_are_refused(tmp_path, text, message):
    path = tmp_path / "candles-BTC-1h.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_source(path)


def test_two_coins_in_one_info_file_are_refused():
    items = [{"coin": coin, "fundingRate": "0", "time": 1683849600048} for coin in ("BTC", "ETH")]
    with pytest.raises(InvalidInput, match="coin was BTC, ETH; must be the same"):
        info.funding(items, "x.jsonl")
