"""What operators decide together: proposals, and who is an operator."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from live.api.answers import PageOf, json_answer
from live.api.auth import operator
from live.api.idempotency import IdempotencyKey, command_key
from live.api.operator_access import PREFIX as _FOLDER
from live.api.operator_access import ProposalName, may
from live.api.operator_forms import (
    Done,
    OperatorBody,
    OperatorItem,
    ProposalItem,
    ProposalPaging,
    ReasonBody,
    told,
)
from live.api.problems import documented
from live.api.services import Using
from live.identity.principal import Principal
from live.operators.kinds import APPROVERS, PROPOSERS
from live.operators.permissions import Permission
from risk.errors import InvalidInput

_PROPOSED: dict[int | str, dict[str, Any]] = {
    202: {"model": Done, "description": "A second super admin must approve it."}
}
router = APIRouter(prefix=_FOLDER, tags=["operators"], responses=documented(401, 403))

Seer = Annotated[Principal, may(Permission.SEE)]
Manager = Annotated[Principal, may(Permission.MANAGE_OPERATORS)]
Approver = Annotated[Principal, operator(*APPROVERS)]
Proposer = Annotated[Principal, operator(*PROPOSERS)]


@router.get("/proposals", response_model=PageOf[ProposalItem])
async def list_proposals(using: Using, _: Seer, asked: Annotated[ProposalPaging, Query()]) -> Response:
    """List what was proposed, the newest first; what is OPEN waits for a second person."""
    found = await using.office.proposals.all(asked.status, asked.before, asked.limit + 1)
    items = [ProposalItem.of(each).model_dump(mode="json") for each in found[: asked.limit]]
    more = len(found) > asked.limit
    return json_answer({"items": items, "next": items[-1]["id"] if more else None})


@router.get("/proposals/{proposal_id}", responses=documented(404))
async def get_proposal(using: Using, _: Seer, proposal_id: ProposalName) -> ProposalItem:
    """Show a proposal, and what became of it."""
    return ProposalItem.of(await using.office.proposals.find(proposal_id))


@router.post("/proposals/{proposal_id}/approve", responses=documented(404, 409, 504))
async def approve_proposal(
    using: Using, by: Approver, proposal_id: ProposalName, body: ReasonBody
) -> ProposalItem:
    """Approve what another proposed, and have it done, once; which role may, the kind of proposal decides."""
    return ProposalItem.of(await using.office.proposals.approve(by, proposal_id, body.reason))


@router.post("/proposals/{proposal_id}/reject", responses=documented(404, 409))
async def reject_proposal(
    using: Using, by: Approver, proposal_id: ProposalName, body: ReasonBody
) -> ProposalItem:
    """Reject what another proposed."""
    return ProposalItem.of(await using.office.proposals.reject(by, proposal_id, body.reason))


@router.post("/proposals/{proposal_id}/withdraw", responses=documented(404, 409))
async def withdraw_proposal(
    using: Using, by: Proposer, proposal_id: ProposalName, body: ReasonBody
) -> ProposalItem:
    """Take back one's own proposal."""
    return ProposalItem.of(await using.office.proposals.withdraw(by, proposal_id, body.reason))


@router.get("/operators", summary="Who are the operators?")
async def list_operators(using: Using, _: Seer) -> list[OperatorItem]:
    """List the operators and their roles."""
    return [OperatorItem.of(each) for each in await using.office.staff.all()]


@router.post(
    "/operators",
    response_model=Done,
    responses=_PROPOSED | documented(409),
    summary="Add, change or remove an operator",
)
async def change_operator(using: Using, by: Manager, key: IdempotencyKey, body: OperatorBody) -> Response:
    """Give an account a role or take it away; as soon as there are several super admins, two of them must agree."""
    if (body.account is None) == (body.email is None):
        raise InvalidInput(
            "account and email were both given or both missing; name the account by one of them"
        )
    account = body.account or await using.office.staff.account_of(body.email or "")
    name = command_key(by.user, key)
    return told(await using.office.desk.change_operator(by, account, body.role, body.reason, name))
