"""An operator's key belongs to one request: the same again is done once, another is refused."""

import asyncio
from typing import Any

from tests.api.operators import done
from tests.api.traders import Trader
from tests.operators.staffed import Staffed, staffed

ROUTING, RISK = "/operator/routing-config", "/operator/risk-config"
LEVEL, ROLLBACK = "/operator/service-level", "/operator/service-level/rollback"


async def refused(by: Trader, path: str, body: Any, key: str, method: str = "POST") -> None:
    answer = await by.ask(method, path, body, key)
    assert (answer.status_code, answer.json()["code"]) == (409, "key-reused"), answer.text


def change(value: str, symbol: str = "BTC", reason: str = "r") -> dict[str, Any]:
    return {"symbol": symbol, "changes": {"normal_threshold": value}, "reason": reason}


def test_a_change_of_settings(database: str) -> None:
    async def body(s: Staffed) -> None:
        first = await done(s.rita.ask("POST", ROUTING, change("12000"), "k"))
        assert await done(s.rita.ask("POST", ROUTING, change("12000"), "k")) == first
        for other in (change("13000"), change("12000", "ETH"), change("12000", reason="another")):
            await refused(s.rita, ROUTING, other, "k")
        await refused(s.rita, RISK, {"changes": {"hedge_retry_max": 9}, "reason": "r"}, "k")
        assert await s.all("select symbol, normal_threshold from routing_config where symbol <> '*'") == [
            ("BTC", 12_000)
        ]
        proposed = await done(s.rita.ask("POST", ROUTING, change("0"), "p"), 202)
        assert await done(s.rita.ask("POST", ROUTING, change("0"), "p"), 202) == proposed
        for other in (change("1"), change("12001"), change("0", reason="another")):
            await refused(s.rita, ROUTING, other, "p")
        await done(s.rolf.ask("POST", ROUTING, change("12001"), "p"))  # a key is of one person

    staffed(database, body)


def test_many_at_once(database: str) -> None:
    """Of two requests under one key one is done, and all who sent it get its answer."""

    async def body(s: Staffed) -> None:
        for value, other in (("12000", "13000"), ("0", "1")):
            key = f"k-{value}"
            asked = [s.rita.ask("POST", ROUTING, change(each), key) for each in [value, other] * 3]
            answers = await asyncio.gather(*asked)
            ways = [answers[0::2], answers[1::2]]
            if ways[0][0].status_code == 409:
                ways.reverse()
            statuses = [{answer.status_code for answer in way} for way in ways]
            assert statuses == [{200 if value == "12000" else 202}, {409}]
            assert len({answer.text for answer in ways[0]}) == 1
        changes = "select count(*) from audit_log where action = 'ROUTING_CONFIG_CHANGED'"
        assert await s.all(changes) == [(1,)]
        assert await s.all("select count(*) from access.proposals") == [(1,)]

    staffed(database, body)


def test_a_rollback_and_other_acts_under_its_key(database: str) -> None:
    async def body(s: Staffed) -> None:
        switched = (await done(s.rita.ask("POST", LEVEL, {"level": 2, "reason": "r"}, "a")))["seq"]
        await refused(s.rita, LEVEL, {"level": 1, "reason": "r"}, "a")
        await refused(s.rita, ROLLBACK, {"switch": switched, "reason": "r"}, "a")
        await done(s.rita.ask("POST", ROLLBACK, {"switch": switched, "reason": "r"}, "b"))
        await refused(s.rita, ROLLBACK, {"switch": switched, "reason": "other"}, "b")
        await refused(s.rita, LEVEL, {"level": 0, "reason": "r"}, "b")
        await refused(s.rita, "/operator/routing-mode/BTC", {"mode": None, "reason": "r"}, "b", "PUT")
        await refused(s.rita, "/operator/books/release", {"reason": "r"}, "b")
        assert len(await s.all("select 1 from service_levels")) == 2

    staffed(database, body)


def test_a_key_of_one_s_own_orders(database: str) -> None:
    """A key under which an operator traded says nothing of what is done as an operator."""

    async def body(s: Staffed) -> None:
        order = {"symbol": "BTC", "side": "BUY", "size": "0.001", "leverage": 10}
        assert (await s.rita.ask("POST", "/orders", order, "k")).status_code == 409  # she has no money
        await refused(s.rita, ROUTING, change("12000"), "k")
        await refused(s.rita, LEVEL, {"level": 1, "reason": "r"}, "k")
        assert await s.all("select symbol from routing_config") == [("*",)]

    staffed(database, body)


def test_a_change_of_an_operator(database: str) -> None:
    async def body(s: Staffed) -> None:
        def give(role: str | None, reason: str = "r") -> dict[str, Any]:
            return {"account": s.ann.user, "role": role, "reason": reason}

        path = "/operator/operators"
        first = await done(s.sam.ask("POST", path, give("ANALYST"), "k"))
        for other in (give("OPERATIONS"), give(None), give("ANALYST", "another")):
            await refused(s.sam, path, other, "k")
        await done(s.sam.ask("POST", path, give(None)))
        at_once = await asyncio.gather(*(s.sam.ask("POST", path, give("OPERATIONS"), "o") for _ in range(6)))
        assert {answer.status_code for answer in at_once} == {200}
        await done(s.sam.ask("POST", path, give(None)))
        # A retry that comes late brings back neither the role nor, with another super admin, a proposal.
        assert await done(s.sam.ask("POST", path, give("ANALYST"), "k")) == first
        await done(s.sam.ask("POST", path, {**give("SUPER_ADMIN"), "account": s.rolf.user}))
        assert await done(s.sam.ask("POST", path, give("ANALYST"), "k")) == first
        assert await s.api.services.office.staff.role_of(s.ann.user) is None
        assert await s.all("select 1 from access.proposals") == []
        proposed = await done(s.sam.ask("POST", path, give("ANALYST"), "p"), 202)
        assert await done(s.sam.ask("POST", path, give("ANALYST"), "p"), 202) == proposed
        await refused(s.sam, path, give("OPERATIONS"), "p")

    staffed(database, body)
