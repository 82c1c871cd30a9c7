"""Trading: see the market and the account, place and cancel orders, close positions, move their margin."""

from decimal import Decimal
from typing import Any, TypedDict, Unpack

from live.client.calls import Calls
from live.client.market_results import Account, Market, Markets, Preview
from live.client.results import (
    Cancelled,
    CancelledAll,
    MarginMode,
    MarginMoved,
    OrderType,
    Placed,
    Side,
)

Number = Decimal | int | str  # never a float: it has digits that nobody wrote


class OrderTerms(TypedDict, total=False):
    """Hold the terms of an order that need not be given.

    ``limit_price`` belongs to LIMIT orders, ``trigger_price`` to TAKE_PROFIT and STOP_LOSS. ``position_id`` closes
    that position; ``reduce_only`` closes opposite ones and never opens. Without ``type`` it is a MARKET order,
    without ``leverage`` 1, without ``margin_mode`` ISOLATED.
    """

    type: OrderType
    limit_price: Number
    trigger_price: Number
    leverage: int
    margin_mode: MarginMode
    reduce_only: bool
    position_id: int


class Trading(Calls):
    """Trade. ``key`` names a command of yours: asked again with it, in another process too, it is done once."""

    async def markets(self) -> Markets:
        """Return all symbols: their rules, marks, best prices and funding."""
        return await self._get(Markets, "/markets")

    async def market(self, symbol: str) -> Market:
        """Return one symbol."""
        return await self._get(Market, f"/markets/{symbol}")

    async def account(self) -> Account:
        """Return the account at the marks of now: margin ratio, open positions, their liquidation prices."""
        return await self._get(Account, "/account/summary")

    async def preview(
        self, symbol: str, side: Side, size: Number | None = None, **terms: Unpack[OrderTerms]
    ) -> Preview:
        """Return what an order would cost now, and whether it would be taken; nothing is done."""
        return await self._ask(Preview, "POST", "/orders/preview", _order(symbol, side, size, terms))

    async def place(
        self,
        symbol: str,
        side: Side,
        size: Number | None = None,
        *,
        key: str | None = None,
        **terms: Unpack[OrderTerms],
    ) -> Placed:
        """Place an order of ``size`` coins; one with a ``position_id`` closes all of it without a size.

        Raises ApiProblem 409 with the rule's code for one that is refused whole.
        """
        return await self._command(Placed, "POST", "/orders", _order(symbol, side, size, terms), key)

    async def cancel(self, order_id: str, *, key: str | None = None) -> Cancelled:
        """Cancel an order that waits."""
        return await self._command(Cancelled, "DELETE", f"/orders/{order_id}", key=key)

    async def cancel_all(self, symbol: str | None = None, *, key: str | None = None) -> CancelledAll:
        """Cancel all orders that wait, or those of a symbol."""
        return await self._command(CancelledAll, "DELETE", "/orders", key=key, symbol=symbol)

    async def close_position(
        self,
        position_id: int,
        size: Number | None = None,
        *,
        limit_price: Number | None = None,
        key: str | None = None,
    ) -> Placed:
        """Close a position, in whole or ``size`` coins of it; at market unless a limit is given."""
        body = {"size": _number(size), "limit_price": _number(limit_price)}
        return await self._command(Placed, "POST", f"/positions/{position_id}/close", body, key)

    async def add_margin(self, position_id: int, amount: Number, *, key: str | None = None) -> MarginMoved:
        """Add margin to an isolated position, in USDC."""
        return await self._move_margin(position_id, "ADD", amount, key)

    async def remove_margin(self, position_id: int, amount: Number, *, key: str | None = None) -> MarginMoved:
        """Remove margin that an isolated position can spare, in USDC."""
        return await self._move_margin(position_id, "REMOVE", amount, key)

    async def _move_margin(
        self, position_id: int, action: str, amount: Number, key: str | None
    ) -> MarginMoved:
        body = {"action": action, "amount": _number(amount)}
        return await self._command(MarginMoved, "POST", f"/positions/{position_id}/margin", body, key)


def _order(symbol: str, side: Side, size: Number | None, terms: OrderTerms) -> dict[str, Any]:
    """Return an order as the server is told it."""
    told: dict[str, Any] = {"symbol": symbol, "side": side, "size": _number(size), **terms}
    for name in ("limit_price", "trigger_price"):
        if name in told:
            told[name] = _number(told[name])
    return told


def number_text(value: Number) -> str:
    """Write a number without an exponent; raises TypeError for a float."""
    if not isinstance(value, Decimal | int | str) or isinstance(value, bool):
        raise TypeError(f"{value!r} must be a Decimal, an int or a str: a float has digits that nobody wrote")
    return (
        value if isinstance(value, str) else format(value, "f") if isinstance(value, Decimal) else str(value)
    )


def _number(value: Number | None) -> str | None:
    return None if value is None else number_text(value)
