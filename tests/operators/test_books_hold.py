"""After all that operators and the chain port can do, the books hold: every row, every link."""

import asyncio

import psycopg

from live.api import chores as chores_module
from live.api.chores import chores
from live.ledger.audit import verify
from live.ledger.checks import check
from live.ledger.inputs import WithdrawalRequested
from live.wallets.dispatch import Dispatcher
from live.wallets.rules import WithdrawalRules
from tests.api.operators import done
from tests.operators.staffed import Staffed, staffed
from tests.operators.test_desk import ADDRESS, in_review
from tests.risk.book_builder import D
from tests.wallets.simulated_chain import SimulatedChain


def test_ledger_check_and_audit_verify_hold_after_everything(database: str) -> None:
    async def body(s: Staffed) -> None:
        await s.ann.order(size="0.001")
        sent, refused = await in_review(s, s.ann, "OPERATIONS"), await in_review(s, s.ann, "OPERATIONS")
        await done(s.otto.ask("POST", f"/operator/withdrawals/{sent}/approve", {"reason": "r"}))
        await done(s.otto.ask("POST", f"/operator/withdrawals/{refused}/refuse", {"reason": "r"}))
        chain = SimulatedChain(arbitrum=D(500_000))
        for _ in range(2):
            await Dispatcher(s.api.services.pool, s.api.services.bus, chain, WithdrawalRules()).step()
        body = {"amount": "-12.5", "reason": "case 11"}
        number = (await done(s.otto.ask("POST", f"/operator/users/{s.ann.user}/adjustments", body), 202))[
            "proposal"
        ]["id"]
        await done(s.rita.ask("POST", f"/operator/proposals/{number}/approve", {"reason": "yes"}))
        changes = {"symbol": "BTC", "changes": {"normal_threshold": "11000"}, "reason": "r"}
        await done(s.rita.ask("POST", "/operator/routing-config", changes))
        await done(s.rita.ask("PUT", "/operator/routing-mode/BTC", {"mode": "HL_MODE", "reason": "r"}))
        await done(s.otto.ask("POST", "/operator/service-level", {"level": 2, "reason": "r"}))
        await done(
            s.sam.ask(
                "POST", "/operator/operators", {"account": s.ann.user, "role": "ANALYST", "reason": "r"}
            )
        )
        await done(s.rita.ask("POST", "/operator/blacklist", {"address": ADDRESS, "reason": "r"}), 201)

        def checked() -> None:
            with psycopg.connect(database, autocommit=True) as connection:
                assert check(connection).findings == []
                assert verify(connection, lambda *_: None).breaks == []

        await asyncio.to_thread(checked)

    staffed(database, body)


def test_chores_expire_and_finish_what_no_request_does(database: str, monkeypatch) -> None:
    monkeypatch.setattr(chores_module, "_EVERY_S", 0.05)

    async def body(s: Staffed) -> None:
        services = s.api.services
        asked = WithdrawalRequested(0, "", s.ann.user, D(100), "arbitrum", "USDC", ADDRESS, D(1))
        name = (await s.api.ask("w", asked)).id
        body = {"amount": "12.5", "reason": "case 11"}
        path = f"/operator/users/{s.ann.user}/adjustments"
        number = (await done(s.otto.ask("POST", path, body), 202))["proposal"]["id"]
        await services.pool.execute(  # as a crash right after the approval leaves it
            """update access.proposals set status = 'APPROVED', decided_by = $2, decided_at = now(), decision = ''
            where id = $1""",
            *(number, s.rita.user),
        )
        later = services.clock() + 1_801 * 10**9
        services.withdrawals._clock = lambda: later
        async with chores(services):
            async with asyncio.timeout(30):
                while (await services.office.proposals.find(number)).status != "EXECUTED":
                    await asyncio.sleep(0.02)
                while await s.all("select status from withdrawals where id = $1", name) != [("REFUSED",)]:
                    await asyncio.sleep(0.02)
        assert await s.cash() == D("1012.5")

    staffed(database, body)
