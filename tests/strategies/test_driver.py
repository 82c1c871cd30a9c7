"""The loop around the core: order of inputs, routing of requests, timers and bands."""

from decimal import Decimal

import pytest

from risk.book import Book
from risk.events import OrderFilled
from risk.house_events import VenueOrderRequested
from risk.inputs import DepositCredited, HlAccount, MarketUpdated, OrderSubmitted, OrderType, VenueOrderEnded
from risk.margin import MarginTiers
from risk.market import SymbolSpec
from risk.settings import DAY_NS, SECOND_NS, Settings
from risk.watch import MarketWatch
from strategies.driver import CoreDriver

D = Decimal
START = 20_000 * DAY_NS
SPECS = {"BTC": SymbolSpec("BTC", 5, 1, MarginTiers.of([(0, 40)]))}


class Port:
    """A venue that refuses at once, from within the request."""

    def __init__(self, driver):
        self.driver = driver
        self.sent = []

    def send(self, request):
        self.sent.append(request)
        assert self.driver.command(VenueOrderEnded(request.ts, request.cloid, True, "no")) == ()

    def cancel(self, request):
        raise AssertionError("nothing rests here")


class Shell:
    def __init__(self):
        self.events = []
        self.inputs = []
        self.alarms = []
        self.now = START
        settings = Settings()
        self.book = Book(SPECS, settings, opened_ns=START)
        handle = self.book.handle
        self.quiet = []

        def noting(given, quiet=()):
            self.inputs.append(given)
            self.quiet.append(quiet)
            return handle(given, quiet)

        self.book.handle = noting
        self.driver = CoreDriver(self.book, MarketWatch(SPECS, settings), self.events.extend)
        self.ports = {account: Port(self.driver) for account in HlAccount}
        for account, port in self.ports.items():
            self.driver.attach(account, port)
        self.driver.start(self.alarms.append)
        self.driver.command(DepositCredited(START, "ann", D(100_000), "d1"))

    def tick(self, mark):
        self.now += SECOND_NS
        self.driver.quote("BTC", self.now, mark - 1.0, mark + 1.0, 10.0, 10.0)
        self.driver.mark("BTC", self.now, mark)

    def order(self, order_id, size, **more):
        more = {"leverage": 10} | more
        return self.driver.command(OrderSubmitted(self.now, order_id, "ann", "BTC", 1, D(size), **more))

    def kinds(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def shell():
    made = Shell()
    made.tick(100_000.0)
    return made


def test_a_command_is_decided_on_the_market_of_its_own_time(shell):
    shell.tick(100_010.0)
    shell.order("o1", "0.05")
    assert [view.mark for view in shell.quiet[-1]] == [D(100_010)]
    assert shell.kinds(OrderFilled)[0].price == D(100_011)


def test_quiet_ticks_do_not_reach_the_book(shell):
    shell.order("o1", "0.05")
    before = len(shell.inputs)
    for step in range(50):
        shell.tick(100_000.0 + step)
    assert len(shell.inputs) == before


def test_a_tick_through_a_resting_limit_reaches_the_book_at_once(shell):
    shell.order("o1", "0.05", type=OrderType.LIMIT, limit_price=D(99_900))
    assert not shell.kinds(OrderFilled)
    shell.tick(99_899.0)
    assert isinstance(shell.inputs[-1], MarketUpdated)
    assert [fill.price for fill in shell.kinds(OrderFilled)] == [D(99_900)]


def test_the_tick_that_puts_a_position_under_water_liquidates_it(shell):
    shell.order("o1", "0.05", leverage=40)
    shell.tick(98_700.0)
    shell.tick(98_000.0)
    actions = [fill.action for fill in shell.kinds(OrderFilled)]
    assert actions[-1] == "LIQUIDATION"


def test_an_answer_from_within_a_request_waits_until_the_request_is_done(shell):
    events = shell.order("o1", "0.5")  # over the threshold: for Hyperliquid
    sent = shell.ports[HlAccount.TRADING].sent
    assert [request.order_id for request in sent] == ["o1"]
    assert isinstance(shell.inputs[-1], VenueOrderEnded)
    assert any(isinstance(event, VenueOrderRequested) for event in events)
    assert not shell.book.open_exposure()


def test_the_timer_is_armed_for_what_the_book_wants_next_and_only_when_that_changes(shell):
    assert shell.alarms == [START + DAY_NS]
    shell.order("o1", "0.05", type=OrderType.LIMIT, limit_price=D(90_000))
    assert shell.alarms == [START + DAY_NS]  # it expires only after seven days
    shell.now = START + DAY_NS
    shell.driver.timer(shell.now)
    assert shell.alarms[-1] == START + 2 * DAY_NS


def test_a_tick_meets_the_bands_of_the_book_as_it_is_then(shell):
    told = {}
    shell.driver.watch.set_bands = lambda symbol, bands: told.__setitem__(symbol, bands)
    for number, limit in enumerate((99_000, 99_500, 98_000)):
        shell.order(f"o{number}", "0.01", type=OrderType.LIMIT, limit_price=D(limit))
        shell.tick(100_000.0)
        assert told["BTC"] == shell.book.bands("BTC")
