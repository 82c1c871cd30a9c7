"""What a worker does, wherever it runs: it keeps the materials it has met last and turns jobs into outcomes."""

import atexit
import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backtest.scenario import Scenario
from backtest.sources import open_feed
from backtest.tuning.trial import Job, Material, Outcome, Refused, material_key, run_trial
from risk.errors import InvalidInput

ROOM = 4  # materials kept at once: a study divides its data into four parts


@dataclass(frozen=True, slots=True)
class Source:
    """Say where scenarios find their data; None stands for the usual places."""

    data_dir: Path | None = None
    catalog_dir: Path | None = None

    def open(self, scenario: Scenario) -> Material:
        """Make or read what ``scenario`` runs on; raise InvalidInput for what is missing or does not fit."""
        return Material.of(open_feed(scenario, data_dir=self.data_dir, catalog_dir=self.catalog_dir))


class Kept[T]:
    """Hold the last used of what is costly to make and large, by name."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._held: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def get(self, name: str, make: Callable[[], T]) -> T:
        """Return what is held under ``name``, made now if it is not."""
        if name not in self._held:
            # Let go first, so that while one is made there are never more of them than there is room for.
            while len(self._held) >= self._room:
                self._held.popitem(last=False)
            self._held[name] = make()
        self._held.move_to_end(name)
        return self._held[name]


@dataclass(frozen=True, slots=True)
class Raised:
    """Say what a job raised: the worker is not to be trusted with another."""

    message: str

    @classmethod
    def of(cls, error: BaseException) -> "Raised":
        """Name ``error`` in one line."""
        text = str(error).strip().partition("\n")[0]
        return cls(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class Worker:
    """Evaluate one job after another, each material fetched once while there is room for it.

    What a material's first run leaves on its tape stays for all others: the collector need not go over it again.
    """

    def __init__(self) -> None:
        self._kept: Kept[Material] = Kept()

    def evaluate(self, job: Job, fetch: Callable[[], Material]) -> Outcome | Raised:
        """Return what became of ``job``; ``fetch`` gets its material and is called if that is not at hand."""
        try:
            key = material_key(job.scenario)
            is_new = key not in self._kept
            outcome = run_trial(job, self._kept.get(key, fetch))
            if is_new:
                gc.collect()
                gc.freeze()
                atexit.register(gc.unfreeze)  # or extension modules would report leaks at the end
            return outcome
        except InvalidInput as error:
            return Refused(str(error))
        except BaseException as error:  # a panic in an extension module is no Exception
            return Raised.of(error)
