"""Readers of the project's history folder: candles, funding rates and Binance's raw tick stream."""

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.frames import BARS, BOOK, FUNDING, QUOTES, TRADES
from data.storage import conform, read_table
from risk.errors import InvalidInput

HOUR_NS = 3_600_000_000_000
BAR_NS = {"5m": HOUR_NS // 12, "1h": HOUR_NS, "4h": 4 * HOUR_NS}

# Changes of a book: the new size at a price, 0 where the level is gone.
DEPTH_UPDATES = pa.schema(
    [("ts", pa.int64()), ("side", pa.string()), ("price", pa.float64()), ("size", pa.float64())]
)


def read_candles(path: Path, *, drop_empty: bool = False) -> pa.Table:
    """Read a candle file as BARS; ``drop_empty`` leaves out bars without volume, filled in upstream."""
    raw = read_table(path)
    _need(raw, path, ("date", "open", "high", "low", "close", "volume"))
    if drop_empty:
        raw = raw.filter(pc.greater(raw["volume"], 0))
    columns = {"ts_open": nanoseconds(raw["date"], str(path))} | {name: raw[name] for name in BARS.names[1:]}
    return conform(pa.table(columns), BARS, str(path))


def read_funding(path: Path) -> pa.Table:
    """Read a funding file as FUNDING; a rate's interval is its distance to the nearer neighbour."""
    raw = read_table(path)
    _need(raw, path, ("date", "funding_rate"))
    ts = nanoseconds(raw["date"], str(path))
    gaps = np.diff(ts.to_numpy())
    if not gaps.size:
        raise InvalidInput(f"{path} had {len(ts)} rows; its interval shows only in two or more")
    nearer = np.minimum(np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]]))
    hours = np.maximum(np.rint(nearer / HOUR_NS).astype(np.int64), 1)
    return conform(
        pa.table({"ts": ts, "rate": raw["funding_rate"], "interval_hours": hours}), FUNDING, str(path)
    )


@dataclass(frozen=True, slots=True)
class TickStream:
    """Hold a raw tick stream by kind, stamped at receipt: the whole book now and then, its changes between.

    ``quotes`` QUOTES, ``trades`` TRADES, ``depth`` DEPTH_UPDATES, ``books`` BOOK.
    """

    quotes: pa.Table
    trades: pa.Table
    depth: pa.Table
    books: pa.Table


def read_ticks(path: Path) -> TickStream:
    """Read Binance's futures stream, gzipped lines of ``<receive ns> <json>``."""
    if not path.is_file():
        raise InvalidInput(f"no file at {path}: a gzipped tick stream was expected there")
    rows: dict[str, list[tuple[Any, ...]]] = {"quotes": [], "trades": [], "depth": [], "books": []}
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007 (named in the error below)
                received, _, payload = line.partition(" ")
                _sort_event(int(received), json.loads(payload), rows)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path}, near line {number}: not a raw tick stream ({error!r})") from error
    return TickStream(
        _table(rows["quotes"], QUOTES),
        _table(rows["trades"], TRADES),
        _table(rows["depth"], DEPTH_UPDATES),
        _table(rows["books"], BOOK),
    )


def _sort_event(ts: int, message: dict[str, Any], rows: dict[str, list[tuple[Any, ...]]]) -> None:
    event = message.get("data", message)  # a snapshot of the whole book comes bare
    match event.get("e"):
        case "bookTicker":
            rows["quotes"].append((ts, *(float(event[key]) for key in ("b", "a", "B", "A"))))
        case "trade":
            aggressor = "SELL" if event["m"] else "BUY"
            rows["trades"].append((ts, float(event["p"]), float(event["q"]), aggressor, str(event["t"])))
        case "depthUpdate":
            for side, key in (("BUY", "b"), ("SELL", "a")):
                rows["depth"].extend((ts, side, float(price), float(size)) for price, size in event[key])
        case None:
            for side, key in (("BUY", "bids"), ("SELL", "asks")):
                for level, (price, size) in enumerate(event[key]):
                    rows["books"].append((ts, side, level, float(price), float(size)))
        case other:
            raise ValueError(f"event was {other!r}, it must be bookTicker, trade or depthUpdate")


def nanoseconds(times: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Return UTC timestamps as int64 nanoseconds; raise InvalidInput for anything else."""
    if not pa.types.is_timestamp(times.type):
        raise InvalidInput(f"{where}: times were of type {times.type}, they must be UTC timestamps")
    return times.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema
    )


def _need(table: pa.Table, path: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InvalidInput(f"{path} has no column {missing[0]!r}: its columns were {table.column_names}")
