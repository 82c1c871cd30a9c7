"""Rulebook §3 through the book: Σ virtual positions against what Hyperliquid says stands on our accounts."""

import pytest

from risk.errors import InvalidInput
from risk.events import OrderRefused
from risk.house_events import AlertLevel, AlertRaised, GuardChanged, VenueOrderRequested
from risk.inputs import HlAccount, VenuePositionsReported
from tests.risk.book_builder import D, Desk, of, one

TRADING = HlAccount.TRADING


@pytest.fixture
def desk():
    made = Desk()
    made.deposit("ann", 100_000)
    made.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    return made


def report(desk, *positions, account=TRADING):
    sizes = tuple((symbol, D(str(size))) for symbol, size in positions)
    return desk.handle(VenuePositionsReported(desk.ts, account, sizes))


def test_agreement_says_nothing(desk):
    assert report(desk, ("ETH", 10)) == ()
    assert report(desk, ("ETH", "10.001")) == ()  # exactly 0.01 %


def test_over_a_hundredth_of_a_percent_alerts_once_and_opens_go_on(desk):
    assert one(report(desk, ("ETH", "10.002")), AlertRaised).level is AlertLevel.ALERT
    assert report(desk, ("ETH", "10.002")) == ()
    assert of(desk.order("ann", "ETH", 1, 10, leverage=10), VenueOrderRequested)


def test_over_a_tenth_of_a_percent_is_p0_and_stops_new_hl_opens_until_it_agrees(desk):
    assert one(report(desk, ("ETH", "10.02")), AlertRaised).level is AlertLevel.P0
    assert one(desk.order("ann", "BTC", 1, "0.5", leverage=10), OrderRefused).code == "HL_POSITIONS_DIFFER"
    assert one(report(desk, ("ETH", 10)), GuardChanged).state == "CLOSED"
    assert of(desk.order("ann", "BTC", 1, "0.5", leverage=10), VenueOrderRequested)


def test_a_position_the_books_do_not_know_is_measured_in_lots(desk):
    found = one(report(desk, ("ETH", 10), ("BTC", "0.00001")), AlertRaised)
    assert (found.symbol, found.value) == ("BTC", 1)


def test_a_symbol_with_an_order_in_flight_waits_for_the_next_report(desk):
    sent = one(desk.order("ann", "ETH", 1, 10, leverage=10), VenueOrderRequested)
    assert report(desk, ("ETH", 20)) == ()
    desk.fill(sent)
    assert report(desk, ("ETH", 20)) == ()


def test_the_hedge_account_differing_does_not_stop_users(desk):
    assert one(report(desk, ("ETH", 1), account=HlAccount.HEDGE), AlertRaised).level is AlertLevel.P0
    assert of(desk.order("ann", "ETH", 1, 10, leverage=10), VenueOrderRequested)


@pytest.mark.parametrize("positions", [(("DOGE", 1),), (("ETH", "NaN"),), (("ETH", 1), ("ETH", 2))])
def test_a_report_that_cannot_be_right_changes_nothing(desk, positions):
    before = desk.book.digest()
    with pytest.raises(InvalidInput):
        report(desk, *positions)
    assert desk.book.digest() == before
