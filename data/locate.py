"""Where history and catalogs lie on this machine."""

import os
from pathlib import Path

from risk.errors import InvalidInput

PROJECT = Path(__file__).resolve().parents[1]


def find_history(explicit: Path | None = None) -> Path | None:
    """Return the folder of raw history, or None when this machine has none.

    Looked for in this order: ``explicit``, the environment's ``HYBRID_PERPS_DATA``, ``shared/data`` beside
    the project, ``shared/data`` below the current folder. Raises InvalidInput when one of the first two is
    named and missing.
    """
    named = {"the data folder": explicit, "HYBRID_PERPS_DATA": os.environ.get("HYBRID_PERPS_DATA") or None}
    for what, value in named.items():
        if value is not None:
            path = Path(value).expanduser()
            if not path.is_dir():
                raise InvalidInput(f"{what} was {str(path)!r}, it must be an existing folder")
            return path
    for candidate in (PROJECT.parent / "shared/data", Path.cwd() / "shared/data"):
        if candidate.is_dir():
            return candidate
    return None


def default_catalog_dir() -> Path:
    """Return the folder datasets are built in: ``HYBRID_PERPS_CATALOG``, else one in the user's cache."""
    named = os.environ.get("HYBRID_PERPS_CATALOG")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "hybrid-perps" / "catalog"
