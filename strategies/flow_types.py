"""User orders and transfers as NautilusTrader custom data, ordered with the market by time.

The payload of a ``CustomData`` may be any object with ``ts_event`` and ``ts_init``. Named tuples are the
cheapest immutable ones: a hundred thousand orders are wrapped in about a third of a second.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from nautilus_trader.model import CustomData, DataType

USER_ORDER = DataType("UserOrder")
USER_TRANSFER = DataType("UserTransfer")


class UserOrder(NamedTuple):
    """Carry one row of the order flow; columns and their meaning stand in ``data.flow``."""

    ts_event: int
    ts_init: int
    order_id: str
    user: str
    symbol: str
    intent: str
    side: str | None
    order_type: str | None
    size: Decimal | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    leverage: int | None
    margin_mode: str | None
    reduce_only: bool
    position_id: int | None
    cancels: str | None
    source_effect: str | None
    source_role: str | None
    source_fills: int
    ref_price: Decimal | None


class UserTransfer(NamedTuple):
    """Carry one deposit (+) or withdrawal (−) of a user in USDC."""

    ts_event: int
    ts_init: int
    user: str
    amount: Decimal
    kind: str


def wrap_orders(orders: Iterable[UserOrder]) -> list[CustomData]:
    """Wrap orders for ``BacktestEngine.add_data``; subscribers ask for ``USER_ORDER``."""
    return [CustomData(USER_ORDER, order) for order in orders]


def wrap_transfers(transfers: Iterable[UserTransfer]) -> list[CustomData]:
    """Wrap transfers for ``BacktestEngine.add_data``; subscribers ask for ``USER_TRANSFER``."""
    return [CustomData(USER_TRANSFER, transfer) for transfer in transfers]
