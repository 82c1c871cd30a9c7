"""The audit log has of every sensitive act who did it, what was before and after, and why."""

from typing import Any

import msgspec

from live.ledger.inputs import ReconciliationDone
from tests.api.operators import done
from tests.operators.staffed import Staffed, staffed
from tests.operators.test_desk import ADDRESS, in_review
from tests.operators.test_permissions import ROUTES
from tests.risk.book_builder import D


def test_who_what_and_why(database: str) -> None:
    async def body(s: Staffed) -> None:
        people = {
            each.user: name
            for name, each in {"sam": s.sam, "rita": s.rita, "rolf": s.rolf, "otto": s.otto}.items()
        }
        begun = await s.all("select max(id) from audit_log")

        async def acts() -> list[tuple[str, ...]]:
            nonlocal begun
            rows = await s.all(
                """select id, actor, action, detail from audit_log where id > $1 and action not in
                ('ROUTING_DECIDED', 'WITHDRAWAL_REQUESTED', 'WITHDRAWAL_CONFIRMED', 'BOOKS_HALTED') order by id""",
                begun[0][0],
            )
            begun = [(rows[-1][0],)]
            return [(people[actor], action, _named(detail, people)) for _, actor, action, detail in rows]

        async def by(who: Any, method: str, path: str, status: int = 200, **fields: Any) -> Any:
            return await done(who.ask(method, f"/operator{path}", {"reason": "why"} | fields), status)

        await by(s.rita, "PUT", "/routing-mode/BTC", mode="HL_MODE")
        await by(s.rita, "PUT", "/routing-mode/BTC", mode=None)
        assert await acts() == [
            ("rita", "ROUTING_MODE_SET", "NORMAL_MODE to HL_MODE pinned: why"),
            ("rita", "ROUTING_MODE_SET", "HL_MODE pinned to HL_MODE: why"),
        ]
        s.api.process.machine.book._core.symbols["BTC"].hl_halted = True
        await by(s.rita, "POST", "/halts/BTC/lift")
        assert await acts() == [("rita", "HL_HALT_LIFTED", "halted to open: why")]
        changes = {"normal_threshold": "12000", "auto_switch_enabled": True}
        await by(s.rita, "POST", "/routing-config", symbol="BTC", changes=changes)
        await by(s.rita, "POST", "/risk-config", changes={"hedge_retry_max": 9, "reserve_floor": "250000.5"})
        assert await acts() == [
            (
                "rita",
                "ROUTING_CONFIG_CHANGED",
                "normal_threshold 10000 to 12000, auto_switch_enabled false to true: why",
            ),
            (
                "rita",
                "RISK_CONFIG_CHANGED",
                "hedge_retry_max 10 to 9, reserve_floor 200000 to 250000.5: why",
            ),
        ]
        await by(s.rita, "POST", "/routing-config", symbol="ETH", changes={"normal_threshold": "10000"})
        assert await acts() == [("rita", "ROUTING_CONFIG_CHANGED", "own row, as the default one is now: why")]
        await by(s.otto, "POST", f"/users/{s.ann.user}/kyc", kyc_status="PENDING")
        await by(s.sam, "POST", f"/users/{s.ann.user}/kyc", kyc_status="APPROVED")
        assert await acts() == [
            ("otto", "KYC_CHANGED", "NONE to PENDING: why"),
            ("sam", "KYC_CHANGED", "PENDING to APPROVED: why"),
        ]
        approved, refused = await in_review(s, s.ann, "OPERATIONS"), await in_review(s, s.ann, "OPERATIONS")
        await by(s.otto, "POST", f"/withdrawals/{approved}/approve")
        await by(s.rita, "POST", f"/withdrawals/{refused}/refuse")
        assert await acts() == [
            ("otto", "WITHDRAWAL_APPROVED", f"{approved}: as OPERATIONS: why"),
            ("rita", "WITHDRAWAL_REFUSED", f"{refused}: why"),
        ]
        await by(s.rita, "POST", "/blacklist", 201, address=ADDRESS)
        await by(s.sam, "POST", "/operators", account=s.ann.user, role="ANALYST")
        assert await acts() == [
            ("rita", "ADDRESS_BLACKLISTED", "why"),
            ("sam", "OPERATOR_ADDED", "None to ANALYST: why"),
        ]
        s.api.process.tell(ReconciliationDone(0, "x", D(1), D(2), D(1), "CRITICAL"))
        number = (await by(s.rita, "POST", "/books/release", 202))["proposal"]["id"]
        await by(s.sam, "POST", f"/proposals/{number}/approve", reason="so it is")
        assert await acts() == [
            ("rita", "PROPOSED", f"proposal {number} BOOKS_RELEASE: {{}}: why"),
            ("sam", "PROPOSAL_APPROVED", f"proposal {number}: so it is"),
            (
                "rita",
                "BOOKS_RELEASED",
                f"proposal {number}, approved by sam: halted (x was 2, not 1) to open: why",
            ),
        ]

    staffed(database, body)


def _named(detail: str, people: dict[str, str]) -> str:
    for user, name in people.items():
        detail = detail.replace(user, name)
    return detail


def test_no_reason_reads_like_an_approval(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def change(status: int, reason: str, **changes: str) -> Any:
            fields = {"symbol": "BTC", "changes": changes, "reason": reason}
            return await done(s.rita.ask("POST", "/operator/routing-config", fields), status)

        async def told() -> list[str]:
            action = "ROUTING_CONFIG_CHANGED"
            return [
                row[0]
                for row in await s.all("select detail from audit_log where action = $1 order by id", action)
            ]

        number = (await change(202, "routine", normal_threshold="0"))["proposal"]["id"]
        await done(s.rolf.ask("POST", f"/operator/proposals/{number}/approve", {"reason": "yes"}))
        approval = f"proposal {number}, approved by {s.rolf.user}"
        (agreed,) = await told()
        forged = (agreed, f"routine ({approval})", f"{approval}: routine")
        for place, reason in enumerate(forged, start=61):
            await change(200, reason, betting_threshold=f"{place}000")
        assert agreed == f"{approval}: normal_threshold 10000 to 0: routine"
        alone = (await told())[1:]
        assert [each.startswith("betting_threshold ") for each in alone] == [True] * 3
        kept = await s.all("select body from input_journal where kind = 'ConfigChanged' order by seq")
        approvals = [msgspec.json.decode(body)[0]["approval"] for (body,) in kept]
        assert approvals == [{"proposal": number, "approver_id": s.rolf.user}, None, None, None]

    staffed(database, body)


def test_nothing_is_done_without_a_reason(database: str) -> None:
    async def body(s: Staffed) -> None:
        asked = {
            "PUT /routing-mode/BTC": {"mode": "HL_MODE"},
            "POST /halts/BTC/lift": {},
            "POST /routing-config": {"symbol": "BTC", "changes": {"normal_threshold": "12000"}},
            "POST /risk-config": {"changes": {"hedge_retry_max": 9}},
            "POST /service-level": {"level": 1},
            "POST /service-level/rollback": {"switch": 1},
            "POST /books/release": {},
            f"POST /users/{s.ann.user}/kyc": {"kyc_status": "APPROVED"},
            f"POST /users/{s.ann.user}/adjustments": {"amount": "1"},
            "POST /withdrawals/w1/approve": {},
            "POST /withdrawals/w1/refuse": {},
            "POST /blacklist": {"address": ADDRESS},
            f"POST /blacklist/{ADDRESS}/remove": {},
            "POST /proposals/1/approve": {},
            "POST /proposals/1/reject": {},
            "POST /proposals/1/withdraw": {},
            "POST /operators": {"account": s.ann.user, "role": "ANALYST"},
        }
        assert len(asked) == sum(not route.startswith("GET") for route in ROUTES)  # none is forgotten
        before = await s.all("select max(id) from audit_log where action <> 'ROUTING_DECIDED'")
        for route, fields in asked.items():
            method, path = route.split(" ")
            by = s.rita if "withdrawals" in path else s.sam
            for missing in (fields, fields | {"reason": ""}, fields | {"reason": " \n"}, None):
                answer = await by.ask(method, f"/operator{path}", missing)
                assert answer.status_code == 422, (route, missing, answer.text)
        assert await s.all("select max(id) from audit_log where action <> 'ROUTING_DECIDED'") == before

    staffed(database, body)
