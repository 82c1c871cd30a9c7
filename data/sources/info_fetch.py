"""Store the answers of the info endpoint as JSON lines, resumably: a page is kept once it is on disk."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.sources.download import Outcome, write_atomically
from data.sources.hyperliquid_info import Item
from data.sources.info_query import MAX_CANDLES, MAX_FILLS, Ask, Cursor, Query, pages
from risk.errors import HybridPerpsError, InvalidInput


def file_name(query: Query, span: str) -> str:
    """Name the file of a query over a span such as ``2024-01-01_2024-01-31``, safe on every disk."""
    parts = (query.kind, re.sub(r"[^\w@]", "_", query.subject), query.interval, span)
    return "-".join(part for part in parts if part) + ".jsonl"


def fetch_info(
    ask: Ask, query: Query, start_ms: int, end_ms: int, dest: Path, on_items: Callable[[int], None]
) -> Outcome:
    """Fetch every item from ``start_ms`` to ``end_ms``, both included, to ``dest``, which appears only whole.

    Pages gather in ``.part`` beside a ``.state.json``; a later call with the same query goes on there.
    """
    if dest.exists():
        return Outcome(dest, "kept")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(ask, query, Cursor(start_ms, end_ms), dest, on_items)
    except HybridPerpsError as error:
        return Outcome(dest, "failed", str(error))
    except OSError as error:
        return Outcome(dest, "failed", f"{dest}: could not be written ({error.strerror or error})")


def _fetch(ask: Ask, query: Query, whole: Cursor, dest: Path, on_items: Callable[[int], None]) -> Outcome:
    part, state = dest.with_name(dest.name + ".part"), dest.with_name(dest.name + ".state.json")
    identity = asdict(query) | {"start_ms": whole.start_ms, "end_ms": whole.end_ms}
    left, length, items = _resume(state, part, identity, whole)
    with part.open("r+b" if length else "wb") as out:
        # A page written but not yet in the state will be asked for again.
        out.truncate(length)
        out.seek(length)
        for new, cursor in pages(ask, query, left):
            final = [item for item in new if query.is_final(item, whole.end_ms)]
            out.writelines(_line(item) for item in final)
            out.flush()
            os.fsync(out.fileno())
            items += len(final)
            write_atomically(state, _state(identity, cursor, out.tell(), items))
            on_items(len(final))
    if items:
        os.replace(part, dest)
    else:
        part.unlink()
    state.unlink(missing_ok=True)
    return Outcome(dest, "fetched" if items else "missing", _note(query, items))


def _resume(state: Path, part: Path, identity: dict[str, Any], whole: Cursor) -> tuple[Cursor, int, int]:
    if not state.exists() or not part.exists():
        return whole, 0, 0
    try:
        saved = json.loads(state.read_text("utf-8"))
        cursor = Cursor(
            saved["cursor"]["start_ms"], saved["cursor"]["end_ms"], tuple(saved["cursor"]["taken"])
        )
        known = saved["query"] == identity and part.stat().st_size >= saved["bytes"]
        return (cursor, saved["bytes"], saved["items"]) if known else (whole, 0, 0)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{state}: expected the state of an earlier fetch; delete it to start over"
        ) from error


def _state(identity: dict[str, Any], cursor: Cursor, length: int, items: int) -> str:
    return json.dumps({"query": identity, "cursor": asdict(cursor), "bytes": length, "items": items})


def _line(item: Item) -> bytes:
    return json.dumps(item, separators=(",", ":")).encode() + b"\n"


def _note(query: Query, items: int) -> str:
    if query.kind == "fills" and items >= MAX_FILLS:
        return f"{items} fills: only the {MAX_FILLS} newest are published, older ones are missing"
    if query.kind == "candles" and not items:
        return f"only the {MAX_CANDLES} newest candles are published"
    return f"{items} items"
