"""A user's money on its way in and out: balance, deposits, withdrawals, and the address book."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from live.api.answers import PageOf, json_answer
from live.api.auth import From, needs
from live.api.idempotency import IdempotencyKey, command_key
from live.api.lean_reads import read
from live.api.problems import Problem, check_done, documented
from live.api.reads.filters import Id
from live.api.reads.money import BALANCES, BalanceItem
from live.api.reads.transfers import (
    DEPOSITS,
    WITHDRAWALS,
    DepositItem,
    DepositPaging,
    WithdrawalItem,
    WithdrawalPaging,
    WithdrawalWithStates,
    narrowed,
    withdrawal_with_states,
)
from live.api.services import Services, Using
from live.api.wallet_forms import AddressItem, ChainAsset, MailedToken, NewAddress, NewWithdrawal
from live.api.wording import worded
from live.identity.principal import Principal, Scope
from live.wallets.flow import Wish

router = APIRouter(tags=["wallets"], responses=documented(401, 403))

Reader = Annotated[Principal, needs(Scope.READ)]
Withdrawer = Annotated[Principal, needs(Scope.WITHDRAW)]
Owner = Annotated[Principal, needs(Scope.ACCOUNT)]
WithdrawalName = Annotated[
    str, Path(pattern=worded(r"^w[0-9]{1,18}$", "a withdrawal's id, such as w1207"), examples=["w1207"])
]
AddressName = Annotated[Id, Path()]


@router.get("/chains", summary="Where can money go, and what does that cost?")
async def list_chains(using: Using, _: Reader) -> list[ChainAsset]:
    """List the chains and assets with their limits and fees."""
    rules = using.withdrawals.rules.chains
    return [
        ChainAsset.of(chain, asset, rule) for chain, assets in rules.items() for asset, rule in assets.items()
    ]


@read(router, "/wallet", response_model=BalanceItem, responses=documented(404))
async def get_wallet(using: Using, reader: Reader) -> Response:
    """Show your balance, free of marks; what positions are worth stands in the account."""
    found = await BALANCES.one(using.pool, reader.user, "user_id", reader.user)
    if found is None:
        raise Problem(404, "not-in-books", "the books do not know you yet: verify your e-mail address first")
    return json_answer(found)


@read(router, "/deposits", response_model=PageOf[DepositItem])
async def list_deposits(using: Using, reader: Reader, asked: Annotated[DepositPaging, Query()]) -> Response:
    """List your deposits, the newest first."""
    page = await DEPOSITS.page(using.pool, reader.user, asked.before, asked.limit, narrowed(asked))
    return json_answer({"items": page.items, "next": page.next})


@read(router, "/withdrawals", response_model=PageOf[WithdrawalItem])
async def list_withdrawals(
    using: Using, reader: Reader, asked: Annotated[WithdrawalPaging, Query()]
) -> Response:
    """List your withdrawals, the newest first."""
    page = await WITHDRAWALS.page(using.pool, reader.user, asked.before, asked.limit, narrowed(asked))
    return json_answer({"items": page.items, "next": page.next})


@read(router, "/withdrawals/{withdrawal_id}", response_model=WithdrawalWithStates, responses=documented(404))
async def get_withdrawal(using: Using, reader: Reader, withdrawal_id: WithdrawalName) -> Response:
    """Show one of your withdrawals."""
    return await _withdrawal(using, reader, withdrawal_id)


@router.post(
    "/withdrawals", status_code=201, response_model=WithdrawalWithStates, responses=documented(404, 409, 504)
)
async def request_withdrawal(
    using: Using, withdrawer: Withdrawer, key: IdempotencyKey, body: NewWithdrawal, origin: From
) -> Response:
    """Ask for a withdrawal: the money is held at once, and a token mailed that confirms it within half an hour."""
    user = withdrawer.user
    wish = Wish(
        user,
        body.amount,
        body.asset,
        body.address_id,
        command_key(user, key),
        withdrawer.id,
        origin.ip,
    )

    async def second_factor(use: str) -> None:
        await using.identity.second_factor.check(user, body.code, origin, use)

    answer = check_done(await using.withdrawals.request(wish, second_factor))
    return await _withdrawal(using, withdrawer, answer.id, 201)


@router.post(
    "/withdrawals/{withdrawal_id}/confirm",
    response_model=WithdrawalWithStates,
    responses=documented(404, 409, 504),
)
async def confirm_withdrawal(
    using: Using, withdrawer: Withdrawer, withdrawal_id: WithdrawalName, body: MailedToken
) -> Response:
    """Confirm a withdrawal with the mailed token; it is sent, or goes to review. To repeat it changes nothing."""
    check_done(await using.withdrawals.confirm(withdrawer.user, withdrawal_id, body.token))
    return await _withdrawal(using, withdrawer, withdrawal_id)


@router.post(
    "/withdrawals/{withdrawal_id}/cancel",
    response_model=WithdrawalWithStates,
    responses=documented(404, 409, 504),
)
async def cancel_withdrawal(
    using: Using, withdrawer: Withdrawer, key: IdempotencyKey, withdrawal_id: WithdrawalName
) -> Response:
    """Cancel a withdrawal that is not being sent: the money, and its fee, is free again."""
    name = command_key(withdrawer.user, key)
    check_done(await using.withdrawals.cancel(withdrawer.user, withdrawal_id, name))
    return await _withdrawal(using, withdrawer, withdrawal_id)


@router.get("/addresses", summary="Which addresses are in my book?")
async def list_addresses(using: Using, reader: Reader) -> list[AddressItem]:
    """List the addresses that withdrawals may go to, the oldest first."""
    return [AddressItem.of(each) for each in await using.withdrawals.addresses.all(reader.user)]


@router.post("/addresses", status_code=201, responses=documented(409), summary="Add an address to my book")
async def add_address(using: Using, owner: Owner, body: NewAddress, origin: From) -> AddressItem:
    """Add an address, with a code of the authenticator; withdrawals may go there a day later."""
    # Looked at first: a code is used up by it, for this address, however often it is sent.
    addresses = using.withdrawals.addresses
    address, label = await addresses.check_addable(owner.user, body.chain, body.address, body.label)
    use = f"address {body.chain} {address} {label}"
    await using.identity.second_factor.check(owner.user, body.code, origin, use)
    added, _ = await using.withdrawals.add_address(owner.user, body.chain, address, label, origin)
    return AddressItem.of(added)


@router.delete("/addresses/{address_id}", status_code=204, responses=documented(404))
async def remove_address(using: Using, owner: Owner, address_id: AddressName, origin: From) -> None:
    """Remove an address; added again it waits again."""
    await using.withdrawals.addresses.remove(owner.user, address_id, origin)


async def _withdrawal(using: Services, reader: Principal, withdrawal_id: str, status: int = 200) -> Response:
    found = await withdrawal_with_states(using.pool, reader.user, withdrawal_id)
    if found is None:
        raise Problem(404, "unknown-withdrawal", f"you have no withdrawal {withdrawal_id}")
    return json_answer(found, status)
