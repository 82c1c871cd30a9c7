"""The hedger's timing, limits and retries, on one simulated hedge account."""

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import InvariantBroken
from risk.hedger import HedgeAlarm, Hedger
from risk.hedging import HedgeLine
from risk.settings import MINUTE_NS, SECOND_NS, RiskConfig

D = Decimal
RISK = RiskConfig()
MS = 1_000_000
RICH = D(2_000_000)


class Account:
    """Hold users' nets, marks and hedges, and let the venue fill what the hedger sends."""

    def __init__(self, marks, lot="0.001"):
        self.hedger = Hedger(RISK)
        self.marks = {symbol: D(mark) for symbol, mark in marks.items()}
        self.net = defaultdict(Decimal)
        self.hedge = defaultdict(Decimal)
        self.lot = D(lot)
        self.hedgeable = True
        self.max_leverage = 20
        self.sent = []

    def lines(self):
        return {
            symbol: HedgeLine(
                self.net[symbol],
                mark,
                self.hedge[symbol],
                self.lot,
                D(10),
                self.max_leverage,
                self.hedgeable,
            )
            for symbol, mark in self.marks.items()
            if self.net[symbol] or self.hedge[symbol]
        }

    def trade(self, symbol, size, ts):
        self.net[symbol] += D(size)
        exposure = abs(self.net[symbol] * self.marks[symbol])
        self.hedger.size_changed(symbol, ts, exposure, self.hedge[symbol])

    def decide(self, ts, equity=RICH, **options):
        return self.hedger.decide(ts, self.lines(), equity, **options)

    def execute(self, decision, ts, share=1):
        """Send the decision's order and fill ``share`` of it; return the alarm."""
        cloid = f"h{len(self.sent)}"
        self.hedger.order_sent(decision, ts, cloid)
        self.sent.append((ts, decision))
        filled = abs(decision.order_size) * share // self.lot * self.lot
        self.hedge[decision.symbol] += filled.copy_sign(decision.order_size)
        return self.hedger.order_ended(decision.symbol, ts, filled)

    def settle(self, ts):
        """Call ``decide`` whenever the hedger asks for it and fill all; return when it came to rest."""
        for _ in range(200):
            for decision in self.decide(ts):
                if decision.order_size:
                    self.execute(decision, ts)
            due = self.hedger.next_due_ns()
            if due is None:
                return ts
            ts = max(ts, due)
        raise AssertionError("the hedger never came to rest")


def test_worked_example_users_net_long_103_000():
    account = Account({"BTC": 100_000})
    account.trade("BTC", "1.03", 0)
    (decision,) = account.decide(5 * SECOND_NS)
    assert decision.order_size * decision.mark == 51_500
    assert (decision.net_exposure, decision.ratio, decision.leverage) == (103_000, D("0.5"), 2)
    assert decision.limit_price == 101_000
    assert not decision.uncovered


def test_worked_example_net_falls_to_650_000_with_640_000_hedged():
    account = Account({"BTC": 100_000})
    account.trade("BTC", "8", 0)
    account.settle(0)
    assert account.hedge["BTC"] * 100_000 == 640_000
    account.trade("BTC", "-1.5", MINUTE_NS)
    (decision,) = account.decide(MINUTE_NS + 5 * SECOND_NS)
    assert decision.target_size * decision.mark == 520_000
    assert decision.order_size * decision.mark == -120_000
    assert decision.limit_price == 99_000


def test_users_net_short_are_hedged_short_with_the_size_rounded_toward_zero():
    account = Account({"BTC": 100_000}, lot="0.1")
    account.trade("BTC", "-1.5", 0)
    (decision,) = account.decide(5 * SECOND_NS)
    assert (decision.target_size, decision.order_size) == (D("-0.7"), D("-0.7"))
    assert decision.limit_price == 99_000


def test_it_waits_five_seconds_after_the_last_change_and_fifteen_after_the_first_at_most():
    account = Account({"BTC": 100_000})
    for second in (0, 4, 8, 12):
        account.trade("BTC", "0.5", second * SECOND_NS)
        assert account.decide(second * SECOND_NS) == ()
        assert account.hedger.next_due_ns() == min(second + 5, 15) * SECOND_NS
    assert account.decide(15 * SECOND_NS - 1) == ()
    (decision,) = account.decide(15 * SECOND_NS)
    assert decision.order_size == 1


def test_nothing_is_decided_while_an_order_is_in_flight_and_changes_meanwhile_count_anew():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 2, 0)
    (decision,) = account.decide(5 * SECOND_NS)
    account.hedger.order_sent(decision, 5 * SECOND_NS, "a")
    account.trade("BTC", 2, 6 * SECOND_NS)
    assert account.decide(20 * SECOND_NS) == ()
    assert account.hedger.next_due_ns() is None
    account.hedge["BTC"] = D(1)
    assert account.hedger.order_ended("BTC", 21 * SECOND_NS, D(1)) is None
    assert account.hedger.next_due_ns() == 21 * SECOND_NS
    (decision,) = account.decide(21 * SECOND_NS)
    assert decision.order_size == 1


def test_drift_of_the_mark_acts_at_once_when_it_changes_the_row_and_not_within_it():
    account = Account({"BTC": 100_000})
    account.trade("BTC", "4.9", 0)
    account.settle(0)
    assert account.hedge["BTC"] == D("2.45")
    account.marks["BTC"] = D(101_000)
    assert account.decide(MINUTE_NS) == ()
    account.marks["BTC"] = D(103_000)  # 504 700 USDC: the next row
    (decision,) = account.decide(MINUTE_NS + 1)
    assert decision.target_size == D("3.92")


@pytest.mark.parametrize(("hedged", "acts"), [("0.95", False), ("0.949", True)])
def test_a_gap_up_to_five_percent_of_the_target_is_left_without_a_size_change(hedged, acts):
    account = Account({"BTC": 100_000})
    account.net["BTC"], account.hedge["BTC"] = D(2), D(hedged)
    assert bool(account.decide(0)) is acts


def test_gaps_under_ten_usdc_are_left_and_no_longer_due():
    account = Account({"DOGE": "0.1"}, lot="1")
    account.net["DOGE"], account.hedge["DOGE"] = D(2_000_000), D(1_000_000)
    account.trade("DOGE", 198, 0)
    assert account.decide(5 * SECOND_NS) == ()
    assert account.hedger.next_due_ns() is None
    account.trade("DOGE", 2, 6 * SECOND_NS)
    (decision,) = account.decide(11 * SECOND_NS)
    assert decision.order_size * decision.mark == 10


def test_reducing_waits_for_the_rolling_minute():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 8, 0)
    account.settle(0)
    account.trade("BTC", -8, MINUTE_NS)
    rest = account.settle(MINUTE_NS)
    reductions = [(ts, d.order_size) for ts, d in account.sent if d.order_size < 0]
    first = MINUTE_NS + 5 * SECOND_NS
    assert reductions == [(first + n * MINUTE_NS, size) for n, size in enumerate([-2, -2, -2, D("-0.4")])]
    assert (account.hedge["BTC"], rest) == (0, first + 3 * MINUTE_NS)


def test_a_hedge_that_flips_is_limited_in_its_reducing_part_only():
    account = Account({"BTC": 100_000})
    account.hedge["BTC"] = D("1.5")
    account.trade("BTC", -8, 0)
    (decision,) = account.decide(5 * SECOND_NS)
    assert (decision.target_size, decision.order_size) == (D("-6.4"), D("-7.9"))
    account.hedge["BTC"] = D("2.5")
    (decision,) = account.decide(5 * SECOND_NS)
    assert decision.order_size == -2


def test_the_limit_per_minute_counts_over_all_symbols_and_returns_what_did_not_fill():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.hedge["BTC"], account.hedge["ETH"] = D("1.5"), D(25)
    one, other = account.decide(0)
    assert (one.order_size, other.order_size) == (D("-1.5"), D("-12.5"))
    account.execute(one, 0, share=0)
    (again,) = account.decide(1)
    assert (again.symbol, again.order_size) == ("ETH", D(-25))


def test_a_symbol_crowded_out_by_another_in_the_same_call_is_woken_when_the_minute_is_over():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.hedge["BTC"], account.hedge["ETH"] = D(2), D(25)
    (only,) = account.decide(0)
    account.execute(only, 0)
    assert account.hedger.next_due_ns() == MINUTE_NS
    (rest,) = account.decide(MINUTE_NS)
    assert rest.symbol == "ETH"


def test_the_minute_rolls_and_the_hedger_wakes_with_its_end():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.hedge["BTC"] = D(2)
    (decision,) = account.decide(0)
    account.execute(decision, 0)
    account.hedge["ETH"] = D(25)
    account.trade("ETH", -1, 10 * SECOND_NS)
    assert account.decide(15 * SECOND_NS) == ()
    assert account.hedger.next_due_ns() == MINUTE_NS
    assert account.decide(MINUTE_NS - 1) == ()
    (decision,) = account.decide(MINUTE_NS)
    assert decision.order_size == -25


def test_the_limited_rest_of_a_drift_stays_due_though_it_is_under_five_percent():
    account = Account({"BTC": 100_000})
    account.net["BTC"], account.hedge["BTC"] = D(2), D("3.04")
    (decision,) = account.decide(0)
    account.execute(decision, 0)
    assert account.settle(0) == MINUTE_NS
    assert account.hedge["BTC"] == 1


def test_a_fill_in_part_starts_the_count_of_failures_again():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 2, 0)
    ts = 5 * SECOND_NS
    for share in (0, 0, 0, 0, D("0.1"), 0):
        (decision,) = account.decide(ts)
        assert account.execute(decision, ts, share) is None
        before, ts = ts, account.hedger.next_due_ns()
    assert ts - before == 100 * MS


def test_refusals_are_retried_with_doubling_delays_until_the_symbol_is_given_up():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 2, 0)
    ts, alarms, delays = 5 * SECOND_NS, [], []
    for _ in range(11):
        (decision,) = account.decide(ts)
        alarms.append(account.execute(decision, ts, share=0))
        due = account.hedger.next_due_ns()
        if due is not None:
            assert account.decide(due - 1) == ()
            delays.append((due - ts) // MS)
            ts = due
    assert delays == [100 * 2**n for n in range(10)]
    assert alarms == [None] * 4 + [HedgeAlarm.RETRYING] + [None] * 5 + [HedgeAlarm.GAVE_UP]
    assert account.decide(ts + MINUTE_NS) == ()
    account.trade("BTC", 1, ts + MINUTE_NS)
    (decision,) = account.decide(ts + MINUTE_NS + 5 * SECOND_NS)
    assert decision.order_size == D("1.5")


def test_what_stays_open_beyond_the_cap_is_sent_again_with_the_new_mark():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 2, 0)
    (decision,) = account.decide(5 * SECOND_NS)
    assert account.execute(decision, 5 * SECOND_NS, share=D("0.4")) is None
    account.marks["BTC"] = D(102_000)
    (rest,) = account.decide(5 * SECOND_NS + 100 * MS)
    assert (rest.order_size, rest.limit_price) == (D("0.6"), 103_020)


def test_an_unhedgeable_symbol_stays_due_without_a_timer():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 2, 0)
    account.hedgeable = False
    assert account.decide(5 * SECOND_NS) == ()
    assert account.hedger.next_due_ns() is None
    account.hedgeable = True
    assert len(account.decide(6 * SECOND_NS)) == 1


def test_without_leave_to_increase_only_the_reducing_part_goes_out():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.hedge["BTC"] = D(1)
    account.trade("BTC", -3, 0)
    account.trade("ETH", 100, 0)
    (decision,) = account.decide(5 * SECOND_NS, may_increase=False)
    assert (decision.symbol, decision.order_size) == ("BTC", -1)
    assert account.hedger.next_due_ns() is not None  # BTC's order is not sent yet
    assert len(account.decide(6 * SECOND_NS)) == 2


def test_a_shortage_of_capital_is_told_once_and_covers_what_it_can():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.trade("BTC", 8, 0)
    account.trade("ETH", 100, 0)
    first = account.decide(5 * SECOND_NS, equity=D(100_000))
    assert [(d.symbol, d.order_size, d.leverage, d.uncovered) for d in first] == [
        ("BTC", 5, 5, True),
        ("ETH", 0, 5, True),
    ]
    account.execute(first[0], 5 * SECOND_NS)
    assert account.decide(6 * SECOND_NS, equity=D(100_000)) == ()
    topped_up = account.decide(7 * SECOND_NS)
    assert [(d.symbol, d.order_size, d.uncovered) for d in topped_up] == [
        ("BTC", D("1.4"), False),
        ("ETH", 50, False),
    ]


def test_deleveraging_closes_a_share_at_once_and_is_not_undone_by_the_next_decision():
    account = Account({"BTC": 100_000, "ETH": 4_000})
    account.trade("BTC", 8, 0)
    account.trade("ETH", -100, 0)
    account.settle(0)
    decisions = account.hedger.deleverage(MINUTE_NS, account.lines(), D("0.3333333"))
    assert [(d.symbol, d.order_size) for d in decisions] == [("BTC", D("-2.134")), ("ETH", D("16.667"))]
    for decision in decisions:
        account.execute(decision, MINUTE_NS)
    assert account.decide(2 * MINUTE_NS) == ()
    account.trade("BTC", -1, 2 * MINUTE_NS)
    (decision,) = account.decide(2 * MINUTE_NS + 5 * SECOND_NS)
    assert decision.symbol == "BTC"


def test_a_deleveraging_order_that_failed_is_not_repeated_before_its_delay():
    account = Account({"BTC": 100_000})
    account.net["BTC"], account.hedge["BTC"] = D(8), D("6.4")
    (decision,) = account.hedger.deleverage(0, account.lines(), D("0.5"))
    account.execute(decision, 0, share=0)
    assert account.hedger.deleverage(100 * MS - 1, account.lines(), D("0.5")) == ()
    assert account.hedger.next_due_ns() == 100 * MS
    assert account.decide(100 * MS) == ()
    assert account.hedger.next_due_ns() is None
    assert len(account.hedger.deleverage(100 * MS, account.lines(), D("0.5"))) == 1


def test_switched_off_it_does_nothing():
    account = Account({"BTC": 100_000})
    account.hedger.risk = replace(RISK, hedging_enabled=False)
    account.trade("BTC", 8, 0)
    assert account.decide(MINUTE_NS) == ()
    assert account.hedger.next_due_ns() is None


def test_orders_out_of_step_break_an_invariant():
    account = Account({"BTC": 100_000})
    account.trade("BTC", 8, 0)
    (decision,) = account.decide(5 * SECOND_NS)
    with pytest.raises(InvariantBroken, match="none was in flight"):
        account.hedger.order_ended("BTC", 5 * SECOND_NS, D(0))
    account.hedger.order_sent(decision, 5 * SECOND_NS, "a")
    with pytest.raises(InvariantBroken, match="while a is in flight"):
        account.hedger.order_sent(decision, 5 * SECOND_NS, "b")


SYMBOLS = {"BTC": 100_000, "ETH": 4_000, "SOL": 150}
steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(SYMBOLS)),
        st.integers(-600_000, 600_000),  # USDC the users trade
        st.integers(0, 40 * SECOND_NS),  # time until then
        st.integers(-60, 60),  # per mille the mark moves
        st.sampled_from([0, D("0.3"), 1, 1, 1]),  # share the venue fills
    ),
    min_size=1,
    max_size=12,
)


def run(path, equity=RICH):
    """Play trades and moves, obeying every timer between them; check each decision; return the account."""
    account, ts, trail = Account(SYMBOLS), 0, []
    for symbol, notional, wait_ns, per_mille, share in path:
        end = ts + wait_ns
        while (due := account.hedger.next_due_ns()) is not None and due <= end:
            ts = max(ts, due)
            obey(account, ts, share, equity)
            trail.append(account.hedger.state())
        ts = end
        account.marks[symbol] = account.marks[symbol] * (1000 + per_mille) / 1000
        size = D(notional) / account.marks[symbol]
        account.trade(symbol, size // account.lot * account.lot, ts)
        obey(account, ts, share, equity)
        trail.append(account.hedger.state())
    return account, ts, trail


def obey(account, ts, share, equity):
    total = D(0)
    for decision in account.decide(ts, equity):
        if not decision.order_size:
            continue
        line = account.lines()[decision.symbol]
        after = decision.current_size + decision.order_size
        total += abs(decision.target_size) * decision.mark
        assert decision.target_size * line.net_size >= 0
        assert abs(decision.target_size) <= decision.ratio * abs(line.net_size)
        assert abs(after - decision.target_size) < abs(decision.current_size - decision.target_size)
        assert min(decision.current_size, decision.target_size) <= after
        assert after <= max(decision.current_size, decision.target_size)
        assert abs(decision.order_size) * decision.mark >= 10
        account.execute(decision, ts, share)
    assert total <= equity * 5


def reduced_within(account, start_ns):
    """Add up by the rule's words what the orders sent in [start, start + 1 min) reduced, filled or not."""
    total = D(0)
    for ts, d in account.sent:
        if start_ns <= ts < start_ns + MINUTE_NS and d.current_size * d.order_size < 0:
            total += min(abs(d.current_size), abs(d.order_size)) * d.mark
    return total


@given(path=steps)
def test_no_rolling_minute_reduces_more_than_the_limit(path):
    account, _, _ = run([(*step[:4], 1) for step in path])
    for ts, _ in account.sent:
        assert reduced_within(account, ts) <= 200_000


@given(path=steps, equity=st.sampled_from([D(50_000), D(200_000), RICH]))
def test_decisions_never_overshoot_their_target_nor_the_capital(path, equity):
    run(path, equity)


@given(path=steps)
def test_hedges_converge_to_their_targets_when_orders_fill(path):
    account, ts, _ = run([(*step[:4], step[4] or 1) for step in path])  # none is ever given up
    account.settle(ts)
    for symbol, line in account.lines().items():
        ratios = (D(0), D("0.5"), D("0.8"))
        off = [abs(line.hedge_size - ratio * line.net_size) * line.mark for ratio in ratios]
        exposure = abs(line.net_size) * line.mark
        lot = line.lot * line.mark
        reachable = [n for n, left_at in enumerate((0, 90_000, 450_000)) if exposure > left_at or n == 0]
        reachable = [n for n in reachable if exposure < (100_000, 500_000, D("inf"))[n]]
        within = max(10 + lot, D("0.05") * D("0.8") * exposure + lot)
        assert any(off[n] <= within for n in reachable), (symbol, line)


@given(path=steps)
def test_the_same_calls_give_the_same_states(path):
    assert run(path)[2] == run(path)[2]


def test_nobody_is_woken_for_changes_from_which_nothing_can_follow():
    desk = Account({"BTC": "100000"})
    desk.trade("BTC", "0.5", 0)  # 50 000: the table begins at 100 000
    assert desk.hedger.next_due_ns() is None
    desk.trade("BTC", "0.6", 4 * SECOND_NS)
    assert desk.hedger.next_due_ns() == 9 * SECOND_NS


def test_changes_nobody_was_woken_for_still_start_the_longest_wait_until_they_have_settled():
    desk = Account({"BTC": "100000"})
    for second in range(0, 14, 4):
        desk.trade("BTC", "0.2", second * SECOND_NS)
    desk.trade("BTC", "0.4", 14 * SECOND_NS)
    assert desk.hedger.next_due_ns() == 15 * SECOND_NS
    desk = Account({"BTC": "100000"})
    desk.trade("BTC", "0.2", 0)
    desk.trade("BTC", "0.9", 14 * SECOND_NS)  # the first change had settled by then
    assert desk.hedger.next_due_ns() == 19 * SECOND_NS
