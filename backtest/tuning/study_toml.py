"""A study written out as TOML: every value, defaults included."""

from collections.abc import Iterator, Mapping
from typing import Any

from backtest.scenario_toml import toml_key, toml_value
from backtest.tuning.study import Study


def dump_study(study: Study) -> str:
    """Write ``study`` as TOML that parses to an equal study."""
    values = study.model_dump()
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    lines = list(_rows({name: value for name, value in values.items() if name not in tables}))
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_rows(table)]
    return "\n".join(lines) + "\n"


def _rows(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None:
            yield f"{toml_key(key)} = {toml_value(_without_defaults(value))}"


def _without_defaults(value: Any) -> Any:
    """Leave out of a row what says nothing: a range has no choices, and choices no range."""
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if item is not False and item != ()}
    return value
