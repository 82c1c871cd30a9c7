"""How each kind of user trades: when in, which way, and what makes them get out.

Users see the market up to the moment they act. Informed users, and the question whether a resting order
was touched, read the generated future as well: that is the generator's privilege; nothing of it reaches
the simulator but the orders themselves.
"""

from operator import itemgetter

import numpy as np

from data.synthetic.desk import Desk, Ticket
from data.synthetic.profiles import HOUR_NS, MINUTE_NS, SECOND_NS
from data.synthetic.tape import Tape

_MOMENTUM_NS = 10 * MINUTE_NS
_LIMIT_PATIENCE_NS = 30 * MINUTE_NS
_INFORMED_CANDIDATES = 12


def trade(desk: Desk, tape: Tape, ts: int, end_ns: int, rng: np.random.Generator) -> None:
    """Write the orders of one whole trade that the desk's user begins at about ``ts``."""
    kind = desk.user.habits.kind
    if kind == "informed":
        _trade_informed(desk, tape, ts, end_ns, rng)
        return
    side = _side(kind, tape, ts, rng)
    ticket = _ticket(desk, tape, ts, side, rng)
    if ticket is None:
        return
    entered = _enter(desk, ticket, ts, end_ns, rng)
    if entered is None:
        return
    leave = {"retail": _leave_retail, "crowd": _leave_crowd, "whale": _leave_whale, "hedger": _leave_hedger}
    left = leave[kind](desk, ticket, entered, end_ns, rng)
    desk.commit(ticket, entered, left)


def _reaction_ns(rng: np.random.Generator) -> int:
    return int(rng.uniform(0.3, 4.0) * SECOND_NS)


def _side(kind: str, tape: Tape, ts: int, rng: np.random.Generator) -> int:
    if kind in ("crowd", "hedger"):
        return 1
    rising = 1 if tape.move(ts - _MOMENTUM_NS, ts) >= 0 else -1
    chases = rng.random() < (0.75 if kind == "retail" else 0.5)
    return rising if chases else -rising


def _ticket(desk: Desk, tape: Tape, ts: int, side: int, rng: np.random.Generator) -> Ticket | None:
    """Size a trade from the user's free funds; None when they do not reach the venue's minimum order."""
    user = desk.user
    deposited = sum(int(row["amount"]) for row in desk.transfers if row["ts"] <= ts)
    margin = min(rng.uniform(*user.habits.stake) * deposited, desk.free_usd(ts))
    leverage = min(user.leverage, tape.max_leverage(max(0.0, margin) * user.leverage))
    lots = tape.lots(ts, margin * leverage)
    ticket = Ticket(tape, side, lots, leverage)
    enough = 2.0 * float(tape.spec.min_notional)  # half of it can still be closed later
    return ticket if ticket.notional_usd >= enough else None


def _enter(desk: Desk, ticket: Ticket, ts: int, end_ns: int, rng: np.random.Generator) -> int | None:
    """Open at market or at a limit; return when the position exists, None when it never will."""
    if rng.random() >= desk.user.habits.limit_share:
        desk.open(ts, ticket)
        return ts
    tape, distance = ticket.tape, rng.uniform(-3.0, 20.0) / 10_000.0  # a few are marketable at once
    limit = tape.valid_price(tape.best(ts, ticket.side) * (1.0 - ticket.side * distance))
    order_id = desk.open(ts, ticket, limit)
    gives_up = ts + _LIMIT_PATIENCE_NS
    touched = tape.when_touched(ts, min(gives_up, end_ns - 1), ticket.side, limit)
    if touched is None and gives_up < end_ns:
        desk.cancel(gives_up, ticket, order_id)
    return touched


def _leave_retail(
    desk: Desk, ticket: Ticket, entered: int, end_ns: int, rng: np.random.Generator
) -> int | None:
    """Take small profits, by hand or by trigger; hold losers for hours, or until they are liquidated."""
    tape, target = ticket.tape, float(rng.uniform(0.003, 0.012))
    deadline = min(entered + int(rng.uniform(0.5, 6.0) * HOUR_NS), end_ns - 1)
    uses_triggers, uses_stop = rng.random(2) < (0.35, 0.4)
    won = tape.when_moved(entered, deadline, ticket.side, target)
    if uses_triggers:
        stop = target * float(rng.uniform(1.0, 3.0)) if uses_stop else None
        return _leave_by_trigger(desk, ticket, entered, deadline, (target, stop), rng)
    leaves = deadline if won is None else won
    if won is None and rng.random() < 0.6:
        return None
    leaves += _reaction_ns(rng)
    if leaves >= end_ns:
        return None
    if won is None and rng.random() < 0.15:  # gives up and turns round: closes, then opens as much again
        desk.net(leaves, Ticket(tape, -ticket.side, 2 * ticket.lots, ticket.leverage))
        return None
    desk.close(leaves, ticket)
    return leaves


def _leave_by_trigger(
    desk: Desk,
    ticket: Ticket,
    entered: int,
    deadline: int,
    moves: tuple[float, float | None],
    rng: np.random.Generator,
) -> int | None:
    """Leave a take-profit and perhaps a stop behind; cancel what the market has not used by then."""
    tape, (target, stop) = ticket.tape, moves
    placed = entered + _reaction_ns(rng)
    price = float(tape.mark[tape.row(entered)])
    profit_id = desk.trigger(
        placed, ticket, "TAKE_PROFIT", tape.valid_price(price * (1.0 + ticket.side * target))
    )
    won = tape.when_moved(entered, deadline, ticket.side, target)
    ends: list[tuple[int, str | None]] = []  # when a trigger fires, and which other one it leaves unused
    stop_id = None
    if stop is not None:
        stop_price = tape.valid_price(price * (1.0 - ticket.side * stop))
        stop_id = desk.trigger(placed, ticket, "STOP_LOSS", stop_price)
        lost = tape.when_moved(entered, deadline, -ticket.side, stop)
        ends += [] if lost is None else [(lost, profit_id)]
    ends += [] if won is None else [(won, stop_id)]
    if not ends:
        return None  # keeps hoping: the triggers stay until they expire
    fired, unused = min(ends, key=itemgetter(0))
    left = max(fired, placed)
    if unused is not None:
        desk.cancel(left + _reaction_ns(rng), ticket, unused)
    return left


def _leave_crowd(
    desk: Desk, ticket: Ticket, entered: int, end_ns: int, rng: np.random.Generator
) -> int | None:
    """Hold; every third leaves late in the day."""
    leaves = end_ns - int(rng.uniform(0.02, 0.4) * (end_ns - entered))
    if rng.random() >= 0.3 or leaves <= entered:
        return None
    desk.close(leaves, ticket)
    return leaves


def _leave_whale(
    desk: Desk, ticket: Ticket, entered: int, end_ns: int, rng: np.random.Generator
) -> int | None:
    """Close after hours, every third time in two halves."""
    leaves = entered + int(rng.uniform(1.0, 6.0) * HOUR_NS)
    if leaves >= end_ns - HOUR_NS:
        return None
    if rng.random() >= 0.33:
        desk.close(leaves, ticket)
        return leaves
    half = ticket.lots // 2
    desk.close(leaves, Ticket(ticket.tape, ticket.side, half, ticket.leverage))
    leaves += int(rng.uniform(0.1, 0.9) * HOUR_NS)
    desk.close(leaves, Ticket(ticket.tape, ticket.side, ticket.lots - half, ticket.leverage))
    return leaves


def _leave_hedger(
    desk: Desk, ticket: Ticket, entered: int, end_ns: int, rng: np.random.Generator
) -> int | None:
    """Open the opposite side minutes later, hold both, close both."""
    other = Ticket(ticket.tape, -ticket.side, ticket.lots, ticket.leverage)
    hedged = entered + int(rng.uniform(1.0, 10.0) * MINUTE_NS)
    if hedged >= end_ns:
        return None
    desk.open(hedged, other)
    leaves = hedged + int(rng.uniform(2.0, 6.0) * HOUR_NS)
    left = leaves if leaves + MINUTE_NS < end_ns else None
    if left is not None:
        desk.close(left, ticket)
        desk.close(left + _reaction_ns(rng), other)
    desk.commit(other, hedged, left)
    return left


def _trade_informed(desk: Desk, tape: Tape, ts: int, end_ns: int, rng: np.random.Generator) -> None:
    """Pick the best of a few moments after ``ts`` by the move that follows, ride it, close."""
    horizon = int(rng.uniform(2.0, 15.0) * MINUTE_NS)
    latest = min(ts + 2 * HOUR_NS, end_ns - horizon - MINUTE_NS)
    if latest <= ts:
        return
    moments = [int(moment) for moment in rng.integers(ts, latest, _INFORMED_CANDIDATES)]
    entry = max(moments, key=lambda moment: abs(tape.move(moment, moment + horizon)))
    side = 1 if tape.move(entry, entry + horizon) >= 0 else -1
    ticket = _ticket(desk, tape, entry, side, rng)
    if ticket is None:
        return
    desk.open(entry, ticket)
    desk.close(entry + horizon, ticket)
    desk.commit(ticket, entry, entry + horizon)
