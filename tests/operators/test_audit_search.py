"""The audit log is searched for one withdrawal and one proposal, by an index."""

from typing import Any

from live.api.operator_forms import ActsPaging
from live.api.reads.operators import ACTS
from live.ledger.inputs import WithdrawalRequested
from tests.api.operators import done, refused
from tests.operators.staffed import Staffed, staffed
from tests.operators.test_desk import ADDRESS, in_review
from tests.risk.book_builder import D


def test_the_acts_about_one_withdrawal(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def acts(**asked: Any) -> list[str]:
            found = (await s.rita.get("/operator/audit-log", **asked))["items"]
            return [each["action"].removeprefix("WITHDRAWAL_") for each in found]

        first = await in_review(s, s.ann, "OPERATIONS")
        second = await in_review(s, s.ann, "OPERATIONS")
        await done(s.otto.ask("POST", f"/operator/withdrawals/{first}/approve", {"reason": f"{second}: x"}))
        await done(s.otto.ask("POST", f"/operator/withdrawals/{second}/refuse", {"reason": "r"}))
        too_much = WithdrawalRequested(0, "", s.ann.user, D(10**6), "arbitrum", "USDC", ADDRESS, D(1))
        third = (await s.api.ask("too-much", too_much)).id
        assert await acts(withdrawal=first) == ["APPROVED", "CONFIRMED", "REQUESTED"]
        assert await acts(withdrawal=second) == ["REFUSED", "CONFIRMED", "REQUESTED"]
        assert await acts(withdrawal=third) == ["REFUSED", "REQUESTED"]
        assert await acts(withdrawal=third, subject=s.ann.user) == ["REFUSED", "REQUESTED"]
        assert await acts(withdrawal=third, subject="BTC") == await acts(withdrawal="w1") == []
        refusal = (await s.rita.get("/operator/audit-log", withdrawal=third, limit=1))["items"][0]
        assert (refusal["actor"], refusal["detail"]) == ("books", f"{third}: WITHDRAWAL_EXCEEDS_FREE")
        wrong = await refused(s.rita.ask("GET", "/operator/audit-log", withdrawal="1"), "invalid", 422)
        assert wrong["errors"][0]["field"] == "query.withdrawal"

    staffed(database, body)


def test_the_acts_about_one_proposal(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def adjust(amount: str) -> int:
            path = f"/operator/users/{s.ann.user}/adjustments"
            asked = await done(s.otto.ask("POST", path, {"amount": amount, "reason": "r"}), 202)
            number: int = asked["proposal"]["id"]
            return number

        async def acts(number: int) -> list[str]:
            found = (await s.rita.get("/operator/audit-log", proposal=number))["items"]
            return [each["action"] for each in found]

        done_, failed, rejected = [await adjust(amount) for amount in ("1", "-5000", "2")]
        for number in (done_, failed):
            await done(s.rita.ask("POST", f"/operator/proposals/{number}/approve", {"reason": "yes"}))
        await done(s.rita.ask("POST", f"/operator/proposals/{rejected}/reject", {"reason": "no"}))
        # An address is listed for whatever reason: it is not thereby about a proposal.
        forged = {"address": ADDRESS, "reason": f"proposal {done_}: as agreed"}
        await done(s.rita.ask("POST", "/operator/blacklist", forged), 201)
        assert await acts(done_) == ["BALANCE_ADJUSTED", "PROPOSAL_APPROVED", "PROPOSED"]
        assert await acts(failed) == [
            "PROPOSAL_FAILED",
            "BALANCE_NOT_ADJUSTED",
            "PROPOSAL_APPROVED",
            "PROPOSED",
        ]
        why = (await s.rita.get("/operator/audit-log", proposal=failed, limit=1))["items"][0]
        assert (why["actor"], why["subject"]) == ("books", s.ann.user)
        assert why["detail"].startswith(f"proposal {failed}: ADJUSTMENT_EXCEEDS_FREE: 5000 asked")
        late = await adjust("3")
        proposals = s.api.services.office.proposals
        tomorrow = s.api.services.clock() + 25 * 3600 * 10**9
        proposals._clock = lambda: tomorrow
        await proposals.finish()
        assert await acts(late) == ["PROPOSAL_EXPIRED", "PROPOSED"]
        assert await acts(rejected) == ["PROPOSAL_REJECTED", "PROPOSED"]
        assert await acts(rejected * 10 + 1) == []

    staffed(database, body)


def test_both_searches_know_an_index(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def plan(asked: ActsPaging) -> str:
            sql = (
                ACTS._select
                + " where "
                + " and ".join(each.sql.format(f"'{each.value}'") for each in asked.conditions())
            )
            async with s.api.services.pool.acquire() as connection, connection.transaction():
                await connection.execute("set local enable_seqscan = off; set local enable_sort = off")
                rows = await connection.fetch(f"explain {sql} order by id desc limit 100")
            return "\n".join(row[0] for row in rows)

        assert "using audit_by_withdrawal" in await plan(ActsPaging(withdrawal="w7"))
        assert "using audit_by_proposal" in await plan(ActsPaging(proposal=7))
        assert "using audit_by_subject" in await plan(ActsPaging(subject="BTC"))

    staffed(database, body)
