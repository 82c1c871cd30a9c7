"""The recommended settings on other markets: every crash on record and every synthetic mood."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtest.run_symbols import symbols_of
from backtest.scenario import Scenario, load_scenario, ready_scenarios
from backtest.tuning.study import Study
from risk.errors import InvalidInput

_DEFAULT = ("crash-", "synthetic-")


@dataclass(frozen=True, slots=True)
class StressCase:
    """One scenario with the chosen settings and with its own; both None where ``message`` says why not."""

    scenario: str
    description: str
    chosen: Scenario | None
    own: Scenario | None
    message: str = ""


def stress_cases(
    study: Study, values: Mapping[str, Any], data_dir: Path | None = None, catalog_dir: Path | None = None
) -> list[StressCase]:
    """Return a case for each of the study's stress scenarios, or for every ready crash and synthetic one."""
    names = study.checks.stress
    if names is None:
        names = tuple(ready.name for ready in ready_scenarios() if ready.name.startswith(_DEFAULT))
    recommended = study.searched(values)
    return [_case(name, recommended, data_dir, catalog_dir) for name in names]


def _case(name: str, recommended: Scenario, data_dir: Path | None, catalog_dir: Path | None) -> StressCase:
    shown, description = name, ""
    try:
        own = load_scenario(name)
        shown, description = own.name, own.description
        own = own.model_copy(update={"report": own.report.model_copy(update={"counterfactuals": False})})
        rows = recommended.routing
        if rows.keys() - {"*"}:
            known = symbols_of(own, data_dir, catalog_dir)
            rows = {symbol: row for symbol, row in rows.items() if symbol == "*" or symbol in known}
    except InvalidInput as error:
        return StressCase(shown, description, None, None, str(error))
    chosen = own.model_copy(update={"routing": rows, "risk": recommended.risk})
    return StressCase(shown, description, chosen, own)
