"""Whole lists as CSV or JSON Lines, written while they are read: memory holds one part at a time."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from live.api.reads.listing import Item

Format = Literal["csv", "jsonl"]
MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}

_encoder = msgspec.json.Encoder()


async def written(
    parts: AsyncIterator[list[Item]], names: tuple[str, ...], form: Format
) -> AsyncIterator[bytes]:
    """Give the text of a list's ``parts``: of CSV first a line with the ``names`` of the columns."""
    if form == "csv":
        yield _csv([dict(zip(names, names, strict=True))], names)
    async for items in parts:
        yield _csv(items, names) if form == "csv" else _encoder.encode_lines(items)


def _csv(items: list[Item], names: tuple[str, ...]) -> bytes:
    """Write lines as RFC 4180 has them; nothing stands for null, and true and false as in JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    for item in items:
        writer.writerow([_cell(item[name]) for name in names])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
