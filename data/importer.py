"""The datasets built from the project's history folder: which files, which path, which spread."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.bars import POINTS_PER_BAR, QuoteModel, bar_path, quotes_around
from data.catalog import MarketCatalog, Source
from data.check import require_sound
from data.flow import write_flow
from data.flow_2023 import FOLDER, LIQUIDATOR, import_flow_2023, read_fills, read_liquidations
from data.frames import MARKS
from data.layouts import BAR_NS, HOUR_NS, read_candles, read_funding, read_ticks
from data.prints import fill_between, marks_from_fills, trim_bars
from data.storage import replaced_directory, sha256_of, write_json, write_table
from risk.errors import InvalidInput
from venues.hyperliquid.specs import Snapshot, bundled_meta

RECIPE_VERSION = 2  # raise when a recipe's outcome changes: datasets built by older ones are built again
RECIPE_FILE = "recipe.json"
DAY_NS = 24 * HOUR_NS

Progress = Callable[[str], None]

# Binance's contract → Hyperliquid's coin.
BINANCE = {"BTC": "BTCUSDT", "ETH": "ETHUSDT", "LTC": "LTCUSDT", "SOL": "SOLUSDT", "DOGE": "DOGEUSDT"}

# Spreads and depths are assumptions, wider where the market was young or in panic.
QUOTES_2023 = QuoteModel(spread_bps=4.0, depth_notional=50_000)
QUOTES_CRASH = QuoteModel(spread_bps=5.0, depth_notional=100_000)
QUOTES_2025 = QuoteModel(spread_bps=1.0, depth_notional=200_000)

NO_CUSTOMERS = frozenset({LIQUIDATOR})


@dataclass
class Build:
    """Carry one running build: where from, where to, and which source files were read."""

    history: Path
    catalog: MarketCatalog
    progress: Progress
    sources: dict[str, str] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """Return a file's name and hash, and remember it as an input of the dataset."""
        path = self.history / name
        if not path.is_file():
            raise InvalidInput(f"no file at {path}: the dataset is made from it")
        self.sources[name] = self.sources.get(name) or sha256_of(path)
        return Source(name, self.sources[name])


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say what a dataset is and how it is built."""

    summary: str
    meta: Snapshot
    build: Callable[[Build], None]


def build_dataset(name: str, history: Path, root: Path, progress: Progress) -> None:
    """Build dataset ``name`` in the folder ``root``, whole or not at all."""
    if name not in RECIPES:
        raise InvalidInput(f"dataset was {name!r}, it must be one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    with replaced_directory(root) as partial:
        build = Build(history, MarketCatalog(partial, bundled_meta(recipe.meta)), progress)
        recipe.build(build)
        write_json({"version": RECIPE_VERSION, "sources": build.sources}, partial / RECIPE_FILE)


def _flow_2023(build: Build) -> None:
    """Real flow: prints where they are fresh, Binance's moves (else HL's 4-hour bars) between them."""
    flow_sources = [
        build.source(str(FOLDER / f"{n}.parquet")) for n in ("trades", "ledger_updates", "liquidations")
    ]
    fills = read_fills(build.history, read_liquidations(build.history))
    imported = import_flow_2023(build.history)
    start, end = imported.flow.span
    for symbol in imported.flow.symbols:
        build.progress(f"{symbol}: prints and bars")
        prints = marks = marks_from_fills(fills, symbol, NO_CUSTOMERS)
        sources = [flow_sources[0]]
        name, unit = f"binance/{BINANCE.get(symbol)}-5m.parquet", "5m"
        foreign = (build.history / name).is_file()
        if not foreign:
            name, unit = f"hyperliquid/candles/{symbol}-4h.parquet", "4h"
        if (build.history / name).is_file():
            sources.append(build.source(name))
            bars = _bars(build, name, unit, drop_empty=True)
            if not foreign:
                bars = trim_bars(bars, BAR_NS[unit], fills, symbol, NO_CUSTOMERS)
            path = bar_path(bars, BAR_NS[unit])
            # A point of the path is news only once the last print is older than the path's own step.
            marks = fill_between(marks, path, BAR_NS[unit] // POINTS_PER_BAR, scaled=foreign)
        marks = _between(marks, start - DAY_NS, end + DAY_NS)
        spec = build.catalog.specs[symbol]
        traded = np.isin(marks["ts"].to_numpy(), prints["ts"].to_numpy())
        quotes = quotes_around(marks, spec, QUOTES_2023, traded)
        build.catalog.write_market(symbol, quotes, marks, sources)
        name = f"binance/{BINANCE.get(symbol)}-funding-8h.parquet"
        if (build.history / name).is_file():
            _funding(build, symbol, name, start - DAY_NS, end + DAY_NS)
    build.progress("order flow")
    write_flow(imported.flow, build.catalog.root / "flow")
    write_table(imported.accounting, build.catalog.root / "flow/accounting.parquet")
    write_table(imported.liquidations, build.catalog.root / "flow/liquidations.parquet")


def _candles(folder: str, unit: str, coins: dict[str, str], quotes: QuoteModel) -> Callable[[Build], None]:
    """Return a recipe: one candle file per coin, funding of Hyperliquid where there is any."""

    def build_all(build: Build) -> None:
        for symbol, contract in coins.items():
            build.progress(f"{symbol}: bars")
            name = f"{folder}/{contract}-{unit}.parquet"
            source = build.source(name)
            marks = bar_path(_bars(build, name, unit), BAR_NS[unit])
            spec = build.catalog.specs[symbol]
            build.catalog.write_market(symbol, quotes_around(marks, spec, quotes), marks, [source])
            funding = f"hyperliquid/funding/{symbol}.parquet"
            if (build.history / funding).is_file():
                ts = marks["ts"]
                _funding(build, symbol, funding, ts[0].as_py(), ts[-1].as_py())

    return build_all


def _crash_2020(build: Build) -> None:
    """March 2020 in hours: quotes follow the last price, marks are Binance's true marks."""
    start, end = _ns("2020-03-01"), _ns("2020-04-01")
    for symbol in ("BTC", "ETH", "LTC"):
        build.progress(f"{symbol}: bars and true marks")
        names = [f"binance/{BINANCE[symbol]}-1h{kind}.parquet" for kind in ("", "-mark")]
        sources = [build.source(name) for name in names]
        last, mark = (_between(bar_path(_bars(build, name, "1h"), HOUR_NS), start, end) for name in names)
        quotes = quotes_around(last, build.catalog.specs[symbol], QUOTES_CRASH)
        build.catalog.write_market(symbol, quotes, mark, sources)


def _ticks(build: Build) -> None:
    """A few minutes of every quote; the mark is the mid, once per second of the stream."""
    name = "binance/ticks/usdm_btcusdt_20240808.gz"
    source = build.source(name)
    quotes = read_ticks(build.history / name).quotes
    second = quotes["ts"].to_numpy() // 1_000_000_000
    first = np.concatenate([[True], np.diff(second) > 0])
    mids = pc.divide(pc.add(quotes["bid"], quotes["ask"]), 2.0)
    marks = pa.table({"ts": quotes["ts"], "mark": mids}, MARKS).filter(pa.array(first))
    build.catalog.write_market("BTC", quotes, marks, [source])


def _bars(build: Build, name: str, unit: str, *, drop_empty: bool = False) -> pa.Table:
    bars = read_candles(build.history / name, drop_empty=drop_empty)
    require_sound(bars, name, BAR_NS[unit])
    return bars


def _funding(build: Build, symbol: str, name: str, start_ns: int, end_ns: int) -> None:
    rates = _between(read_funding(build.history / name), start_ns, end_ns)
    if rates.num_rows:
        build.catalog.write_table("funding", symbol, rates, [build.source(name)])


def _between(table: pa.Table, start_ns: int, end_ns: int) -> pa.Table:
    first, last = np.searchsorted(table["ts"].to_numpy(), (start_ns, end_ns))
    return table.slice(first, last - first)


def _ns(day: str) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


_COINS_2025 = ("ARB", "AVAX", "BNB", "BTC", "DOGE", "ETH", "HYPE", "LTC", "SOL")
_CRASH_2025 = {coin: BINANCE[coin] for coin in ("BTC", "ETH", "SOL", "DOGE")}
_CRASH_2024 = {coin: BINANCE[coin] for coin in ("BTC", "SOL")}

RECIPES: dict[str, Recipe] = {
    "flow-2023": Recipe("order flow of Hyperliquid's users, spring 2023", "meta_2023", _flow_2023),
    "crash-2025-10": Recipe(
        "5-minute bars around 2025-10-10",
        "meta_snapshot",
        _candles("binance/crash_2025_10", "5m", _CRASH_2025, QUOTES_CRASH),
    ),
    "crash-2024-08": Recipe(
        "5-minute bars around 2024-08-05",
        "meta_snapshot",
        _candles("binance/crash_2024_08", "5m", _CRASH_2024, QUOTES_CRASH),
    ),
    "crash-2020-03": Recipe("hourly bars and true marks of March 2020", "meta_snapshot", _crash_2020),
    "hl-2025": Recipe(
        "Hyperliquid's 5-minute bars and funding, March to July 2025",
        "meta_snapshot",
        _candles("hyperliquid/candles", "5m", {coin: coin for coin in _COINS_2025}, QUOTES_2025),
    ),
    "ticks-2024-08-08": Recipe("every BTC quote of some minutes of 2024-08-08", "meta_snapshot", _ticks),
}
