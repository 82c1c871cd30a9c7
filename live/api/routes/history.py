"""What a user has done and what happened to it: lists, single orders and positions, and exports."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from live.api.answers import PageOf, json_answer
from live.api.auth import needs
from live.api.lean_reads import read
from live.api.problems import Problem, documented
from live.api.reads.exports import MEDIA_TYPES, Format, written
from live.api.reads.fills import FILLS, FillItem, names_of
from live.api.reads.filters import Id, OrderPaging, Paging, PositionPaging, Span, SymbolPaging
from live.api.reads.listing import Condition, Item, Listing
from live.api.reads.money import (
    BALANCE_CHANGES,
    FUNDING,
    LIQUIDATIONS,
    BalanceChangeItem,
    FundingItem,
    LiquidationItem,
)
from live.api.reads.orders import ORDERS, OrderItem, OrderWithFills
from live.api.reads.positions import POSITIONS, PositionItem
from live.api.reads.summary import AccountSummary, account_summary
from live.api.reads.symbols import check_symbol
from live.api.reads.transfers import DEPOSITS, WITHDRAWALS
from live.api.services import Using
from live.api.wording import worded
from live.books.queries import AccountQuery
from live.identity.principal import Principal, Scope

router = APIRouter(tags=["history"], responses=documented(401, 403, 504))

Reader = Annotated[Principal, needs(Scope.READ)]
OrderName = Annotated[
    str, Path(pattern=worded(r"^o[0-9]{1,18}$", "an order's id, such as o1207"), examples=["o1207"])
]
PositionName = Annotated[Id, Path()]


@read(router, "/orders", response_model=PageOf[OrderItem])
async def list_orders(using: Using, reader: Reader, asked: Annotated[OrderPaging, Query()]) -> Response:
    """List your orders, the newest first."""
    return await _page(using, reader, ORDERS, asked, asked.statuses() + asked.conditions("created_at"))


@read(router, "/orders/{order_id}", response_model=OrderWithFills, responses=documented(404))
async def get_order(using: Using, reader: Reader, order_id: OrderName) -> Response:
    """Show one of your orders with its fills."""
    order = await ORDERS.one(using.pool, reader.user, "id", order_id)
    if order is None:
        raise Problem(404, "unknown-order", f"you have no order {order_id}")
    own = [Condition("order_id = any({})", names_of(order_id))]
    fills = [item async for part in FILLS.all(using.pool, reader.user, own) for item in part]
    return json_answer({**order, "fills": fills})


@read(router, "/positions", response_model=PageOf[PositionItem])
async def list_positions(using: Using, reader: Reader, asked: Annotated[PositionPaging, Query()]) -> Response:
    """List your positions, open and closed, the newest first."""
    return await _page(using, reader, POSITIONS, asked, asked.statuses() + asked.conditions("opened_at"))


@read(router, "/positions/{position_id}", response_model=PositionItem, responses=documented(404))
async def get_position(using: Using, reader: Reader, position_id: PositionName) -> Response:
    """Show one of your positions."""
    return json_answer(await own_position(using, reader, position_id))


@read(router, "/fills", response_model=PageOf[FillItem])
async def list_fills(using: Using, reader: Reader, asked: Annotated[SymbolPaging, Query()]) -> Response:
    """List your fills, the newest first, each with Hyperliquid's price for the same."""
    return await _page(using, reader, FILLS, asked, asked.conditions("created_at"))


@read(router, "/funding", response_model=PageOf[FundingItem])
async def list_funding(using: Using, reader: Reader, asked: Annotated[SymbolPaging, Query()]) -> Response:
    """List the funding you paid and received, the newest first."""
    return await _page(using, reader, FUNDING, asked, asked.conditions("settled_at"))


@read(router, "/liquidations", response_model=PageOf[LiquidationItem])
async def list_liquidations(
    using: Using, reader: Reader, asked: Annotated[SymbolPaging, Query()]
) -> Response:
    """List your liquidations, the newest first."""
    return await _page(using, reader, LIQUIDATIONS, asked, asked.conditions("created_at"))


@read(router, "/balance-changes", response_model=PageOf[BalanceChangeItem])
async def list_balance_changes(using: Using, reader: Reader, asked: Annotated[Paging, Query()]) -> Response:
    """List whatever changed your total balance, the newest first."""
    return await _page(using, reader, BALANCE_CHANGES, asked, asked.span("ts", nanoseconds=True))


@read(router, "/account/summary", response_model=AccountSummary)
async def get_account_summary(using: Using, reader: Reader) -> Response:
    """Show your account at the marks of now: margin ratio, open positions and their liquidation prices."""
    return json_answer(account_summary(await using.bus.ask(AccountQuery(reader.user))))


class _Exported(NamedTuple):
    listing: Listing
    time: str


_EXPORTS = {
    "orders": _Exported(ORDERS, "created_at"),
    "positions": _Exported(POSITIONS, "opened_at"),
    "fills": _Exported(FILLS, "created_at"),
    "funding": _Exported(FUNDING, "settled_at"),
    "liquidations": _Exported(LIQUIDATIONS, "created_at"),
    "balance-changes": _Exported(BALANCE_CHANGES, "ts"),
    "deposits": _Exported(DEPOSITS, "created_at"),
    "withdrawals": _Exported(WITHDRAWALS, "created_at"),
}
Subject = Literal[
    "orders",
    "positions",
    "fills",
    "funding",
    "liquidations",
    "balance-changes",
    "deposits",
    "withdrawals",
]


class Exporting(Span):
    """Say what of a list is exported, and how."""

    format: Format = Field(default="csv", description="CSV with a line of names, or JSON Lines.")


@router.get(
    "/exports/{subject}",
    response_class=StreamingResponse,
    responses={200: {"description": "The list.", "content": {"text/csv": {}, "application/x-ndjson": {}}}},
)
async def export_history(
    using: Using, reader: Reader, subject: Subject, asked: Annotated[Exporting, Query()]
) -> Response:
    """Give a whole list, the newest first, in one file."""
    listing, time = _EXPORTS[subject]
    parts = listing.all(using.pool, reader.user, asked.span(time, nanoseconds=time == "ts"))
    first = await anext(parts)  # what is wrong with the database is told before the answer begins
    return StreamingResponse(
        written(_after(first, parts), listing.names, asked.format),
        media_type=MEDIA_TYPES[asked.format],
        headers={"Content-Disposition": f'attachment; filename="{subject}.{asked.format}"'},
    )


async def own_position(using: Using, reader: Principal, position_id: int) -> Item:
    """Return a position of this user's; raise the problem that there is none."""
    position = await POSITIONS.one(using.pool, reader.user, "id", position_id)
    if position is None:
        raise Problem(404, "unknown-position", f"you have no position {position_id}")
    return position


async def _page(
    using: Using, reader: Principal, listing: Listing, asked: Paging, conditions: list[Condition]
) -> Response:
    page = await listing.page(using.pool, reader.user, asked.before, asked.limit, conditions)
    if not page.items and isinstance(asked, SymbolPaging) and asked.symbol is not None:
        await check_symbol(using.pool, asked.symbol)
    return json_answer({"items": page.items, "next": page.next})


async def _after(first: list[Item], rest: AsyncIterator[list[Item]]) -> AsyncIterator[list[Item]]:
    yield first
    async for items in rest:
        yield items
