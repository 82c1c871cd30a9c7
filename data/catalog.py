"""One dataset on disk: a NautilusTrader ``ParquetDataCatalog`` and what rc7's catalog has no place for.

<root>/manifest.json     what was imported: source, hash, rows, span, resolution
<root>/meta.json         Hyperliquid's ``meta`` the instruments are made of
<root>/nautilus/         quotes and marks of the trading venue
<root>/funding/          <symbol>.parquet, schema FUNDING
<root>/oracle/           <symbol>.parquet, schema ORACLES
<root>/flow/             an order flow, see data.flow
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from nautilus_trader.model import MarkPriceUpdate, NautilusDataType, Price, QuoteTick
from nautilus_trader.persistence import ParquetDataCatalog

from data.check import require_sound
from data.frames import FUNDING, MARKS, ORACLES, QUOTES
from data.storage import conform, read_json, read_table, write_json, write_table
from risk.errors import InvalidInput
from risk.market import SymbolSpec
from venues.hyperliquid.instruments import TRADING_VENUE, instrument_id, perpetual
from venues.hyperliquid.specs import MAX_DECIMALS, specs_from_meta
from venues.hyperliquid.ticks import ceil_prices, floor_prices

RAW_DECIMALS = 16  # Nautilus keeps prices and sizes as integers of 1e-16
TABLES = {"funding": FUNDING, "oracle": ORACLES}
MAX_GAP_QUANTILE = 0.9


@dataclass(frozen=True, slots=True)
class _Stored:
    """Say where Nautilus keeps a kind of data: its type, folder and columns, in the order of ``schema``."""

    data_type: NautilusDataType
    folder: str
    columns: tuple[str, ...]
    schema: pa.Schema


NAUTILUS = {
    "quotes": _Stored(
        NautilusDataType.QuoteTick, "quotes", ("bid_price", "ask_price", "bid_size", "ask_size"), QUOTES
    ),
    "marks": _Stored(NautilusDataType.MarkPriceUpdate, "mark_prices", ("value",), MARKS),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Name a file something was made from: its path below the data root, and its SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Import:
    """Record one import: ``kind`` is quotes, marks, funding or oracle; times in nanoseconds.

    ``resolution_ns`` is the distance in time that nine of ten neighbouring rows do not exceed.
    """

    kind: str
    symbol: str
    sources: tuple[str, ...]
    sha256: tuple[str, ...]
    rows: int
    first_ns: int
    last_ns: int
    resolution_ns: int


class MarketCatalog:
    """Write and read one dataset's market; ``meta`` creates it, without one it must exist."""

    def __init__(self, root: Path, meta: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self._meta_path = root / "meta.json"
        self._manifest_path = root / "manifest.json"
        if meta is not None:
            (root / "nautilus").mkdir(parents=True)
            write_json(dict(meta), self._meta_path)
            write_json({"imports": []}, self._manifest_path)
        elif not self._manifest_path.is_file():
            raise InvalidInput(
                f"no dataset at {root}: it has no manifest.json; 'data list' shows what there is"
            )
        self.specs: dict[str, SymbolSpec] = specs_from_meta(read_json(self._meta_path))
        self._nautilus = ParquetDataCatalog(str(root / "nautilus"))

    @cached_property
    def imports(self) -> list[Import]:
        """Return what was imported, in order."""
        try:
            entries = read_json(self._manifest_path)["imports"]
            return [Import(**e | {n: tuple(e[n]) for n in ("sources", "sha256")}) for e in entries]
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                f"{self._manifest_path} is no manifest of a dataset: import it again"
            ) from error

    @property
    def symbols(self) -> list[str]:
        """Return the symbols that have marks, sorted."""
        return sorted({entry.symbol for entry in self.imports if entry.kind == "marks"})

    def write_market(self, symbol: str, quotes: pa.Table, marks: pa.Table, sources: Iterable[Source]) -> None:
        """Add QUOTES and MARKS of ``symbol``; raise InvalidInput if they overlap what is there.

        Bids are rounded down and asks up to Hyperliquid's grid; marks keep the instrument's decimals.
        """
        spec, sources = self._spec(symbol), tuple(sources)
        tables = {"quotes": conform(quotes, QUOTES, "quotes"), "marks": conform(marks, MARKS, "marks")}
        entries = [self._new_entry(kind, symbol, table, sources) for kind, table in tables.items()]
        if tables["quotes"].num_rows:
            self._nautilus.write_quote_ticks(to_quote_ticks(tables["quotes"], spec))
        if tables["marks"].num_rows:
            self._nautilus.write_mark_price_updates(to_mark_updates(tables["marks"], spec))
        self._record(entries)

    def write_table(self, kind: str, symbol: str, table: pa.Table, sources: Iterable[Source]) -> None:
        """Add a ``funding`` or ``oracle`` table of ``symbol``; raise InvalidInput if it overlaps."""
        self._spec(symbol)
        table = conform(table, TABLES[kind], kind)
        entry = self._new_entry(kind, symbol, table, tuple(sources))
        path = self.root / kind / f"{symbol}.parquet"
        if path.is_file():
            table = pa.concat_tables([read_table(path, TABLES[kind]), table])
            table = table.take(np.argsort(table["ts"].to_numpy(), kind="stable"))
        write_table(table, path)
        self._record([entry])

    def drop(self, kind: str, symbol: str) -> None:
        """Remove everything of one kind and symbol; nothing happens when there is nothing."""
        if kind in TABLES:
            (self.root / kind / f"{symbol}.parquet").unlink(missing_ok=True)
        elif any((entry.kind, entry.symbol) == (kind, symbol) for entry in self.imports):
            self._nautilus.delete_data_range(NAUTILUS[kind].data_type, str(instrument_id(symbol)))
        self.imports[:] = [entry for entry in self.imports if (entry.kind, entry.symbol) != (kind, symbol)]
        self._record([])

    def frame(self, kind: str, symbol: str) -> pa.Table:
        """Return all ``quotes`` or ``marks`` of ``symbol`` as the plain frame they were written from."""
        stored = NAUTILUS[kind]
        files = sorted((self.root / "nautilus/data" / stored.folder / str(instrument_id(symbol))).iterdir())
        table = pa.concat_tables([read_table(file) for file in files])
        columns = [table["ts_init"].cast(pa.int64())]
        # Arrow's cast from decimal may miss the nearest float by one step.
        floats = (table[name].cast(pa.float64()).to_numpy() for name in stored.columns)
        columns += [pa.array(np.round(values, MAX_DECIMALS)) for values in floats]
        return pa.table(columns, schema=stored.schema)

    def read(self, kind: str) -> dict[str, pa.Table]:
        """Return the ``funding`` or ``oracle`` tables by symbol."""
        symbols = sorted({entry.symbol for entry in self.imports if entry.kind == kind})
        return {s: read_table(self.root / kind / f"{s}.parquet", TABLES[kind]) for s in symbols}

    def load(self, symbols: Iterable[str], start_ns: int, end_ns: int) -> list[QuoteTick | MarkPriceUpdate]:
        """Return the quotes and marks with start_ns ≤ ts < end_ns, symbol by symbol, not sorted by time.

        At one time a symbol's mark comes after its quote.
        """
        loaded: list[QuoteTick | MarkPriceUpdate] = []
        for symbol in symbols:
            self._spec(symbol)
            name = [str(instrument_id(symbol))]
            try:
                loaded += self._nautilus.query_quote_ticks(name, start=start_ns, end=end_ns - 1)
                loaded += self._nautilus.query_mark_price_updates(name, start=start_ns, end=end_ns - 1)
            except (OSError, RuntimeError) as error:
                raise InvalidInput(
                    f"the prices of {symbol} in {self.root} cannot be read: delete that folder and import it again"
                ) from error
        return loaded

    def instruments(self, venue: str = TRADING_VENUE) -> list[Any]:
        """Return the Nautilus instruments of the symbols that have marks."""
        return [perpetual(self.specs[symbol], venue) for symbol in self.symbols]

    def _spec(self, symbol: str) -> SymbolSpec:
        if symbol not in self.specs:
            raise InvalidInput(f"symbol was {symbol!r}, it must be one of {', '.join(sorted(self.specs))}")
        return self.specs[symbol]

    def _new_entry(self, kind: str, symbol: str, table: pa.Table, sources: tuple[Source, ...]) -> Import:
        ts = table["ts"].to_numpy()
        if not ts.size:
            raise InvalidInput(f"{kind} of {symbol} from {', '.join(s.name for s in sources)} had no rows")
        require_sound(table, f"{kind} of {symbol}")
        first, last = int(ts[0]), int(ts[-1])
        for entry in self.imports:
            same = (entry.kind, entry.symbol) == (kind, symbol)
            if same and first <= entry.last_ns and entry.first_ns <= last:
                raise InvalidInput(
                    f"{kind} of {symbol} from {first} to {last} overlaps what is there from {entry.first_ns} "
                    f"to {entry.last_ns} ({', '.join(entry.sources)}); --replace drops that first"
                )
        steps = np.diff(ts)
        spread = steps[steps > 0]
        resolution = int(np.quantile(spread, MAX_GAP_QUANTILE, method="higher")) if spread.size else 0
        names, hashes = tuple(s.name for s in sources), tuple(s.sha256 for s in sources)
        return Import(kind, symbol, names, hashes, len(ts), first, last, resolution)

    def _record(self, entries: list[Import]) -> None:
        self.imports.extend(entries)
        write_json({"imports": [asdict(entry) for entry in self.imports]}, self._manifest_path)


def to_quote_ticks(quotes: pa.Table, spec: SymbolSpec, venue: str = TRADING_VENUE) -> list[QuoteTick]:
    """Return QUOTES as Nautilus quotes: bid rounded down and ask up to Hyperliquid's price grid."""
    instrument, prices, sizes = instrument_id(spec.symbol, venue), spec.price_decimals, spec.size_decimals
    bids = _raw(floor_prices(quotes["bid"].to_numpy(), prices), prices)
    asks = _raw(ceil_prices(quotes["ask"].to_numpy(), prices), prices)
    bid_sizes = _raw(quotes["bid_size"].to_numpy(), sizes)
    ask_sizes = _raw(quotes["ask_size"].to_numpy(), sizes)
    return [
        QuoteTick.from_raw(instrument, bid, ask, prices, prices, bid_size, ask_size, sizes, sizes, ts, ts)
        for ts, bid, ask, bid_size, ask_size in zip(
            quotes["ts"].to_pylist(), bids, asks, bid_sizes, ask_sizes, strict=True
        )
    ]


def to_mark_updates(marks: pa.Table, spec: SymbolSpec, venue: str = TRADING_VENUE) -> list[MarkPriceUpdate]:
    """Return MARKS as Nautilus mark prices, rounded to the instrument's decimals."""
    instrument, decimals = instrument_id(spec.symbol, venue), spec.price_decimals
    raw = _raw(marks["mark"].to_numpy(), decimals)
    return [
        MarkPriceUpdate(instrument, Price.from_raw(value, decimals), ts, ts)
        for ts, value in zip(marks["ts"].to_pylist(), raw, strict=True)
    ]


def _raw(values: np.ndarray, decimals: int) -> list[int]:
    unit = 10 ** (RAW_DECIMALS - decimals)  # beyond 64 bits once multiplied: Python's integers take it
    return [step * unit for step in np.rint(values * 10.0**decimals).astype(np.int64).tolist()]
