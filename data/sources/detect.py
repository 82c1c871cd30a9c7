"""Find out from its name which public format a file has, and read it."""

import re
from collections.abc import Callable
from pathlib import Path

from data.sources import binance, hyperliquid_archive, hyperliquid_info
from data.sources.raw import INTERVAL_NS, SourceFrame
from risk.errors import InvalidInput

_BINANCE = re.compile(
    r"(?P<pair>[A-Z0-9]+)-(?P<what>aggTrades|bookTicker|fundingRate|" + "|".join(INTERVAL_NS) + r")"
    r"-\d{4}-\d{2}(-\d{2})?\.zip"
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def detect_format(path: Path) -> str | None:
    """Give the format a path's name and folders speak of, one of ``FORMATS``, or None."""
    match = _BINANCE.fullmatch(path.name)
    if match:
        # Both kinds of bars carry the same file names; only the archive's folder tells them apart.
        bars = "binance-markPriceKlines" if "markPriceKlines" in path.parts else "binance-klines"
        return bars if match["what"] in INTERVAL_NS else f"binance-{match['what']}"
    if re.fullmatch(r"\d{8}\.csv\.lz4", path.name):
        return "hl-asset_ctxs"
    if path.suffix == ".lz4":
        if path.parent.name == "l2Book":
            return "hl-l2Book"
        return "hl-node_fills" if {"node_fills", "node_fills_by_block"} & set(path.parts) else None
    if path.suffix in (".jsonl", ".json"):
        prefix = path.name.split("-", 1)[0]
        return f"hl-{prefix}" if prefix in ("candles", "funding", "fills") else None
    return None


def read_source(path: Path, *, format: str | None = None, symbol: str | None = None) -> list[SourceFrame]:
    """Read a file of a public format as frames; ``format`` overrules what its name says.

    ``symbol`` picks a coin of a file with many, and names the coin of a Binance file where it is not the
    pair's own. Raises InvalidInput, naming the file, for an unknown format or an unusable file.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    name = format or detect_format(path)
    if name not in FORMATS:
        raise InvalidInput(f"{path}: format was {name!r}, must be one of {', '.join(FORMATS)}")
    return FORMATS[name](path, symbol)


def _binance(kind: str) -> Callable[[Path, str | None], list[SourceFrame]]:
    def read(path: Path, symbol: str | None) -> list[SourceFrame]:
        match = _BINANCE.fullmatch(path.name)
        if match is None:
            raise InvalidInput(f"{path}: expected a name such as BTCUSDT-1m-2024-01.zip")
        interval = match["what"] if match["what"] in INTERVAL_NS else None
        return [binance.read(path, kind, symbol or binance.coin_of(match["pair"]), interval)]

    return read


def _book(path: Path, symbol: str | None) -> list[SourceFrame]:
    parts = hyperliquid_archive.read_l2_book(path)
    _require_symbol(path, symbol, parts[0].symbol)
    return parts


def _candles(path: Path, symbol: str | None) -> list[SourceFrame]:
    part = hyperliquid_info.candles(hyperliquid_info.read_items(path), str(path))
    _require_symbol(path, symbol, part.symbol)
    return [part]


def _funding(path: Path, symbol: str | None) -> list[SourceFrame]:
    part = hyperliquid_info.funding(hyperliquid_info.read_items(path), str(path))
    _require_symbol(path, symbol, part.symbol)
    return [part]


def _fills(path: Path, symbol: str | None) -> list[SourceFrame]:
    user = _ADDRESS.search(path.name)
    if user is None:
        raise InvalidInput(f"{path}: expected the user's address in the name, such as fills-0x….jsonl")
    part = hyperliquid_info.user_fills(hyperliquid_info.read_items(path), user[0], str(path))
    return [_only_symbol(part, symbol)]


def _node_fills(path: Path, symbol: str | None) -> list[SourceFrame]:
    return [_only_symbol(hyperliquid_archive.read_node_fills(path), symbol)]


def _only_symbol(part: SourceFrame, symbol: str | None) -> SourceFrame:
    if symbol is None:
        return part
    wanted = [value == symbol for value in part.table["symbol"].to_pylist()]
    return SourceFrame(part.kind, None, part.table.filter(wanted))


def _require_symbol(path: Path, asked: str | None, found: str | None) -> None:
    if asked is not None and asked != found:
        raise InvalidInput(f"{path}: symbol was {asked!r}, the file holds {found!r}")


FORMATS: dict[str, Callable[[Path, str | None], list[SourceFrame]]] = {
    **{f"binance-{kind}": _binance(kind) for kind in binance.KINDS},
    "hl-asset_ctxs": hyperliquid_archive.read_asset_ctxs,
    "hl-l2Book": _book,
    "hl-node_fills": _node_fills,
    "hl-candles": _candles,
    "hl-funding": _funding,
    "hl-fills": _fills,
}
