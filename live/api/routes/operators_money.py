"""What operators do about users' money: withdrawals, the blacklist, corrections, KYC."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from live.api.answers import PageOf, json_answer
from live.api.idempotency import IdempotencyKey, command_key
from live.api.operator_access import PREFIX as _FOLDER
from live.api.operator_access import UserName, WithdrawalName, may
from live.api.operator_forms import (
    AdjustmentBody,
    BlacklistBody,
    Done,
    KycBody,
    ReasonBody,
    ReviewPaging,
    told,
)
from live.api.problems import Problem, check_done, documented
from live.api.reads.listing import Condition
from live.api.reads.operators import ANY_WITHDRAWALS, BLACKLIST, AnyWithdrawal, BlacklistItem
from live.api.services import Services, Using
from live.api.wallet_forms import Address
from live.identity.principal import Principal
from live.operators.permissions import Permission

router = APIRouter(prefix=_FOLDER, tags=["operators"], responses=documented(401, 403))

Seer = Annotated[Principal, may(Permission.SEE)]
Reviewer = Annotated[Principal, may(Permission.REVIEW_WITHDRAWAL)]
Lister = Annotated[Principal, may(Permission.SET_BLACKLIST)]
Proposer = Annotated[Principal, may(Permission.PROPOSE_ADJUSTMENT)]
KycSetter = Annotated[Principal, may(Permission.SET_KYC)]
_MOST_LISTED = 10_000


@router.get("/withdrawals", response_model=PageOf[AnyWithdrawal])
async def list_withdrawals(using: Using, _: Seer, asked: Annotated[ReviewPaging, Query()]) -> Response:
    """List withdrawals of all users, the newest first; those in REVIEW wait for people."""
    found = asked.span("w.created_at")
    if asked.user is not None:
        found.append(Condition("w.user_id = {}", asked.user))
    if asked.status is not None:
        found.append(Condition("w.status = {}", asked.status))
    page = await ANY_WITHDRAWALS.page(using.pool, asked.before, asked.limit, found)
    return json_answer({"items": page.items, "next": page.next})


@router.get("/withdrawals/{withdrawal_id}", response_model=AnyWithdrawal, responses=documented(404))
async def get_withdrawal(using: Using, _: Seer, withdrawal_id: WithdrawalName) -> Response:
    """Show a withdrawal with all that whoever reviews it must know."""
    return await _withdrawal(using, withdrawal_id)


@router.post(
    "/withdrawals/{withdrawal_id}/approve",
    response_model=AnyWithdrawal,
    responses=documented(404, 409, 504),
)
async def approve_withdrawal(
    using: Using, by: Reviewer, key: IdempotencyKey, withdrawal_id: WithdrawalName, body: ReasonBody
) -> Response:
    """Approve another's withdrawal in one's own role, if ``approvals_needed`` has it.

    That is OPERATIONS, or RISK_MANAGER where a reason of risk brought it here; a large one needs both, two people.
    """
    name = command_key(by.user, key)
    check_done(await using.office.desk.approve_withdrawal(by, withdrawal_id, body.reason, name))
    return await _withdrawal(using, withdrawal_id)


@router.post(
    "/withdrawals/{withdrawal_id}/refuse", response_model=AnyWithdrawal, responses=documented(404, 409, 504)
)
async def refuse_withdrawal(
    using: Using, by: Reviewer, key: IdempotencyKey, withdrawal_id: WithdrawalName, body: ReasonBody
) -> Response:
    """Refuse another's withdrawal that is not being sent: the money returns to its user, who does not learn why."""
    name = command_key(by.user, key)
    check_done(await using.office.desk.refuse_withdrawal(by, withdrawal_id, body.reason, name))
    return await _withdrawal(using, withdrawal_id)


@router.get("/blacklist", summary="Which addresses are looked at?")
async def list_blacklist(using: Using, _: Seer) -> list[BlacklistItem]:
    """List the addresses that withdrawals are reviewed for."""
    page = await BLACKLIST.page(using.pool, None, _MOST_LISTED)
    return [BlacklistItem(**item) for item in page.items]


@router.post("/blacklist", status_code=201, response_model=BlacklistItem, responses=documented(409))
async def add_to_blacklist(using: Using, by: Lister, body: BlacklistBody) -> Response:
    """Have withdrawals to an address reviewed; those that are approved already are not sent any more."""
    address = await using.office.desk.blacklist(by, body.address, body.reason)
    found = await BLACKLIST.one(using.pool, Condition("address = {}", address))
    if found is None:
        raise Problem(404, "not-listed", f"{address} was taken off the blacklist meanwhile")
    return json_answer(found, 201)


@router.post("/blacklist/{address}/remove", status_code=204, responses=documented(404))
async def remove_from_blacklist(
    using: Using, by: Lister, address: Annotated[Address, Path()], body: ReasonBody
) -> None:
    """Take an address off the blacklist."""
    await using.office.desk.unlist(by, address, body.reason)


@router.post(
    "/users/{user}/adjustments", status_code=202, response_model=Done, responses=documented(404, 409)
)
async def adjust_balance(
    using: Using, by: Proposer, key: IdempotencyKey, user: UserName, body: AdjustmentBody
) -> Response:
    """Propose to correct a user's balance; a second person must approve it, then it is a journal entry."""
    name = command_key(by.user, key)
    return told(await using.office.desk.adjust_balance(by, user, body.amount, body.reason, name))


@router.post("/users/{user}/kyc", response_model=Done, responses=documented(404, 409, 504))
async def set_kyc(
    using: Using, by: KycSetter, key: IdempotencyKey, user: UserName, body: KycBody
) -> Response:
    """Set a user's KYC status."""
    name = command_key(by.user, key)
    return told(await using.office.desk.set_kyc(by, user, body.kyc_status, body.reason, name))


async def _withdrawal(using: Services, withdrawal_id: str) -> Response:
    found = await ANY_WITHDRAWALS.one(using.pool, Condition("w.id = {}", withdrawal_id))
    if found is None:
        raise Problem(404, "unknown-withdrawal", f"there is no withdrawal {withdrawal_id}")
    return json_answer(found)
