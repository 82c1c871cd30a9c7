"""Hyperliquid's public archive (requester-pays S3, LZ4 frames): where files lie and how to read them.

``asset_ctxs`` are one-minute samples of every coin, ``l2Book`` snapshots about twice a second with up
to 20 levels, ``node_fills_by_block`` every fill of every user (both sides of a trade, one trade id).
"""

import io
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import frames
from data.sources.hyperliquid_fills import fills_table
from data.sources.raw import HOUR_NS, MINUTE_NS, SourceFrame, frame, json_lines, open_lz4, read_csv
from risk.errors import InvalidInput

KINDS = ("asset_ctxs", "l2Book", "node_fills_by_block")
# Bucket and region of each kind; the requester pays the transfer and signs with an AWS key.
BUCKETS = {
    "asset_ctxs": ("hyperliquid-archive", "us-east-1"),
    "l2Book": ("hyperliquid-archive", "us-east-1"),
    "node_fills_by_block": ("hl-mainnet-node-data", "ap-northeast-1"),
}
# Impact prices are the average price of trading this much (Hyperliquid docs, "Contract specifications").
_IMPACT_NOTIONAL_USD = {"BTC": 20_000.0, "ETH": 20_000.0}
_IMPACT_NOTIONAL_OTHERS_USD = 6_000.0
_LAST_SAMPLE_NS = 10 * MINUTE_NS
_OPTIONAL = frozenset(("funding", "oracle_px", "mark_px", "impact_bid_px", "impact_ask_px"))
_SIDES = ("BUY", "SELL")
_MS = 1_000_000


def archive_keys(kind: str, start: date, end: date, coin: str | None = None) -> list[str]:
    """Name the bucket's objects of ``kind`` from ``start`` to ``end``, both included; books need a coin."""
    if kind not in KINDS:
        raise InvalidInput(f"kind was {kind!r}, must be one of {', '.join(KINDS)}")
    if end < start:
        raise InvalidInput(f"end was {end}, must not lie before the start {start}")
    if (kind == "l2Book") != (coin is not None):
        raise InvalidInput(f"coin was {coin!r}: l2Book needs one, other kinds hold all coins")
    days = [f"{start + timedelta(days=n):%Y%m%d}" for n in range((end - start).days + 1)]
    if kind == "asset_ctxs":
        return [f"asset_ctxs/{day}.csv.lz4" for day in days]
    hours = [(day, hour) for day in days for hour in range(24)]
    if kind == "l2Book":
        return [f"market_data/{day}/{hour}/l2Book/{coin}.lz4" for day, hour in hours]
    return [f"node_fills_by_block/hourly/{day}/{hour}.lz4" for day, hour in hours]


def read_asset_ctxs(path: Path, coin: str | None = None) -> list[SourceFrame]:
    """Read marks, oracles, funding and quotes of ``coin``, or of every coin, from one day's samples.

    Quotes are the impact prices with the size of the impact notional. Funding is the last sample of an
    hour, stamped at that hour's end, when it is paid: within the sampling error of what was settled
    (``fundingHistory`` is exact), and never known early.
    """
    numbers = dict.fromkeys(sorted(_OPTIONAL), pa.float64())
    with open_lz4(path) as stream:
        raw = read_csv(path, stream, {"time": pa.string(), "coin": pa.string()} | numbers, None, _OPTIONAL)
    raw = raw.set_column(0, "ts", _iso_ns(path, raw["time"]))
    coins = pc.unique(raw["coin"]).to_pylist()
    if coin is not None and coin not in coins:
        raise InvalidInput(f"{path}: coin was {coin!r}, the file holds {len(coins)} others")
    picked = [coin] if coin is not None else sorted(coins)
    return [
        part
        for name in picked
        for part in _contexts_of(name, raw.filter(pc.equal(raw["coin"], name)))
        if part.table.num_rows
    ]


def read_l2_book(path: Path) -> list[SourceFrame]:
    """Read an hour's book snapshots of one coin: BOOK with every level, QUOTES with the best ones."""
    book: dict[str, list[Any]] = {name: [] for name in frames.BOOK.names}
    quotes: dict[str, list[Any]] = {name: [] for name in frames.QUOTES.names}
    coins: set[str] = set()
    with open_lz4(path) as stream:
        for number, line in json_lines(path, stream):
            try:
                coins.add(_add_snapshot(line["raw"]["data"], book, quotes))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise InvalidInput(
                    f"{path}: line {number}: expected an l2Book snapshot (raw.data with coin, time, levels), "
                    f"was {str(line)[:80]!r}"
                ) from error
    if len(coins) != 1:
        raise InvalidInput(f"{path}: expected snapshots of one coin, was {sorted(coins)!r}")
    coin = coins.pop()
    return [
        SourceFrame("book", coin, frame(frames.BOOK, book)),
        SourceFrame("quotes", coin, frame(frames.QUOTES, quotes)),
    ]


def read_node_fills(path: Path) -> SourceFrame:
    """Read an hour's fills: lines of ``node_fills_by_block``, or of its predecessor ``node_fills``."""
    with open_lz4(path) as stream:
        return SourceFrame("fills", None, fills_table(_node_rows(path, stream)))


def _node_rows(path: Path, stream: io.BufferedReader) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for number, line in json_lines(path, stream):
        events = line.get("events") if isinstance(line, dict) else [line]
        if not isinstance(events, list):
            raise InvalidInput(f"{path}: line {number}: expected a block with events, was {str(line)[:80]!r}")
        for event in events:
            if not isinstance(event, list) or len(event) != 2 or not isinstance(event[0], str):
                raise InvalidInput(
                    f"{path}: line {number}: expected [address, fill], was {str(event)[:80]!r}"
                )
            yield f"{path}: line {number}", event[0], event[1]


def _iso_ns(path: Path, times: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return pc.utf8_rtrim(times, "Z").cast(pa.timestamp("ns")).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{path}: expected times such as 2025-01-01T00:00:00Z ({error})") from error


def _contexts_of(coin: str, rows: pa.Table) -> list[SourceFrame]:
    marks = rows.filter(pc.is_valid(rows["mark_px"]))
    oracles = rows.filter(pc.is_valid(rows["oracle_px"]))
    # A missing impact price is empty or zero: the book was too thin for the notional.
    quoted = rows.filter(pc.and_(pc.greater(rows["impact_bid_px"], 0), pc.greater(rows["impact_ask_px"], 0)))
    bid, ask = quoted["impact_bid_px"].to_numpy(), quoted["impact_ask_px"].to_numpy()
    notional = _IMPACT_NOTIONAL_USD.get(coin, _IMPACT_NOTIONAL_OTHERS_USD)
    quote_columns = {"ts": quoted["ts"], "bid": bid, "ask": ask}
    quote_columns |= {"bid_size": notional / bid, "ask_size": notional / ask}
    return [
        SourceFrame("marks", coin, frame(frames.MARKS, {"ts": marks["ts"], "mark": marks["mark_px"]})),
        SourceFrame(
            "oracles", coin, frame(frames.ORACLES, {"ts": oracles["ts"], "oracle": oracles["oracle_px"]})
        ),
        SourceFrame("funding", coin, _funding(rows.filter(pc.is_valid(rows["funding"])))),
        SourceFrame("quotes", coin, frame(frames.QUOTES, quote_columns)),
    ]


def _funding(rows: pa.Table) -> pa.Table:
    ts = rows["ts"].to_numpy()
    hour_end = (ts // HOUR_NS + 1) * HOUR_NS
    is_last = np.append(np.diff(hour_end) > 0, [True])[: len(ts)]
    settled = is_last & (hour_end - ts <= _LAST_SAMPLE_NS)
    return frame(
        frames.FUNDING,
        {
            "ts": hour_end[settled],
            "rate": rows["funding"].to_numpy()[settled],
            "interval_hours": np.ones(int(settled.sum()), dtype=np.int64),
        },
    )


def _add_snapshot(data: Mapping[str, Any], book: dict[str, list[Any]], quotes: dict[str, list[Any]]) -> str:
    ts = int(data["time"]) * _MS
    bids, asks = ([(float(level["px"]), float(level["sz"])) for level in side] for side in data["levels"])
    for side, levels in zip(_SIDES, (bids, asks), strict=True):
        book["ts"] += [ts] * len(levels)
        book["side"] += [side] * len(levels)
        book["level"] += range(len(levels))
        book["price"] += [price for price, _ in levels]
        book["size"] += [size for _, size in levels]
    if bids and asks:
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        for name, value in zip(frames.QUOTES.names, (ts, bid, ask, bid_size, ask_size), strict=True):
            quotes[name].append(value)
    return str(data["coin"])
