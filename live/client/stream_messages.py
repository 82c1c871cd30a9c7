"""What is said over the stream, and how it is read."""

from decimal import Decimal
from typing import Literal

import msgspec

from live.client.results import Balance, Fill, Liquidation, Order, Position

PrivateChannel = Literal["orders", "fills", "positions", "liquidations", "balances"]
Channel = Literal["orders", "fills", "positions", "liquidations", "balances", "marks"]


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class Update(_Message, frozen=True, tag="update"):
    """Hold all that one commit changed, in the channels subscribed to; ``seq`` is its last input."""

    seq: int
    orders: tuple[Order, ...] = ()
    fills: tuple[Fill, ...] = ()
    positions: tuple[Position, ...] = ()
    liquidations: tuple[Liquidation, ...] = ()
    balances: tuple[Balance, ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """Be a symbol's mark and best prices; None before the first."""

    mark: Decimal | None
    bid: Decimal | None
    ask: Decimal | None


class Marks(_Message, frozen=True, tag="marks"):
    """Hold the marks that moved, by symbol."""

    marks: dict[str, Mark]


class Authenticated(_Message, frozen=True, tag="authenticated"):
    """Say that the server knows who listens."""

    user: str


class Subscribed(_Message, frozen=True, tag="subscribed"):
    """Say that all updates after ``seq`` follow; it is None of marks alone."""

    channels: tuple[str, ...]
    seq: int | None


class Heartbeat(_Message, frozen=True, tag="heartbeat"):
    """Say that there is nothing up to ``seq`` that was not sent."""

    seq: int


class Refused(_Message, frozen=True, tag="error"):
    """Say that something was not understood, or not allowed."""

    code: str
    detail: str


AnyMessage = Update | Marks | Authenticated | Subscribed | Heartbeat | Refused
read = msgspec.json.Decoder(AnyMessage).decode
