"""Test funds and a market to push about, where it is ``serve --dev``; these routes do not exist otherwise."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, field_validator

from live.api.access_forms import Body
from live.api.auth import needs
from live.api.bodies import Money
from live.api.idempotency import IdempotencyKey, command_key
from live.api.problems import Problem, check_done, documented
from live.api.reads.filters import Symbol
from live.api.services import Using
from live.books.commands import Command
from live.books.first_answers import first_answer
from live.identity.principal import Principal, Scope
from live.ledger.inputs import DepositArrived

DEV_ONLY = True
CHAIN = "TEST"  # no chain has this name: such a deposit is told from real ones for ever
LARGEST = Decimal(100_000)
A_DAY = 10
_DAY_S = 86_400
LARGEST_MOVE = 4  # per cent; beyond 5 the books take a price for a mistake

router = APIRouter(prefix="/dev", tags=["dev"])


class TestFunds(Body):
    """Ask for test funds: USDC that nobody owns, at most 100 000."""

    amount: Annotated[Money, Field(examples=["10000"])]

    @field_validator("amount")
    @classmethod
    def _is_not_too_much(cls, amount: Decimal) -> Decimal:
        if amount > LARGEST:
            raise ValueError(f"must be at most {LARGEST}")
        return amount


class Given(BaseModel):
    """Say what was given."""

    amount: str = Field(examples=["10000"])
    asset: str = Field(examples=["USDC"])
    chain: str = Field(examples=[CHAIN])
    deposit_id: str = Field(examples=["uabcdefghijklmnopqrst:faucet:funds-1"])


class Move(Body):
    """Ask the market to move, by at most 4 per cent at once."""

    symbol: Symbol
    percent: Decimal = Field(ge=-LARGEST_MOVE, le=LARGEST_MOVE, decimal_places=2, examples=["-4"])


@router.post("/market", status_code=204, summary="Move the market", responses=documented(401, 403, 409))
async def move_market(asked: Move, using: Using, _: Annotated[Principal, needs(Scope.TRADE)]) -> None:
    """Lift all prices of a symbol, or lower them, by at most 4 per cent at once, and see what positions do.

    They stay there, also when the books that have seen it open again.
    """
    if using.move_market is None:
        raise Problem(409, "no-market", "this market cannot be moved")
    using.move_market(asked.symbol, asked.percent)


@router.post("/faucet", summary="Get test funds", responses=documented(401, 403, 409, 504))
async def get_test_funds(
    asked: TestFunds, key: IdempotencyKey, using: Using, principal: Annotated[Principal, needs(Scope.TRADE)]
) -> Given:
    """Credit a deposit on the chain TEST: at most 100 000 USDC at once, ten times a day; beyond it is 429."""
    user = principal.user
    name = command_key(user, f"faucet:{key}")
    again = await first_answer(using.pool, name) is not None
    if not again and await using.shared.count(f"faucet:{user}", _DAY_S) > A_DAY:
        raise Problem(
            429, "too-many-requests", f"at most {A_DAY} times a day", headers={"Retry-After": "3600"}
        )
    deposit = DepositArrived(0, name, user, asked.amount, CHAIN, "USDC", name, 0)
    check_done(await using.bus.submit(Command(name, deposit)))
    return Given(amount=f"{asked.amount:f}", asset="USDC", chain=CHAIN, deposit_id=name)
