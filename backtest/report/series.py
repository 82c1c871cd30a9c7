"""Columns of a result as a plot wants them: few enough points to be quick, short enough to be small."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_POINTS = 1_200


def thin(table: pa.Table, *columns: str) -> pa.Table:
    """Keep at most about MOST_POINTS rows: of each stretch its ends and the extremes of ``columns``."""
    count = table.num_rows
    if count <= MOST_POINTS:
        return table
    kept = {0, count - 1}
    bounds = np.linspace(0, count, MOST_POINTS // (1 + 2 * len(columns)) + 1).astype(int)
    for column in columns:
        values = np.nan_to_num(floats(table, column))
        for begin, end in pairwise(bounds):
            part = values[begin:end]
            kept |= {int(begin), int(begin + part.argmin()), int(begin + part.argmax())}
    return table.take(pa.array(sorted(kept)))


def times(table: pa.Table, column: str = "ts") -> list[str]:
    """Write a column of nanoseconds as UTC times to the second."""
    return np.datetime_as_string(table[column].to_numpy().astype("datetime64[ns]"), unit="s").tolist()


def floats(table: pa.Table, column: str) -> Any:
    """Return a column as floats, NaN where it is null."""
    return pc.cast(table[column], pa.float64()).to_numpy()


def number(values: Any) -> list[float | None]:
    """Round to seven significant digits, NaN to null: what a screen can show."""
    return [None if np.isnan(value) else float(f"{value:.7g}") for value in np.asarray(values, float)]
