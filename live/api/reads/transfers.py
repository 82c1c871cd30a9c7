"""A user's deposits and withdrawals; of a review its user learns the outcome, not the reasons."""

from typing import Annotated, Any, Literal

import asyncpg
from pydantic import BaseModel, Field

from live.api.reads.filters import Paging
from live.api.reads.forms import MOMENT, MONEY, PLAIN, DecimalText, Form, MomentText, Seq, moment_text
from live.api.reads.listing import Column, Condition, Item, Listing
from live.ledger.rows_users import DepositRow, WithdrawalRow

DepositStatus = Literal["PENDING", "CREDITED", "REJECTED"]
WithdrawalStatus = Literal["UNCONFIRMED", "REVIEW", "APPROVED", "QUEUED", "SENDING", "SENT", "REFUSED"]
WithdrawalId = Annotated[str, Field(description="The books' name of a withdrawal.", examples=["w1207"])]


def _never_streamed(_: Any) -> None:
    """Give nothing: the field alone does not tell who refused, so it cannot tell what may be shown."""


_REASON = Form(
    "case when status <> 'REFUSED' then null when refused_by in ('books', user_id) then {} "
    "else 'REVIEW_NOT_PASSED' end",
    _never_streamed,
)


class DepositItem(BaseModel):
    """Be a deposit as it stands; its money counts from CREDITED on."""

    deposit_id: str = Field(examples=["arbitrum:0x5c…:0"])
    chain: str = Field(examples=["arbitrum"])
    asset: str = Field(examples=["USDC"])
    amount: DecimalText = Field(examples=["5000.000000"])
    tx_hash: str = Field(examples=["0x5c"])
    status: DepositStatus
    confirmations: int = Field(examples=[20])
    reason: str | None = Field(description="Why it was rejected.", examples=[None])
    created_at: MomentText
    updated_at: MomentText


class WithdrawalItem(BaseModel):
    """Be a withdrawal as it stands.

    UNCONFIRMED until the mailed token comes; REVIEW while people look at it; QUEUED while it waits for the chain's
    wallet to be filled; a REFUSED one, and its fee, is back in the balance.
    """

    withdrawal_id: WithdrawalId
    chain: str = Field(examples=["arbitrum"])
    asset: str = Field(examples=["USDC"])
    amount: DecimalText = Field(examples=["500.000000"])
    fee: DecimalText = Field(examples=["1.000000"])
    address: str = Field(examples=["0x52908400098527886E0F7030069857D2E4169EE7"])
    status: WithdrawalStatus
    reason: str | None = Field(
        description="Why it was refused: CANCELLED_BY_USER, NOT_CONFIRMED_IN_TIME, REVIEW_NOT_PASSED, a rule's code.",
        examples=[None],
    )
    tx_hash: str | None = Field(examples=[None])
    created_at: MomentText
    processed_at: MomentText | None
    seq: Seq


class StateItem(BaseModel):
    """Say since when a withdrawal was in a state."""

    status: WithdrawalStatus
    at: MomentText


class WithdrawalWithStates(WithdrawalItem):
    """Be a withdrawal with every state it went through; APPROVED comes again where a sending failed."""

    states: list[StateItem]


DEPOSITS = Listing(
    "deposits",
    DepositRow,
    "seq",
    "seq",
    (
        Column("deposit_id", "id", PLAIN),
        Column("chain", "chain", PLAIN),
        Column("asset", "asset", PLAIN),
        Column("amount", "amount", MONEY),
        Column("tx_hash", "tx_hash", PLAIN),
        Column("status", "status", PLAIN),
        Column("confirmations", "confirmations", PLAIN),
        Column("reason", "reason", PLAIN),
        Column("created_at", "created_at", MOMENT),
        Column("updated_at", "updated_at", MOMENT),
    ),
)
WITHDRAWALS = Listing(
    "withdrawals",
    WithdrawalRow,
    "seq",
    "updated_seq",
    (
        Column("withdrawal_id", "id", PLAIN),
        Column("chain", "chain", PLAIN),
        Column("asset", "asset", PLAIN),
        Column("amount", "amount", MONEY),
        Column("fee", "fee", MONEY),
        Column("address", "address", PLAIN),
        Column("status", "status", PLAIN),
        Column("reason", "reason", _REASON),
        Column("tx_hash", "tx_hash", PLAIN),
        Column("created_at", "created_at", MOMENT),
        Column("processed_at", "processed_at", MOMENT),
        Column("seq", "updated_seq", PLAIN),
    ),
)
_WITH_STATES = Listing(
    "withdrawals",
    WithdrawalRow,
    "seq",
    "updated_seq",
    (*WITHDRAWALS.columns, Column("states", "passed", PLAIN)),
)


async def withdrawal_with_states(pool: asyncpg.Pool, user: str, name: str) -> Item | None:
    """Return a withdrawal of ``user``; None where there is none."""
    found = await _WITH_STATES.one(pool, user, "id", name)
    if found is None:
        return None
    states = [each.split(":") for each in found["states"]]
    return {**found, "states": [{"status": status, "at": moment_text(int(ns))} for status, ns in states]}


class DepositPaging(Paging):
    """Take one page of deposits."""

    status: DepositStatus | None = Field(default=None, description="Only those; any by default.")


class WithdrawalPaging(Paging):
    """Take one page of withdrawals."""

    status: WithdrawalStatus | None = Field(default=None, description="Only those; any by default.")


def narrowed(asked: DepositPaging | WithdrawalPaging) -> list[Condition]:
    """Return the conditions on status and time."""
    found = [] if asked.status is None else [Condition("status = {}", asked.status)]
    return found + asked.span("created_at")
