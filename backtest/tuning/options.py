"""What a command was told of where to run and where to keep things."""

from dataclasses import dataclass
from pathlib import Path

LOCAL_RAY = "local"  # for --ray without an address


@dataclass(frozen=True, slots=True)
class Options:
    """Hold the options that running and resuming a study share; None leaves the choice to us."""

    workers: int | None = None
    ray: str | None = None
    storage: str | None = None
    out: Path | None = None
    data: Path | None = None
    as_json: bool = False
