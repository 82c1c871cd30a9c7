"""What a user does: place and cancel orders, move margin, close positions, and see first what it would cost."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from live.api.answers import json_answer
from live.api.auth import needs, permitted
from live.api.bodies import CloseBody, MarginBody, OrderBody
from live.api.idempotency import IdempotencyKey, command_key
from live.api.lean import LeanRequest, body_as, idempotency_key, lean, path_part
from live.api.problems import Problem, check_done, documented
from live.api.reads.filters import Id, Symbol
from live.api.reads.open_orders import open_at
from live.api.reads.orders import ORDERS
from live.api.reads.positions import POSITIONS
from live.api.reads.summary import Preview, preview
from live.api.reads.symbols import check_symbol
from live.api.services import Services, Using
from live.api.trading_answers import CancelAllAnswer, CancelAnswer, MarginAnswer, OrderAnswer, order_answer
from live.api.wording import worded
from live.books.commands import Answer, Asked, Command
from live.books.queries import PreviewQuery
from live.identity.principal import Principal, Scope
from risk.errors import InvalidInput
from risk.inputs import CancelSubmitted, MarginAdjusted

router = APIRouter(tags=["trading"], responses=documented(401, 403, 504))

Reader = Annotated[Principal, needs(Scope.READ)]
Trader = Annotated[Principal, needs(Scope.TRADE)]
_WANTED = "an order's id, such as o1207"
_ORDER = worded(r"^o[0-9]{1,18}$", _WANTED)
_is_order = re.compile(_ORDER).fullmatch
OrderName = Annotated[str, Path(pattern=_ORDER, examples=["o1207"])]
PositionName = Annotated[Id, Path()]
_AT_ONCE = 100
_EVERY = "*"  # no order has that id


class OfSymbol(BaseModel):
    """Say of which symbol."""

    model_config = ConfigDict(extra="forbid")

    symbol: Symbol | None = None


async def place_order(using: Using, trader: Trader, key: IdempotencyKey, body: OrderBody) -> Response:
    """Place an order; the answer comes when it is committed, with the fills it had at once."""
    answer = await _ask(using, trader, key, body.order(trader.user))
    return json_answer(order_answer(check_done(answer)), 201)


async def _serve_order(request: LeanRequest) -> Response:
    trader = await permitted(request, Scope.TRADE)
    key, body = idempotency_key(request), await body_as(request, OrderBody)
    return await place_order(request.services, trader, key, body)


router.add_api_route(
    "/orders",
    place_order,
    methods=["POST"],
    status_code=201,
    response_model=OrderAnswer,
    responses=documented(409),
    route_class_override=lean(_serve_order),
)


@router.post("/orders/preview", response_model=Preview)
async def preview_order(using: Using, reader: Reader, body: OrderBody) -> Response:
    """Show what an order would cost now, and whether it would be taken; nothing is done."""
    order = body.order(reader.user)
    view = await using.bus.ask(PreviewQuery(order))
    if view.status == "INVALID":
        raise InvalidInput(view.detail)
    return json_answer(preview(view, order.side))


async def cancel_order(using: Using, trader: Trader, key: IdempotencyKey, order_id: OrderName) -> Response:
    """Cancel an order that waits; one that waits at Hyperliquid ends when that has confirmed it."""
    answer = await _ask(using, trader, key, CancelSubmitted(0, order_id, trader.user))
    if answer.code == "UNKNOWN_ORDER" and await ORDERS.one(using.pool, trader.user, "id", order_id) is None:
        raise Problem(404, "unknown-order", f"you have no order {order_id}")
    return json_answer({"order_id": order_id, "seq": check_done(answer).seq})


async def _serve_cancel(request: LeanRequest) -> Response:
    trader = await permitted(request, Scope.TRADE)
    order_id = path_part(request, "order_id", _is_order, _WANTED)
    return await cancel_order(request.services, trader, idempotency_key(request), order_id)


router.add_api_route(
    "/orders/{order_id}",
    cancel_order,
    methods=["DELETE"],
    response_model=CancelAnswer,
    responses=documented(404, 409),
    route_class_override=lean(_serve_cancel),
)


@router.delete("/orders", response_model=CancelAllAnswer, responses=documented(409))
async def cancel_orders(
    using: Using, trader: Trader, key: IdempotencyKey, asked: Annotated[OfSymbol, Query()]
) -> Response:
    """Cancel all orders that wait, or those of a symbol; one that has ended meanwhile is told with the reason."""
    if asked.symbol is not None:
        await check_symbol(using.pool, asked.symbol)
    # The books put the request in its place among the inputs: sent again it means the orders of then, not of now.
    named = _EVERY if asked.symbol is None else f"{_EVERY}/{asked.symbol}"
    place = await _ask(using, trader, key, CancelSubmitted(0, named, trader.user))
    if place.code != "UNKNOWN_ORDER":
        check_done(place)
    waiting = await open_at(using.pool, trader.user, place.seq, asked.symbol)
    told: list[dict[str, Any]] = []
    for first in range(0, len(waiting), _AT_ONCE):
        names = waiting[first : first + _AT_ONCE]
        cancels = [
            _ask(using, trader, f"{key}/{name}", CancelSubmitted(0, name, trader.user)) for name in names
        ]
        for name, answer in zip(names, await asyncio.gather(*cancels), strict=True):
            told.append({"order_id": name, "done": answer.status == "DONE", "code": answer.code or None})
    return json_answer({"seq": place.seq, "orders": told})


@router.post(
    "/positions/{position_id}/close",
    status_code=201,
    response_model=OrderAnswer,
    responses=documented(404, 409),
)
async def close_position(
    using: Using, trader: Trader, key: IdempotencyKey, position_id: PositionName, body: CloseBody
) -> Response:
    """Close a position, in whole or in part."""
    position = await POSITIONS.one(using.pool, trader.user, "id", position_id)
    if position is None:
        raise _no_position(position_id)
    order = body.order(trader.user, position_id, position["symbol"], position["direction"])
    return json_answer(order_answer(check_done(await _ask(using, trader, key, order))), 201)


@router.post("/positions/{position_id}/margin", response_model=MarginAnswer, responses=documented(404, 409))
async def move_margin(
    using: Using, trader: Trader, key: IdempotencyKey, position_id: PositionName, body: MarginBody
) -> Response:
    """Add margin to an isolated position, or remove what it can spare."""
    answer = await _ask(using, trader, key, MarginAdjusted(0, trader.user, position_id, body.signed))
    if (
        answer.code == "UNKNOWN_POSITION"
        and await POSITIONS.one(using.pool, trader.user, "id", position_id) is None
    ):
        raise _no_position(position_id)
    return json_answer({"position_id": position_id, "seq": check_done(answer).seq})


async def _ask(using: Services, trader: Principal, key: str, asked: Asked) -> Answer:
    return await using.bus.submit(Command(command_key(trader.user, key), asked))


def _no_position(position_id: int) -> Problem:
    return Problem(404, "unknown-position", f"you have no position {position_id}")
