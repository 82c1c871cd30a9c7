"""Values that no table holds, wherever in an input they stand."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from live.books.writable import check_values
from live.ledger.inputs import WithdrawalConfirmed
from risk.errors import InvalidInput
from risk.inputs import ConfigChanged, MarginMode, OrderSubmitted, OrderType
from risk.settings import RiskConfig

ORDER = OrderSubmitted(
    1,
    "o1",
    "ann",
    "BTC",
    1,
    Decimal("0.5"),
    OrderType.LIMIT,
    Decimal(9),
    None,
    5,
    MarginMode.CROSS,
    True,
    position_id=7,
)
UNWRITABLE = ("x" * 501, "a\0b", "a\ud800", 2**63, -(2**63), Decimal("NaN"), Decimal("Infinity"))


class Named(str):
    """Be text of another class."""


def test_what_can_be_written_passes() -> None:
    check_values(ORDER)
    check_values(replace(ORDER, user="ü" * 500, size=None, position_id=2**63 - 1))
    check_values(ConfigChanged(1, "op", risk=RiskConfig()))
    check_values(WithdrawalConfirmed(1, "w1", "LOW", ("RISK_MANAGER",), ("new address",)))


@pytest.mark.parametrize("value", [*UNWRITABLE[:3], Named("a\0b"), *UNWRITABLE[5:]])
def test_no_field_of_an_order_takes_what_no_table_holds(value: Any) -> None:
    for each in fields(ORDER):
        with pytest.raises(InvalidInput, match=f"^{each.name} "):
            check_values(replace(ORDER, **{each.name: value}))


@pytest.mark.parametrize("value", [2**63, -(2**63)])
def test_no_number_is_larger_than_its_column(value: Any) -> None:
    for name in ("ts", "side", "leverage", "position_id"):
        with pytest.raises(InvalidInput, match=f"^{name} was {value}; it must lie within"):
            check_values(replace(ORDER, **{name: value}))


@pytest.mark.parametrize("value", UNWRITABLE)
def test_what_an_input_holds_is_looked_at_too(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^review_reasons "):
        check_values(WithdrawalConfirmed(1, "w1", "LOW", (), ("new address", value)))
    risk = RiskConfig()
    for each in fields(risk):
        with pytest.raises(InvalidInput, match=f"^{each.name} "):
            check_values(ConfigChanged(1, "op", risk=replace(risk, **{each.name: value})))
