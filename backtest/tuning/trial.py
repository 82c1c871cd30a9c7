"""One trial: a scenario in, its digest and its slots out. It knows nothing of studies, stores or workers."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from backtest.conclusion import conclude
from backtest.engine import patient_collector
from backtest.feed import Feed
from backtest.replay import run_replay
from backtest.scenario import Scenario
from backtest.scenario_toml import dump_toml
from backtest.sources import check_routing
from backtest.tape import Tape
from backtest.tuning.cells import Cells, user_cells
from backtest.tuning.slots import Slots, cut, slot_length
from backtest.tuning.study import Limit
from backtest.tuning.watchdog import LimitBroken, Watchdog
from risk.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Job:
    """Ask for one run of ``scenario``; it ends early once one of ``limits`` is broken for good.

    ``exposure_limit`` (USDC) is what time is counted above; with ``cells`` the users' results are kept by slot.
    """

    scenario: Scenario
    exposure_limit: Decimal = Decimal("Infinity")
    limits: Mapping[str, Limit] = field(default_factory=dict)
    cells: bool = False

    @property
    def key(self) -> str:
        """Return a name that is equal for equal jobs: what a run is stored and found again under."""
        limits = {name: str(limit) for name, limit in sorted(self.limits.items())}
        text = json.dumps([dump_toml(self.scenario), str(self.exposure_limit), limits, self.cells])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Finished:
    """Hold what a run came to; ``seconds`` it took, which no two runs share."""

    digest: str
    slots: Slots
    cells: Cells | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Say that a run ended early: it had broken the limit on ``measure`` for good at ``ts``."""

    measure: str
    figure: Decimal
    ts: int
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Say that the settings do not make a scenario that can be run."""

    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Say that a run failed however often it was tried; ``message`` is the last error."""

    message: str
    attempts: int


type Outcome = Finished | Stopped | Refused | Failed


@dataclass(frozen=True, slots=True)
class Material:
    """Hold what runs on the same data and flow share: made once, run hundreds of times with other settings."""

    tape: Tape
    orders: pa.Table
    accounting: pa.Table | None

    @classmethod
    def of(cls, feed: Feed) -> "Material":
        """Take what a trial needs out of ``feed``."""
        return cls(Tape.of(feed), feed.flow.orders, feed.accounting)


def material_key(scenario: Scenario) -> str:
    """Return a name for the material of ``scenario``: equal where data, users and the venue's world are."""
    sections = {"data", "flow", "venue", "outages", "seed"}
    text = scenario.model_dump_json(include=sections)
    return hashlib.sha256(text.encode()).hexdigest()


def run_trial(job: Job, material: Material) -> Finished | Stopped | Refused:
    """Run ``job`` on its material. Raises whatever is wrong with the program or the books, never with the settings."""
    with patient_collector():  # until the events are gone: it would look through all of them
        return _run(job, material, time.monotonic())


def _run(job: Job, material: Material, began_s: float) -> Finished | Stopped | Refused:
    risk = job.scenario.risk
    watchdog = Watchdog(job.limits, risk.capital)
    try:
        check_routing(job.scenario, list(material.tape.specs))  # the material may be of another job
        run = run_replay(job.scenario, material.tape, observe=watchdog.watch)
    except LimitBroken as broken:
        return Stopped(broken.measure, broken.figure, broken.ts, time.monotonic() - began_s)
    except InvalidInput as error:
        return Refused(str(error))
    found = conclude(run, material.orders, material.accounting)
    slot_ns = slot_length(material.tape.span)
    slots = cut(found.tables, risk.capital, risk.reserve_capital, job.exposure_limit, slot_ns)
    cells = user_cells(found.tables, slot_ns) if job.cells else None
    return Finished(found.digest(), slots, cells, time.monotonic() - began_s)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return ``outcome`` as plain values, for a store."""
    kind = {"kind": type(outcome).__name__.lower()}
    match outcome:
        case Finished(digest, slots, cells, seconds):
            users = None if cells is None else cells.to_json()
            return kind | {"digest": digest, "slots": slots.to_json(), "cells": users, "seconds": seconds}
        case Stopped(measure, figure, ts, seconds):
            return kind | {"measure": measure, "figure": str(figure), "ts": ts, "seconds": seconds}
        case Refused(message):
            return kind | {"message": message}
        case Failed(message, attempts):
            return kind | {"message": message, "attempts": attempts}


def outcome_from_json(found: Mapping[str, Any]) -> Outcome:
    """Read what ``outcome_to_json`` wrote."""
    match found["kind"]:
        case "finished":
            cells = None if found["cells"] is None else Cells.from_json(found["cells"])
            return Finished(found["digest"], Slots.from_json(found["slots"]), cells, found["seconds"])
        case "stopped":
            return Stopped(found["measure"], Decimal(found["figure"]), found["ts"], found["seconds"])
        case "refused":
            return Refused(found["message"])
        case _:
            return Failed(found["message"], found["attempts"])
