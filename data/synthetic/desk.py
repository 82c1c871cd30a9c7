"""One synthetic user's order ticket: keeps the purse, numbers the orders, writes the flow's rows."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from data.flow import FLOW_ORDERS
from data.synthetic.tape import Tape, price_text
from data.synthetic.users import User

SIDES = {1: "BUY", -1: "SELL"}
_EMPTY_ROW: dict[str, Any] = dict.fromkeys(FLOW_ORDERS.names)
_USABLE_SHARE = 0.9  # of the deposit: fees and losses need the rest


@dataclass(frozen=True, slots=True)
class Ticket:
    """Say what is traded: ``lots`` of the tape's symbol, ``side`` +1 or −1 of the position."""

    tape: Tape
    side: int
    lots: int
    leverage: int

    @property
    def notional_usd(self) -> float:
        """Return the notional at the first mark: an estimate for the purse, not a price."""
        return self.lots * 10.0**-self.tape.spec.size_decimals * float(self.tape.mark[0])


@dataclass(slots=True)
class Desk:
    """Collect the orders and transfers of one user."""

    user: User
    orders: list[dict[str, Any]] = field(default_factory=list)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    _funds: list[tuple[int, float]] = field(default_factory=list)  # (from when, + available or − in use)

    def transfer(self, ts: int, amount_usd: int) -> None:
        """Deposit (+) or withdraw (−) whole dollars."""
        kind = "DEPOSIT" if amount_usd > 0 else "WITHDRAWAL"
        self.transfers.append({"ts": ts, "user": self.user.name, "amount": str(amount_usd), "kind": kind})
        self._funds.append((ts, amount_usd * _USABLE_SHARE))

    def free_usd(self, ts: int) -> float:
        """Return what the user thinks is free for margin at that time, wins and losses aside."""
        return sum(amount for since, amount in self._funds if since <= ts)

    def commit(self, ticket: Ticket, begin: int, end: int | None) -> None:
        """Keep the trade's margin out of the purse from ``begin`` to ``end``; None: to the very end."""
        margin = ticket.notional_usd / ticket.leverage
        self._funds.append((begin, -margin))
        if end is not None:
            self._funds.append((end, margin))

    def open(self, ts: int, ticket: Ticket, limit_price: float | None = None) -> str:
        """Open a position at market, or at a limit."""
        kind = "MARKET" if limit_price is None else "LIMIT"
        return self._order(ts, ticket, "OPEN", ticket.side, kind, limit_price=limit_price)

    def close(self, ts: int, ticket: Ticket) -> str:
        """Close the ticket's size at market, oldest position first."""
        return self._order(ts, ticket, "CLOSE", -ticket.side, "MARKET")

    def trigger(self, ts: int, ticket: Ticket, kind: str, trigger_price: float) -> str:
        """Leave a TAKE_PROFIT or STOP_LOSS for the ticket's size."""
        return self._order(ts, ticket, "CLOSE", -ticket.side, kind, trigger_price=trigger_price)

    def net(self, ts: int, ticket: Ticket) -> str:
        """Trade at market in the ticket's own direction, opposite positions first."""
        return self._order(ts, ticket, "NET", ticket.side, "MARKET")

    def cancel(self, ts: int, ticket: Ticket, order_id: str) -> None:
        """Cancel a resting order."""
        self._append(ts, ticket, intent="CANCEL", cancels=order_id, reduce_only=False)

    def _order(
        self,
        ts: int,
        ticket: Ticket,
        intent: str,
        side: int,
        kind: str,
        limit_price: float | None = None,
        trigger_price: float | None = None,
    ) -> str:
        return self._append(
            ts,
            ticket,
            intent=intent,
            side=SIDES[side],
            type=kind,
            size=f"{Decimal(ticket.lots).scaleb(-ticket.tape.spec.size_decimals):f}",
            limit_price=None if limit_price is None else price_text(limit_price),
            trigger_price=None if trigger_price is None else price_text(trigger_price),
            leverage=ticket.leverage,
            margin_mode=self.user.margin_mode,
            reduce_only=intent == "CLOSE",
        )

    def _append(self, ts: int, ticket: Ticket, **columns: Any) -> str:
        order_id = f"{self.user.name}-{len(self.orders) + 1:04d}"
        row = {"order_id": order_id, "ts": ts, "user": self.user.name, "symbol": ticket.tape.spec.symbol}
        self.orders.append(_EMPTY_ROW | row | {"source_fills": 0} | columns)
        return order_id
