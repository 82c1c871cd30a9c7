"""A study: the scenario, what is varied, what is aimed for and what must hold, in one validated TOML file."""

import difflib
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from backtest.scenario import Scenario, load_scenario
from backtest.scenario_errors import sentence
from backtest.scenario_overrides import apply_overrides, path_keys, with_values
from backtest.scenario_values import Count, Fraction, Money, Section
from backtest.tuning.measures import MEASURES, Direction, Figure
from backtest.tuning.space import Parameter, grid
from data.storage import read_toml
from risk.errors import InvalidInput


def _text(text: str) -> Any:
    return Field(description=text)


class Limit(Section):
    """A hard constraint on a measure: at least ``min``, at most ``max``."""

    min: Decimal | None = None
    max: Decimal | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a constraint needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min was {self.min}; it must not be above max, {self.max}")
        return self

    def excess(self, figure: Figure) -> Decimal:
        """Return by how much ``figure`` breaks the constraint, 0 or less when it holds; None breaks nothing."""
        if figure is None:
            return Decimal(0)
        over = [] if self.max is None else [figure - self.max]
        under = [] if self.min is None else [self.min - figure]
        return max(over + under)

    def __str__(self) -> str:
        """Write it as people do."""
        parts = [f"at least {self.min}" if self.min is not None else ""]
        parts.append(f"at most {self.max}" if self.max is not None else "")
        return " and ".join(filter(None, parts))


class SplitSection(Section):
    """What the search never sees: the last part of the time, and some of the users."""

    test_share: Annotated[Fraction, _text("the last share of the time, held out; 0: none")] = Decimal("0.25")
    user_groups: Annotated[Count, _text("groups the users are dealt into by a hash of their names")] = 4
    test_groups: Annotated[tuple[int, ...], _text("groups held out; []: none")] = (3,)
    folds: Annotated[Count, _text("walk-forward steps within the time that is searched")] = 4

    @model_validator(mode="after")
    def _check(self) -> Self:
        held = set(self.test_groups)
        if len(held) < len(self.test_groups) or not all(0 <= group < self.user_groups for group in held):
            shown = ", ".join(map(str, self.test_groups))
            raise ValueError(
                f"test_groups was {shown}; each must be named once and lie from 0 to {self.user_groups - 1}"
            )
        if len(held) == self.user_groups:
            raise ValueError("test_groups holds out every user; leave at least one group to search on")
        if self.test_share == 1:
            raise ValueError("test_share was 1; leave some time to search on")
        return self


class ChecksSection(Section):
    """What is done with the best points after the search."""

    finalists: Annotated[Count, _text("best points that are run on what was held out")] = 5
    bootstrap: Annotated[int, Field(ge=0, description="resamples for confidence intervals")] = 2000
    neighbours: Annotated[bool, _text("run the points next to the recommended one")] = True
    stress: Annotated[
        tuple[str, ...] | None,
        _text("scenarios to run the recommended settings on; unset: every ready crash-* and synthetic-*"),
    ] = None


class PresearchSection(Section):
    """A fast look at many threshold settings first, to narrow the ranges that are searched."""

    settings: Annotated[int, Field(ge=10, description="tried")] = 2000
    keep: Annotated[Fraction, _text("the share of them whose span becomes the range")] = Decimal("0.25")


class Study(Section):
    """Hold one study; ``scenario`` is a ready scenario's name or the path of a file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    scenario: str
    set: Annotated[tuple[str, ...], _text("KEY=VALUE changes of the scenario, as with --set")] = ()
    trials: Count = 100
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    sampler: Annotated[Literal["tpe", "nsga2", "random", "grid"], _text("how points are proposed")] = "tpe"
    lag: Annotated[
        Count,
        _text(
            "a point is proposed from the results of those at least this many before: how many run at once"
        ),
    ] = 8
    prune: Annotated[bool, _text("end a run once it has broken a constraint for good")] = True
    exposure_limit: Annotated[Money | None, _text("USDC; what hours_over_limit counts above")] = None
    space: dict[str, Parameter]
    objectives: dict[str, Direction]
    constraints: dict[str, Limit] = Field(default_factory=dict)
    split: SplitSection = SplitSection()
    checks: ChecksSection = ChecksSection()
    presearch: PresearchSection | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.space:
            raise ValueError("space was empty; name at least one setting to vary")
        if not self.objectives:
            raise ValueError(f"objectives was empty; name at least one of {', '.join(MEASURES)}")
        named = [*self.objectives, *self.constraints]
        for section, names in (("objectives", self.objectives), ("constraints", self.constraints)):
            for name in names:
                if name not in MEASURES:
                    raise ValueError(
                        f"{section} names {name!r}, which is no measure: {_near(name, MEASURES)}"
                    )
        if "hours_over_limit" in named and self.exposure_limit is None:
            raise ValueError("exposure_limit was missing; hours_over_limit needs it")
        return self

    def base(self) -> Scenario:
        """Return the scenario before any setting of the space is applied."""
        return self._base

    @cached_property
    def _base(self) -> Scenario:
        return apply_overrides(load_scenario(self.scenario), self.set)

    def on(self, base: Scenario) -> Self:
        """Return the study with ``base`` for its scenario, so that no file is read for it any more."""
        found = self.model_copy()
        found.__dict__["_base"] = base
        return found

    def searched(self, values: Mapping[str, Any]) -> Scenario:
        """Return the scenario of a trial: the settings tried, on the time and the users that are searched."""
        return self.part(values, held_out_time=False, held_out_users=False)

    def part(self, values: Mapping[str, Any], *, held_out_time: bool, held_out_users: bool) -> Scenario:
        """Return the scenario with ``values`` on one of the four parts; raise InvalidInput if they do not fit."""
        split, base = self.split, self.base()
        first, last = base.data.from_share, base.data.to_share
        edge = last - (last - first) * split.test_share
        window = (edge, last) if held_out_time else (first, edge)
        cut: dict[str, Any] = {"data.from_share": window[0], "data.to_share": window[1]}
        cut["report.counterfactuals"] = False  # whole runs more, of which a trial has no use
        if split.test_groups:
            rest = tuple(group for group in range(split.user_groups) if group not in split.test_groups)
            cut["flow.user_groups"] = split.user_groups
            cut["flow.keep_groups"] = split.test_groups if held_out_users else rest
        return with_values(base, {**values, **cut})


def parse_study(values: Mapping[str, Any]) -> Study:
    """Validate a study's tables and try its settings on its scenario; raise InvalidInput for the first wrong one."""
    try:
        study = Study.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInput(f"study: {sentence(error, _keys_at)}") from None
    _check_space(study)
    return study


def load_study(path: Path) -> Study:
    """Load a study's file; scenarios named in it by path are looked for beside it.

    Raises InvalidInput when there is no such file, it is not TOML, or a value is wrong.
    """
    values = read_toml(path, "a study")
    scenario = values.get("scenario")
    if isinstance(scenario, str) and scenario.endswith(".toml"):
        values["scenario"] = str((path.parent / scenario).resolve())
    checks = values.get("checks")
    if isinstance(checks, dict) and isinstance(checks.get("stress"), list):
        checks["stress"] = [
            str((path.parent / name).resolve()) if str(name).endswith(".toml") else name
            for name in checks["stress"]
        ]
    return parse_study({"name": path.stem} | values)


def _check_space(study: Study) -> None:
    """Raise InvalidInput for a setting the scenario does not know or a bound that it refuses."""
    base = study.base()
    if base.flow.keep_groups:
        raise InvalidInput(
            "study: the scenario keeps some groups of users already; splitting users is the study's part"
        )
    for path, parameter in study.space.items():
        if not path_keys(path):
            raise InvalidInput(f"space names {path!r}; it must be a dotted path, such as risk.hedge_debounce")
        # A bound alone may clash with another setting that varies too: only unknown and mistyped ones count here.
        tried = parameter.choices or (parameter.low, parameter.high)
        problems = []
        for value in tried:
            try:
                with_values(base, {path: value})
            except InvalidInput as error:
                problems.append(str(error))
        mistyped = [problem for problem in problems if problem.startswith(f"scenario: {path} was")]
        if mistyped or len(problems) == len(tried):
            raise InvalidInput(f"space.{path}: {(mistyped or problems)[0]}")
    for name in study.checks.stress or ():
        load_scenario(name)
    check_grid(study)


def check_grid(study: Study) -> None:
    """Raise InvalidInput for a grid that is endless or has more points than the study has trials."""
    if study.sampler != "grid":
        return
    next(grid(study.space))
    points = math.prod(len(parameter.grid()) for parameter in study.space.values())
    if points > study.trials:
        raise InvalidInput(
            f"the grid has {points} points and trials was {study.trials}, which would leave out whole corners of it; "
            "allow as many trials, take larger steps, or another sampler"
        )


def _keys_at(location: list[str]) -> list[str]:
    rows: dict[str, type[Section]] = {"space": Parameter, "constraints": Limit}
    match location:
        case []:
            return list(Study.model_fields)
        case [table, _] if table in rows:
            return list(rows[table].model_fields)
    section = Study.model_fields[location[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, Section) else []


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
