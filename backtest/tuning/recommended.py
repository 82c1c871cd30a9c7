"""The recommended settings as a scenario file: what ``backtest`` takes, and later a live node its routing and risk."""

from pathlib import Path

from backtest.scenario import Scenario
from backtest.scenario_overrides import with_values
from backtest.scenario_toml import dump_toml
from backtest.tuning.findings import Findings, Point
from backtest.tuning.report.words import recommended
from backtest.tuning.study import Study
from data.storage import replaced_file
from risk.errors import InvalidInput


def recommended_scenario(study: Study, point: Point) -> Scenario:
    """Return the study's scenario, on all of its time and users, with the settings of ``point``."""
    named = {
        "name": f"{study.name}-recommended",
        "description": f"{study.scenario} with the settings of trial {point.number} of the study {study.name}.",
    }
    return with_values(study.base(), {**point.values, **named})


def write_recommended(findings: Findings, path: Path) -> None:
    """Write the study's whole scenario with the recommended settings to ``path``, in one step.

    Writes nothing when nothing is recommended; raises InvalidInput where it cannot be written.
    """
    chosen = recommended(findings)
    if chosen is None:
        return
    study, point = findings.study, chosen.point
    lines = [
        f"# Recommended by the study {study.name}: trial {point.number}.",
        f"# Digest on the part that was searched: {point.digest}",
        "# [routing] and [risk] alone are put into another scenario by: hybrid-perps backtest SCENARIO --settings FILE",
        "",
    ]
    text = "\n".join(lines) + "\n" + dump_toml(recommended_scenario(study, point))
    try:
        with replaced_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} could not be written: {error.strerror or error}") from None
