"""What operators look at: users, orders and their routes, the house, alerts, and what was done."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from live.api.answers import PageOf, json_answer
from live.api.house_forms import HouseItem, house_item
from live.api.operator_access import PREFIX as _FOLDER
from live.api.operator_access import OrderName, UserName, may
from live.api.operator_forms import ActsPaging, OrdersPaging, UserPaging
from live.api.problems import Problem, documented
from live.api.reads.everyone import Overview
from live.api.reads.fills import FILLS, names_of
from live.api.reads.filters import Paging, SymbolPaging, of_symbol
from live.api.reads.listing import Condition, Item
from live.api.reads.money import BALANCES
from live.api.reads.operators import (
    ACTS,
    ALERTS,
    ANY_ORDERS,
    MODE_CHANGES,
    ROUTES,
    SERVICE_SWITCHES,
    USERS,
    AlertItem,
    AnyOrder,
    AuditItem,
    ModeChange,
    OrderDetail,
    RouteItem,
    ServiceSwitch,
    UserDetail,
    UserItem,
)
from live.api.reads.positions import POSITIONS
from live.api.reads.symbols import check_symbol
from live.api.services import Services, Using
from live.books.queries import HouseQuery
from live.identity.principal import Principal
from live.operators.permissions import Permission
from live.wallets.addresses import as_written

router = APIRouter(prefix=_FOLDER, tags=["operators"], responses=documented(401, 403))

Seer = Annotated[Principal, may(Permission.SEE)]
Auditor = Annotated[Principal, may(Permission.SEE_AUDIT_LOG)]


@router.get("/house", response_model=HouseItem, responses=documented(504))
async def get_house(using: Using, _: Seer) -> Response:
    """Show where the house stands at the marks of now: exposure, reserve, solvency, what is stopped."""
    return json_answer(house_item(await using.bus.ask(HouseQuery())))


@router.get("/users", response_model=PageOf[UserItem])
async def list_users(using: Using, _: Seer, asked: Annotated[UserPaging, Query()]) -> Response:
    """Search users, the newest first."""
    found = asked.span("created_at")
    if asked.query is not None:
        wanted = (
            "(id = {0} or starts_with(email, lower({0})) or starts_with(lower(wallet_address), lower({0})))"
        )
        found.append(Condition(wanted, asked.query))
    page = await USERS.page(using.pool, asked.before, asked.limit, found)
    return json_answer({"items": [_told(item) for item in page.items], "next": page.next})


@router.get("/users/{user}", response_model=UserDetail, responses=documented(404))
async def get_user(using: Using, _: Seer, user: UserName) -> Response:
    """Show a user with balance and open positions."""
    found = await USERS.one(using.pool, Condition("id = {}", user))
    if found is None:
        raise Problem(404, "unknown-user", f"there is no user {user}")
    still_open = [Condition("status = {}", "OPEN")]
    positions = [item async for part in POSITIONS.all(using.pool, user, still_open) for item in part]
    balance = await BALANCES.one(using.pool, user, "user_id", user)
    return json_answer({**_told(found), "balance": balance, "positions": positions})


@router.get("/orders", response_model=PageOf[AnyOrder])
async def list_orders(using: Using, _: Seer, asked: Annotated[OrdersPaging, Query()]) -> Response:
    """Search orders of all users, the newest first."""
    found = of_symbol(asked.symbol) + asked.span("created_at")
    if asked.user is not None:
        found.append(Condition("user_id = {}", asked.user))
    return await _page(using, ANY_ORDERS, asked, found)


@router.get("/orders/{order_id}", response_model=OrderDetail, responses=documented(404))
async def get_order(using: Using, _: Seer, order_id: OrderName) -> Response:
    """Show an order with every decision where it goes, and its fills."""
    order = await ANY_ORDERS.one(using.pool, Condition("id = {}", order_id))
    if order is None:
        raise Problem(404, "unknown-order", f"there is no order {order_id}")
    own = [Condition("order_id = any({})", names_of(order_id))]
    routing = await ROUTES.page(using.pool, None, 1_000, own)
    fills = [item async for part in FILLS.all(using.pool, order["user"], own) for item in part]
    return json_answer({**order, "routing": routing.items, "fills": fills})


@router.get("/routing-records", response_model=PageOf[RouteItem])
async def list_routing_records(using: Using, _: Seer, asked: Annotated[SymbolPaging, Query()]) -> Response:
    """List the decisions where orders went, the newest first."""
    found = of_symbol(asked.symbol) + asked.span("ts", nanoseconds=True)
    return await _page(using, ROUTES, asked, found)


@router.get("/mode-changes", response_model=PageOf[ModeChange])
async def list_mode_changes(using: Using, _: Seer, asked: Annotated[SymbolPaging, Query()]) -> Response:
    """List the switches of symbols' modes, the newest first."""
    return await _page(using, MODE_CHANGES, asked, asked.conditions("created_at"))


@router.get("/service-levels", response_model=PageOf[ServiceSwitch])
async def list_service_levels(using: Using, _: Seer, asked: Annotated[Paging, Query()]) -> Response:
    """List the switches of the service level, the newest first: the first one is in force."""
    return await _page(using, SERVICE_SWITCHES, asked, asked.span("created_at"))


@router.get("/alerts", response_model=PageOf[AlertItem])
async def list_alerts(using: Using, _: Seer, asked: Annotated[Paging, Query()]) -> Response:
    """List the alerts, the newest first."""
    return await _page(using, ALERTS, asked, asked.span("created_at"))


@router.get("/audit-log", response_model=PageOf[AuditItem])
async def list_audit_log(using: Using, _: Auditor, asked: Annotated[ActsPaging, Query()]) -> Response:
    """List what was done, by whom, the newest first."""
    return await _page(using, ACTS, asked, asked.span("ts", nanoseconds=True) + asked.conditions())


async def _page(using: Services, overview: Overview, asked: Paging, conditions: list[Condition]) -> Response:
    page = await overview.page(using.pool, asked.before, asked.limit, conditions)
    if not page.items and isinstance(asked, SymbolPaging | OrdersPaging) and asked.symbol is not None:
        await check_symbol(using.pool, asked.symbol)
    return json_answer({"items": page.items, "next": page.next})


def _told(user: Item) -> Item:
    """Return a user with the wallet's address as addresses are shown: the tables have it in lower case."""
    address = user["wallet_address"]
    return {**user, "wallet_address": None if address is None else as_written(address)}
