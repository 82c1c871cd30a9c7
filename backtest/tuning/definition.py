"""A study's definition as a store keeps it: the study file and the scenario behind it, exact to the digit."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from backtest.scenario import parse_scenario
from backtest.scenario_toml import dump_toml
from backtest.tuning.space import settings_from_json, settings_to_json, text_of
from backtest.tuning.study import Study
from risk.errors import InvalidInput

_MAY_GROW = "trials"  # more of them only lengthen the search


def pack(study: Study) -> dict[str, str]:
    """Return the study and its scenario as text; ``unpack`` needs nothing else."""
    return {"study": settings_to_json(study.model_dump()), "scenario": dump_toml(study.base())}


def unpack(kept: Mapping[str, str]) -> Study:
    """Read what ``pack`` wrote; raise InvalidInput if another version wrote it otherwise."""
    values = settings_from_json(kept["study"])
    try:
        study = Study.model_validate(values)
    except ValidationError:
        raise InvalidInput(f"study {values['name']!r} in the store was written by another version") from None
    return study.on(parse_scenario(tomllib.loads(kept["scenario"], parse_float=Decimal)))


def first_change(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Name the first key of two packed studies that makes them another search; nothing if none does."""
    old, new = (settings_from_json(each["study"]) for each in (then, now))
    changed = _changed_key(old | {_MAY_GROW: None}, new | {_MAY_GROW: None})
    return changed or ("" if then["scenario"] == now["scenario"] else "scenario file")


def _changed_key(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    for key in dict.fromkeys((*old, *new)):
        was, now = old.get(key), new.get(key)
        if settings_to_json({key: was}) == settings_to_json({key: now}):
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            return f"{key}.{inner}" if (inner := _changed_key(was, now)) else f"{key}, in another order"
        return f"{key}: {_shown(was)} then, {_shown(now)} now"
    return ""


def _shown(value: Any) -> str:
    return "none" if value is None else text_of(value)
