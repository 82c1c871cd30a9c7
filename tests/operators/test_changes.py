"""A setting of a wrong shape is told in our own words: every setting, every wrong kind of value."""

from dataclasses import fields
from typing import Any

import pytest

from live.operators.changes import changed
from risk.errors import InvalidInput
from risk.settings import RiskConfig, RoutingConfig
from tests.risk.book_builder import D

ROUTING = RoutingConfig()
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    "",
    "x",
    "1e5",
    "sNaN",
    "ä",
    "\ud800",
    ["\ud800"],
    [],
    [1],
    ["x"],
    [None],
    [[1]],
]
VALUES += [{}, {"a": 1}, [{}], [{"lower": []}], [{"upto": "1", "leverage": "x"}]]


def refusal(row: Any, name: str, value: Any) -> str | None:
    try:
        changed(row, {name: value})
    except InvalidInput as error:
        return str(error)
    return None


@pytest.mark.parametrize("row", [RiskConfig(), ROUTING], ids=["risk", "routing"])
def test_whatever_is_wrong_is_told_in_our_words(row: Any) -> None:
    told = set()
    for each in fields(row):
        for value in VALUES:
            words = refusal(row, each.name, value)
            if words is not None:
                assert words.startswith(each.name)
                assert " must be " in words
                assert not [raw for raw in ("Expected", "Invalid", "Object", "got", "`", "$") if raw in words]
                told.add(words.partition(" ")[2])
    assert "was null; it must be a decimal as text" in told
    assert "was text; it must be true or false" in told


@pytest.mark.parametrize(
    ("row", "name", "value", "words"),
    [
        (RiskConfig(), "reserve_floor", [], "reserve_floor was a list; it must be a decimal as text"),
        (RiskConfig(), "reserve_floor", "1 000", "reserve_floor must be a decimal as text"),
        (RiskConfig(), "hedge_retry_max", "8", "hedge_retry_max was text; it must be a whole number"),
        (RiskConfig(), "hedge_tiers", [{}], r"hedge_tiers\[0\].lower must be given"),
        (ROUTING, "routing_mode", "FAST", "routing_mode must be one of HL_MODE, NORMAL_MODE, BETTING_MODE"),
    ],
)
def test_what_would_be_right_is_told(row: Any, name: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{words}$"):
        changed(row, {name: value})
    assert changed(ROUTING, {"normal_threshold": "7.50"}).normal_threshold == D("7.50")


@pytest.mark.parametrize(
    "text", ["sNaN", "NaN", "-Infinity", "1e3", "1E-400", "5_0", " 5", "+5", "5.", ".5", "٥"]
)
def test_a_decimal_is_digits_with_at_most_one_point(text: str) -> None:
    for row, name, value in (
        (RiskConfig(), "reserve_floor", text),
        (RiskConfig(), "hedge_tiers", [{"lower": text, "ratio": "0.5"}]),
        (ROUTING, "normal_threshold", text),
    ):
        with pytest.raises(InvalidInput, match=f"^{name} must be a decimal as text, in digits"):
            changed(row, {name: value})
    assert changed(ROUTING, {"normal_threshold": "-007.50"}).normal_threshold == D("-7.5")
