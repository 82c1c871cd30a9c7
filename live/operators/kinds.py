"""What can be proposed, and by whom it is proposed and approved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
import msgspec

from live.identity.principal import Role
from live.operators.permissions import PERMISSIONS, Permission


class Kind(StrEnum):
    """Name what is proposed."""

    ROUTING_CONFIG = "ROUTING_CONFIG"
    RISK_CONFIG = "RISK_CONFIG"
    BALANCE_ADJUSTMENT = "BALANCE_ADJUSTMENT"
    BOOKS_RELEASE = "BOOKS_RELEASE"
    OPERATOR_CHANGE = "OPERATOR_CHANGE"


# Who proposes each, and who approves.
SIDES: Mapping[Kind, tuple[Permission, Permission]] = {
    Kind.ROUTING_CONFIG: (Permission.SET_ROUTING, Permission.SET_ROUTING),
    Kind.RISK_CONFIG: (Permission.SET_RISK, Permission.SET_RISK),
    Kind.BALANCE_ADJUSTMENT: (Permission.PROPOSE_ADJUSTMENT, Permission.APPROVE_ADJUSTMENT),
    Kind.BOOKS_RELEASE: (Permission.RELEASE_BOOKS, Permission.RELEASE_BOOKS),
    Kind.OPERATOR_CHANGE: (Permission.MANAGE_OPERATORS, Permission.MANAGE_OPERATORS),
}
PROPOSERS = tuple(role for role in Role if any(role in PERMISSIONS[propose] for propose, _ in SIDES.values()))
APPROVERS = tuple(role for role in Role if any(role in PERMISSIONS[approve] for _, approve in SIDES.values()))
COLUMNS = """id, kind, subject, body, reason, status, proposed_by, created_at, expires_at, decided_by, decided_at,
    decision, outcome, code, ended_at"""


@dataclass(frozen=True)
class Proposal:
    """Hold one proposal; ``outcome`` says what became of it when it was done, ``code`` why it FAILED."""

    id: int
    kind: Kind
    subject: str
    body: dict[str, Any]
    reason: str
    status: str
    proposed_by: str
    created_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision: str | None
    outcome: str | None
    code: str | None
    ended_at: datetime | None


def proposal(row: asyncpg.Record) -> Proposal:
    """Return the proposal that a row of ``COLUMNS`` holds."""
    return Proposal(**{**row, "kind": Kind(row["kind"]), "body": msgspec.json.decode(row["body"])})
