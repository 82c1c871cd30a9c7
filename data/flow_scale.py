"""Multiply the users of a flow, to turn a small platform into a large one."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.flow import Flow, validate
from data.flow_import import plain_decimal
from risk.errors import InvalidInput

COPY_MARK = "#"  # between a copied user's name and the number of the copy
FACTOR_DECIMALS = 6
USDC_STEP = Decimal("0.000001")  # the precision of USDC


@dataclass(frozen=True, slots=True)
class Jitter:
    """Say how far a copied user may differ from the original.

    All of one user's events are moved by one delay of at most ``delay_ns``, and all amounts are multiplied
    by one factor within ± ``size_share``: so each keeps the own order of events, deposits still come before
    the orders they pay for, and leverage stays what it was.
    """

    delay_ns: int = 0
    size_share: float = 0.0

    def __post_init__(self) -> None:
        if self.delay_ns < 0:
            raise InvalidInput(f"delay_ns was {self.delay_ns}, it must be 0 or more")
        if not 0 <= self.size_share < 1:
            raise InvalidInput(f"size_share was {self.size_share}, it must be 0 or more and below 1")


EXACT = Jitter()


def scale_flow(flow: Flow, n: int, seed: int, jitter: Jitter = EXACT) -> Flow:
    """Return ``flow`` with every user ``n`` times: the original untouched, copies named ``user#2`` … ``#n``.

    A copy depends on ``seed`` and its own number only, not on ``n``. Orders and their cancels are renamed
    alike. Raises InvalidInput for n < 1 and for orders that name a position by its id: copies have others.
    """
    if n < 1:
        raise InvalidInput(f"n was {n}, it must be 1 or more")
    if n > 1 and flow.orders["position_id"].null_count < flow.orders.num_rows:
        raise InvalidInput(
            "a flow whose orders name position_ids cannot be scaled: copies have other positions"
        )
    copies = [flow, *(_copy(flow, number, seed, jitter) for number in range(2, n + 1))]
    return validate(
        Flow(_by_time([copy.orders for copy in copies]), _by_time([copy.transfers for copy in copies]))
    )


@dataclass(frozen=True, slots=True)
class _Differences:
    """Hold what tells one copy's users from the originals: columns by row of ``users``."""

    suffix: str
    users: pa.Array
    delays_ns: np.ndarray
    factors: list[Decimal]

    def apply(self, table: pa.Table, amounts: str, lots: list[Decimal]) -> pa.Table:
        """Return ``table`` with times, names and the ``amounts`` column changed; ``lots`` are their steps."""
        of_row = pc.index_in(table["user"], self.users).to_numpy()
        changed = {"ts": pa.array(table["ts"].to_numpy() + self.delays_ns[of_row])}
        for name in {"user", "order_id", "cancels"} & set(table.column_names):
            changed[name] = pc.binary_join_element_wise(table[name], self.suffix, "")
        factors = [self.factors[user] for user in of_row.tolist()]
        changed[amounts] = pa.array(map(_scaled, table[amounts].to_pylist(), factors, lots), pa.string())
        columns = [changed.get(name, table[name]) for name in table.column_names]
        return pa.table(columns, schema=table.schema)


def _copy(flow: Flow, number: int, seed: int, jitter: Jitter) -> Flow:
    users = flow.users
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
    delays_ns = random.integers(0, jitter.delay_ns, size=len(users), endpoint=True)
    shares = random.uniform(-jitter.size_share, jitter.size_share, size=len(users))
    factors = [round(1 + Decimal(share), FACTOR_DECIMALS) for share in shares.tolist()]
    differences = _Differences(f"{COPY_MARK}{number}", pa.array(users, pa.string()), delays_ns, factors)
    cents = [USDC_STEP] * flow.transfers.num_rows
    return Flow(
        differences.apply(flow.orders, "size", _lots(flow.orders)),
        differences.apply(flow.transfers, "amount", cents),
    )


def _lots(orders: pa.Table) -> list[Decimal]:
    """Return, per order, the finest step that occurs among its symbol's sizes."""
    decimals: dict[str, int] = {}
    symbols, sizes = orders["symbol"].to_pylist(), orders["size"].to_pylist()
    for symbol, size in zip(symbols, sizes, strict=True):
        places = len(size.partition(".")[2]) if size else 0
        decimals[symbol] = max(decimals.get(symbol, 0), places)
    return [Decimal(1).scaleb(-decimals[symbol]) for symbol in symbols]


def _scaled(amount: str | None, factor: Decimal, lot: Decimal) -> str | None:
    if amount is None or factor == 1:
        return amount
    value = Decimal(amount)
    scaled = (abs(value) * factor).quantize(lot, ROUND_HALF_EVEN)
    return plain_decimal(max(scaled, lot).copy_sign(value))


def _by_time(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks()
    return table.take(np.argsort(table["ts"].to_numpy(), kind="stable"))
