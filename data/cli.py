"""``hybrid-perps data``: fetch, import, list and check history."""

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from data.bars import QuoteModel
from data.catalog import Import, MarketCatalog
from data.check import CheckReport, check_frame, render
from data.cli_fetch import fetch_app
from data.dataset import open_dataset
from data.flow import read_flow
from data.import_files import ImportOptions, import_files
from data.importer import RECIPES
from data.locate import default_catalog_dir, find_history
from data.sources.detect import FORMATS, read_source
from data.storage import read_json
from risk.errors import InvalidInput

app = typer.Typer(help="Fetch, import, list and check history.", no_args_is_help=True, add_completion=False)
app.add_typer(fetch_app, name="fetch")

FAULTY_STATUS = 1

Catalog = Annotated[
    Path | None, typer.Option("--catalog", help="Folder of datasets; default: the user's cache.")
]
History = Annotated[Path | None, typer.Option("--data", help="Folder of raw history to build datasets from.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, not a table.")]


@app.command("import", epilog="Example: hybrid-perps data import BTCUSDT-5m-2024-08.zip --into august")
def import_command(
    sources: Annotated[list[str], typer.Argument(help=f"Files, or one of {', '.join(RECIPES)}.")],
    into: Annotated[str | None, typer.Option(help="Dataset the files go to; made if it is new.")] = None,
    format: Annotated[str | None, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Hyperliquid's coin name, where files do not say.")
    ] = None,
    meta: Annotated[Path | None, typer.Option(help="Hyperliquid's meta JSON, for a new dataset.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the dataset has of it first.")
    ] = False,
    spread_bps: Annotated[float, typer.Option(help="Spread of quotes made around marks.")] = 2.0,
    depth_notional: Annotated[float, typer.Option(help="USDC at the best price of such quotes.")] = 100_000.0,
    catalog: Catalog = None,
    data: History = None,
    json: Json = False,
) -> None:
    """Import files into a dataset, or build a ready one from the history folder."""
    folder = catalog or default_catalog_dir()
    with _progress() as progress:
        if len(sources) == 1 and sources[0] in RECIPES:
            if find_history(data) is None:
                raise InvalidInput(f"no history folder to build {sources[0]} from: name it with --data")
            imported = open_dataset(sources[0], folder, data, progress).catalog
        else:
            if into is None:
                raise InvalidInput("--into was missing: it must name the dataset the files go to")
            options = ImportOptions(
                format,
                symbol,
                read_json(meta) if meta else None,
                replace,
                QuoteModel(spread_bps, depth_notional),
            )
            imported = import_files(
                [Path(s) for s in sources], folder / _dataset_name(into), options, progress
            )
    _show([(imported.root.name, entry) for entry in imported.imports], json)


@app.command("list", epilog="Example: hybrid-perps data list --json")
def list_command(catalog: Catalog = None, data: History = None, json: Json = False) -> None:
    """List what has been imported, and what could be built from the history at hand."""
    folder = catalog or default_catalog_dir()
    built = sorted(
        path.parent for path in folder.glob("*/manifest.json") if not path.parent.name.startswith(".")
    )
    _show([(root.name, entry) for root in built for entry in MarketCatalog(root).imports], json)
    ready = [name for name in RECIPES if name not in {root.name for root in built}]
    if not json and ready and find_history(data) is not None:
        console = Console()
        console.print("Built on first use:")
        for name in ready:
            console.print(f"  {name}: {RECIPES[name].summary}", highlight=False)


@app.command("check", epilog="Example: hybrid-perps data check flow-2023")
def check_command(
    sources: Annotated[list[str], typer.Argument(help="Files of public formats, or names of datasets.")],
    format: Annotated[str | None, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Hyperliquid's coin name, where files do not say.")
    ] = None,
    catalog: Catalog = None,
    data: History = None,
    json: Json = False,
) -> None:
    """Check for gaps, duplicates, order and insane prices; exit status 1 when data is unusable."""
    reports: list[CheckReport] = []
    with _progress() as progress:
        for source in sources:
            progress(source)
            path = Path(source)
            if path.is_file():
                reports += [
                    check_frame(frame.table, f"{path.name} {frame.symbol or ''}".rstrip(), frame.interval_ns)
                    for frame in read_source(path, format=format, symbol=symbol)
                ]
            else:
                reports += _check_dataset(open_dataset(source, catalog, data, progress).catalog)
    if json:
        typer.echo(json_module.dumps([report.to_dict() for report in reports]))
    else:
        Console().print(render(reports))
    if any(report.errors for report in reports):
        raise typer.Exit(FAULTY_STATUS)


def _check_dataset(catalog: MarketCatalog) -> Iterator[CheckReport]:
    if (catalog.root / "flow").is_dir():
        read_flow(catalog.root / "flow", catalog.symbols)  # raises for what is missing or wrong
    for kind, symbol in sorted({(entry.kind, entry.symbol) for entry in catalog.imports}):
        table = catalog.frame(kind, symbol) if kind in ("quotes", "marks") else catalog.read(kind)[symbol]
        yield check_frame(table, f"{catalog.root.name} {symbol}")


def _dataset_name(name: str) -> str:
    if name in RECIPES or not name.replace("-", "").replace("_", "").isalnum():
        raise InvalidInput(f"--into was {name!r}, it must be a plain name other than {', '.join(RECIPES)}")
    return name


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being worked on, on stderr and only to a person."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update


def _show(entries: list[tuple[str, Import]], as_json: bool) -> None:
    if as_json:
        typer.echo(json_module.dumps([{"dataset": name} | asdict(entry) for name, entry in entries]))
        return
    table = Table(title="Imported data", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for column in ("dataset", "symbol", "kind", "rows", "from", "to", "every s"):
        table.add_column(column, justify="right" if column in ("rows", "every s") else "left", no_wrap=True)
    for name, entry in entries:
        span = [_utc_day(entry.first_ns), _utc_day(entry.last_ns)]
        seconds = f"{entry.resolution_ns / 1e9:,.1f}"
        table.add_row(name, entry.symbol, entry.kind, f"{entry.rows:,}", *span, seconds)
    Console().print(table)


def _utc_day(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d")
