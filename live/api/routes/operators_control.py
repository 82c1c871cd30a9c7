"""What operators set: routing, risk, the service level; and what they let go on after it was stopped."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from live.api.idempotency import IdempotencyKey, command_key
from live.api.operator_access import PREFIX as _FOLDER
from live.api.operator_access import SymbolName, may
from live.api.operator_forms import (
    Bound,
    ChangesBody,
    Done,
    ModeBody,
    ReasonBody,
    RollbackBody,
    RoutingChangesBody,
    Row,
    ServiceBody,
    SettingsItem,
    told,
)
from live.api.problems import Problem, documented
from live.api.services import Using
from live.identity.principal import Principal
from live.operators.bounds import RISK_BOUNDS, ROUTING_BOUNDS, Bounds
from live.operators.changes import shown
from live.operators.permissions import Permission
from live.operators.settings_store import DEFAULT_ROW
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

_PROPOSED: dict[int | str, dict[str, Any]] = {
    202: {"model": Done, "description": "A second person must approve it."}
}
router = APIRouter(prefix=_FOLDER, tags=["operators"], responses=documented(401, 403))

Seer = Annotated[Principal, may(Permission.SEE)]
Router = Annotated[Principal, may(Permission.SET_ROUTING)]
RiskSetter = Annotated[Principal, may(Permission.SET_RISK)]
Switcher = Annotated[Principal, may(Permission.SET_SERVICE_LEVEL)]
Lifter = Annotated[Principal, may(Permission.LIFT_HALT)]
Releaser = Annotated[Principal, may(Permission.RELEASE_BOOKS)]


@router.get(
    "/routing-config/{symbol}", responses=documented(404), summary="Which routing row counts for a symbol?"
)
async def get_routing_config(using: Using, _: Seer, symbol: Annotated[Row, Path()]) -> SettingsItem:
    """Show the symbol's own row, or the default one, ``*``, and the bounds of its thresholds."""
    if symbol != DEFAULT_ROW and not await using.office.settings.is_traded(symbol):
        raise Problem(404, "unknown-symbol", f"there is no symbol {symbol}")
    return _settings(await using.office.settings.routing(symbol), ROUTING_BOUNDS)


@router.post(
    "/routing-config", response_model=Done, responses=_PROPOSED | documented(409, 504), summary="Change a row"
)
async def change_routing_config(
    using: Using, by: Router, key: IdempotencyKey, body: RoutingChangesBody
) -> Response:
    """Change a routing row. One that becomes 0, or ten times or a tenth of what it was or two people last agreed on,
    needs a second person.
    """
    name = command_key(by.user, key)
    return told(await using.office.desk.change_settings(by, body.symbol, body.changes, body.reason, name))


@router.put("/routing-mode/{symbol}", response_model=Done, responses=documented(404, 409, 504))
async def set_routing_mode(
    using: Using, by: Router, key: IdempotencyKey, symbol: SymbolName, body: ModeBody
) -> Response:
    """Pin a symbol's mode, or release the pin."""
    mode = None if body.mode is None else RoutingMode(body.mode)
    return told(await using.office.desk.set_mode(by, symbol, mode, body.reason, command_key(by.user, key)))


@router.get("/risk-config", summary="Which risk settings are in force?")
async def get_risk_config(using: Using, _: Seer) -> SettingsItem:
    """Show the risk config and the bounds of its numbers."""
    return _settings(await using.office.settings.risk(), RISK_BOUNDS)


@router.post(
    "/risk-config", response_model=Done, responses=_PROPOSED | documented(409, 504), summary="Change settings"
)
async def change_risk_config(
    using: Using, by: RiskSetter, key: IdempotencyKey, body: ChangesBody
) -> Response:
    """Change risk settings. A number that becomes 0, or ten times or a tenth of what it was or two people last
    agreed on, and all that is no number, needs a second person.
    """
    name = command_key(by.user, key)
    return told(await using.office.desk.change_settings(by, None, body.changes, body.reason, name))


@router.post("/service-level", response_model=Done, responses=documented(409, 504))
async def set_service_level(using: Using, by: Switcher, key: IdempotencyKey, body: ServiceBody) -> Response:
    """Degrade the service or restore it: 1 all opens to Hyperliquid, 2 close and withdraw only, 3 closed."""
    name = command_key(by.user, key)
    return told(await using.office.desk.set_service_level(by, body.level, body.reason, name))


@router.post("/service-level/rollback", response_model=Done, responses=documented(409, 504))
async def roll_back_service_level(
    using: Using, by: Switcher, key: IdempotencyKey, body: RollbackBody
) -> Response:
    """Undo the last switch of the service level, which ``switch`` must name; it goes back to the level before."""
    name = command_key(by.user, key)
    return told(await using.office.desk.roll_service_back(by, body.switch, body.reason, name))


@router.post("/halts/{symbol}/lift", response_model=Done, responses=documented(404, 409, 504))
async def lift_halt(
    using: Using, by: Lifter, key: IdempotencyKey, symbol: SymbolName, body: ReasonBody
) -> Response:
    """Let opening orders of a symbol go to Hyperliquid again after a deviation had stopped them."""
    return told(await using.office.desk.lift_halt(by, symbol, body.reason, command_key(by.user, key)))


@router.post("/books/release", status_code=202, response_model=Done, responses=documented(409, 504))
async def release_books(using: Using, by: Releaser, key: IdempotencyKey, body: ReasonBody) -> Response:
    """Propose to let the books go on after a critical reconciliation; a second person must approve it."""
    return told(await using.office.desk.release_books(by, body.reason, command_key(by.user, key)))


def _settings(row: RoutingConfig | RiskConfig, bounds: Any) -> SettingsItem:
    found: dict[str, Bounds] = dict(bounds)
    return SettingsItem(
        values=shown(row),
        bounds={
            name: Bound(minimum=f"{low:f}" if not isinstance(low, int) else str(low), maximum=str(high))
            for name, (low, high) in found.items()
        },
    )
