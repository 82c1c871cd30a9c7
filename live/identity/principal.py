"""Who a request comes from, and what it may do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Scope(StrEnum):
    """Be something a request may do; an API key never has ACCOUNT."""

    READ = "READ"
    TRADE = "TRADE"
    WITHDRAW = "WITHDRAW"
    ACCOUNT = "ACCOUNT"


class Role(StrEnum):
    """Be what an operator may do."""

    SUPER_ADMIN = "SUPER_ADMIN"
    RISK_MANAGER = "RISK_MANAGER"
    OPERATIONS = "OPERATIONS"
    ANALYST = "ANALYST"


@dataclass(frozen=True, slots=True)
class Principal:
    """Hold who asks: ``user`` is the account's id, which is the user's in the books.

    ``id`` is that of the session or the API key. ``mfa`` says that a second factor was given in this session,
    last at ``second_factor_at`` (UTC ns, 0 if never).
    """

    user: str
    via: Literal["session", "api_key"]
    id: str
    scopes: frozenset[Scope]
    role: Role | None = None
    mfa: bool = False
    second_factor_at: int = 0

    def log_fields(self) -> dict[str, str]:
        """Return what a line of the log has of who asks; no secret is among it."""
        return {"user": self.user, "session" if self.via == "session" else "key": self.id}
