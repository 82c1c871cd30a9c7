"""What happened to users' orders, as rows."""

from live.ledger.batch import Batch
from live.ledger.rows import Moment
from live.ledger.rows_trading import OrderRow
from risk.book import Book
from risk.events import OrderCancelled, OrderFilled, OrderRefused, OrderRested, OrderRouted
from risk.inputs import OrderSubmitted
from risk.ledger import ZERO
from risk.state import SPLIT_SUFFIX

SIDES = {1: "BUY", -1: "SELL"}


class _OrderChange:
    """Hold what one input does to an order, from its ``row`` before."""

    __slots__ = ("filled", "reason", "refused", "route", "row", "status")

    def __init__(self, row: OrderRow) -> None:
        self.row = row
        self.route, self.status, self.reason, self.filled = row.route, row.status, row.reason, row.filled_size
        self.refused = False


class OrdersProjection:
    """Turn events of users' orders into their rows; ``working`` holds those that can still change."""

    def __init__(self, working: dict[str, OrderRow], book: Book) -> None:
        self._working = working
        self._book = book
        self._orders: dict[str, _OrderChange] = {}  # touched by the input in hand

    def submitted(self, seq: int, order: OrderSubmitted) -> None:
        """Begin an order's row."""
        row = OrderRow(
            order.order_id,
            order.user,
            order.symbol,
            SIDES[order.side],
            order.size,
            order.limit_price or order.trigger_price,
            None,
            "PENDING",
            order.type,
            order.leverage,
            order.margin_mode,
            order.reduce_only,
            order.position_id,
            ZERO,
            None,
            seq,
            Moment(order.ts),
            Moment(order.ts),
            seq,
        )
        self._orders[order.order_id] = _OrderChange(row)

    def _change(self, order_id: str) -> "_OrderChange | None":
        """Return what this input changes of an order: None for one that is no user's."""
        order_id = order_id.removesuffix(SPLIT_SUFFIX)
        change = self._orders.get(order_id)
        if change is None:
            row = self._working.get(order_id)
            if row is not None:
                change = self._orders[order_id] = _OrderChange(row)
        return change

    def routed(self, event: OrderRouted) -> None:
        """Note an order's route: of one that went both ways, the last."""
        change = self._change(event.order_id)
        if change is not None:
            change.route = event.route

    def rested(self, event: OrderRested) -> None:
        """Note that an order waits."""
        change = self._change(event.order_id)
        if change is not None:
            change.status = "RESTING"

    def refused(self, event: OrderRefused) -> None:
        """Note that an order, or its rest, was refused; what else is has no symbol, and may be a stranger's."""
        change = self._change(event.order_id) if event.symbol else None
        if change is not None:
            change.reason = f"{event.code}: {event.detail}"
            change.refused = True

    def cancelled(self, event: OrderCancelled) -> None:
        """Note that what was left of an order is gone."""
        change = self._change(event.order_id)
        if change is not None:
            change.reason = event.reason

    def touch(self, order_id: str) -> None:
        """Look at an order's status again: its order at the venue has ended."""
        self._change(order_id)

    def filled(self, event: OrderFilled) -> None:
        """Add to an order's filled size."""
        change = self._change(event.order_id)
        if change is not None:
            change.filled += event.size

    def finish(self, batch: Batch, seq: int, now: Moment) -> None:
        """Set the rows of every order that the input touched."""
        for change in self._orders.values():
            self._write(batch, change, seq, now)
        self._orders.clear()

    def _write(self, batch: Batch, change: "_OrderChange", seq: int, now: Moment) -> None:
        row, status = change.row, self._status(change)
        size = change.filled if row.size is None and status == "FILLED" else row.size
        row = OrderRow(
            row.id,
            row.user_id,
            row.symbol,
            row.side,
            size,
            row.price,
            change.route,
            status,
            row.type,
            row.leverage,
            row.margin_mode,
            row.reduce_only,
            row.position_id,
            change.filled,
            change.reason,
            row.seq,
            row.created_at,
            now,
            seq,
        )
        batch.replace(row)
        if status in ("PENDING", "RESTING", "PARTIALLY_FILLED"):
            self._working[row.id] = row
        else:
            self._working.pop(row.id, None)

    def _status(self, change: "_OrderChange") -> str:
        row, filled = change.row, change.filled
        if filled and filled == row.size:
            return "FILLED"
        if self._book.is_working(row.user_id, row.id):
            return "PARTIALLY_FILLED" if filled else change.status
        if filled and row.size is None and change.reason is None:
            return "FILLED"  # of a close without a size
        if change.refused and not filled:
            return "REFUSED"
        return "EXPIRED" if change.reason == "EXPIRED" else "CANCELLED"
