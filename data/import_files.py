"""Files of public formats → a dataset of one's own, new or extended."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.bars import QuoteModel, bar_path, quotes_around
from data.catalog import MarketCatalog, Source
from data.check import require_sound
from data.flow import FLOW_TRANSFERS, Flow, write_flow
from data.flow_import import ACCOUNTING, orders_from_fills
from data.frames import MARKS
from data.opening import opening_transfers
from data.prints import marks_from_fills
from data.sources.detect import read_source
from data.sources.hyperliquid_fills import is_perpetual
from data.sources.raw import SourceFrame
from data.storage import exclusive, replaced_directory, sha256_of, write_table
from risk.errors import InvalidInput
from venues.hyperliquid.specs import bundled_meta

SPOT = "SPOT"  # the fate of a fill that is not of a perpetual


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Say how files are read and what is made of bars that have no quotes."""

    format: str | None = None
    symbol: str | None = None
    meta: Mapping[str, Any] | None = None
    replace: bool = False
    quotes: QuoteModel = QuoteModel()


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold one frame of one file."""

    source: Source
    frame: SourceFrame


def import_files(
    paths: Iterable[Path],
    root: Path,
    options: ImportOptions,
    progress: Callable[[str], None] = lambda _: None,
) -> MarketCatalog:
    """Add files to the dataset at ``root``, all or none; create it from ``options.meta`` if it is new.

    Marks come from mark prices, else mark bars, else bars, else quotes' mids, else trades; quotes where
    there are none stand around the marks. Fills become the dataset's order flow, at each coin's highest
    leverage, with opening balances that pay for it. Raises InvalidInput for a file that is not usable, and
    for data that overlaps unless ``options.replace``.
    """
    parts = []
    for path in paths:
        progress(path.name)
        source = Source(path.name, sha256_of(path)) if path.is_file() else Source(path.name, "")
        for frame in read_source(path, format=options.format, symbol=options.symbol):
            require_sound(frame.table, str(path), frame.interval_ns)
            parts.append(_Part(source, frame))
    with exclusive(root), replaced_directory(root) as partial:
        if (root / "manifest.json").is_file():
            shutil.copytree(root, partial, dirs_exist_ok=True)
            catalog = MarketCatalog(partial)
        else:
            catalog = MarketCatalog(partial, options.meta or bundled_meta())
        progress("writing")
        _write(parts, catalog, options)
    return MarketCatalog(root)


def _write(parts: list[_Part], catalog: MarketCatalog, options: ImportOptions) -> None:
    by_symbol: defaultdict[str, defaultdict[str, list[_Part]]] = defaultdict(lambda: defaultdict(list))
    fills = [part for part in parts if part.frame.symbol is None]
    for part in parts:
        if part.frame.symbol is not None:
            by_symbol[part.frame.symbol][part.frame.kind].append(part)
    for symbol, kinds in sorted(by_symbol.items()):
        _write_market(symbol, kinds, catalog, options)
        for kind, stored in (("funding", "funding"), ("oracles", "oracle")):
            if kinds[kind]:
                if options.replace:
                    catalog.drop(stored, symbol)
                catalog.write_table(stored, symbol, _joined(kinds[kind]), _sources(kinds[kind]))
    if fills:
        _write_fills(fills, catalog, options)


def _write_market(
    symbol: str, kinds: Mapping[str, list[_Part]], catalog: MarketCatalog, options: ImportOptions
) -> None:
    spec = catalog.specs.get(symbol)
    if spec is None:
        raise InvalidInput(f"symbol was {symbol!r}, it must be one of {', '.join(sorted(catalog.specs))}")
    prices = next((k for k in ("marks", "mark_bars", "bars", "quotes", "trades") if kinds[k]), None)
    if prices is None:
        return
    marks = _MARKS_OF[prices](kinds[prices])
    used = kinds[prices]
    if kinds["quotes"]:
        quotes, used = _joined(kinds["quotes"]), used + kinds["quotes"]
    elif kinds["bars"]:
        quotes, used = quotes_around(_path(kinds["bars"]), spec, options.quotes), used + kinds["bars"]
    else:
        quotes = quotes_around(marks, spec, options.quotes)
    if options.replace:
        for kind in ("quotes", "marks"):
            catalog.drop(kind, symbol)
    catalog.write_market(symbol, quotes, marks, _sources(used))


def _write_fills(parts: list[_Part], catalog: MarketCatalog, options: ImportOptions) -> None:
    folder = catalog.root / "flow"
    if folder.exists() and not options.replace:
        raise InvalidInput("the dataset has an order flow already; --replace drops that first")
    leverage = {symbol: max(spec.tiers.leverages) for symbol, spec in catalog.specs.items()}
    fills = pa.concat_tables([part.frame.table for part in parts])
    fills = fills.take(np.argsort(fills["ts"].to_numpy(), kind="stable"))
    perpetual = pc.is_in(
        fills["symbol"], pa.array([s for s in fills["symbol"].unique().to_pylist() if is_perpetual(s)])
    )
    spot, fills = fills.filter(pc.invert(perpetual)), fills.filter(perpetual)
    symbols = sorted(fills["symbol"].unique().to_pylist())
    unknown = sorted(set(symbols) - set(leverage))
    if unknown:
        raise InvalidInput(
            f"symbol was {unknown[0]!r}, the meta must list it: give Hyperliquid's own with --meta (known are "
            f"{', '.join(sorted(leverage))})"
        )
    imported = orders_from_fills(fills, leverage=leverage)
    transfers = opening_transfers(fills, FLOW_TRANSFERS.empty_table(), leverage)
    shutil.rmtree(folder, ignore_errors=True)
    write_flow(Flow(imported.orders, transfers), folder)
    accounting = pa.concat_tables([imported.accounting, _spot_fates(spot)])
    write_table(
        accounting.sort_by([("ts", "ascending"), ("fill_id", "ascending")]), folder / "accounting.parquet"
    )
    priced = {entry.symbol for entry in catalog.imports if entry.kind == "marks"}
    for symbol in sorted(set(symbols) - priced):  # no better source of prices: the fills' own
        marks = marks_from_fills(fills, symbol, frozenset())
        traded = np.ones(marks.num_rows, dtype=bool)
        quotes = quotes_around(marks, catalog.specs[symbol], options.quotes, traded)
        catalog.write_market(symbol, quotes, marks, _sources(parts))


def _spot_fates(spot: pa.Table) -> pa.Table:
    """Account for fills of spot pairs, which no order comes of."""
    nothing = pa.nulls(spot.num_rows, pa.string())
    columns = [spot[name] for name in ("fill_id", "ts", "user", "symbol")]
    fates = pa.array([SPOT] * spot.num_rows, pa.string())
    return pa.table([*columns, fates, nothing, nothing], ACCOUNTING)


def _joined(parts: list[_Part]) -> pa.Table:
    """Join frames of one kind and symbol in time order; raise InvalidInput where two overlap."""
    clock = parts[0].frame.table.column_names[0]
    filled = [part for part in parts if part.frame.table.num_rows]
    filled.sort(key=lambda part: part.frame.table[clock][0].as_py())
    for one, other in pairwise(filled):
        if one.frame.table[clock][-1].as_py() >= other.frame.table[clock][0].as_py():
            raise InvalidInput(f"{other.source.name} overlaps {one.source.name} in time: import one of them")
    return pa.concat_tables([part.frame.table for part in filled or parts])


def _path(parts: list[_Part]) -> pa.Table:
    length = parts[0].frame.interval_ns
    if length is None or any(part.frame.interval_ns != length for part in parts):
        lengths = sorted({str(part.frame.interval_ns) for part in parts})
        raise InvalidInput(f"bars were {', '.join(lengths)} ns long, they must be of one known length")
    return bar_path(_joined(parts), length)


def _mids(parts: list[_Part]) -> pa.Table:
    """Return the mid of the last quote of each time."""
    quotes = _joined(parts)
    mids = pc.divide(pc.add(quotes["bid"], quotes["ask"]), 2.0)
    return _last_of_each(pa.table({"ts": quotes["ts"], "mark": mids}, MARKS), unit_ns=1)


def _last_trades(parts: list[_Part]) -> pa.Table:
    """Return the last price of each second that has trades, at its trade's own time."""
    trades = _joined(parts)
    return _last_of_each(
        pa.table({"ts": trades["ts"], "mark": trades["price"]}, MARKS), unit_ns=1_000_000_000
    )


def _last_of_each(marks: pa.Table, unit_ns: int) -> pa.Table:
    units = marks["ts"].to_numpy() // unit_ns
    return marks.filter(pa.array(np.diff(units, append=np.iinfo(np.int64).max) > 0))


_MARKS_OF: dict[str, Callable[[list[_Part]], pa.Table]] = {
    "marks": _joined,
    "mark_bars": _path,
    "bars": _path,
    "quotes": _mids,
    "trades": _last_trades,
}


def _sources(parts: list[_Part]) -> list[Source]:
    return list(dict.fromkeys(part.source for part in parts))
