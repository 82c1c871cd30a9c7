"""A study's trials as one table: what was tried, what came of it, all figures exact."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from backtest.metrics import plain
from backtest.recorder import DECIMAL
from backtest.tuning.measures import MEASURES, measure_all
from backtest.tuning.space import text_of
from backtest.tuning.store import StoredStudy, StoredTrial
from backtest.tuning.trial import Failed, Finished, Refused, Stopped
from backtest.tuning.verdict import judge
from data.storage import replaced_file, write_table
from risk.errors import InvalidInput

PENDING = "pending"


def trial_table(stored: StoredStudy) -> pa.Table:
    """Return a row per trial: number, state, feasible, digest, settings (text), measures (decimal), note, seconds."""
    trials = stored.trials()
    rows = [_row(stored, trial) for trial in trials]
    settings = pa.schema([(path, pa.string()) for path in stored.study.space])
    measures = pa.schema([(name, DECIMAL) for name in MEASURES])
    heads = [("trial", pa.int64()), ("state", pa.string()), ("feasible", pa.bool_()), ("digest", pa.string())]
    tails = [("note", pa.string()), ("seconds", pa.float64())]
    return pa.Table.from_pylist(rows, pa.schema([*heads, *settings, *measures, *tails]))


def write_trials(table: pa.Table, path: Path) -> None:
    """Write the table as .csv, .json or .parquet, by the ending of ``path``; raise InvalidInput for another."""
    try:
        match path.suffix:
            case ".parquet":
                write_table(table, path)
            case ".csv":
                with replaced_file(path) as partial:
                    pa_csv.write_csv(table, partial)
            case ".json":
                with replaced_file(path) as partial:
                    partial.write_text(json.dumps(trial_rows(table), indent=1) + "\n", encoding="utf-8")
            case _:
                raise InvalidInput(f"the file was {path}; its name must end in .csv, .json or .parquet")
    except OSError as error:
        raise InvalidInput(f"{path} could not be written: {error.strerror or error}") from None


def trial_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as plain values, money and ratios as decimal strings."""
    rows: Sequence[dict[str, Any]] = table.to_pylist()
    return [plain(row) for row in rows]


def _row(stored: StoredStudy, trial: StoredTrial) -> dict[str, Any]:
    settings = {path: text_of(value) for path, value in trial.values.items()}
    row = {"trial": trial.number, "state": PENDING, "feasible": None} | settings
    match trial.outcome:
        case Finished(digest=digest, slots=slots, seconds=seconds) as outcome:
            feasible = judge(stored.study, outcome).feasible
            found = {"state": "finished", "feasible": feasible, "digest": digest, "seconds": seconds}
            return row | found | measure_all(slots)
        case Stopped(measure=measure, figure=figure, seconds=seconds):
            note = f"{measure} had reached {text_of(figure)}"
            return row | {"state": "stopped", "feasible": False, "note": note, "seconds": seconds}
        case Refused(message=message):
            return row | {"state": "refused", "feasible": False, "note": message}
        case Failed(message=message, attempts=attempts):
            return row | {"state": "failed", "note": f"{message} ({attempts} attempts)"}
    return row
