"""What happened: orders, positions, fills, funding, liquidations, balance changes, the newest first."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Literal

from live.client.calls import Calls
from live.client.results import (
    BalanceChange,
    Fill,
    Funding,
    Liquidation,
    Order,
    OrderStatus,
    OrderWithFills,
    Position,
)

Moment = datetime | str


class History(Calls):
    """Read lists, page after page as they are iterated: all of one, or the newest ``limit`` items.

    ``since`` and ``until`` narrow it to a time, the latter excluded.
    """

    def orders(
        self,
        *,
        symbol: str | None = None,
        status: Sequence[OrderStatus] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Order]:
        """Give orders."""
        narrowed = {"symbol": symbol, "status": status, "from": since, "to": until}
        return self._pages(Order, "/orders", limit, **narrowed)

    async def order(self, order_id: str) -> OrderWithFills:
        """Return an order with its fills."""
        return await self._get(OrderWithFills, f"/orders/{order_id}")

    def positions(
        self,
        *,
        symbol: str | None = None,
        status: Literal["OPEN", "CLOSED", "LIQUIDATED"] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Position]:
        """Give positions, open and closed."""
        narrowed = {"symbol": symbol, "status": status, "from": since, "to": until}
        return self._pages(Position, "/positions", limit, **narrowed)

    async def position(self, position_id: int) -> Position:
        """Return a position."""
        return await self._get(Position, f"/positions/{position_id}")

    def fills(
        self,
        *,
        symbol: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Fill]:
        """Give fills."""
        return self._pages(Fill, "/fills", limit, symbol=symbol, **{"from": since, "to": until})

    def funding(
        self,
        *,
        symbol: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Funding]:
        """Give payments of funding."""
        return self._pages(Funding, "/funding", limit, symbol=symbol, **{"from": since, "to": until})

    def liquidations(
        self,
        *,
        symbol: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Liquidation]:
        """Give liquidations."""
        return self._pages(Liquidation, "/liquidations", limit, symbol=symbol, **{"from": since, "to": until})

    def balance_changes(
        self, *, since: Moment | None = None, until: Moment | None = None, limit: int | None = None
    ) -> AsyncIterator[BalanceChange]:
        """Give whatever changed the total balance."""
        return self._pages(BalanceChange, "/balance-changes", limit, **{"from": since, "to": until})
