"""What the book promises about its inputs: bad ones change nothing, equal ones give equal books anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from risk.book import Book
from risk.errors import InvalidInput
from risk.events import OrderRefused
from risk.inputs import OrderSubmitted, WithdrawalEnded, WithdrawalSubmitted
from tests.risk.bad_inputs import bad_inputs
from tests.risk.book_builder import CROSS, D, Desk, of, one

ROOT = Path(__file__).parents[2]


def lively_desk():
    """Make a desk with something of everything."""
    desk = Desk(hedging=True)
    for user in ("ann", "bob"):
        desk.deposit(user, 1_000_000)
    for size in ("0.1", "0.1", "0.09"):
        desk.order("ann", "BTC", 1, size, leverage=10)
    desk.order("bob", "COIN", -1, 50, leverage=5, margin_mode=CROSS)
    desk.order("bob", "ETH", 1, 1, leverage=5, limit=3_900)
    desk.order("ann", "BTC", -1, None, position_id=1, stop_loss=95_000)
    desk.open_on_hl("bob", "ETH", -1, 20, leverage=5, margin_mode=CROSS)
    desk.funding("ETH", "0.0001")
    desk.mark("ETH", 3_890)
    desk.timer(6)
    return desk


@pytest.mark.parametrize("number", range(len(bad_inputs(Desk()))))
def test_a_bad_input_is_named_and_changes_nothing(number):
    desk = lively_desk()
    bad, message = bad_inputs(desk)[number]
    before = desk.book.digest(), desk.book.balances, desk.book.next_timer_ns()
    with pytest.raises(InvalidInput) as caught:
        desk.book.handle(bad)
    assert str(caught.value).startswith(message)
    assert (desk.book.digest(), desk.book.balances, desk.book.next_timer_ns()) == before
    assert desk.book.digest() == desk.replay().digest()


def test_an_order_id_is_used_once():
    desk = lively_desk()
    again = next(given for given in desk.inputs if isinstance(given, OrderSubmitted))
    with pytest.raises(InvalidInput, match="order_id was 'o1'"):
        desk.book.handle(OrderSubmitted(desk.ts, again.order_id, "ann", "BTC", 1, D(1)))


def test_a_withdrawal_id_is_used_once_even_after_it_ended():
    desk = lively_desk()
    desk.handle(WithdrawalSubmitted(desk.ts, "w", "ann", D(1)))
    desk.handle(WithdrawalEnded(desk.ts, "w", True))
    with pytest.raises(InvalidInput, match="withdrawal_id was 'w'"):
        desk.handle(WithdrawalSubmitted(desk.ts, "w", "ann", D(1)))


def test_an_order_before_the_first_price_is_named():
    desk = Desk(marks={"BTC": D(100_000)})
    with pytest.raises(InvalidInput, match="ETH has no price yet"):
        desk.handle(OrderSubmitted(desk.ts, "early", "ann", "ETH", 1, D(1)))


def test_a_removal_of_margin_is_refused_while_there_is_no_safe_price_and_so_is_a_cross_withdrawal():
    desk = lively_desk()
    desk.channel(False)
    desk.wait(60)
    assert one(desk.adjust("ann", 2, -1), OrderRefused).code == "HL_UNREACHABLE"
    for user, code in (("bob", ["HL_UNREACHABLE"]), ("ann", [])):
        asked = desk.handle(WithdrawalSubmitted(desk.ts, user, user, D(1)))
        assert [e.code for e in of(asked, OrderRefused)] == code


def test_the_digest_tells_different_books_apart():
    digests = {
        lively_desk().book.digest(),
        Desk().book.digest(),
        Book({}, Desk().settings, opened_ns=1).digest(),
    }
    assert len(digests) == 3
    moved = lively_desk()
    moved.mark("BTC", 100_001)
    assert moved.book.digest() not in digests


def test_the_digest_is_the_same_in_another_process_with_another_hash_seed():
    code = "from tests.risk.test_book_inputs import lively_desk; print(lively_desk().book.digest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {lively_desk().book.digest()}
