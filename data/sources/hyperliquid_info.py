"""Answers of Hyperliquid's info endpoint as frames: candleSnapshot, fundingHistory, userFillsByTime."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data import frames
from data.sources.hyperliquid_fills import fills_table
from data.sources.raw import HOUR_NS, SourceFrame, frame, interval_ns
from risk.errors import InvalidInput

_MS = 1_000_000
# Hyperliquid settled every eight hours until mid-2023 and every hour since.
_FUNDING_HOURS = (1, 8)
Item = Mapping[str, Any]


def read_items(path: Path) -> list[Item]:
    """Read stored answers, either JSON lines as the fetcher writes them or one JSON array."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: could not be read as JSON text ({error})") from error
    try:
        items = json.loads(text) if text.lstrip().startswith("[") else [*map(json.loads, text.splitlines())]
    except ValueError as error:
        raise InvalidInput(f"{path}: expected JSON lines or one JSON array ({error})") from error
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise InvalidInput(f"{path}: item {number}: expected an object, was {str(item)[:60]!r}")
    return items


def candles(items: Sequence[Item], source: str) -> SourceFrame:
    """Turn candleSnapshot items into BARS; they name coin and interval themselves."""
    rows = _chronological(items, "t", source)
    keys = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    columns = {ours: _numbers(rows, theirs, source) for ours, theirs in keys.items()}
    table = frame(frames.BARS, {"ts_open": _times(rows, "t", source)} | columns)
    return SourceFrame("bars", _only(rows, "s", source), table, interval_ns(_only(rows, "i", source)))


def funding(items: Sequence[Item], source: str) -> SourceFrame:
    """Turn fundingHistory items into FUNDING; the interval follows from the settlements' distances."""
    rows = _chronological(items, "time", source)
    ts = _times(rows, "time", source)
    columns = {"ts": ts, "rate": _numbers(rows, "fundingRate", source), "interval_hours": _intervals_h(ts)}
    return SourceFrame("funding", _only(rows, "coin", source), frame(frames.FUNDING, columns))


def user_fills(items: Sequence[Item], user: str, source: str) -> SourceFrame:
    """Turn userFills or userFillsByTime items of ``user`` into FILLS, oldest first."""
    rows = _chronological(items, "time", source)
    numbered = ((f"{source}: fill {n}", user, row) for n, row in enumerate(rows, start=1))
    return SourceFrame("fills", None, fills_table(numbered))


def _chronological(items: Sequence[Item], key: str, source: str) -> list[Item]:
    if not items:
        raise InvalidInput(f"{source}: expected at least one item, was empty")
    times = _times(items, key, source)
    # A newest-first answer is turned around, so that items of one millisecond keep their true order.
    newest_first = times[0] > times[-1]
    ordered = reversed(items) if newest_first else items
    return sorted(ordered, key=lambda item: int(item[key]))


def _intervals_h(ts: np.ndarray) -> np.ndarray:
    """Take each settlement's distance to the one before; where that is a gap, to the one after."""
    hours = np.rint(np.diff(ts) / HOUR_NS).astype(np.int64)
    before = np.concatenate((hours[:1], hours)) if hours.size else np.ones(len(ts), dtype=np.int64)
    after = np.concatenate((hours, hours[-1:])) if hours.size else before
    known = np.where(np.isin(after, _FUNDING_HOURS), after, 1)
    return np.where(np.isin(before, _FUNDING_HOURS), before, known)


def _times(items: Sequence[Item], key: str, source: str) -> np.ndarray:
    return np.array(_column(items, key, source, int), dtype=np.int64) * _MS


def _numbers(items: Sequence[Item], key: str, source: str) -> pa.Array:
    return pa.array(_column(items, key, source, float), pa.float64())


def _only(items: Sequence[Item], key: str, source: str) -> str:
    values = sorted(set(_column(items, key, source, str)))
    if len(values) != 1:
        raise InvalidInput(f"{source}: {key} was {', '.join(values[:5])}; must be the same in every item")
    return values[0]


def _column(items: Sequence[Item], key: str, source: str, convert: Callable[[Any], Any]) -> list[Any]:
    values = []
    for number, item in enumerate(items, start=1):
        try:
            values.append(convert(item[key]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"{source}: item {number}: {key} was {item.get(key)!r}, must be a value"
            ) from error
    return values
