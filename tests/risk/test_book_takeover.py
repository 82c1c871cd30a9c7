"""Our trading account is liquidated while users' orders are under way (§4): nothing is lost, nothing breaks."""

import pytest

from risk.events import OrderFilled
from risk.house_events import VenueAccountAudited, VenueOrderRequested
from risk.inputs import HlAccount, VenueAccountLiquidated
from tests.risk.book_builder import D, Desk, one


@pytest.fixture
def desk():
    made = Desk()
    made.deposit("ann", 100_000)
    return made


def lose_the_account(desk):
    return desk.handle(VenueAccountLiquidated(desk.ts, HlAccount.TRADING))


def test_a_close_in_flight_fills_after_its_position_was_settled_at_mark(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    close = one(desk.order("ann", "ETH", -1, None, position_id=position), VenueOrderRequested)
    events = lose_the_account(desk)
    assert one(events, VenueAccountAudited).user == "ann"
    assert one(events, OrderFilled).price == desk.marks["ETH"]
    assert desk.book.positions == {}
    cash = desk.cash("ann")
    reserve = desk.balance("risk_reserve")
    desk.fill(close, 3_990, fee=2)
    assert desk.cash("ann") == cash  # the user was settled; what this cost more is ours
    assert desk.balance("risk_reserve") == reserve - 10 * 10 - 2


def test_an_open_in_flight_still_becomes_a_position_and_its_hold_is_used(desk):
    sent = one(desk.order("ann", "ETH", 1, 10, leverage=10), VenueOrderRequested)
    lose_the_account(desk)
    desk.fill(sent, 4_000)
    (position,) = desk.book.positions.values()
    assert (position.size, desk.balance("order_holds:ann")) == (D(10), 0)
