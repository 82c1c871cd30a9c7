"""Compressed files as checked columns: what every reader of public formats shares."""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from risk.errors import InvalidInput

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
# Bars of fixed length; a calendar month ("1M", "1mo") is none.
INTERVAL_NS = {f"{n}m": n * MINUTE_NS for n in (1, 3, 5, 15, 30)}
INTERVAL_NS |= {f"{n}h": n * HOUR_NS for n in (1, 2, 4, 6, 8, 12)}
INTERVAL_NS |= {"1d": 24 * HOUR_NS, "3d": 72 * HOUR_NS, "1w": 168 * HOUR_NS}

# lz4 raises a plain RuntimeError for a damaged frame.
_CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_PEEK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """Hold one frame read from a file: its kind, its coin and, for bars, their length.

    ``kind`` is bars, mark_bars, quotes, marks, oracles, trades, funding, book or fills. ``symbol`` is None
    for fills, which name the coin in each row.
    """

    kind: str
    symbol: str | None
    table: pa.Table
    interval_ns: int | None = None


def interval_ns(interval: str) -> int:
    """Give the length of a bar interval such as ``5m``; raise InvalidInput for an unknown one."""
    if interval not in INTERVAL_NS:
        raise InvalidInput(f"interval was {interval!r}, must be one of {', '.join(INTERVAL_NS)}")
    return INTERVAL_NS[interval]


@contextmanager
def open_zip(path: Path) -> Iterator[io.BufferedReader]:
    """Open the single CSV member of a zip; raise InvalidInput when the file is none or is damaged."""
    with _readable(path, "an undamaged zip holding one CSV file"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1 or not names[0].endswith(".csv"):
            raise InvalidInput(f"{path}: expected a zip holding one CSV file, was {names!r}")
        with archive.open(names[0]) as member:
            yield io.BufferedReader(member)  # type: ignore[arg-type]  # typeshed's IO lacks readinto


@contextmanager
def open_lz4(path: Path) -> Iterator[io.BufferedReader]:
    """Open an LZ4 frame; raise InvalidInput when the file is none or is damaged."""
    with _readable(path, "a complete LZ4 frame"), lz4.frame.open(path, "rb") as stream:
        yield io.BufferedReader(stream)


@contextmanager
def _readable(path: Path, expected: str) -> Iterator[None]:
    # pyarrow calls back into these streams, so damage found midway also surfaces here.
    try:
        yield
    except _CORRUPT as error:
        raise InvalidInput(f"{path}: expected {expected}, was damaged ({_one_line(error)})") from error
    except OSError as error:
        raise InvalidInput(f"{path}: could not be read ({error.strerror or _one_line(error)})") from error


def json_lines(path: Path, stream: io.BufferedReader) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of a JSON-lines stream; raise InvalidInput at a line that is no JSON."""
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise InvalidInput(f"{path}: line {number}: expected JSON, was {line[:60]!r}") from error


def read_csv(
    path: Path,
    stream: io.BufferedReader,
    types: Mapping[str, pa.DataType],
    headerless: Sequence[str] | None,
    nullable: frozenset[str] = frozenset(),
) -> pa.Table:
    """Read the columns named in ``types``; ``headerless`` are all column names where a file has no header.

    Raises InvalidInput naming the file, and the row where there is one, for a missing column, an
    unreadable value or, outside ``nullable``, an empty one.
    """
    first = stream.peek(_PEEK_BYTES).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    has_header = not first[:1].isdigit() and not first.startswith("-")
    names = first.split(",") if has_header else list(headerless or ())
    missing = [name for name in types if name not in names]
    if missing:
        raise InvalidInput(f"{path}: expected columns {', '.join(types)}, was {first[:80]!r}")
    try:
        table = csv.read_csv(
            stream,
            # One thread: only then do messages carry the row.
            csv.ReadOptions(use_threads=False, column_names=names, skip_rows=int(has_header)),
            convert_options=csv.ConvertOptions(column_types=types, include_columns=list(types)),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.table({name: pa.array([], kind) for name, kind in types.items()})
        raise InvalidInput(
            f"{path}: expected columns {', '.join(names)}, was not readable ({_one_line(error)})"
        ) from error
    for name in types:
        if name not in nullable and table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py() + 1
            raise InvalidInput(f"{path}: row {row}: {name} was empty, must be a value")
    return table


def to_ns(path: Path, stamps: pa.ChunkedArray) -> np.ndarray:
    """Bring epoch stamps in milli- or microseconds to int64 nanoseconds, row by row.

    Archives changed units midway; magnitude tells them apart for every date from 1973 to 5138.
    """
    values = stamps.to_numpy()
    bad = np.flatnonzero((values < 10**11) | (values >= 10**17))
    if bad.size:
        row = int(bad[0])
        raise InvalidInput(
            f"{path}: row {row + 1}: time was {values[row]}, must be epoch milliseconds or microseconds"
        )
    return np.where(values < 10**14, values * 1_000_000, values * 1_000)


def frame(schema: pa.Schema, columns: Mapping[str, Any]) -> pa.Table:
    """Build a table of ``schema`` from columns by name."""
    return pa.table(
        [pa.array(_plain(columns[name]), field_type) for name, field_type in _fields(schema)], schema
    )


def _fields(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    return ((field.name, field.type) for field in schema)


def _plain(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
