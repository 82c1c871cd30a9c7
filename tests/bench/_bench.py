"""What the benchmarks share: timing single calls with the collector running, and one kind of table."""

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any

from rich.console import Console
from rich.table import Table


def time_each(call: Callable[[Any], object], arguments: Iterable[Any]) -> list[int]:
    """Time each call by itself; return nanoseconds, ascending."""
    spent = []
    for argument in arguments:
        start = perf_counter_ns()
        call(argument)
        spent.append(perf_counter_ns() - start)
    return sorted(spent)


def p50(spent: Sequence[int]) -> float:
    """Give the median of ascending nanoseconds, in microseconds."""
    return spent[len(spent) // 2] / 1000


def p99(spent: Sequence[int]) -> float:
    """Give the 99th percentile of ascending nanoseconds, in microseconds; of few calls, their longest."""
    return spent[min(len(spent) * 99 // 100, len(spent) - 1)] / 1000


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table whose first column is text and whose other ones are figures."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:,.2f}" for cell in row))
    Console().print(table)
