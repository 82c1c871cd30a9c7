"""The market, for everybody."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from live.api.answers import json_answer
from live.api.problems import Problem, documented
from live.api.reads.filters import Symbol
from live.api.reads.markets import MarketItem, MarketList, market_item, market_list
from live.api.services import Using

router = APIRouter(tags=["trading"], responses=documented(504))


@router.get("/markets", response_model=MarketList)
async def list_markets(using: Using) -> Response:
    """List all symbols: their rules, marks, best prices and funding. Needs no log-in."""
    return json_answer(market_list(await using.markets.now()))


@router.get("/markets/{symbol}", response_model=MarketItem, responses=documented(404))
async def get_market(using: Using, symbol: Annotated[Symbol, Path()]) -> Response:
    """Show one symbol. Needs no log-in."""
    for market in (await using.markets.now()).symbols:
        if market.symbol == symbol:
            return json_answer(market_item(market))
    raise Problem(404, "unknown-symbol", f"there is no symbol {symbol}")
