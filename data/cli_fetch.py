"""``hybrid-perps data fetch``: bring public history to disk, resumably; run it again to go on."""

import json as json_module
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import httpx
import stamina
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from data.sources import binance, hyperliquid_archive, info_query
from data.sources.download import Job, Outcome, fetch_all
from data.sources.http import TIMEOUT, FetchError
from data.sources.info_fetch import fetch_info, file_name
from data.sources.info_query import InfoClient, Query
from data.sources.limiter import WeightLimiter
from data.sources.s3 import S3Auth
from risk.errors import InvalidInput

fetch_app = typer.Typer(
    help="Fetch public history. Interrupted downloads go on where they broke off.", no_args_is_help=True
)

_DAY = timedelta(days=1)
_DATES = ["%Y-%m-%d"]
Advance = Callable[[int], None]
Start = Annotated[datetime, typer.Option("--from", formats=_DATES, help="First UTC day.")]
End = Annotated[datetime, typer.Option("--to", formats=_DATES, help="Last UTC day, included; before today.")]
Out = Annotated[Path, typer.Option("--out", help="Folder the files go to, under their published paths.")]
Json = Annotated[bool, typer.Option("--json", help="Print what became of each file as JSON.")]


@fetch_app.command(
    "binance",
    epilog="Example: hybrid-perps data fetch binance --kind klines --symbol BTCUSDT --interval 5m "
    "--from 2024-08-01 --to 2024-08-31",
)
def fetch_binance(
    kind: Annotated[list[str], typer.Option(help=f"One or more of {', '.join(binance.KINDS)}.")],
    symbol: Annotated[list[str], typer.Option(help="Pairs such as BTCUSDT.")],
    start: Start,
    end: End,
    interval: Annotated[str | None, typer.Option(help="Length of bars, such as 1m or 1h.")] = None,
    daily: Annotated[bool, typer.Option("--daily", help="Days only, where a month is not out yet.")] = False,
    out: Out = Path("downloads/binance"),
    base_url: Annotated[str, typer.Option(help="Where the archive lies.")] = binance.BASE_URL,
    json: Json = False,
) -> None:
    """Fetch zips of Binance's USD-M futures archive, verified by their checksums."""
    first, last = _span(start, end)
    keys = [
        key
        for name in kind
        for pair in symbol
        for key in binance.archive_keys(
            name, pair.upper(), first, last, interval if name in binance.BAR_KINDS else None, daily=daily
        )
    ]
    _download(keys, base_url, out, json, checksum=binance.parse_checksum)


@fetch_app.command(
    "hyperliquid-archive",
    epilog="Example: hybrid-perps data fetch hyperliquid-archive --kind l2Book --coin SOL "
    "--from 2024-08-05 --to 2024-08-05",
)
def fetch_hyperliquid_archive(
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(hyperliquid_archive.KINDS)}.")],
    start: Start,
    end: End,
    coin: Annotated[list[str] | None, typer.Option(help="Coins, for l2Book.")] = None,
    out: Out = Path("downloads/hyperliquid"),
    base_url: Annotated[str | None, typer.Option(help="A mirror to read from, unsigned.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region of the bucket, if it has moved.")] = None,
    json: Json = False,
) -> None:
    """Fetch files of Hyperliquid's archive.

    The buckets are requester-pays: the transfer is billed to the AWS account whose key stands in
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. With --base-url nothing is signed.
    """
    first, last = _span(start, end)
    names: Sequence[str | None] = coin or (None,)
    keys = [key for name in names for key in hyperliquid_archive.archive_keys(kind, first, last, name)]
    if base_url is not None:
        _download(keys, base_url, out, json)
        return
    bucket, home = hyperliquid_archive.BUCKETS[kind]
    auth = S3Auth.from_environment(region or home, os.environ)
    _download(keys, f"https://{bucket}.s3.{auth.region}.amazonaws.com", out, json, auth=auth)


@fetch_app.command(
    "hyperliquid-info",
    epilog="Example: hybrid-perps data fetch hyperliquid-info --kind funding --coin BTC "
    "--from 2024-08-01 --to 2024-08-31",
)
def fetch_hyperliquid_info(
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(info_query.KINDS)}.")],
    start: Start,
    end: End,
    coin: Annotated[list[str] | None, typer.Option(help="Coins, for candles and funding.")] = None,
    user: Annotated[list[str] | None, typer.Option(help="Addresses, for fills.")] = None,
    interval: Annotated[str | None, typer.Option(help="Length of candles, such as 5m.")] = None,
    out: Out = Path("downloads/hyperliquid/info"),
    base_url: Annotated[str, typer.Option(help="The API's address.")] = info_query.BASE_URL,
    json: Json = False,
) -> None:
    """Fetch candles, funding or a user's fills from Hyperliquid's info endpoint, within its limits."""
    first, last = _span(start, end)
    subjects = (user if kind == "fills" else coin) or []
    if not subjects or (coin if kind == "fills" else user):
        raise InvalidInput(
            f"{kind}: subject was {subjects!r}; fills need --user, candles and funding need --coin"
        )
    queries = [Query(kind, subject, interval) for subject in subjects]
    start_ms, end_ms = _ms(first), _ms(last + _DAY) - 1
    with (
        _client() as client,
        _progress(TextColumn("{task.completed:.0f} items"), files=len(queries)) as (
            on_items,
            on_file,
        ),
    ):
        ask = InfoClient(client, f"{base_url.rstrip('/')}/info", WeightLimiter()).ask
        outcomes = []
        for query in queries:
            dest = out / file_name(query, f"{first}_{last}")
            outcomes.append(fetch_info(ask, query, start_ms, end_ms, dest, on_items))
            on_file(1)
    _conclude(outcomes, json)


def _span(start: datetime, end: datetime) -> tuple[date, date]:
    # Today is still being written: what is fetched is final, so that it need not be fetched again.
    today = datetime.now(UTC).date()
    if end.date() >= today:
        raise InvalidInput(f"--to was {end.date()}, must be before today, {today} (UTC)")
    if end < start:
        raise InvalidInput(f"--to was {end.date()}, must not be before --from, {start.date()}")
    return start.date(), end.date()


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _client(auth: httpx.Auth | None = None) -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT, auth=auth)


def _download(
    keys: Sequence[str],
    base_url: str,
    out: Path,
    json: bool,
    checksum: Callable[[str, str], str] | None = None,
    auth: httpx.Auth | None = None,
) -> None:
    jobs = [Job(f"{base_url.rstrip('/')}/{quote(key)}", out / key, checksum) for key in keys]
    columns = (DownloadColumn(), TransferSpeedColumn())
    with _client(auth) as client, _progress(*columns, files=len(jobs)) as (on_bytes, on_file):
        outcomes = fetch_all(client, jobs, on_bytes, on_file)
    _conclude(outcomes, json)


@contextmanager
def _progress(*columns: ProgressColumn, files: int | None = None) -> Iterator[tuple[Advance, Advance]]:
    """Show on stderr how much has come, and each retry as a line; give what to call with more of it.

    The first callable takes amounts (bytes or items), the second counts files done.
    """
    console = Console(stderr=True)

    def retrying(details: stamina.instrumentation.RetryDetails) -> None:
        console.print(Text(f"again in {details.wait_for:.1f} s: {details.caused_by!r}", style="dim"))

    shown = (BarColumn(), TextColumn("{task.fields[files]}"), *columns, TimeElapsedColumn())
    with Progress(*shown, console=console) as progress:
        amount = progress.add_task("", total=None, files="")
        done = 0

        def file_done(count: int) -> None:
            nonlocal done
            done += count
            progress.update(amount, files=f"{done} of {files} files")

        stamina.instrumentation.set_on_retry_hooks([retrying])
        try:
            yield lambda more: progress.advance(amount, more), file_done
        finally:
            stamina.instrumentation.set_on_retry_hooks(None)


def _conclude(outcomes: Sequence[Outcome], json: bool) -> None:
    """Report; raise FetchError when a file failed, or when none at all is published."""
    counts = Counter(outcome.status for outcome in outcomes)
    if json:
        files = [asdict(outcome) | {"path": str(outcome.path)} for outcome in outcomes]
        typer.echo(json_module.dumps({"counts": dict(sorted(counts.items())), "files": files}))
    else:
        Console().print(_table(outcomes))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise FetchError(
            f"{len(failed)} of {len(outcomes)} failed, run again to go on; first: {failed[0].detail}"
        )
    if counts["missing"] == len(outcomes):
        raise FetchError(f"none of {len(outcomes)} files is published (yet), such as {outcomes[0].path.name}")


def _table(outcomes: Sequence[Outcome]) -> Table:
    """List what was not simply fetched, and count the rest."""
    counts = Counter(outcome.status for outcome in outcomes)
    table = Table(title="Fetched", title_justify="left", caption_justify="left")
    for column in ("status", "files", "which"):
        table.add_column(column, justify="right" if column == "files" else "left", overflow="fold")
    for status in ("fetched", "kept", "missing", "failed"):
        names = [outcome.path.name for outcome in outcomes if outcome.status == status]
        if names:
            more = f" … {names[-1]}" if len(names) > 1 else ""
            table.add_row(status, str(counts[status]), names[0] + more)
    return table
