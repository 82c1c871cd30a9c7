"""The files a study leaves: report, findings, trials, and the settings it recommends."""

import os
from pathlib import Path

import pyarrow as pa

from backtest.tuning.findings import Findings
from backtest.tuning.findings_json import findings_json
from backtest.tuning.recommended import write_recommended
from backtest.tuning.report.page import render
from backtest.tuning.trial_table import write_trials
from data.storage import replaced_file, write_json
from risk.errors import InvalidInput

REPORT_FILE = "report.html"
FINDINGS_FILE = "findings.json"
TRIALS_FILE = "trials.parquet"
RECOMMENDED_FILE = "recommended.toml"


def check_folder(folder: Path) -> None:
    """Raise InvalidInput unless files can be written in ``folder``, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--out was {folder}; it could not be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput(f"--out was {folder}; nothing can be written there")


def write_outputs(findings: Findings, trials: pa.Table, folder: Path) -> Path:
    """Write everything into ``folder`` and return the report's path; an earlier recommendation does not stay."""
    try:
        (folder / RECOMMENDED_FILE).unlink(missing_ok=True)
        with replaced_file(folder / REPORT_FILE) as partial:
            partial.write_text(render(findings), encoding="utf-8")
        write_json(findings_json(findings), folder / FINDINGS_FILE)
        write_trials(trials, folder / TRIALS_FILE)
        if findings.recommended is not None:
            write_recommended(findings, folder / RECOMMENDED_FILE)
    except OSError as error:
        raise InvalidInput(
            f"--out was {folder}; it could not be written: {error.strerror or error}"
        ) from None
    return folder / REPORT_FILE
