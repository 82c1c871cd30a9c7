"""Binance's public archive of USD-M futures: where its files lie and how to read them.

Layout and columns: the archive's own README (binance-public-data). Zips hold one CSV; files before
2022 have no header; stamps are milliseconds, in places microseconds. ``fundingRate`` is monthly only.
"""

import calendar
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import frames
from data.sources.raw import SourceFrame, frame, interval_ns, open_zip, read_csv, to_ns
from risk.errors import InvalidInput

BASE_URL = "https://data.binance.vision"
KINDS = ("klines", "markPriceKlines", "aggTrades", "bookTicker", "fundingRate")
BAR_KINDS = ("klines", "markPriceKlines")
_PAIR = re.compile(r"(1000)?([A-Z0-9]+?)(USDT|USDC|BUSD)")

_COLUMNS = {
    "klines": "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore",
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "bookTicker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
    "event_time",
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
}


def coin_of(pair: str) -> str:
    """Give Hyperliquid's coin for a Binance pair: BTCUSDT is BTC, 1000PEPEUSDT is kPEPE."""
    match = _PAIR.fullmatch(pair)
    if match is None:
        raise InvalidInput(
            f"pair was {pair!r}, must be a perpetual such as BTCUSDT; or name the coin yourself"
        )
    return f"k{match[2]}" if match[1] else match[2]


def archive_keys(
    kind: str, pair: str, start: date, end: date, interval: str | None = None, *, daily: bool = False
) -> list[str]:
    """Name the archive's files covering ``start`` to ``end``, both included, in time order.

    Whole months come as monthly files and the rest as daily ones; ``daily`` asks for days only.
    """
    _require_kind(kind, interval)
    if end < start:
        raise InvalidInput(f"end was {end}, must not lie before the start {start}")
    name = interval if kind in BAR_KINDS else kind
    folder = f"{kind}/{pair}/{interval}" if kind in BAR_KINDS else f"{kind}/{pair}"
    spans = _months(start, end) if kind == "fundingRate" else _periods(start, end, daily)
    return [f"data/futures/um/{size}/{folder}/{pair}-{name}-{stamp}.zip" for size, stamp in spans]


def read(path: Path, kind: str, symbol: str, interval: str | None = None) -> SourceFrame:
    """Read one archive zip of ``kind`` as a frame of the coin ``symbol``; bars need their ``interval``.

    Raises InvalidInput, naming the file, when it is no zip, is damaged or holds other columns.
    """
    _require_kind(kind, interval)
    if kind in BAR_KINDS:
        length_ns = interval_ns(interval or "")
        return SourceFrame("bars" if kind == "klines" else "mark_bars", symbol, _bars(path), length_ns)
    name, reader = {
        "aggTrades": ("trades", _trades),
        "bookTicker": ("quotes", _quotes),
        "fundingRate": ("funding", _funding),
    }[kind]
    return SourceFrame(name, symbol, reader(path))


def parse_checksum(text: str, name: str) -> str:
    """Take the SHA-256 of ``name`` out of its ``.CHECKSUM`` text; raise InvalidInput where there is none."""
    parts = text.split()
    if len(parts) != 2 or parts[1].lstrip("*") != name or not re.fullmatch(r"[0-9a-f]{64}", parts[0].lower()):
        raise InvalidInput(f"{name}.CHECKSUM: expected '<sha256>  {name}', was {text[:100]!r}")
    return parts[0].lower()


def _require_kind(kind: str, interval: str | None) -> None:
    if kind not in KINDS:
        raise InvalidInput(f"kind was {kind!r}, must be one of {', '.join(KINDS)}")
    if kind in BAR_KINDS:
        interval_ns(interval or "")
    elif interval is not None:
        raise InvalidInput(f"interval was {interval!r}, but {kind} has none")


def _periods(start: date, end: date, daily: bool) -> Iterator[tuple[str, str]]:
    day = start
    while day <= end:
        last = day.replace(day=calendar.monthrange(day.year, day.month)[1])
        if day.day == 1 and last <= end and not daily:
            yield "monthly", f"{day:%Y-%m}"
            day = last
        else:
            yield "daily", f"{day:%Y-%m-%d}"
        day += timedelta(days=1)


def _months(start: date, end: date) -> Iterator[tuple[str, str]]:
    month = start.replace(day=1)
    while month <= end:
        yield "monthly", f"{month:%Y-%m}"
        month = (month + timedelta(days=31)).replace(day=1)


def _columns(path: Path, kind: str, types: dict[str, pa.DataType]) -> pa.Table:
    with open_zip(path) as stream:
        return read_csv(path, stream, types, _COLUMNS[kind].split(","))


def _bars(path: Path) -> pa.Table:
    prices = ("open", "high", "low", "close", "volume")
    raw = _columns(path, "klines", {"open_time": pa.int64()} | dict.fromkeys(prices, pa.float64()))
    return frame(
        frames.BARS, {"ts_open": to_ns(path, raw["open_time"])} | {name: raw[name] for name in prices}
    )


def _trades(path: Path) -> pa.Table:
    types = {"agg_trade_id": pa.string(), "price": pa.float64(), "quantity": pa.float64()}
    raw = _columns(path, "aggTrades", types | {"transact_time": pa.int64(), "is_buyer_maker": pa.bool_()})
    return frame(
        frames.TRADES,
        {
            "ts": to_ns(path, raw["transact_time"]),
            "price": raw["price"],
            "size": raw["quantity"],
            "aggressor": pc.if_else(raw["is_buyer_maker"], "SELL", "BUY"),
            "trade_id": raw["agg_trade_id"],
        },
    )


def _quotes(path: Path) -> pa.Table:
    names = {"bid": "best_bid_price", "ask": "best_ask_price", "bid_size": "best_bid_qty"}
    names["ask_size"] = "best_ask_qty"
    types = {"transaction_time": pa.int64()} | dict.fromkeys(names.values(), pa.float64())
    raw = _columns(path, "bookTicker", types)
    columns = {"ts": to_ns(path, raw["transaction_time"])}
    return frame(frames.QUOTES, columns | {ours: raw[theirs] for ours, theirs in names.items()})


def _funding(path: Path) -> pa.Table:
    types = {"calc_time": pa.int64(), "funding_interval_hours": pa.int64(), "last_funding_rate": pa.float64()}
    raw = _columns(path, "fundingRate", types)
    hours = raw["funding_interval_hours"].to_numpy()
    bad = np.flatnonzero(hours < 1)
    if bad.size:
        row = int(bad[0])
        raise InvalidInput(f"{path}: row {row + 1}: funding interval was {hours[row]} h, must be 1 or more")
    return frame(
        frames.FUNDING,
        {"ts": to_ns(path, raw["calc_time"]), "rate": raw["last_funding_rate"], "interval_hours": hours},
    )
