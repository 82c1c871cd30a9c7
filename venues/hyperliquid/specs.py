"""Hyperliquid's ``meta`` JSON → what the core knows of each coin; two snapshots for machines offline."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from risk.errors import InvalidInput
from risk.margin_tiers import tiers_from_meta
from risk.market import SymbolSpec

MAX_DECIMALS = 6  # of a perpetual's price and size together

Snapshot = Literal["meta_snapshot", "meta_2023"]


def specs_from_meta(meta: Mapping[str, Any]) -> dict[str, SymbolSpec]:
    """Return the spec of every coin of ``meta`` that is listed now, by name.

    Raises InvalidInput where the shape is not Hyperliquid's.
    """
    universe = meta.get("universe") if isinstance(meta, Mapping) else None
    if not isinstance(universe, list):
        raise InvalidInput(
            "meta has no list 'universe': Hyperliquid's answer to {'type': 'meta'} was expected"
        )
    specs = {}
    for row, asset in enumerate(universe):
        if not isinstance(asset, Mapping):
            raise InvalidInput(f"meta.universe[{row}] was {asset!r}, it must be an object")
        name, decimals = asset.get("name"), asset.get("szDecimals")
        if not isinstance(name, str) or not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
            raise InvalidInput(
                f"meta.universe[{row}]: name was {name!r} and szDecimals {decimals!r}, "
                f"they must be a text and an integer of 0 to {MAX_DECIMALS}"
            )
        if asset.get("isDelisted"):
            continue
        specs[name] = SymbolSpec(name, decimals, MAX_DECIMALS - decimals, tiers_from_meta(meta, name))
    return specs


def bundled_meta(snapshot: Snapshot = "meta_snapshot") -> dict[str, Any]:
    """Return a bundled ``meta``: of mid-2026, or of spring 2023 (one 50× tier, an assumption)."""
    return json.loads(files(__package__).joinpath(f"{snapshot}.json").read_text(encoding="utf-8"))


def bundled_specs(snapshot: Snapshot = "meta_snapshot") -> dict[str, SymbolSpec]:
    """Return the specs of a bundled ``meta``, by name."""
    return specs_from_meta(bundled_meta(snapshot))
