"""What a study's results depend on beside its own definition: the data, and the versions that computed on it."""

from collections.abc import Mapping
from importlib.metadata import version
from platform import python_version
from typing import Any

FORMAT = 1  # of what a store holds
_PACKAGES = ("hybrid-perps", "nautilus_trader", "numpy", "optuna", "pyarrow", "duckdb")


def provenance_of(input_hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return versions, the format of the store and ``input_hashes`` (names to SHA-256), as JSON has them."""
    versions = {"python": python_version()} | {name: version(name) for name in _PACKAGES}
    return {"format": FORMAT, "versions": versions, "inputs": dict(input_hashes)}


def difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what is the first to differ between two provenances; nothing if they agree."""
    for section in sorted(then.keys() | now.keys()):
        old, new = then.get(section), now.get(section)
        if old == new:
            continue
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            return f"{section} was {old} and is {new}"
        name = min(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if section == "inputs":
            return f"the data of {name} is not what it was"
        return f"{name} was {old.get(name)} and is {new.get(name)}"
    return ""
