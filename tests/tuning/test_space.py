"""A search space: numbers drawn become exact settings, and back."""

from decimal import Decimal
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backtest.scenario_values import parse_duration
from backtest.tuning.space import Parameter, grid, settings_from_json, settings_to_json, text_of
from risk.errors import InvalidInput

D = Decimal


@pytest.mark.parametrize(
    ("given_", "drawn", "value"),
    [
        ({"low": 100, "high": 10_000, "log": True}, 333, 333),
        ({"low": D("0.1"), "high": D("0.9")}, 0.33333333, D("0.3333")),
        ({"low": D("0.1"), "high": D("0.9"), "step": D("0.2")}, 3, D("0.7")),
        ({"low": "1s", "high": "1h", "log": True}, 90_000.4, "90s"),
        ({"low": "0s", "high": "10s", "step": "500ms"}, 3, "1500ms"),
        ({"choices": [True, False]}, 1, False),
        ({"choices": [[{"lower": D(1), "ratio": D("0.5")}], []]}, 0, [{"lower": D(1), "ratio": D("0.5")}]),
    ],
)
def test_what_is_drawn_becomes_a_value_of_the_settings_own_kind(
    given_: dict, drawn: float, value: Any
) -> None:
    parameter = Parameter.model_validate(given_)
    found = parameter.value(drawn)
    assert found == value
    assert type(found) is type(value)


def test_a_decimal_is_rounded_into_its_range() -> None:
    parameter = Parameter(low=D("0.33333"), high=D("0.44444"))
    assert parameter.value(0.33333) == D("0.33333")
    assert parameter.value(0.44444) == D("0.4444")


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"low": 2, "high": 1}, "the range was empty: low was 2 and high 1"),
        ({"low": "5s", "high": "5s"}, "the range was empty"),
        ({"low": 1}, "a range needs low and high"),
        ({}, "otherwise give choices"),
        ({"low": 1, "high": "2s"}, "all numbers or all durations"),
        ({"low": 1, "high": 2, "choices": [1]}, "choices stand alone"),
        ({"choices": [1, 1]}, "each must be there once"),
        ({"low": 0, "high": 2, "log": True}, "log needs a low above 0"),
        ({"low": 0, "high": 2, "step": 3}, "step was 3; it must be above 0 and fit"),
        ({"low": 0, "high": 2, "step": 0}, "step was 0; it must be above 0"),
        ({"low": "1 second", "high": "2s"}, "it must be a duration"),
        ({"low": True, "high": 5}, "a switch takes choices"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(given_: dict, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameter.model_validate(given_)
    assert message in str(caught.value)


numbers = st.integers(1, 10**6)
decimals = st.decimals(D("0.0001"), D(10**6), places=4)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    kind = draw(st.sampled_from(["whole", "decimal", "duration", "choices"]))
    if kind == "choices":
        return Parameter(
            choices=tuple(draw(st.lists(st.one_of(numbers, st.booleans()), min_size=2, unique_by=text_of)))
        )
    bounds: Any = draw(
        st.lists(decimals if kind == "decimal" else numbers, min_size=2, max_size=2, unique=True).map(sorted)
    )
    step = None
    if draw(st.booleans()):
        step = max((bounds[1] - bounds[0]) / draw(st.integers(1, 9)), D("0.0001"))
        step = step if kind == "decimal" else max(1, int(step))
    log = step is None and draw(st.booleans())
    if kind == "duration":
        bounds, step = [f"{bound}ms" for bound in bounds], None if step is None else f"{step}ms"
    return Parameter(low=bounds[0], high=bounds[1], step=step, log=log)


def size(value: Any) -> Decimal:
    return D(parse_duration(value)) if isinstance(value, str) else D(value)


@given(parameters(), st.integers(0, 2**32 - 1))
def test_every_value_lies_in_its_range_and_finds_its_way_back(parameter: Parameter, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = study.ask({"x": parameter.distribution()}).params["x"]
    value = parameter.value(drawn)
    if parameter.choices:
        assert value in parameter.choices
    else:
        assert size(parameter.low) <= size(value) <= size(parameter.high)
    assert text_of(parameter.value(parameter.drawn(value))) == text_of(value)
    assert settings_from_json(settings_to_json({"x": value})) == {"x": value}
    for near in parameter.neighbours(value):
        assert text_of(near) != text_of(value)
        parameter.drawn(near)  # raises for a value that is not the parameter's


def test_neighbours_are_a_step_or_a_tenth_of_the_range_away() -> None:
    assert Parameter(low=0, high=10, step=2).neighbours(0) == [2]
    assert Parameter(low=0, high=100).neighbours(50) == [40, 60]
    assert Parameter(low=10, high=1_000, log=True).neighbours(100) == [63, 159]
    assert Parameter(choices=("a", "b", "c")).neighbours("b") == ["a", "c"]


def test_a_value_that_is_none_of_the_parameters_is_named() -> None:
    with pytest.raises(InvalidInput, match="d is not among the choices a, b"):
        Parameter(choices=("a", "b")).drawn("d")
    with pytest.raises(InvalidInput, match="11 is not from 1 to 10"):
        Parameter(low=1, high=10).drawn(11)


def test_a_grid_is_every_combination_the_last_fastest() -> None:
    space = {"a": Parameter(low=0, high=5, step=2), "b": Parameter(choices=(True, False))}
    found = list(grid(space))
    assert [(row["a"], row["b"]) for row in found[:3]] == [(0, True), (0, False), (2, True)]
    assert len(found) == 6
    with pytest.raises(InvalidInput, match=r"space\.a: a grid needs choices, or a step"):
        next(grid({"a": Parameter(low=1, high=2)}))
