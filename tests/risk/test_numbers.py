"""The decimal context of the core, and what may become a number."""

import decimal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from risk.errors import InvalidInput
from risk.numbers import CONTEXT, round_index, round_money, to_decimal


def test_every_thread_computes_in_the_cores_context() -> None:
    # In a fresh process: a test runner may have started its threads before risk was imported.
    code = (
        "import risk, decimal, threading\n"
        "def show():\n"
        "    context = decimal.getcontext()\n"
        "    print(context.prec, context.rounding, decimal.InvalidOperation in "
        "[s for s, on in context.traps.items() if on])\n"
        "show()\n"
        "thread = threading.Thread(target=show)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == [f"{CONTEXT.prec} {decimal.ROUND_HALF_EVEN} True"] * 2


def test_a_pool_started_later_rounds_alike() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: Decimal(1) / 3).result() == Decimal("0." + "3" * CONTEXT.prec)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, "7"), ("0.10", "0.1"), (Decimal("-3"), "-3"), (0.1, "0.1"), (1e-7, "0.0000001"), (0, "0")],
)
def test_to_decimal_reads_exactly_what_is_written(value: object, expected: str) -> None:
    assert to_decimal(value, "size") == Decimal(expected)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("ten", "must be a decimal number"),
        ("", "must be a decimal number"),
        (None, "must be a decimal number"),
        (True, "must be a decimal number"),
        ([1], "must be a decimal number"),
        (float("nan"), "must be finite"),
        ("-Infinity", "must be finite"),
        ("1e25", "must lie between"),
        (Decimal("1e-25"), "must lie between"),
    ],
)
def test_to_decimal_refuses_the_rest_by_name(value: object, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"size was .*{why}"):
        to_decimal(value, "size")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("1.0000005", "1.000000"), ("1.0000015", "1.000002"), ("-1.0000025", "-1.000002"), ("7", "7.000000")],
)
def test_money_rounds_half_even_to_six_places(amount: str, expected: str) -> None:
    assert str(round_money(Decimal(amount))) == expected


@pytest.mark.parametrize(
    ("index", "expected"),
    [("0.0125", "0.0125"), ("1.0000000000000000005", "1.000000000000000000"), ("-3.3", "-3.3")],
)
def test_an_index_keeps_18_decimals_and_no_zeros_that_it_did_not_have(index: str, expected: str) -> None:
    assert str(round_index(Decimal(index))) == expected
