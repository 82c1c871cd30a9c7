"""The part of an order flow that falls into a run: a span of time, some symbols, some of the users."""

import hashlib
from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from data.flow import FLOW_TRANSFERS, Flow
from data.flow_import import plain_decimal
from data.flow_scale import COPY_MARK

# Fates of source fills whose order was left out.
OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
OTHER_SYMBOL = "OTHER_SYMBOL"
OTHER_USER = "OTHER_USER"


def narrow(flow: Flow, start_ns: int, end_ns: int, symbols: list[str]) -> Flow:
    """Return the orders of ``symbols`` and the transfers with start_ns ≤ ts < end_ns.

    What users had paid in before, less what they had taken out, is their opening balance at ``start_ns``.
    """
    within = flow.between(start_ns, end_ns)
    orders = within.orders.filter(pc.is_in(within.orders["symbol"], value_set=pa.array(symbols, pa.string())))
    earlier = _balances(flow.between(0, start_ns).transfers, start_ns)
    return Flow(orders, pa.concat_tables([earlier, within.transfers.cast(FLOW_TRANSFERS)]))


def user_group(user: str, groups: int) -> int:
    """Return the number, 0 to ``groups`` − 1, of a user's group; copies of a scaled flow go with their original."""
    name = user.partition(COPY_MARK)[0]
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % groups


def keep_users(flow: Flow, groups: int, kept: Collection[int]) -> Flow:
    """Return the part of ``flow`` whose users are in one of the ``kept`` of so many ``groups``; none kept: all."""
    if not kept:
        return flow
    users = [user for user in flow.users if user_group(user, groups) in kept]
    chosen = pa.array(users, pa.string())
    parts = (
        table.filter(pc.is_in(table["user"], value_set=chosen)) for table in (flow.orders, flow.transfers)
    )
    return Flow(*parts)


def account_for(accounting: pa.Table, flow: Flow, symbols: list[str], users: Collection[str]) -> pa.Table:
    """Return the accounting of source fills (schema ACCOUNTING) with those whose order is not in ``flow`` renamed.

    OTHER_SYMBOL where the symbol is none of ``symbols``, OTHER_USER where the user is none of ``users``, else
    OUTSIDE_WINDOW; their order_id becomes null.
    """
    ids = accounting["order_id"]
    left_out = pc.and_(pc.is_valid(ids), pc.invert(pc.is_in(ids, value_set=flow.orders["order_id"])))
    known = pc.is_in(accounting["symbol"], value_set=pa.array(symbols, pa.string()))
    ours = pc.is_in(accounting["user"], value_set=pa.array(sorted(users), pa.string()))
    why = pc.if_else(known, pc.if_else(ours, OUTSIDE_WINDOW, OTHER_USER), OTHER_SYMBOL)
    fate = pc.if_else(left_out, why, accounting["fate"])
    kept = pc.if_else(left_out, pa.scalar(None, pa.string()), ids)
    changed = {"fate": fate, "order_id": kept}
    return pa.table({name: changed.get(name, accounting[name]) for name in accounting.column_names})


def _balances(transfers: pa.Table, at_ns: int) -> pa.Table:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for user, amount in zip(transfers["user"].to_pylist(), transfers["amount"].to_pylist(), strict=True):
        sums[user] += Decimal(amount)
    paid_in = [(user, amount) for user, amount in sorted(sums.items()) if amount > 0]
    columns = {
        "ts": [at_ns] * len(paid_in),
        "user": [user for user, _ in paid_in],
        "amount": [plain_decimal(amount) for _, amount in paid_in],
        "kind": ["OPENING_BALANCE"] * len(paid_in),
    }
    return pa.table(columns, FLOW_TRANSFERS)
