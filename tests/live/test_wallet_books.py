"""Withdrawals, deposits, hot wallets, pins, service levels and corrections, from command to row."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from live.books.bus_wire import read_envelope, write_command
from live.books.commands import Asked, Command
from live.ledger.batch import Batch
from live.ledger.inputs import (
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    ReconciliationDone,
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.project_withdrawals import WithdrawalsProjection, WithdrawalsState
from live.ledger.rows_users import WithdrawalRow
from risk.errors import InvalidInput
from risk.inputs import Approval, BalanceAdjusted, ConfigChanged, RoutingModeSet, ServiceLevelSet
from risk.settings import RoutingConfig, RoutingMode
from tests.live.books import Desk, a_desk, database
from tests.postgres import postgres
from tests.risk.book_builder import D

__all__ = ["database", "postgres"]

NEEDED = ("RISK_MANAGER", "OPERATIONS")
BOSS = Approval(7, "boss")
STEPS: dict[str, Any] = {
    "confirm": WithdrawalConfirmed(9, "w1", "SMALL"),
    "review": WithdrawalConfirmed(9, "w1", "LARGE", NEEDED, ("BLACKLIST",)),
    "approve as risk": WithdrawalApproved(9, "w1", "op", "RISK_MANAGER"),
    "approve": WithdrawalApproved(9, "w1", "boss", "OPERATIONS"),
    "queue": WithdrawalQueued(9, "w1", "short"),
    "send": WithdrawalSending(9, "w1"),
    "sent": WithdrawalProcessed(9, "w1", True, "0xf"),
    "not sent": WithdrawalProcessed(9, "w1", False, "0xe", "reverted"),
    "send again": WithdrawalProcessed(9, "w1", False, None, "no gas", True),
    "refuse": WithdrawalRefused(9, "w1", "op", "blocked"),
}
# The way to each state, and where each step that may be taken there leads.
WAYS: dict[str, list[str]] = {
    "UNCONFIRMED": [],
    "REVIEW": ["review"],
    "REVIEW, one approved": ["review", "approve as risk"],
    "APPROVED": ["confirm"],
    "QUEUED": ["confirm", "queue"],
    "SENDING": ["confirm", "send"],
    "SENT": ["confirm", "send", "sent"],
    "REFUSED": ["refuse"],
}
MAY: dict[str, dict[str, str]] = {
    "UNCONFIRMED": {"confirm": "APPROVED", "review": "REVIEW", "refuse": "REFUSED"},
    "REVIEW": {"approve as risk": "REVIEW", "approve": "REVIEW", "refuse": "REFUSED"},
    "REVIEW, one approved": {"approve": "APPROVED", "refuse": "REFUSED"},
    "APPROVED": {"queue": "QUEUED", "send": "SENDING", "refuse": "REFUSED"},
    "QUEUED": {"send": "SENDING", "refuse": "REFUSED"},
    "SENDING": {"sent": "SENT", "not sent": "REFUSED", "send again": "APPROVED"},
    "SENT": {},
    "REFUSED": {},
}


def asked_for(*steps: str) -> tuple[WithdrawalsProjection, WithdrawalRow]:
    """Return withdrawals of which one took these steps, and its row."""
    withdrawals, batch = WithdrawalsProjection(WithdrawalsState()), Batch()
    withdrawals.requested(batch, 1, WithdrawalRequested(8, "w1", "ann", D(5), "eth", "USDC", "0xa"), None)
    for seq, step in enumerate(steps, start=2):
        withdrawals.check(STEPS[step])
        withdrawals.step(batch, seq, STEPS[step])
    row: WithdrawalRow = batch.replaced[WithdrawalRow]["w1"]
    return withdrawals, row


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", WAYS)
def test_every_step_in_every_state(state: str, step: str) -> None:
    withdrawals, row = asked_for(*WAYS[state])
    assert row.status == state.split(",")[0]
    if step in MAY[state]:
        withdrawals.check(STEPS[step])
        assert withdrawals.step(Batch(), 7, STEPS[step]).status == MAY[state][step]
    else:
        with pytest.raises(InvalidInput, match=r"withdrawal|role"):
            withdrawals.check(STEPS[step])


def test_rows_keep_who_decided_what_and_when() -> None:
    _, row = asked_for("review", "approve", "approve as risk", "queue", "send", "sent")
    assert (row.tier, row.approvals_needed, row.review_reasons) == ("LARGE", NEEDED, ("BLACKLIST",))
    assert row.approvals_given == ("OPERATIONS:boss", "RISK_MANAGER:op")
    assert (row.confirmed_at, row.approved_at, row.queued_at, row.sending_at, row.processed_at) == (9,) * 5
    assert (row.tx_hash, row.refused_by, row.updated_seq) == ("0xf", None, 7)
    _, row = asked_for("review", "refuse")
    assert (row.refused_by, row.reason, row.approved_at, row.processed_at) == ("op", "blocked", None, 9)
    _, row = asked_for("confirm", "send", "not sent")
    assert (row.refused_by, row.reason, row.tx_hash) == ("books", "reverted", "0xe")


@pytest.mark.parametrize(
    ("steps", "wrong", "named"),
    [
        (
            ["review"],
            WithdrawalApproved(9, "w1", "op", "ANALYST"),
            "still needs is OPERATIONS, RISK_MANAGER",
        ),
        (
            ["review", "approve"],
            WithdrawalApproved(9, "w1", "op", "OPERATIONS"),
            "still needs is RISK_MANAGER",
        ),
        (
            ["review", "approve"],
            WithdrawalApproved(9, "w1", "boss", "RISK_MANAGER"),
            "has approved withdrawal w1 already",
        ),
        (["review"], WithdrawalApproved(9, "w1", "", "OPERATIONS"), "operator_id was empty"),
        ([], WithdrawalConfirmed(9, "w1", ""), "tier was empty"),
        ([], WithdrawalConfirmed(9, "w1", "A", (), ("NEW",)), "approvals_needed was empty"),
        ([], WithdrawalConfirmed(9, "w1", "A", ("A:B",)), "'A:B'"),
        ([], WithdrawalRefused(9, "w1", "", "late"), "by was empty"),
        ([], WithdrawalRefused(9, "w1", "books", ""), "reason was empty"),
        (["confirm"], WithdrawalQueued(9, "w1", ""), "reason was empty"),
        (["confirm", "send"], WithdrawalProcessed(9, "w1", True), "tx_hash was None"),
        (["confirm", "send"], WithdrawalProcessed(9, "w1", True, "0x", None, True), "not sent again"),
        (["confirm", "send"], WithdrawalProcessed(9, "w1", False), "reason was empty"),
        ([], WithdrawalSending(9, "w2"), "is not on its way"),
    ],
)
def test_steps_without_what_they_need_are_named(steps: list[str], wrong: Any, named: str) -> None:
    withdrawals, _ = asked_for(*steps)
    with pytest.raises(InvalidInput, match=named):
        withdrawals.check(wrong)


# -- in the database


async def rows(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def said(desk: Desk, *asked: Asked) -> list[str]:
    return [(await desk.ask(each)).status for each in asked]


def test_deposit_is_seen_confirmed_and_credited_once(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            await desk.user("ann", 10)
            await desk.user("bob", 10)
            about = D(7), "eth", "USDC", "0x7"
            known = "ann", *about
            assert (
                await said(
                    desk,
                    DepositSeen(0, "d", *known, 1),
                    DepositSeen(0, "d", *known, 3),
                    DepositSeen(0, "d", *known, 2),
                    DepositSeen(0, "d", "bob", *about, 3),
                    DepositSeen(0, "d", "ann", D(8), *about[1:], 3),
                    DepositArrived(0, "d", "ann", D(7), "eth", "USDC", "0x8", 12),
                    DepositSeen(0, "e", *known, -1),
                    DepositSeen(0, "e", "nobody", *about, 1),
                )
                == ["DONE"] * 2 + ["INVALID"] * 6
            )
            sql = "select status, confirmations from deposits where id = 'd'"
            assert await rows(database, sql) == [("PENDING", 3)]
            assert await rows(database, "select cash from wallets where user_id = 'ann'") == [(D(10),)]
        async with a_desk(database, clock=desk.clock) as desk:
            assert await said(
                desk,
                DepositArrived(0, "d", *known, 12),
                DepositArrived(0, "d", *known, 12),
                DepositSeen(0, "d", *known, 13),
                DepositRejected(0, "d", "late"),
                DepositSeen(0, "f", *known, 1),
                DepositRejected(0, "f", ""),
                DepositRejected(0, "f", "its block was dropped"),
                DepositArrived(0, "f", *known, 12),
            ) == ["DONE", "INVALID", "INVALID", "INVALID", "DONE", "INVALID", "DONE", "INVALID"]
            sql = "select id, status, reason from deposits where id in ('d', 'f') order by id"
            assert await rows(database, sql) == [
                ("d", "CREDITED", None),
                ("f", "REJECTED", "its block was dropped"),
            ]
            assert await rows(database, "select cash from wallets where user_id = 'ann'") == [(D(17),)]

    asyncio.run(scenario())


def test_refused_withdrawal_gives_its_fee_back_and_failed_one_waits(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            await desk.user("ann", 100)
            request = WithdrawalRequested(0, "", "ann", D(60), "eth", "USDC", "0xa", D(1))
            name = (await desk.ask(request)).id
            await said(desk, WithdrawalConfirmed(0, name, "SMALL"), WithdrawalSending(0, name))
            failed = WithdrawalProcessed(0, name, False, None, "no gas", again=True)
            assert await said(desk, failed) == ["DONE"]
            wallet = "select cash, withdrawals_pending, updated_seq from wallets"
            assert (await rows(database, wallet))[0][:2] == (D(39), D(60))
            assert await said(desk, WithdrawalRefused(0, name, "ann", "changed my mind")) == ["DONE"]
            assert await rows(database, wallet) == [(D(100), D(0), desk.process.machine.seq)]
            fees = "select balance from house_accounts where account = 'fee_income'"
            assert await rows(database, fees) == [(D(0),)]
            told = "select actor, action, subject from audit_log where action like 'WITHDRAWAL%' order by id"
            assert [action for _, action, _ in await rows(database, told)] == [
                f"WITHDRAWAL_{step}" for step in ("REQUESTED", "CONFIRMED", "SENDING", "NOT_SENT", "REFUSED")
            ]

    asyncio.run(scenario())


def test_a_withdrawal_refused_at_once_is_told_with_the_rule(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            await desk.user("ann", 100)
            refused = await desk.ask(WithdrawalRequested(0, "", "ann", D(100), "eth", "USDC", "0xa", D(1)))
            assert refused.code == "WITHDRAWAL_EXCEEDS_FREE"
            sql = "select actor, action, subject, detail from audit_log where action like 'WITHDRAWAL%' order by id"
            assert await rows(database, sql) == [
                ("ann", "WITHDRAWAL_REQUESTED", "ann", f"{refused.id}: 100 USDC to 0xa"),
                ("books", "WITHDRAWAL_REFUSED", "ann", f"{refused.id}: WITHDRAWAL_EXCEEDS_FREE"),
            ]

    asyncio.run(scenario())


def test_nothing_leaves_while_halted_or_at_level_3(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            await desk.user("ann", 100)
            request = WithdrawalRequested(0, "", "ann", D(6), "eth", "USDC", "0xa")
            first, second = [(await desk.ask(request)).id for _ in range(2)]
            await desk.ask(WithdrawalConfirmed(0, first, "SMALL"))
            await desk.ask(ServiceLevelSet(0, 3, "op", "assets at risk"))
            stopped = WithdrawalSending(0, first), WithdrawalConfirmed(0, second, "SMALL")
            assert [(await desk.ask(each)).code for each in stopped] == ["SERVICE_LEVEL"] * 2
            assert await said(desk, WithdrawalRefused(0, second, "op", "at risk")) == ["DONE"]
            await desk.ask(ServiceLevelSet(0, 0, "op", "over"))
            desk.process.tell(ReconciliationDone(0, "user_assets", D(1), D(2), D(1), "CRITICAL"))
            assert (await desk.ask(WithdrawalSending(0, first))).code == "books-halted"
            sql = "select level, previous, operator_id, reason from service_levels order by id"
            assert await rows(database, sql) == [(3, 0, "op", "assets at risk"), (0, 3, "op", "over")]

    asyncio.run(scenario())


def test_hot_wallet_short_of_its_floor_calls_operators_once(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            for balance in ("150000", "100000", "99999.999999", "50", "100000", "7"):
                await desk.ask(HotWalletReported(0, "eth", "0xhot", D(balance)))
            alerts = "select level, code, value from alerts order by id"
            low = [
                (level, value)
                for level, code, value in await rows(database, alerts)
                if code == "HOT_WALLET_LOW"
            ]
            assert low == [("P0", D("99999.999999")), ("P0", D(7))]
            sql = "select id, chain, address, balance from hot_wallets"
            assert await rows(database, sql) == [("eth:0xhot", "eth", "0xhot", D(7))]

    asyncio.run(scenario())


def test_modes_and_pins_are_told_also_where_the_mode_stays(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            row = RoutingConfig(routing_mode=RoutingMode.HL_MODE)
            for asked, code in (
                (RoutingModeSet(0, "ETH", None, "op-1"), "already-so"),
                (RoutingModeSet(0, "ETH", RoutingMode.NORMAL_MODE, "op-2"), ""),
                (RoutingModeSet(0, "ETH", RoutingMode.NORMAL_MODE, "op-3"), "already-so"),
                (RoutingModeSet(0, "ETH", RoutingMode.BETTING_MODE, "op-4"), ""),
                (RoutingModeSet(0, "ETH", None, "op-5"), ""),
                (ConfigChanged(0, "op-6", "ETH", row, None), ""),
                (ConfigChanged(0, "op-7", "ETH", row, None), "already-so"),
            ):
                assert (await desk.ask(asked)).code == code
            sql = "select from_mode, to_mode, trigger, operator_id, pinned from routing_mode_logs order by id"
            normal, betting, hl = "NORMAL_MODE", "BETTING_MODE", "HL_MODE"
            assert await rows(database, sql) == [
                (normal, normal, "MANUAL", "op-2", True),
                (normal, betting, "MANUAL", "op-4", True),
                (betting, betting, "MANUAL", "op-5", False),
                (betting, hl, "MANUAL", "op-6", False),
            ]
            sql = "select symbol, mode, pinned, updated_by from symbol_modes where symbol in ('BTC', 'ETH')"
            assert sorted(await rows(database, sql)) == [
                ("BTC", normal, False, "books"),
                ("ETH", hl, False, "op-6"),
            ]

    asyncio.run(scenario())


def test_correction_needs_two_people_and_is_told(database: str) -> None:
    async def scenario() -> None:
        async with a_desk(database) as desk:
            await desk.user("ann", 10)
            terms = "ann", D(-4), "credited twice"
            assert (
                await desk.ask(BalanceAdjusted(0, "", *terms, "op", Approval(1, "op")))
            ).status == "INVALID"
            assert (await desk.ask(BalanceAdjusted(0, "a1", *terms, "op", BOSS))).status == "INVALID"
            nobody = BalanceAdjusted(0, "", "nobody", *terms[1:], "op", BOSS)
            assert (await desk.ask(nobody)).status == "INVALID"
            given = BalanceAdjusted(0, "", *terms, "op", BOSS)
            done = await desk.ask(given, "once")
            assert (done.status, done.id) == ("DONE", f"a{done.seq}")
            assert await desk.ask(given, "once") == done
            assert (await desk.ask(BalanceAdjusted(0, "", "ann", D(-7), "more", "op", BOSS))).code == (
                "ADJUSTMENT_EXCEEDS_FREE"
            )
            sql = "select type, amount, ref_id from balance_logs where type = 'balance_adjusted'"
            assert await rows(database, sql) == [("balance_adjusted", D(-4), done.id)]
            sql = "select actor, action, subject, detail from audit_log where action like 'BALANCE%' order by id"
            told = "proposal 7, approved by boss: "
            assert await rows(database, sql) == [
                ("op", "BALANCE_ADJUSTED", "ann", f"{told}{done.id}: -4, cash 10 to 6: credited twice"),
                (
                    "op",
                    "BALANCE_NOT_ADJUSTED",
                    "ann",
                    f"{told}a{done.seq + 1}: -7, cash 6 stays, ADJUSTMENT_EXCEEDS_FREE: more",
                ),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "asked",
    [
        *STEPS.values(),
        DepositSeen(0, "d", "ann", D("7.1"), "eth", "USDC", "0x7", 1),
        DepositRejected(0, "d", "dropped"),
        HotWalletReported(0, "eth", "0xhot", D(1)),
        BalanceAdjusted(0, "", "ann", Decimal("-0.000001"), "why", "op", BOSS),
        ServiceLevelSet(0, 2, "op", "why"),
    ],
)
def test_commands_come_over_the_wire_as_they_went(asked: Asked) -> None:
    command = Command("key", asked)
    assert read_envelope(write_command("me", 1, 1.0, command)).command() == command
