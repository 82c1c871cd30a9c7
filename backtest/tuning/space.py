"""A search space: which settings of a scenario are tried, and at which values.

Optuna proposes plain numbers; here they become exact values of the scenario's own kinds. What a file gives
as whole numbers stays whole, as decimals becomes a decimal of four digits, as durations a duration.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field, field_validator, model_validator

from backtest.scenario_values import Section, format_duration, parse_duration
from risk.errors import InvalidInput

DIGITS = 4  # of a decimal without a step: finer differences are noise
NEIGHBOUR_SHARE = Decimal("0.1")  # of a range, to the next point on either side
_ROUNDED = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_MS = 10**6

type Bound = int | Decimal | str


class Parameter(Section):
    """One setting: either ``choices``, or all values from ``low`` to ``high``, by ``step`` if there is one."""

    low: Bound | None = None
    high: Bound | None = None
    step: Bound | None = None
    log: Annotated[
        bool, Field(description="equal factors rather than equal distances are equally likely")
    ] = False
    choices: tuple[Any, ...] = ()

    @field_validator("low", "high", "step", mode="before")
    @classmethod
    def _no_switch(cls, given: Any) -> Any:
        if isinstance(given, bool):
            raise ValueError("it must be a number or a duration; a switch takes choices = [true, false]")
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices:
            if any(value is not None for value in (self.low, self.high, self.step)) or self.log:
                raise ValueError("choices stand alone; low, high, step and log belong to a range")
            if len(set(map(text_of, self.choices))) < len(self.choices):
                raise ValueError(f"choices were {text_of(self.choices)}; each must be there once")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a range needs low and high; otherwise give choices")
        bounds = [value for value in (self.low, self.high, self.step) if value is not None]
        if len({isinstance(value, str) for value in bounds}) > 1:
            raise ValueError("low, high and step must be all numbers or all durations")
        if self._low >= self._high:
            raise ValueError(f"the range was empty: low was {self.low} and high {self.high}")
        if self.step is not None and not 0 < self._step <= self._high - self._low:
            raise ValueError(f"step was {self.step}; it must be above 0 and fit between low and high")
        if self.log and (self.step is not None or self._low <= 0):
            raise ValueError("log needs a low above 0 and no step")
        return self

    @cached_property
    def _is_duration(self) -> bool:
        return isinstance(self.low, str)

    @cached_property
    def _is_whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    # In the parameter's own number: a duration counts milliseconds.
    @cached_property
    def _low(self) -> Decimal:
        return _number(self.low)

    @cached_property
    def _high(self) -> Decimal:
        return _number(self.high)

    @cached_property
    def _step(self) -> Decimal:
        return _number(self.step)

    @cached_property
    def _last_step(self) -> int:
        return int((self._high - self._low) // self._step)

    def distribution(self) -> BaseDistribution:
        """Return what Optuna draws from: the number of a choice or of a step, or a number in the range."""
        if self.choices:
            return CategoricalDistribution(tuple(range(len(self.choices))))
        if self.step is not None:
            return IntDistribution(0, self._last_step)
        if self._is_whole:
            return IntDistribution(int(self._low), int(self._high), log=self.log)
        return FloatDistribution(float(self._low), float(self._high), log=self.log)

    def value(self, drawn: float) -> Any:
        """Turn what was drawn into the setting's value, as a scenario file would give it."""
        if self.choices:
            return self.choices[int(drawn)]
        if self.step is not None:
            return self._given(self._low + int(drawn) * self._step)
        exact = Decimal(int(drawn)) if self._is_whole else _ROUNDED.create_decimal_from_float(float(drawn))
        return self._given(min(max(exact, self._low), self._high))

    def drawn(self, value: Any) -> float:
        """Return what would have been drawn for ``value``; raise InvalidInput if it is none of the parameter's."""
        if self.choices:
            texts = [text_of(choice) for choice in self.choices]
            if text_of(value) in texts:
                return texts.index(text_of(value))
            raise InvalidInput(f"{text_of(value)} is not among the choices {', '.join(texts)}")
        number = _number(value)
        if not self._low <= number <= self._high:
            raise InvalidInput(f"{text_of(value)} is not from {self.low} to {self.high}")
        if self.step is not None:
            return int(((number - self._low) / self._step).to_integral_value())
        return int(number) if self._is_whole else float(number)

    def grid(self) -> list[Any]:
        """Return every value; raise InvalidInput for a range that has no step and is not of whole numbers."""
        if self.choices:
            return list(self.choices)
        if self.step is None:
            raise InvalidInput("a grid needs choices, or a step in every range")
        return [self.value(number) for number in range(self._last_step + 1)]

    def neighbours(self, value: Any) -> list[Any]:
        """Return the next value on either side within the range: a step, or a tenth of the range, away."""
        if self.choices:
            return [choice for choice in self.choices if text_of(choice) != text_of(value)]
        at = self.drawn(value)
        if self.step is not None:
            near = [at - 1, at + 1]
            return [self.value(number) for number in near if 0 <= number <= self._last_step]
        near = self._tenth_away(at)
        found = [self.value(number) for number in near]
        return [each for each in found if text_of(each) != text_of(value)]

    def _tenth_away(self, at: float) -> list[float]:
        low, high, share = float(self._low), float(self._high), float(NEIGHBOUR_SHARE)
        if self.log:
            factor = (high / low) ** share
            near = [at / factor, at * factor]
        else:
            near = [at - share * (high - low), at + share * (high - low)]
        if self._is_whole:
            near = [math.floor(near[0]), math.ceil(near[1])]
        return [min(max(number, low), high) for number in near]

    def _given(self, number: Decimal) -> Any:
        if self._is_duration:
            return format_duration(int(number * _MS))
        return int(number) if self._is_whole else number


type Space = Mapping[str, Parameter]


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Yield every combination of values, the last parameter fastest; raise InvalidInput where that is endless."""
    columns = []
    for path, parameter in space.items():
        try:
            columns.append(parameter.grid())
        except InvalidInput as error:
            raise InvalidInput(f"space.{path}: {error}") from None
    for values in product(*columns):
        yield dict(zip(space, values, strict=True))


def text_of(value: Any) -> str:
    """Write a setting's value for people and for comparison: equal values, equal text."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {text_of(item)}' for key, item in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(text_of, value))}]"
    return str(value)


def settings_to_json(values: Mapping[str, Any]) -> str:
    """Write settings so that ``settings_from_json`` gives equal ones: decimals as tagged text."""
    return json.dumps(values, default=_tagged, separators=(",", ":"))


def settings_from_json(text: str) -> dict[str, Any]:
    """Read what ``settings_to_json`` wrote."""
    found: dict[str, Any] = json.loads(text, object_hook=_untagged)
    return found


def _tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    raise TypeError(f"{value!r} is no setting")


def _untagged(found: dict[str, Any]) -> Any:
    return Decimal(found["decimal"]) if found.keys() == {"decimal"} else found


def _number(value: Any) -> Decimal:
    if isinstance(value, str):
        return Decimal(parse_duration(value)) / _MS
    return Decimal(value)
