"""Who of the operators may do what: one table."""

from collections.abc import Mapping
from enum import StrEnum

from live.identity.errors import NotPermitted
from live.identity.principal import Role


class Permission(StrEnum):
    """Name what operators do. PROPOSE_… and APPROVE_… are the two sides of what needs two people."""

    SEE = "SEE"
    SEE_AUDIT_LOG = "SEE_AUDIT_LOG"
    SET_ROUTING = "SET_ROUTING"
    SET_RISK = "SET_RISK"
    SET_SERVICE_LEVEL = "SET_SERVICE_LEVEL"
    LIFT_HALT = "LIFT_HALT"
    RELEASE_BOOKS = "RELEASE_BOOKS"
    REVIEW_WITHDRAWAL = "REVIEW_WITHDRAWAL"
    SET_BLACKLIST = "SET_BLACKLIST"
    PROPOSE_ADJUSTMENT = "PROPOSE_ADJUSTMENT"
    APPROVE_ADJUSTMENT = "APPROVE_ADJUSTMENT"
    SET_KYC = "SET_KYC"
    MANAGE_OPERATORS = "MANAGE_OPERATORS"


_SUPER, _RISK, _OPERATIONS, _ANALYST = Role.SUPER_ADMIN, Role.RISK_MANAGER, Role.OPERATIONS, Role.ANALYST
# A withdrawal is for the two roles that the policy names: nobody stands in for them.
PERMISSIONS: Mapping[Permission, tuple[Role, ...]] = {
    Permission.SEE: (_SUPER, _RISK, _OPERATIONS, _ANALYST),
    Permission.SEE_AUDIT_LOG: (_SUPER, _RISK),
    Permission.SET_ROUTING: (_SUPER, _RISK),
    Permission.SET_RISK: (_SUPER, _RISK),
    Permission.SET_SERVICE_LEVEL: (_SUPER, _RISK, _OPERATIONS),
    Permission.LIFT_HALT: (_SUPER, _RISK),
    Permission.RELEASE_BOOKS: (_SUPER, _RISK),
    Permission.REVIEW_WITHDRAWAL: (_RISK, _OPERATIONS),
    Permission.SET_BLACKLIST: (_SUPER, _RISK),
    Permission.PROPOSE_ADJUSTMENT: (_SUPER, _OPERATIONS),
    Permission.APPROVE_ADJUSTMENT: (_SUPER, _RISK),
    Permission.SET_KYC: (_SUPER, _OPERATIONS),
    Permission.MANAGE_OPERATORS: (_SUPER,),
}


def check_permitted(role: Role | None, permission: Permission) -> None:
    """Raise NotPermitted unless operators of ``role`` have the permission."""
    if role not in PERMISSIONS[permission]:
        wanted = ", ".join(PERMISSIONS[permission])
        raise NotPermitted("role", f"your role was {role or 'none'}; {permission} is for {wanted}")
