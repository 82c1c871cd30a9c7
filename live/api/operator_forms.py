"""What operators' requests say and answer."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StrictInt, WithJsonSchema
from starlette.responses import Response

from live.api.access_forms import At, Body, Email
from live.api.answers import json_answer
from live.api.operator_access import WITHDRAWAL
from live.api.problems import check_done
from live.api.reads.filters import Id, Paging, Symbol
from live.api.reads.listing import LARGEST_ID, MOST, Condition
from live.api.reads.operators import Mode
from live.api.reads.transfers import WithdrawalStatus
from live.api.wallet_forms import Address
from live.api.wording import worded
from live.books.commands import Answer
from live.identity.principal import Role
from live.operators.kinds import Kind, Proposal
from live.operators.staff import Operator
from live.wallets.addresses import as_written

Account = Annotated[
    str,
    Field(
        pattern=worded(r"^u[a-z2-7]{20}$", "an account's id: u and 20 characters"),
        examples=["uabcdefghijklmnopqrst"],
    ),
]
_NO_NUL = worded(r"^[^\x00]*$", "text without NUL")  # which the database cannot hold
Why = Annotated[
    str,
    Field(
        min_length=1,
        max_length=400,
        pattern=worded(r"^[^\x00]*[^\s\x00][^\x00]*$", "text that is not blank, and without NUL"),
        examples=["asked for by the user, case 11"],
    ),
]
Row = Annotated[
    str,
    Field(pattern=worded(r"^(\*|[A-Za-z0-9:@./_-]{1,40})$", "a symbol such as BTC, or *"), examples=["BTC"]),
]
Withdrawal = Annotated[str, Field(pattern=WITHDRAWAL, examples=["w1207"])]
_OF_SUBJECT = "subject = {}"
_OF_WITHDRAWAL = "action like 'WITHDRAWAL%' and split_part(detail, ':', 1) = {}"
_OF_PROPOSAL = r"""action not like 'ADDRESS%' and detail like 'proposal %'
    and substring(detail from '^proposal (\d+)') = {}"""
ProposalStatus = Literal["OPEN", "APPROVED", "EXECUTED", "FAILED", "REJECTED", "WITHDRAWN", "EXPIRED"]
_SIGNED = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")


def _signed(value: object) -> Decimal:
    if isinstance(value, str) and _SIGNED.fullmatch(value) and (found := Decimal(value)):
        return found
    raise ValueError("must be an amount other than 0 as text, at most 6 digits after the point")


SignedMoney = Annotated[
    Decimal,
    BeforeValidator(_signed),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIGNED.pattern}$", "examples": ["-12.5"]}),
]


class ReasonBody(Body):
    """Say why."""

    reason: Why


class ModeBody(ReasonBody):
    """Pin a symbol's mode; null releases the pin."""

    mode: Mode | None


class ChangesBody(ReasonBody):
    """Name settings and their new values, decimals as text."""

    changes: dict[str, JsonValue] = Field(
        min_length=1, max_length=100, examples=[{"reserve_floor": "250000", "hedge_retry_max": 8}]
    )


class RoutingChangesBody(ChangesBody):
    """Change the routing row of a symbol; ``*`` is the one for symbols without their own."""

    symbol: Row
    changes: dict[str, JsonValue] = Field(
        min_length=1, max_length=20, examples=[{"normal_threshold": "12000"}]
    )


class ServiceBody(ReasonBody):
    """Switch the service level (rulebook §10): 0 is normal, 3 closed."""

    level: Annotated[StrictInt, Field(ge=0, le=3, examples=[2])]


class RollbackBody(ReasonBody):
    """Undo the last switch of the service level."""

    switch: Annotated[StrictInt, Field(ge=0, le=LARGEST_ID)] = Field(
        description="``seq`` of that switch: no other is undone, and it only once.", examples=[1207]
    )


class KycBody(ReasonBody):
    """Set a KYC status."""

    kyc_status: Literal["NONE", "PENDING", "APPROVED", "REJECTED"] = Field(examples=["APPROVED"])


class AdjustmentBody(ReasonBody):
    """Propose a correction of a user's cash: + from platform capital, − to it."""

    amount: SignedMoney


class BlacklistBody(ReasonBody):
    """Name an address and why."""

    address: Address


class OperatorBody(ReasonBody):
    """Give an account a role; null takes it away. Name it by ``account`` or ``email``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"email": "rita@example.org", "role": "RISK_MANAGER", "reason": "joins the desk, case 11"}
            ]
        }
    )

    account: Account | None = None
    email: Email | None = None
    role: Role | None


class ProposalItem(BaseModel):
    """Be what one operator proposed, and what became of it."""

    id: int = Field(examples=[5])
    kind: Kind
    subject: str = Field(examples=["BTC"])
    body: dict[str, Any] = Field(
        examples=[{"changes": {"normal_threshold": "0"}, "before": {"normal_threshold": "10000"}}]
    )
    reason: str = Field(examples=["asked for by the user, case 11"])
    status: ProposalStatus
    proposed_by: Account
    created_at: At
    expires_at: At
    decided_by: Account | None
    decided_at: At | None
    decision: str | None = Field(examples=["seen the case"])
    outcome: str | None = Field(examples=["input 1207"])
    code: str | None = Field(
        description="Why it FAILED, as in a problem document.", examples=["ADJUSTMENT_EXCEEDS_FREE"]
    )
    ended_at: At | None

    @classmethod
    def of(cls, found: Proposal) -> "ProposalItem":
        """Return what is shown of a proposal."""
        return cls.model_validate(found, from_attributes=True)


class Done(BaseModel):
    """Say what became of a request: DONE with its place among the books' inputs, or PROPOSED for a second person."""

    status: Literal["DONE", "PROPOSED"]
    seq: int | None = Field(default=None, examples=[1207])
    proposal: ProposalItem | None = None


class OperatorItem(BaseModel):
    """Be one operator."""

    account_id: Account
    email: str | None = Field(examples=["rita@example.org"])
    role: Role
    added_by: str = Field(examples=["uabcdefghijklmnopqrst"])
    added_at: At
    changed_by: str = Field(examples=["uabcdefghijklmnopqrst"])
    changed_at: At

    @classmethod
    def of(cls, found: Operator) -> "OperatorItem":
        """Return what is shown of an operator."""
        return cls.model_validate(found, from_attributes=True)


class Bound(BaseModel):
    """Say within what a setting may be changed."""

    minimum: str = Field(examples=["0"])
    maximum: str = Field(examples=["10000000"])


class SettingsItem(BaseModel):
    """Show settings in force, and the bounds of those that are numbers."""

    values: dict[str, Any] = Field(examples=[{"reserve_floor": "200000"}])
    bounds: dict[str, Bound] = Field(examples=[{"reserve_floor": {"minimum": "0", "maximum": "1000000000"}}])


class UserPaging(Paging):
    """Search users: by id, or by what their e-mail or wallet address begins with."""

    query: Annotated[str, Field(min_length=1, max_length=254, pattern=_NO_NUL, examples=["ann@"])] | None = (
        None
    )


class OrdersPaging(Paging):
    """Search orders."""

    user: (
        Annotated[
            str, Field(min_length=1, max_length=100, pattern=_NO_NUL, examples=["uabcdefghijklmnopqrst"])
        ]
        | None
    ) = None
    symbol: Symbol | None = None


class ReviewPaging(Paging):
    """Search withdrawals."""

    user: (
        Annotated[
            str, Field(min_length=1, max_length=100, pattern=_NO_NUL, examples=["uabcdefghijklmnopqrst"])
        ]
        | None
    ) = None
    status: WithdrawalStatus | None = None


class ActsPaging(Paging):
    """Search the audit log; those about a withdrawal have its user as their subject."""

    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL, examples=["BTC"])] | None = (
        Field(default=None, description="A user, a symbol, or an address in whatever case.")
    )
    withdrawal: Withdrawal | None = Field(default=None, description="Only what was done about it.")
    proposal: Id | None = Field(default=None, description="Only it, its decision, and what that led to.")

    def conditions(self) -> list[Condition]:
        """Return the conditions on what is searched for, in the words of the indexes."""
        asked = (
            (_OF_SUBJECT, None if self.subject is None else as_written(self.subject)),
            (_OF_WITHDRAWAL, self.withdrawal),
            (_OF_PROPOSAL, None if self.proposal is None else str(self.proposal)),
        )
        return [Condition(sql, value) for sql, value in asked if value is not None]


class ProposalPaging(BaseModel):
    """List proposals."""

    model_config = ConfigDict(extra="forbid")

    before: int | None = Field(
        default=None, ge=0, le=LARGEST_ID, description="``next`` of the page before.", examples=[1107]
    )
    limit: int = Field(default=100, ge=1, le=MOST, description="How many items at most.", examples=[20])
    status: ProposalStatus | None = None


def told(found: Answer | Proposal | None) -> Response:
    """Return the answer to an act: 200 when it is done, 202 when a second person must approve it."""
    if isinstance(found, Proposal):
        done = Done(status="PROPOSED", proposal=ProposalItem.of(found))
        return json_answer(done.model_dump(mode="json"), 202)
    seq = None if found is None else check_done(found).seq
    return json_answer(Done(status="DONE", seq=seq).model_dump(mode="json"))
