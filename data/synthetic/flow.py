"""Synthetic user order flow over a synthetic market: who pays in, trades, cancels and pays out, and when."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from data.flow import FLOW_ORDERS, FLOW_TRANSFERS, Flow, validate
from data.synthetic.coins import COINS
from data.synthetic.desk import Desk
from data.synthetic.market import DAY_NS, MarketFrames
from data.synthetic.profiles import MINUTE_NS, SECOND_NS, Profile
from data.synthetic.seeds import stream
from data.synthetic.tape import Tape
from data.synthetic.trades import trade
from data.synthetic.users import draw_user
from risk.errors import InvalidInput
from risk.market import SymbolSpec


def synthetic_flow(
    profile: Profile,
    market: Mapping[str, MarketFrames],
    specs: Mapping[str, SymbolSpec],
    users: int,
    seed: int,
) -> Flow:
    """Generate the orders and transfers of ``users`` users over ``market``, as data.flow describes them.

    The same arguments give the same flow; a user's rows do not depend on how many others there are.
    Raise InvalidInput for a number of users under 1 or a market without symbols.
    """
    if users < 1:
        raise InvalidInput(f"users was {users}: must be at least 1")
    if not market:
        raise InvalidInput("market was empty: must hold at least one symbol")
    tapes = {symbol: Tape(specs[symbol], frames) for symbol, frames in market.items()}
    desks = [_live(profile, tapes, f"s{number:04d}", seed) for number in range(1, users + 1)]
    orders = [row for desk in desks for row in desk.orders]
    transfers = [row for desk in desks for row in desk.transfers]
    flow = Flow(_table(orders, FLOW_ORDERS), _table(transfers, FLOW_TRANSFERS))
    return validate(flow, specs.keys())


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Put rows into time order; those of one time keep the order of users and of each user's acts."""
    return pa.Table.from_pylist(sorted(rows, key=itemgetter("ts")), schema=schema)


def _live(profile: Profile, tapes: Mapping[str, Tape], name: str, seed: int) -> Desk:
    """Let one user live through the span: join, pay in, trade, perhaps top up, perhaps pay out."""
    rng = stream(seed, "user", name)
    desk = Desk(draw_user(profile, name, rng))
    symbols = list(tapes)
    popularity = np.array([COINS[symbol].popularity for symbol in symbols])
    odds = popularity / popularity.sum()
    begin = int(tapes[symbols[0]].ts[0])
    end = int(tapes[symbols[0]].ts[-1])
    joined = begin + int(desk.user.joined * (end - begin)) + SECOND_NS
    desk.transfer(joined, desk.user.deposit_usd)
    _move_money(desk, joined, end, rng)
    for ts in _moments(desk, joined + 2 * SECOND_NS, end, rng):
        tape = tapes[symbols[int(rng.choice(len(symbols), p=odds))]]
        trade(desk, tape, ts, end, rng)
    return desk


def _move_money(desk: Desk, joined: int, end: int, rng: np.random.Generator) -> None:
    """Let a quarter of the users pay in again, and another quarter take some out late."""
    tops_up, pays_out = rng.random(2) < 0.25
    share, place = rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.7)
    if tops_up:
        desk.transfer(joined + int(place * (end - joined)), max(10, int(share * desk.user.deposit_usd)))
    if pays_out:
        late = joined + int((0.7 + 0.3 * place) * (end - joined))
        desk.transfer(late, -max(5, int(0.5 * share * desk.user.deposit_usd)))


def _moments(desk: Desk, first: int, end: int, rng: np.random.Generator) -> list[int]:
    """Return the times at which the user thinks of a trade; the crowd comes early."""
    last = end - 5 * MINUTE_NS
    count = rng.poisson(desk.user.habits.trades_per_day * max(0, last - first) / DAY_NS)
    early = (1.2, 3.5) if desk.user.habits.kind == "crowd" else (1.0, 1.0)
    return sorted(first + int(place * (last - first)) for place in rng.beta(*early, size=count))
