"""Look a frame over before anything is built on it: order, duplicates, gaps, prices that cannot be.

Errors make a frame unusable (``require_sound`` refuses it); warnings are for a person to judge.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from rich.table import Table

from data import frames
from risk.errors import InvalidInput

HOUR_NS = 3_600_000_000_000
_SCHEMAS = {
    name: getattr(frames, name.upper())
    for name in ("bars", "quotes", "marks", "oracles", "trades", "funding", "book", "fills")
}
_PRICES = {
    "bars": ("open", "high", "low", "close"),
    "quotes": ("bid", "ask"),
    "marks": ("mark",),
    "oracles": ("oracle",),
    "trades": ("price",),
    "book": ("price",),
    "fills": ("price",),
    "funding": (),
}
_SIZES = {"bars": ("volume",), "quotes": ("bid_size", "ask_size"), "trades": ("size",), "book": ("size",)}
_SIZES |= {"fills": ("size",)}
# At one time there is one bar, mark, oracle or settlement; quotes and trades may share a stamp.
_ONE_PER_TIME = frozenset(("bars", "marks", "oracles", "funding"))
# The series whose jumps are looked at. A book has many prices at once, fills have many coins.
_SERIES = {"bars": "close", "marks": "mark", "oracles": "oracle", "trades": "price"}
_SPIKE_RETURN = 0.2
_FUNDING_LIMIT = 0.04  # Hyperliquid caps an hour's rate at 4 %
Mask = np.ndarray


@dataclass(frozen=True, slots=True)
class Finding:
    """Describe one kind of fault: how many rows have it, their span, and the first (rows count from 1)."""

    kind: str
    severity: Literal["error", "warn"]
    count: int
    first_ns: int
    last_ns: int
    row: int
    example: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Hold what was found in one frame."""

    source: str
    kind: str
    rows: int
    first_ns: int | None
    last_ns: int | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Give the findings that make the frame unusable."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}


def check_frame(table: pa.Table, source: str, interval_ns: int | None = None) -> CheckReport:
    """Check a frame of any schema of ``data.frames``; ``interval_ns`` is the length of its bars.

    Without it the most common distance of bars is taken for their length. Raises InvalidInput when the
    table has none of the schemas.
    """
    kind = frame_kind(table, source)
    clock = "ts_open" if kind == "bars" else "ts"
    # Nulls become NaN, which the price checks report; a time must be there.
    if table[clock].null_count:
        raise InvalidInput(f"{source}: {clock} was empty, must be nanoseconds")
    ts = table[clock].to_numpy()
    found = [
        _finding(name, severity, mask, ts, example)
        for name, severity, mask, example in _checks(table, kind, ts, interval_ns)
        if mask.any()
    ]
    first, last = (int(ts.min()), int(ts.max())) if len(ts) else (None, None)
    return CheckReport(source, kind, len(ts), first, last, tuple(found))


def require_sound(table: pa.Table, source: str, interval_ns: int | None = None) -> CheckReport:
    """Give the report of a usable frame; raise InvalidInput naming file, row and value of the first error."""
    report = check_frame(table, source, interval_ns)
    for finding in report.errors:
        raise InvalidInput(f"{source}: row {finding.row}: {finding.example}")
    return report


def frame_kind(table: pa.Table, source: str) -> str:
    """Name the schema of ``data.frames`` a table has; raise InvalidInput when it has none."""
    for name, schema in _SCHEMAS.items():
        if table.schema.equals(schema):
            return name
    raise InvalidInput(
        f"{source}: columns were {', '.join(table.schema.names)}; must be those of a frame in data.frames"
    )


def render(reports: list[CheckReport]) -> Table:
    """Lay reports out as a table for people, one line per finding and one per sound frame."""
    table = Table(title="Data check", title_justify="left")
    for column in ("source", "kind", "rows", "from", "to", "finding", "count", "first example"):
        table.add_column(column, justify="right" if column in ("rows", "count") else "left")
    for report in reports:
        span = [_utc(report.first_ns), _utc(report.last_ns)]
        head = [report.source, report.kind, f"{report.rows:,}", *span]
        if not report.findings:
            table.add_row(*head, "[green]sound[/]", "", "")
        for finding in report.findings:
            color = "red" if finding.severity == "error" else "yellow"
            example = f"row {finding.row} ({_utc(finding.first_ns)}): {finding.example}"
            table.add_row(*head, f"[{color}]{finding.kind}[/]", f"{finding.count:,}", example)
            head = [""] * len(head)
    return table


Check = tuple[str, Literal["error", "warn"], Mask, Callable[[int], str]]


def _checks(table: pa.Table, kind: str, ts: np.ndarray, interval_ns: int | None) -> Iterator[Check]:
    columns = {name: table[name].to_numpy() for name in (*_PRICES[kind], *_SIZES.get(kind, ()))}
    yield from _order_checks(kind, ts)
    for name, values in columns.items():
        floor = "above 0" if name in _PRICES[kind] else "0 or more"
        wrong = ~(values > 0) if name in _PRICES[kind] else ~(values >= 0)
        yield _value_check("not_a_number", name, ~np.isfinite(values), values, "a number")
        yield _value_check("not_positive", name, wrong & np.isfinite(values), values, floor)
    if kind == "bars":
        yield from _bar_checks(columns, ts, interval_ns)
    if kind == "quotes":
        crossed = columns["bid"] >= columns["ask"]
        yield "crossed", "warn", crossed, lambda i: f"bid {columns['bid'][i]} meets ask {columns['ask'][i]}"
    if kind == "funding":
        yield from _funding_checks(table, ts)
    if kind in _SERIES:
        yield _spike_check(columns[_SERIES[kind]])


def _order_checks(kind: str, ts: np.ndarray) -> Iterator[Check]:
    steps = np.diff(ts, prepend=ts[:1])
    yield (
        "out_of_order",
        "error",
        steps < 0,
        lambda i: f"time {_utc(ts[i])} is before {_utc(ts[i - 1])}",
    )
    if kind in _ONE_PER_TIME:
        repeated = steps == 0
        repeated[:1] = False
        yield (
            "duplicate",
            "error",
            repeated,
            lambda i: f"time {_utc(ts[i])} is there twice (overlap)",
        )


def _value_check(kind: str, name: str, mask: Mask, values: np.ndarray, must: str) -> Check:
    return f"{kind}: {name}", "error", mask, lambda i: f"{name} was {values[i]}, must be {must}"


def _bar_checks(bars: dict[str, np.ndarray], ts: np.ndarray, interval_ns: int | None) -> Iterator[Check]:
    low, high, volume = bars["low"], bars["high"], bars["volume"]
    yield "high_below_low", "error", high < low, lambda i: f"high {high[i]} is below low {low[i]}"
    for name in ("open", "close"):
        price = bars[name]
        outside = ((price > high) | (price < low)) & (high >= low)

        def example(i: int, name: str = name, price: np.ndarray = price) -> str:
            return f"{name} {price[i]} is outside low {low[i]} to high {high[i]}"

        yield f"{name}_outside", "error", outside, example
    if volume.any():  # mark prices have no volume at all
        flat = (volume == 0) & (high == low)
        yield (
            "filled",
            "warn",
            flat,
            lambda i: f"volume 0 and one price {low[i]}: filled in, not traded",
        )
    steps = np.diff(ts, prepend=ts[:1])
    length = interval_ns or _most_common(steps[1:])
    yield (
        "gap",
        "warn",
        steps > length,
        lambda i: f"{steps[i] // length - 1} bars missing before {_utc(ts[i])}",
    )
    uneven = (steps > 0) & (steps < length)
    yield "uneven", "warn", uneven, lambda i: f"{_utc(ts[i])} comes {steps[i]} ns after the bar before it"


def _funding_checks(table: pa.Table, ts: np.ndarray) -> Iterator[Check]:
    rate, hours = table["rate"].to_numpy(), table["interval_hours"].to_numpy()
    yield _value_check("not_a_number", "rate", ~np.isfinite(rate), rate, "a number")
    limit = _FUNDING_LIMIT * hours
    yield "extreme_rate", "warn", np.abs(rate) > limit, lambda i: f"rate {rate[i]} in {hours[i]} h"
    steps = np.diff(ts, prepend=ts[:1])
    missed = steps > 1.5 * hours * HOUR_NS
    yield (
        "gap",
        "warn",
        missed,
        lambda i: f"{steps[i] / HOUR_NS:.1f} h since the last settlement",
    )


def _spike_check(prices: np.ndarray) -> Check:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        moves = np.concatenate(([0.0], prices[1:] / prices[:-1] - 1.0))[: len(prices)]
    return (
        "spike",
        "warn",
        np.abs(moves) > _SPIKE_RETURN,
        lambda i: f"{moves[i]:+.1%} to {prices[i]} in one step",
    )


def _most_common(steps: np.ndarray) -> int:
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    return int(values[counts.argmax()]) if values.size else np.iinfo(np.int64).max


def _finding(
    kind: str, severity: Literal["error", "warn"], mask: Mask, ts: np.ndarray, example: Callable[[int], str]
) -> Finding:
    rows = np.flatnonzero(mask)
    first = int(rows[0])
    hit = ts[rows]
    return Finding(kind, severity, len(rows), int(hit.min()), int(hit.max()), first + 1, example(first))


def _utc(ns: int | None) -> str:
    if ns is None:
        return "–"
    return str(np.datetime64(int(ns), "ns").astype("datetime64[ms]")).replace("T", " ")
