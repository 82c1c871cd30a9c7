"""What one operator does alone: switches, reviews, KYC, the blacklist, and looking things up."""

from typing import Any

import pytest

from live.ledger.inputs import ReconciliationDone, WithdrawalConfirmed, WithdrawalRequested
from tests.api.operators import appoint, done, refused
from tests.api.traders import Trader
from tests.operators.staffed import Staffed, staffed
from tests.risk.book_builder import D

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"


def test_kill_switches_and_their_rollback(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def switch(level: int, by: Trader = s.otto, key: str | None = None) -> Any:
            return await by.ask("POST", "/operator/service-level", {"level": level, "reason": "drill"}, key)

        async def roll_back(switch: Any, key: str | None = None) -> Any:
            body = {"switch": switch, "reason": "over"}
            return await s.rita.ask("POST", "/operator/service-level/rollback", body, key)

        assert (await roll_back(1)).json()["code"] == "never-switched"
        to_two = (await done(switch(2)))["seq"]
        opening = {"symbol": "BTC", "side": "BUY", "size": "0.001", "leverage": 10}
        stopped = await s.ann.ask("POST", "/orders", opening)
        assert stopped.status_code == 409, stopped.text
        first = await done(roll_back(to_two, "k"))
        assert await done(roll_back(to_two, "k")) == first  # a retry does not switch once more
        again = await roll_back(to_two)  # nor does whoever presses it once more
        assert (again.status_code, again.json()["code"]) == (409, "not-the-last-switch")
        assert f"the last one is {first['seq']}, to level 0" in again.json()["detail"]
        assert s.api.process.machine.book.service_level == 0
        await s.ann.order(size="0.001")
        await done(switch(1))
        to_three = (await done(switch(3, s.rita)))["seq"]
        await done(roll_back(to_three))
        assert s.api.process.machine.book.service_level == 1
        await done(switch(0))
        for wrong in (-1, "1", None, 1.5):
            assert (await roll_back(wrong)).status_code == 422
        for level in (-1, 4, "1", 1.5, None):
            assert (await switch(level)).status_code == 422  # type: ignore[arg-type]
        listed = await s.ada.get("/operator/service-levels")
        assert [(each["previous"], each["level"]) for each in listed["items"]] == [
            (1, 0),
            (3, 1),
            (1, 3),
            (0, 1),
            (2, 0),
            (0, 2),
        ]
        acts = await s.all(
            "select actor, detail from audit_log where action = 'SERVICE_LEVEL_SET' order by id limit 2"
        )
        assert acts == [
            (s.otto.user, "0 to 2: drill"),
            (s.rita.user, f"2 to 0: undoes switch {to_two}: over"),
        ]
        assert (listed["items"][-1]["seq"], listed["items"][-1]["level"]) == (to_two, 2)

    staffed(database, body)


def test_modes_are_pinned_and_released_halts_lifted(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def pin(mode: str | None, symbol: str = "BTC") -> Any:
            body = {"mode": mode, "reason": "a drill"}
            return await s.rita.ask("PUT", f"/operator/routing-mode/{symbol}", body)

        async def lift(symbol: str) -> Any:
            return await s.rita.ask("POST", f"/operator/halts/{symbol}/lift", {"reason": "it is well"})

        await done(pin("HL_MODE"))
        house = await s.ada.get("/operator/house")
        (btc,) = [each for each in house["symbols"] if each["symbol"] == "BTC"]
        assert (btc["mode"], btc["pinned"], D(btc["net_exposure"])) == ("HL_MODE", True, 0)
        await done(pin(None))
        assert (await pin("OFF")).status_code == 422
        s.api.process.machine.book._core.symbols["BTC"].hl_halted = True
        await done(lift("BTC"))
        changes = (await s.ada.get("/operator/mode-changes", symbol="BTC"))["items"]
        assert [(each["to_mode"], each["pinned"], each["operator"]) for each in changes] == [
            ("HL_MODE", False, s.rita.user),
            ("HL_MODE", True, s.rita.user),
        ]

    staffed(database, body)


def test_halted_books_go_on_when_two_people_say_so(database: str) -> None:
    async def body(s: Staffed) -> None:
        s.api.process.tell(ReconciliationDone(0, "x", D(1), D(2), D(1), "CRITICAL"))
        opening = {"symbol": "BTC", "side": "BUY", "size": "0.001", "leverage": 10}
        stopped = await s.ann.ask("POST", "/orders", opening)
        assert (stopped.status_code, stopped.json()["code"]) == (409, "books-halted")
        preview = await done(s.ann.ask("POST", "/orders/preview", opening))
        assert preview["code"] == "books-halted"
        asked = await done(s.rita.ask("POST", "/operator/books/release", {"reason": "found it"}), 202)
        assert (await s.ada.get("/operator/house"))["halted"] is not None
        number = asked["proposal"]["id"]
        await done(s.sam.ask("POST", f"/operator/proposals/{number}/approve", {"reason": "so did I"}))
        assert (await s.ada.get("/operator/house"))["halted"] is None
        await s.ann.order(size="0.001")

    staffed(database, body)


async def in_review(s: Staffed, by: Trader, *roles: str) -> str:
    """Bring a withdrawal of 100 into review by these roles."""
    asked = WithdrawalRequested(0, "", by.user, D(100), "arbitrum", "USDC", ADDRESS, D(1))
    made = await s.api.ask(f"w-{by.user}-{len(await s.all('select 1 from withdrawals'))}", asked)
    confirmed = WithdrawalConfirmed(0, made.id, "LARGE", roles, ("SAME_ADDRESS",))
    assert (await s.api.ask(f"c-{made.id}", confirmed)).status == "DONE"
    return made.id


async def _review(by: Trader, name: str, what: str = "approve", key: str | None = None) -> Any:
    return await by.ask("POST", f"/operator/withdrawals/{name}/{what}", {"reason": "a mule"}, key)


def test_a_large_withdrawal_needs_two_people_of_two_roles(database: str) -> None:
    async def body(s: Staffed) -> None:
        name = await in_review(s, s.ann, "RISK_MANAGER", "OPERATIONS")
        waiting = await s.ada.get("/operator/withdrawals", status="REVIEW")
        assert [each["withdrawal_id"] for each in waiting["items"]] == [name]
        first = await done(_review(s.rita, name, key="k"))
        assert await done(_review(s.rita, name, key="k")) == first
        assert (first["status"], first["approvals_given"]) == ("REVIEW", [f"RISK_MANAGER:{s.rita.user}"])
        await refused(_review(s.rita, name), "approved-already")
        await refused(_review(s.rolf, name), "role-not-needed")
        # Nor by the same person, who got the other role meanwhile.
        pool = s.api.services.pool
        await pool.execute(
            "update access.operators set role = 'OPERATIONS' where account_id = $1", s.rita.user
        )
        s.api.services.identity.standings.forget()
        await refused(_review(s.rita, name), "approved-already")
        for other in (s.sam, s.ada, s.ann):
            assert (await _review(other, name)).status_code == 403
        last = await done(_review(s.otto, name))
        assert (last["status"], len(last["approvals_given"])) == ("APPROVED", 2)
        acts = await s.all("select actor from audit_log where action = 'WITHDRAWAL_APPROVED' order by id")
        assert acts == [(s.rita.user,), (s.otto.user,)]
        late = await refused(_review(s.otto, name), "withdrawal-status")
        assert late["detail"] == f"withdrawal {name} was APPROVED; it must be REVIEW"

    staffed(database, body)


def test_nobody_reviews_the_own_withdrawal(database: str) -> None:
    async def body(s: Staffed) -> None:
        await appoint(s.api, s.ann.user, "OPERATIONS")  # type: ignore[arg-type]
        name = await in_review(s, s.ann, "OPERATIONS")
        for what in ("approve", "refuse"):
            own = await _review(s.ann, name, what)
            assert (own.status_code, own.json()["code"]) == (403, "four-eyes")
        assert (await done(_review(s.otto, name)))["status"] == "APPROVED"

    staffed(database, body)


def test_a_refused_withdrawal_returns_and_its_user_does_not_learn_why(database: str) -> None:
    async def body(s: Staffed) -> None:
        name = await in_review(s, s.ann, "OPERATIONS")
        assert await s.cash() == 899
        ended = await done(_review(s.otto, name, "refuse"))
        assert (ended["status"], ended["refused_by"], ended["reason"]) == (
            "REFUSED",
            s.otto.user,
            "a mule",
        )
        assert await s.cash() == 1_000
        shown = await s.ann.get(f"/withdrawals/{name}")
        assert (shown["status"], shown["reason"]) == ("REFUSED", "REVIEW_NOT_PASSED")
        assert not {"tier", "review_reasons", "approvals_needed", "refused_by"} & set(shown)
        for what in ("approve", "refuse"):
            await refused(_review(s.otto, name, what), "withdrawal-status")
        assert (await _review(s.otto, "w999")).status_code == 404

    staffed(database, body)


def test_the_blacklist_is_kept_with_its_reasons(database: str) -> None:
    async def body(s: Staffed) -> None:
        body = {"address": ADDRESS.lower(), "reason": "stolen"}
        for _ in range(2):
            listed = await done(s.rita.ask("POST", "/operator/blacklist", body), 201)
            assert (listed["address"], listed["reason"], listed["added_by"]) == (
                ADDRESS,
                "stolen",
                s.rita.user,
            )
        assert len(await s.ada.get("/operator/blacklist")) == 1
        wrong = ADDRESS.replace("E", "e", 1)
        assert (
            await s.rita.ask("POST", "/operator/blacklist", {**body, "address": wrong})
        ).status_code == 422
        path = f"/operator/blacklist/{ADDRESS}/remove"
        assert (await s.rita.ask("POST", path, {"reason": "cleared"})).status_code == 204
        assert (await s.rita.ask("POST", path, {"reason": "cleared"})).status_code == 404
        acts = await s.all(
            "select action, subject, detail from audit_log where actor = $1 order by id", s.rita.user
        )
        assert acts == [("ADDRESS_BLACKLISTED", ADDRESS, "stolen"), ("ADDRESS_UNLISTED", ADDRESS, "cleared")]
        for address in (ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper(), wrong):
            found = (await s.rita.get("/operator/audit-log", subject=address))["items"]
            assert [each["action"] for each in found] == ["ADDRESS_UNLISTED", "ADDRESS_BLACKLISTED"]

    staffed(database, body)


def test_a_users_wallet_is_found_and_shown_with_its_capitals(database: str) -> None:
    async def body(s: Staffed) -> None:
        sql = "update access.accounts set wallet_address = $2 where id = $1"
        await s.api.services.pool.execute(sql, s.ann.user, ADDRESS.lower())
        for query in (ADDRESS, ADDRESS.lower()[:12]):
            (found,) = (await s.ada.get("/operator/users", query=query))["items"]
            assert (found["user"], found["wallet_address"]) == (s.ann.user, ADDRESS)
        assert (await s.ada.get(f"/operator/users/{s.ann.user}"))["wallet_address"] == ADDRESS

    staffed(database, body)


def test_kyc_is_set_and_told(database: str) -> None:
    async def body(s: Staffed) -> None:
        path = f"/operator/users/{s.ann.user}/kyc"
        await done(s.otto.ask("POST", path, {"kyc_status": "APPROVED", "reason": "seen"}))
        assert (await s.ada.get(f"/operator/users/{s.ann.user}"))["kyc_status"] == "APPROVED"
        assert (await s.otto.ask("POST", path, {"kyc_status": "FINE", "reason": "r"})).status_code == 422

    staffed(database, body)


def test_users_and_orders_are_found_with_where_they_went(database: str) -> None:
    async def body(s: Staffed) -> None:
        small = await s.ann.order(size="0.001")
        large = await s.rita.ask(
            "POST", "/orders", {"symbol": "ETH", "side": "SELL", "size": "1", "leverage": 2}
        )
        assert large.status_code == 409  # she has no money; it is an order all the same
        found = await s.ada.get("/operator/users", query=f"{s.ann.user}@EXAMPLE")
        assert [each["user"] for each in found["items"]] == [s.ann.user]
        assert [each["user"] for each in (await s.ada.get("/operator/users", query=s.ann.user))["items"]] == [
            s.ann.user
        ]
        assert (await s.ada.get("/operator/users", query="%"))["items"] == []
        page = await s.ada.get("/operator/users", limit=2)
        rest = await s.ada.get("/operator/users", before=page["next"])
        assert len({each["user"] for each in page["items"] + rest["items"]}) == 6
        detail = await s.ada.get(f"/operator/users/{s.ann.user}")
        assert (len(detail["positions"]), detail["balance"]["cash"][:3]) == (1, "989")
        assert [
            each["order_id"] for each in (await s.ada.get("/operator/orders", user=s.ann.user))["items"]
        ] == [small["order_id"]]
        assert [each["user"] for each in (await s.ada.get("/operator/orders", symbol="ETH"))["items"]] == [
            s.rita.user
        ]
        order = await s.ada.get(f"/operator/orders/{small['order_id']}")
        (route,) = order["routing"]
        assert (route["route"], route["mode"], D(route["notional"]), route["user"]) == (
            "INTERNAL",
            "NORMAL_MODE",
            100,
            s.ann.user,
        )
        assert [fill["size"] for fill in order["fills"]] == ["0.001"]
        routes = (await s.ada.get("/operator/routing-records", symbol="BTC"))["items"]
        assert [each["order_id"] for each in routes] == [small["order_id"]]
        for path in ("orders", "routing-records", "mode-changes"):
            typo = await s.ada.ask("GET", f"/operator/{path}", symbol="NOPE")
            assert (typo.status_code, typo.json()["errors"][0]["field"]) == (422, "query.symbol"), path
        for path in ("/operator/orders/o999", "/operator/users/nobody"):
            assert (await s.ada.ask("GET", path)).status_code == 404

    staffed(database, body)


def test_the_audit_log_shows_acts_by_subject_without_the_digests(database: str) -> None:
    async def body(s: Staffed) -> None:
        await s.ann.order(size="0.001")
        await done(
            s.otto.ask("POST", f"/operator/users/{s.ann.user}/kyc", {"kyc_status": "PENDING", "reason": "r"})
        )
        acts = (await s.rita.get("/operator/audit-log"))["items"]
        assert acts[0]["action"] == "KYC_CHANGED"
        assert "ROUTING_DECIDED" not in {each["action"] for each in acts}
        of_ann = (await s.rita.get("/operator/audit-log", subject=s.ann.user))["items"]
        assert [each["action"] for each in of_ann] == ["KYC_CHANGED", "DEPOSIT_CREDITED"]

    staffed(database, body)


@pytest.mark.parametrize("path", ["/operator/alerts", "/operator/proposals", "/operator/audit-log"])
def test_unknown_query_parameters_are_refused(database: str, path: str) -> None:
    async def body(s: Staffed) -> None:
        answer = await s.rita.ask("GET", path, nonsense=1)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.nonsense")

    staffed(database, body)
