"""What a point changes in its scenario."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from backtest.scenario import Scenario
from backtest.scenario_overrides import path_keys, with_values
from backtest.tuning.space import text_of
from backtest.tuning.study import Study


def changes(study: Study, values: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """Return (setting, before, after) of each setting in ``values`` that differs from the study's scenario."""
    base = study.base()
    changed = with_values(base, values)
    rows = ((path, setting_at(base, path), setting_at(changed, path)) for path in values)
    return tuple(row for row in rows if text_of(row[1]) != text_of(row[2]))


def setting_at(scenario: Scenario, path: str) -> Any:
    """Return the value in force at a dotted path, as a file would give it: rows and defaults filled in."""
    place: Any = scenario.model_dump()
    keys = path_keys(path)
    if keys[0] == "routing":
        table = scenario.settings().routing
        row = table.get(keys[1], table["*"])
        place = {field.name: getattr(row, field.name) for field in fields(row)}
        keys = keys[2:]
    for key in keys:
        place = place[int(key)] if isinstance(place, list | tuple) else place.get(key)
    return place
