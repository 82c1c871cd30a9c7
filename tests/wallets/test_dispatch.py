"""Approved withdrawals through the chain port: each paid once whatever breaks off, the smallest tiers first."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.identity.moments import moment
from live.ledger.inputs import ReconciliationDone, WithdrawalApproved
from live.wallets.chain import ArrivedTransfer, SendOutcome, SendState
from risk.inputs import ServiceLevelSet
from tests.emptied import Emptied
from tests.risk.book_builder import D
from tests.wallets.simulated_chain import Crash, SimulatedChain
from tests.wallets.till import Till, a_till, account_id


def on_till(dsn: str, body: Callable[[Till], Awaitable[None]]) -> None:
    async def run() -> None:
        async with a_till(dsn) as till:
            await body(till)

    asyncio.run(run())


async def approved(till: Till, user: str, to: Any, amount: object) -> str:
    """Bring a withdrawal to where it can be sent, whoever must look at it."""
    name = await till.confirmed(user, to, amount)
    for place, role in enumerate((await till.row(name))["approvals_needed"]):
        await till.desk.ask(WithdrawalApproved(0, name, f"operator-{place}", role))
    assert (await till.row(name))["status"] == "APPROVED"
    return name


def test_what_is_approved_is_sent_and_settled(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        till.chain.slow = True
        name = await approved(till, ann, to, 100)
        await till.dispatcher.step()
        await till.dispatcher.step()
        assert (await till.row(name))["status"] == "SENDING"
        till.chain.mine()
        await till.dispatcher.step()
        row = await till.row(name)
        assert (row["status"], row["tx_hash"]) == ("SENT", f"0x{1:064x}")
        (paid,) = till.chain.paid
        assert (paid.amount, paid.address, paid.chain) == (100, to.address, "arbitrum")
        assert await till.pool.fetchval("select balance from hot_wallets") == 499_900
        assert (
            await till.pool.fetchval("select withdrawals_pending from wallets where user_id = $1", ann) == 0
        )

    on_till(database, body)


@pytest.mark.parametrize("crash", ["crash_before", "crash_after"])
def test_a_crash_between_sending_and_sent_pays_once(database: str, crash: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        name = await approved(till, ann, to, 100)
        setattr(till.chain, crash, True)
        with pytest.raises(Crash):
            await till.dispatcher.step()
        assert (await till.row(name))["status"] == "SENDING"
        setattr(till.chain, crash, False)
        for _ in range(3):
            await till.dispatcher.step()
        assert (await till.row(name))["status"] == "SENT"
        assert len(till.chain.paid) == 1
        assert len(till.chain.asked) == (
            2 if crash == "crash_before" else 1
        )  # looked up before it is sent again

    on_till(database, body)


@pytest.mark.parametrize("again", [True, False])
def test_a_sending_that_failed_is_tried_again_or_given_back(database: str, again: bool) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        name = await approved(till, ann, to, 100)
        till.chain.refuses = SendOutcome(SendState.FAILED, reason="no gas", again=again)
        await till.dispatcher.step()
        assert till.chain.paid == []
        till.chain.refuses = None
        for _ in range(3):
            await till.dispatcher.step()
        row = await till.row(name)
        assert row["status"] == ("SENT" if again else "REFUSED")
        assert len(till.chain.paid) == again
        assert await till.cash(ann) == (899 if again else 1_000)
        if not again:
            assert (row["refused_by"], row["reason"]) == ("books", "no gas")

    on_till(database, body)


def test_a_short_hot_wallet_serves_the_smallest_tiers_first(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000_000)
        to = await till.booked(ann)
        await till.fill(200_000)
        large = await approved(till, ann, to, 150_000)
        medium = await approved(till, ann, to, 50_000)
        small = await approved(till, ann, to, 9_000)
        little = await approved(till, ann, to, 500)
        till.chain.balances["arbitrum"] = D(8_000)
        await till.dispatcher.step()
        await till.dispatcher.step()
        # 9 000 do not fit, what is of its tier and does goes past it; larger tiers wait, though it does not matter yet.
        assert await till.statuses() == {
            large: "QUEUED",
            medium: "QUEUED",
            small: "QUEUED",
            little: "SENT",
        }
        till.chain.balances["arbitrum"] = D(58_999)
        await till.dispatcher.step()
        await till.dispatcher.step()
        # The small one goes first, and leaves too little for the medium one; the large one does not go past that.
        assert [paid.withdrawal_id for paid in till.chain.paid] == [little, small]
        till.chain.balances["arbitrum"] = D(200_000)
        await till.dispatcher.step()
        await till.dispatcher.step()
        assert [paid.withdrawal_id for paid in till.chain.paid] == [little, small, medium, large]
        assert set((await till.statuses()).values()) == {"SENT"}

    on_till(database, body)


def test_while_a_smaller_tier_waits_no_larger_one_of_its_chain_is_paid(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000_000)
        to, based = await till.booked(ann), await till.booked(ann, chain="base")
        await till.fill(200_000)
        await till.fill(200_000, "base")
        till.chain.slow = True  # what is under way is counted until it is settled
        small = await approved(till, ann, to, 9_999)
        medium = await approved(till, ann, to, 10_000)
        elsewhere = await approved(till, ann, based, 10_000)
        till.chain.balances["arbitrum"] = D(9_000)
        await till.dispatcher.step()
        assert await till.statuses() == {small: "QUEUED", medium: "QUEUED", elsewhere: "SENDING"}
        till.chain.balances["arbitrum"] = D(10_500)
        await till.dispatcher.step()
        assert (await till.statuses())[medium] == "QUEUED"

    on_till(database, body)


def test_what_is_under_way_is_not_spent_twice(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000_000)
        to = await till.booked(ann)
        await till.fill(200_000)
        first = await approved(till, ann, to, 9_000)
        till.chain.crash_before = True
        with pytest.raises(Crash):
            await till.dispatcher.step()
        second = await approved(till, ann, to, 9_000)
        till.chain.balances["arbitrum"] = D(10_000)  # the first has not left it yet
        till.chain.crash_before, till.chain.slow = False, True
        await till.dispatcher.step()
        assert await till.statuses() == {first: "SENDING", second: "QUEUED"}

    on_till(database, body)


def test_no_money_leaves_while_the_service_or_the_books_are_stopped(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        name = await approved(till, ann, to, 100)
        await till.desk.ask(ServiceLevelSet(0, 3, "rita", "assets at risk"))
        await till.dispatcher.step()
        await till.desk.ask(ServiceLevelSet(0, 0, "rita", "over"))
        till.desk.process.tell(ReconciliationDone(0, "x", D(1), D(2), D(1), "CRITICAL"))
        await till.dispatcher.step()
        assert (till.chain.paid, (await till.row(name))["status"]) == ([], "APPROVED")

    on_till(database, body)


def test_an_address_blacklisted_after_the_approval_is_not_paid(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        name = await approved(till, ann, to, 100)
        row = (to.address, moment(till.desk.clock.now_ns()))
        await till.pool.execute("insert into access.blacklist values ($1, 'stolen', 'rita', $2)", *row)
        await till.dispatcher.step()
        assert (till.chain.paid, (await till.row(name))["status"]) == ([], "APPROVED")
        known = await approved(till, ann, to, 101)  # somebody looked at it, and knew
        await till.dispatcher.step()
        assert [paid.withdrawal_id for paid in till.chain.paid] == [known]

    on_till(database, body)


def test_hot_wallets_are_reported_when_they_change(database: str) -> None:
    async def body(till: Till) -> None:
        for balance in (500_000, 500_000, 90_000, 500_000):
            await till.fill(balance)
        rows = await till.pool.fetch(
            "select detail from audit_log where action = 'HOT_WALLET_REPORTED' order by id"
        )
        assert [D(row["detail"]) for row in rows] == [500_000, 90_000, 500_000]
        assert await till.pool.fetchval("select count(*) from alerts where code = 'HOT_WALLET_LOW'") == 1

    on_till(database, body)


def _arrival(user: str, confirmations: int, **more: Any) -> ArrivedTransfer:
    fields = {
        "deposit_id": "arbitrum:0xabc:0",
        "chain": "arbitrum",
        "asset": "USDC",
        "tx_hash": "0xabc",
    } | more
    return ArrivedTransfer(user=user, amount=D("250.5"), confirmations=confirmations, **fields)


async def _sees(till: Till, arrival: ArrivedTransfer) -> Any:
    till.chain.transfers[arrival.deposit_id] = arrival
    await till.dispatcher.step()
    return await till.pool.fetchrow(
        "select status, confirmations, reason from deposits where id = $1", arrival.deposit_id
    )


def test_a_deposit_is_shown_as_it_comes_and_credited_once(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        for confirmations, status in ((0, "PENDING"), (3, "PENDING"), (3, "PENDING"), (19, "PENDING")):
            row = await _sees(till, _arrival(ann, confirmations))
            assert tuple(row) == (status, confirmations, None)
            assert await till.cash(ann) == 1_000
        for confirmations in (20, 21, 50):
            assert (await _sees(till, _arrival(ann, confirmations)))["status"] == "CREDITED"
            assert await till.cash(ann) == D("1250.5")

    on_till(database, body)


def test_a_deposit_that_its_chain_dropped_is_rejected(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        assert await _sees(till, _arrival(ann, 0, dropped="reorganised")) is None
        await _sees(till, _arrival(ann, 3))
        row = await _sees(till, _arrival(ann, 3, dropped="reorganised"))
        assert (row["status"], row["reason"]) == ("REJECTED", "reorganised")
        assert (await _sees(till, _arrival(ann, 30)))["status"] == "REJECTED"
        assert await till.cash(ann) == 1_000

    on_till(database, body)


@pytest.mark.parametrize("wrong", [{"chain": "solana"}, {"asset": "WBTC"}, {"user": account_id("nobody")}])
def test_a_deposit_that_cannot_be_taken_stops_no_other(database: str, wrong: dict, caplog: Any) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        bad = replace(_arrival(ann, 30, deposit_id="bad"), **wrong)
        assert await _sees(till, bad) is None
        assert (await _sees(till, _arrival(ann, 30)))["status"] == "CREDITED"
        assert await till.cash(ann) == D("1250.5")

    on_till(database, body)
    assert "deposit bad" in caplog.text


_STEP = st.sampled_from(
    ["step", "step", "crash_before", "crash_after", "mine", "fill", "drain", "fail", "ask"]
)


@settings(max_examples=12)
@given(st.lists(_STEP, min_size=5, max_size=25), st.booleans())
def test_whatever_breaks_off_nobody_is_paid_twice_and_no_cent_is_lost(
    one_database: Emptied, steps: list[str], slow: bool
) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 100_000)
        to = await till.booked(ann)
        await till.fill(500_000)
        chain, asked = till.chain, 0
        chain.slow = slow
        for step in [*steps, "fill", "step", "mine", "step", "step", "step"]:
            asked += await _taken(till, chain, step, ann, to)
            if slow and step == "step":
                chain.mine()
        paid = [transfer.withdrawal_id for transfer in chain.paid]
        assert len(paid) == len(set(paid))
        rows = {name for name, status in (await till.statuses()).items() if status == "SENT"}
        assert set(paid) == rows
        assert set((await till.statuses()).values()) <= {"SENT", "REFUSED"}
        assert await till.cash(ann) == 100_000 - 101 * len(paid)
        assert len(await till.statuses()) == asked

    on_till(one_database.empty(), body)


async def _taken(till: Till, chain: SimulatedChain, step: str, user: str, to: Any) -> int:
    """Do one thing; return how many withdrawals were asked for."""
    chain.refuses = SendOutcome(SendState.FAILED, reason="no gas", again=True) if step == "fail" else None
    match step:
        case "ask":
            name = await till.confirmed(user, to)
            for role in (await till.row(name))["approvals_needed"]:
                await till.desk.ask(WithdrawalApproved(0, name, "operator", role))
            return 1
        case "fill" | "drain":
            chain.balances["arbitrum"] = D(500_000) if step == "fill" else D(150)
        case "mine":
            chain.mine()
        case "crash_before" | "crash_after":
            setattr(chain, step, True)
            with suppress(Crash):
                await till.dispatcher.step()
            setattr(chain, step, False)
        case _:
            await till.dispatcher.step()
    return 0
