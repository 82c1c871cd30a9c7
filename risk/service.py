"""Degraded service: a switch that operators turn, and what each level keeps users from (§10)."""

from risk.core import Core
from risk.errors import AlreadySo, InvalidInput, StateConflict
from risk.inputs import OrderSubmitted, ServiceLevelSet

ALL_TO_HL, CLOSE_ONLY, CLOSED = 1, 2, 3  # levels of service; 0 is normal
_REFUSED = "SERVICE_LEVEL"


def set_level(core: Core, given: ServiceLevelSet) -> None:
    """Degrade or restore the service.

    Raises InvalidInput for a level that does not exist, AlreadySo for the one in force, and StateConflict where
    another is in force than was before.
    """
    if type(given.level) is not int or not 0 <= given.level <= CLOSED:
        raise InvalidInput(f"level was {given.level!r}; it must be an integer from 0 to {CLOSED}")
    if given.level == core.service_level:
        raise AlreadySo(f"level was {given.level}; that level is in force already")
    if given.before not in (None, core.service_level):
        raise StateConflict(
            "not-the-last-switch", f"before was {given.before}; level {core.service_level} is in force"
        )
    core.service_level = given.level


def refuse_order(core: Core, command: OrderSubmitted, closes: bool) -> bool:
    """Refuse a new order that the level of service does not allow."""
    if core.service_level < CLOSED:
        return not closes and refuse_open(core, command)
    core.refuse(command, _REFUSED, _degraded(core))
    return True


def refuse_open(core: Core, command: OrderSubmitted) -> bool:
    """Refuse an order, or its remainder, that would open a position where the service only closes."""
    if core.service_level < CLOSE_ONLY:
        return False
    core.refuse(command, _REFUSED, "no position can be opened now: positions can be closed, money withdrawn")
    return True


def refuse_while_closed(core: Core, ref: str, user: str, lowest: int = CLOSED) -> bool:
    """Refuse what a user asks for, other than an order, where the service is at level ``lowest`` or worse."""
    if core.service_level < lowest:
        return False
    core.refuse_act(ref, user, _REFUSED, _degraded(core))
    return True


def _degraded(core: Core) -> str:
    return f"the service is degraded to level {core.service_level}"
