"""Open a dataset by name or path; one that can be built from the history at hand is built on first use."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from nautilus_trader.model import MarkPriceUpdate, QuoteTick

from data.catalog import MarketCatalog
from data.flow import Flow, read_flow
from data.importer import RECIPE_FILE, RECIPE_VERSION, RECIPES, build_dataset
from data.locate import default_catalog_dir, find_history
from data.storage import exclusive, read_json, read_table, sha256_of
from risk.errors import InvalidInput
from risk.market import SymbolSpec


class Dataset:
    """Give a run its market and, where there is one, its order flow. Times are UTC nanoseconds."""

    def __init__(self, name: str, catalog: MarketCatalog) -> None:
        self.name = name
        self.catalog = catalog

    @property
    def symbols(self) -> list[str]:
        """Return the symbols that have prices, sorted."""
        return self.catalog.symbols

    @property
    def specs(self) -> dict[str, SymbolSpec]:
        """Return what the core knows of each symbol."""
        return {symbol: self.catalog.specs[symbol] for symbol in self.symbols}

    @property
    def resolution_ns(self) -> dict[str, int]:
        """Return, per symbol, the distance in time that nine of ten neighbouring marks do not exceed."""
        marks = [entry for entry in self.catalog.imports if entry.kind == "marks"]
        return {s: max(e.resolution_ns for e in marks if e.symbol == s) for s in self.symbols}

    @property
    def span(self) -> tuple[int, int]:
        """Return the first and the last time of the flow, or of the marks when there is no flow."""
        if self.flow is not None and self.flow.orders.num_rows:
            return self.flow.span
        marks = [entry for entry in self.catalog.imports if entry.kind == "marks"]
        if not marks:
            raise InvalidInput(f"dataset {self.name!r} has no prices: import bars, quotes or trades into it")
        return min(e.first_ns for e in marks), max(e.last_ns for e in marks)

    @property
    def input_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every source file, by name."""
        pairs = ((n, h) for e in self.catalog.imports for n, h in zip(e.sources, e.sha256, strict=True))
        recipe = self.catalog.root / RECIPE_FILE
        return dict(
            sorted((dict(pairs) | (read_json(recipe)["sources"] if recipe.is_file() else {})).items())
        )

    @cached_property
    def funding(self) -> dict[str, pa.Table]:
        """Return the FUNDING tables by symbol; symbols without funding data have none."""
        return self.catalog.read("funding")

    @property
    def without_funding(self) -> list[str]:
        """Return the symbols that have prices and no funding data, sorted."""
        return [symbol for symbol in self.symbols if symbol not in self.funding]

    @cached_property
    def oracles(self) -> dict[str, pa.Table]:
        """Return the ORACLES tables by symbol."""
        return self.catalog.read("oracle")

    @cached_property
    def flow(self) -> Flow | None:
        """Return the order flow that belongs to the data, if any."""
        folder = self.catalog.root / "flow"
        return read_flow(folder, self.symbols) if folder.is_dir() else None

    @property
    def accounting(self) -> pa.Table | None:
        """Return what became of each source fill (schema data.flow_import.ACCOUNTING), if any."""
        return self._beside_flow("accounting")

    @property
    def liquidations(self) -> pa.Table | None:
        """Return the source's own liquidations (schema data.flow_2023.LIQUIDATIONS), if known."""
        return self._beside_flow("liquidations")

    def load(
        self, start_ns: int, end_ns: int, symbols: Iterable[str] | None = None
    ) -> list[QuoteTick | MarkPriceUpdate]:
        """Return quotes and marks with start_ns ≤ ts < end_ns, symbol by symbol, not sorted by time."""
        return self.catalog.load(self.symbols if symbols is None else symbols, start_ns, end_ns)

    def _beside_flow(self, name: str) -> pa.Table | None:
        path = self.catalog.root / "flow" / f"{name}.parquet"
        return read_table(path) if path.is_file() else None


def open_dataset(
    name_or_path: str | Path,
    catalog_dir: Path | None = None,
    history: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """Open a dataset: the path of one, or the name of one in ``catalog_dir``.

    A named recipe is built from the history folder on first use, and again when a source file there
    changed; a built one serves without the history. Raises InvalidInput when there is nothing to open or build from.
    """
    path = Path(name_or_path)
    if (path / "manifest.json").is_file():
        return Dataset(path.name, MarketCatalog(path))
    name = str(name_or_path)
    root = (catalog_dir or default_catalog_dir()) / name
    source = find_history(history)
    if name in RECIPES and source is not None and not _is_current(root, source):
        with exclusive(root):
            if not _is_current(root, source):
                build_dataset(name, source, root, progress)
    if not (root / "manifest.json").is_file():
        hint = (
            "no history folder was found to build it from (name one with --data DIR or HYBRID_PERPS_DATA)"
            if name in RECIPES
            else "and no recipe builds it"
        )
        raise InvalidInput(
            f"dataset was {name!r}: it is not in {root.parent}, {hint}; 'data list' shows them all"
        )
    return Dataset(name, MarketCatalog(root))


def _is_current(root: Path, history: Path) -> bool:
    """Tell whether a built dataset still matches the recipe and the source files that are at hand."""
    if not (root / RECIPE_FILE).is_file():
        return False
    built = read_json(root / RECIPE_FILE)
    if built["version"] != RECIPE_VERSION:
        return False
    return all(
        sha256_of(history / name) == sha256
        for name, sha256 in built["sources"].items()
        if (history / name).is_file()
    )
