"""The rules an order flow keeps; each breach names its row and value.

Everything is checked in Arrow, column by column: millions of rows take a second.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from risk.errors import InvalidInput

INTENTS = ("OPEN", "CLOSE", "NET", "CANCEL")
SIDES = ("BUY", "SELL")
ORDER_TYPES = ("MARKET", "LIMIT", "TAKE_PROFIT", "STOP_LOSS")
TRIGGER_TYPES = ("TAKE_PROFIT", "STOP_LOSS")
MARGIN_MODES = ("ISOLATED", "CROSS")
EFFECTS = ("OPEN", "EXTEND", "REDUCE", "CLOSE", "FLIP")
ROLES = ("TAKER", "MAKER")
TRANSFER_KINDS = ("DEPOSIT", "WITHDRAWAL", "OPENING_BALANCE")

# A plain decimal number: no exponent, no NaN, no infinity, no blanks.
POSITIVE = r"^\d+(\.\d+)?$"
SIGNED = r"^-?\d+(\.\d+)?$"


def check_orders(orders: pa.Table, symbols: Collection[str] | None) -> None:
    """Raise InvalidInput at the first row of ``orders`` that breaks a rule of ``data.flow``.

    ``symbols`` are the ones that can be traded; None accepts any.
    """
    where = _Rows("order", orders)
    cancel = pc.fill_null(pc.equal(orders["intent"], "CANCEL"), False)
    acts = pc.invert(cancel)
    trigger = pc.fill_null(pc.is_in(orders["type"], pa.array(TRIGGER_TYPES)), False)
    limit = pc.fill_null(pc.equal(orders["type"], "LIMIT"), False)
    close = pc.fill_null(pc.equal(orders["intent"], "CLOSE"), False)

    _check_times(where)
    for name in ("order_id", "user", "symbol"):
        where.refuse(name, _blank(orders[name]), "a name")
    _check_unique(where)
    if symbols is not None:
        known = pa.array(sorted(symbols), pa.string())
        where.refuse("symbol", pc.invert(pc.is_in(orders["symbol"], known)), f"one of {sorted(symbols)}")
    where.refuse("intent", _outside(orders["intent"], INTENTS), _one_of(INTENTS))
    where.refuse("side", pc.and_(acts, _outside(orders["side"], SIDES)), _one_of(SIDES))
    where.refuse("type", pc.and_(acts, _outside(orders["type"], ORDER_TYPES)), _one_of(ORDER_TYPES))
    where.refuse(
        "margin_mode", pc.and_(acts, _outside(orders["margin_mode"], MARGIN_MODES)), _one_of(MARGIN_MODES)
    )
    whole = pc.and_(pc.is_null(orders["size"]), pc.is_valid(orders["position_id"]))
    where.refuse("size", pc.and_not(pc.and_(acts, _not_positive(orders["size"])), whole), "a decimal above 0")
    where.refuse(
        "leverage",
        pc.and_(acts, pc.fill_null(pc.less(orders["leverage"], 1), True)),
        "an integer of 1 or more",
    )
    where.refuse("limit_price", pc.and_(limit, _not_positive(orders["limit_price"])), "a decimal above 0")
    where.refuse(
        "limit_price", pc.and_not(pc.is_valid(orders["limit_price"]), limit), "null unless type is LIMIT"
    )
    where.refuse(
        "trigger_price", pc.and_(trigger, _not_positive(orders["trigger_price"])), "a decimal above 0"
    )
    where.refuse(
        "trigger_price",
        pc.and_not(pc.is_valid(orders["trigger_price"]), trigger),
        f"null unless type is {_one_of(TRIGGER_TYPES)}",
    )
    where.refuse("reduce_only", pc.is_null(orders["reduce_only"]), "true or false")
    reduces = pc.fill_null(orders["reduce_only"], False)
    where.refuse("reduce_only", pc.xor(close, reduces), "true exactly with CLOSE")
    where.refuse("intent", pc.and_not(trigger, close), f"CLOSE with {_one_of(TRIGGER_TYPES)}")
    where.refuse(
        "position_id", pc.and_not(pc.is_valid(orders["position_id"]), close), "null unless intent is CLOSE"
    )
    where.refuse("cancels", pc.and_(cancel, _blank(orders["cancels"])), "the order_id to cancel")
    where.refuse("cancels", pc.and_(acts, pc.is_valid(orders["cancels"])), "null unless intent is CANCEL")
    where.refuse("source_effect", _outside(orders["source_effect"], EFFECTS, null_ok=True), _one_of(EFFECTS))
    where.refuse("source_role", _outside(orders["source_role"], ROLES, null_ok=True), _one_of(ROLES))
    where.refuse("source_fills", pc.fill_null(pc.less(orders["source_fills"], 0), True), "0 or more")
    reference = orders["ref_price"]
    where.refuse("ref_price", pc.and_(pc.is_valid(reference), _not_positive(reference)), "a decimal above 0")


def check_transfers(transfers: pa.Table) -> None:
    """Raise InvalidInput at the first row of ``transfers`` that breaks a rule of ``data.flow``."""
    where = _Rows("transfer", transfers)
    _check_times(where)
    where.refuse("user", _blank(transfers["user"]), "a name")
    where.refuse("kind", _outside(transfers["kind"], TRANSFER_KINDS), _one_of(TRANSFER_KINDS))
    amount = transfers["amount"]
    numeric = pc.fill_null(pc.match_substring_regex(amount, SIGNED), False)
    nonzero = pc.fill_null(pc.match_substring_regex(amount, "[1-9]"), False)
    where.refuse("amount", pc.invert(pc.and_(numeric, nonzero)), "a decimal other than 0")
    out = pc.starts_with(amount, "-")
    where.refuse(
        "amount", pc.xor(out, pc.equal(transfers["kind"], "WITHDRAWAL")), "negative exactly in withdrawals"
    )


class _Rows:
    """Turn a mask of bad rows into an error about the first of them."""

    def __init__(self, noun: str, table: pa.Table) -> None:
        self.noun = noun
        self.table = table

    def refuse(self, column: str, bad: pa.ChunkedArray, expected: str) -> None:
        row = pc.index(bad, True).as_py()
        if row >= 0:
            value = self.table[column][row].as_py()
            raise InvalidInput(f"{self.noun} row {row}: {column} was {value!r}, it must be {expected}")


def _check_times(where: _Rows) -> None:
    where.refuse("ts", pc.fill_null(pc.less_equal(where.table["ts"], 0), True), "nanoseconds since 1970")
    times = where.table["ts"].to_numpy()
    back = np.flatnonzero(np.diff(times) < 0)
    if back.size:
        row = int(back[0]) + 1
        raise InvalidInput(
            f"{where.noun} row {row}: ts was {times[row]}, it must not go back before {times[row - 1]}"
        )


def _check_unique(where: _Rows) -> None:
    ids = where.table["order_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    seen: set[str] = set()
    for row, order_id in enumerate(ids.to_pylist()):
        if order_id in seen:
            raise InvalidInput(f"order row {row}: order_id was {order_id!r}, it must be unique")
        seen.add(order_id)


def _blank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(column, ""), True)


def _outside(column: pa.ChunkedArray, allowed: tuple[str, ...], *, null_ok: bool = False) -> pa.ChunkedArray:
    outside = pc.invert(pc.is_in(column, pa.array(allowed)))
    return pc.and_(outside, pc.is_valid(column)) if null_ok else outside


def _not_positive(column: pa.ChunkedArray) -> pa.ChunkedArray:
    shaped = pc.match_substring_regex(column, POSITIVE)
    nonzero = pc.match_substring_regex(column, "[1-9]")
    return pc.invert(pc.fill_null(pc.and_(shaped, nonzero), False))


def _one_of(values: tuple[str, ...]) -> str:
    return ", ".join(values[:-1]) + " or " + values[-1]
