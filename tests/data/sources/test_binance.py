"""Binance's archive: names, columns with and without header, both units of time, damage."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import frames
from data.sources import binance
from data.sources.detect import detect_format, read_source
from risk.errors import InvalidInput

KLINES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
KLINES = (
    "1704067200000,42314.00,42335.80,42289.60,42331.90,289.641,1704067259999,12256155.27,3310,175.211,7414459.86,0\n"
    "1704067260000,42331.90,42353.10,42331.80,42350.40,202.444,1704067319999,8572241.20,2409,98.230,4159319.43,0\n"
)


@pytest.mark.parametrize("text", [KLINES, KLINES_HEADER + KLINES], ids=["headerless", "header"])
def test_klines_are_bars_in_nanoseconds(make_zip, text):
    (part,) = read_source(make_zip("BTCUSDT-1m-2024-01.zip", text))
    assert (part.kind, part.symbol, part.interval_ns) == ("bars", "BTC", 60_000_000_000)
    assert part.table.schema == frames.BARS
    assert part.table.to_pylist()[1] == {
        "ts_open": 1_704_067_260_000_000_000,
        "open": 42331.9,
        "high": 42353.1,
        "low": 42331.8,
        "close": 42350.4,
        "volume": 202.444,
    }


def test_milliseconds_and_microseconds_mix(make_zip):
    micro = KLINES.splitlines()[1].replace("1704067260000", "1704067260000000")
    (part,) = read_source(make_zip("ETHUSDT-1m-2025-01-01.zip", KLINES.splitlines()[0] + "\n" + micro + "\n"))
    assert part.table["ts_open"].to_pylist() == [1_704_067_200_000_000_000, 1_704_067_260_000_000_000]


def test_mark_klines_are_told_apart_by_their_folder(make_zip):
    path = make_zip("markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2020-01.zip", KLINES)
    assert detect_format(path) == "binance-markPriceKlines"
    assert read_source(path)[0].kind == "mark_bars"


def test_agg_trades_name_the_aggressor(make_zip):
    text = (
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
        "2008134056,42570.1,0.250,1,2,1707091200100,true\n2008134057,42570.2,0.500,3,3,1707091200290,false\n"
    )
    (part,) = read_source(make_zip("BTCUSDT-aggTrades-2024-02-05.zip", text))
    assert part.table.schema == frames.TRADES
    assert part.table["aggressor"].to_pylist() == ["SELL", "BUY"]
    assert part.table["trade_id"].to_pylist() == ["2008134056", "2008134057"]


def test_book_ticker_is_quotes_at_transaction_time(make_zip):
    text = (
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
        "3932256034651,42570.3,0.821,42570.4,7.207,1707091200006,1707091200012\n"
    )
    (part,) = read_source(make_zip("BTCUSDT-bookTicker-2024-02-05.zip", text))
    assert part.table.to_pylist() == [
        {"ts": 1707091200006000000, "bid": 42570.3, "ask": 42570.4, "bid_size": 0.821, "ask_size": 7.207}
    ]


def test_funding_keeps_its_exact_stamp(make_zip):
    text = "calc_time,funding_interval_hours,last_funding_rate\n1780272000001,8,-0.00005703\n"
    (part,) = read_source(make_zip("1000PEPEUSDT-fundingRate-2026-06.zip", text))
    assert (part.symbol, part.kind) == ("kPEPE", "funding")
    assert part.table.to_pylist() == [{"ts": 1780272000001000000, "rate": -0.00005703, "interval_hours": 8}]


def test_header_alone_is_an_empty_frame(make_zip):
    assert read_source(make_zip("BTCUSDT-1m-2024-01.zip", KLINES_HEADER))[0].table.num_rows == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n", r"expected columns open_time, .* was 'a,b,c'"),
        (KLINES.replace("42353.10", "dear"), r"Row #2.*dear"),
        (KLINES.replace("42353.10", ""), r"row 2: high was empty"),
        (KLINES + "1704067320000,1,2\n", r"Expected 12 columns, got 3"),
        (KLINES.replace("1704067260000", "1704067260"), r"row 2: time was 1704067260"),
    ],
    ids=["columns", "number", "empty", "short", "seconds"],
)
def test_wrong_content_is_one_line_naming_file_and_row(make_zip, text, message):
    path = make_zip("BTCUSDT-1m-2024-01.zip", text)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_source(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_damage_is_named(make_zip, tmp_path):
    whole = make_zip("BTCUSDT-1m-2024-01.zip", KLINES * 400).read_bytes()
    path = tmp_path / "BTCUSDT-1m-2024-02.zip"
    flipped = bytearray(whole)
    flipped[120] ^= 0xFF
    for damaged in (whole[:-60], b"<html>busy</html>", bytes(flipped), b""):
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match="expected an undamaged zip"):
            read_source(path)


def test_unknown_files_and_formats_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no such file"):
        read_source(tmp_path / "BTCUSDT-1m-2024-01.zip")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InvalidInput, match="format was None, must be one of binance-klines"):
        read_source(tmp_path / "notes.txt")
    with pytest.raises(InvalidInput, match="pair was 'BTCEUR'"):
        binance.coin_of("BTCEUR")


def test_archive_keys_prefer_whole_months():
    keys = binance.archive_keys("klines", "BTCUSDT", date(2024, 1, 30), date(2024, 3, 2), "5m")
    folder = "data/futures/um/{}/klines/BTCUSDT/5m/BTCUSDT-5m-{}.zip"
    assert keys == [
        folder.format("daily", "2024-01-30"),
        folder.format("daily", "2024-01-31"),
        folder.format("monthly", "2024-02"),
        folder.format("daily", "2024-03-01"),
        folder.format("daily", "2024-03-02"),
    ]
    funding = binance.archive_keys("fundingRate", "BTCUSDT", date(2023, 12, 31), date(2024, 1, 1))
    assert [key.rsplit("fundingRate-")[1] for key in funding] == ["2023-12.zip", "2024-01.zip"]


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 400), st.booleans())
def test_archive_keys_cover_each_day_once(start, days, daily):
    end = start + timedelta(days=days)
    covered = []
    for key in binance.archive_keys("aggTrades", "BTCUSDT", start, end, daily=daily):
        stamp = key.rsplit("aggTrades-")[1].removesuffix(".zip")
        day = date.fromisoformat(stamp if len(stamp) == 10 else f"{stamp}-01")
        whole_month = len(stamp) == 7
        while f"{day:%Y-%m-%d}".startswith(stamp):
            covered.append(day)
            day += timedelta(days=1)
        assert not (whole_month and daily)
    assert covered == [start + timedelta(days=n) for n in range(days + 1)]


@pytest.mark.parametrize(
    ("kind", "interval", "message"),
    [
        ("trades", None, "kind was 'trades'"),
        ("klines", "7m", "interval was '7m'"),
        ("aggTrades", "1m", "has none"),
    ],
)
def test_impossible_requests_are_refused(kind, interval, message):
    with pytest.raises(InvalidInput, match=message):
        binance.archive_keys(kind, "BTCUSDT", date(2024, 1, 1), date(2024, 1, 2), interval)


def test_checksum_must_name_its_file():
    digest = "ab" * 32
    assert binance.parse_checksum(f"{digest}  BTC.zip\n", "BTC.zip") == digest
    for text in (f"{digest}  ETH.zip", "nonsense", f"{digest[:-1]}  BTC.zip", ""):
        with pytest.raises(InvalidInput, match=r"expected '<sha256>  BTC.zip'"):
            binance.parse_checksum(text, "BTC.zip")
