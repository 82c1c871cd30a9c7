"""Inputs that can never be right, each with the beginning of the message that must name its value."""

from dataclasses import replace

from risk.inputs import (
    CancelSubmitted,
    ConfigChanged,
    DepositCredited,
    FundingBooked,
    FundingCorrected,
    FundingPublished,
    HlAccount,
    Input,
    MarginAdjusted,
    MarketUpdated,
    OrderSubmitted,
    OrderType,
    RoutingModeSet,
    VenueFilled,
    VenueOrderEnded,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from risk.settings import DAY_NS, RoutingConfig
from tests.risk.book_builder import D, Desk, view_of

NAN = D("NaN")


def bad_inputs(desk: Desk) -> list[tuple[Input, str]]:
    """Make one of each; those of the market begin with a view that is fine, so that half a change would show."""
    ts, now = desk.ts, desk.book._core.now
    mark = desk.marks["ETH"]
    fine = view_of("ETH", ts, mark + 1, mark, desk.seqs["ETH"] + 1, mark, mark + 1)
    btc = replace(fine, symbol="BTC")

    def market(view, at=ts):
        return MarketUpdated(at, (fine, view))

    def order(**fields):
        plain = {"order_id": "bad", "user": "new", "symbol": "BTC", "side": 1, "size": D(1)}
        return OrderSubmitted(ts, **{**plain, **fields})

    level = ((mark, D(1)),)
    return [
        (market(replace(btc, bids=())), "bids of BTC were empty"),
        (market(replace(btc, symbol="DOGE")), "symbol was 'DOGE'"),
        (market(replace(btc, mark=NAN)), "mark of BTC was"),
        (market(replace(btc, prev_mark=D(0))), "prev_mark of BTC was 0"),
        (market(replace(btc, mark=mark + D("1e-13"))), "mark of BTC was"),
        (market(replace(btc, mark=D("1e15"))), "mark of BTC was"),
        (market(replace(btc, asks=((mark + D("1e-13"), D(1)),))), "a price in asks of BTC was"),
        (market(replace(btc, asks=(*level, (mark + D("1e-13"), D(1))))), "a price in asks of BTC was"),
        (market(replace(btc, oracle=D(-1)), ts + DAY_NS), "oracle of BTC was -1"),
        (market(replace(btc, low_60m=mark * 2)), "low_60m of BTC was"),
        (market(replace(btc, bids=((mark * 2, D(1)),), asks=level)), "bid of BTC was"),
        (market(replace(btc, asks=((mark, D(0)),))), "a size in asks of BTC was 0"),
        (market(replace(btc, seen_ns=ts + 1)), "seen_ns of BTC was"),
        (order(size=NAN), "size was"),
        (order(size=D(0)), "size was 0"),
        (order(size=D("0.000001")), "size was 0.000001"),
        (order(size=1.5), "size was 1.5"),
        (order(size=None), "size was None"),
        (order(side=0), "side was 0"),
        (order(user=""), "user was empty"),
        (order(symbol="DOGE"), "symbol was 'DOGE'"),
        (order(leverage=41), "leverage was 41"),
        (order(leverage=True), "leverage was True"),
        (order(limit_price=D(1)), "limit_price was 1"),
        (order(type=OrderType.LIMIT), "limit_price was None"),
        (order(type=OrderType.LIMIT, limit_price=NAN), "limit_price was"),
        (order(type=OrderType.LIMIT, limit_price=D("1e-13")), "limit_price was 1E-13"),
        (order(type=OrderType.STOP_LOSS), "trigger_price was None"),
        (DepositCredited(ts, "new", D(0), "r"), "amount was 0"),
        (DepositCredited(ts, "new", D("0.0000001"), "r"), "amount was 1E-7"),
        (DepositCredited(ts, "new", D("1e30"), "r"), "amount was"),
        (WithdrawalSubmitted(ts, "bad", "new", D(1), D(-1)), "fee was -1"),
        (WithdrawalEnded(ts, "never", True), "withdrawal_id was 'never'"),
        (MarginAdjusted(ts, "new", 1, D(0)), "amount was 0"),
        (MarginAdjusted(ts, "new", 1, NAN), "amount was"),
        (FundingPublished(ts, "BTC", NAN, D(1)), "rate was"),
        (FundingPublished(ts, "BTC", D(0), D(0)), "oracle was 0"),
        (FundingPublished(ts, "BTC", D("1e6"), D("1e6")), "rate was"),
        (FundingBooked(ts, HlAccount.HEDGE, "BTC", D("Infinity")), "amount was"),
        (FundingCorrected(ts, "BTC", NAN, D(1)), "delta_rate was"),
        (VenueFilled(ts, "nobody", D(1), D(1), D(0)), "cloid was 'nobody'"),
        (VenueOrderEnded(ts, "nobody"), "cloid was 'nobody'"),
        (RoutingModeSet(ts, "DOGE", None, "op"), "symbol was 'DOGE'"),
        (ConfigChanged(ts, "op"), "routing and risk were None"),
        (ConfigChanged(ts, "op", None, RoutingConfig()), "symbol was None"),
        (CancelSubmitted(now - 1, "o1", "ann"), "ts was"),
    ]
