"""What changes nothing is told so, and what is not there is told alike everywhere: 404 in the path, 422 in the body."""

from typing import Any

from live.ledger.inputs import ReconciliationDone
from tests.api.operators import done, refused
from tests.operators.staffed import Staffed, staffed
from tests.operators.test_desk import ADDRESS
from tests.risk.book_builder import D

WHY = {"reason": "r"}


def test_what_changes_nothing_is_told_so_and_leaves_no_trace(database: str) -> None:
    async def body(s: Staffed) -> None:
        s.api.process.machine.book._core.symbols["BTC"].hl_halted = True
        kyc, level = f"/users/{s.ann.user}/kyc", "/service-level"
        acts: list[tuple[Any, str, str, dict[str, Any]]] = [
            (s.rita, "PUT", "/routing-mode/BTC", {"mode": "HL_MODE"}),
            (s.rita, "PUT", "/routing-mode/BTC", {"mode": None}),
            (s.rita, "POST", "/halts/BTC/lift", {}),
            (s.rita, "POST", "/routing-config", {"symbol": "BTC", "changes": {"normal_threshold": "12000"}}),
            (s.rita, "POST", "/risk-config", {"changes": {"hedge_retry_max": 9}}),
            (s.otto, "POST", level, {"level": 2}),
            (s.otto, "POST", level, {"level": 0}),
            (s.otto, "POST", kyc, {"kyc_status": "APPROVED"}),
            (s.sam, "POST", "/operators", {"account": s.ann.user, "role": "ANALYST"}),
            (s.sam, "POST", "/operators", {"account": s.ann.user, "role": None}),
        ]
        for number, (by, method, path, fields) in enumerate(acts):
            first = await done(by.ask(method, f"/operator{path}", fields | WHY, f"k-{number}"))
            told = await s.all("select count(*) from audit_log")
            again = await refused(by.ask(method, f"/operator{path}", fields | WHY), "already-so")
            assert again["detail"]
            assert await s.all("select count(*) from audit_log") == told, path
            # The first answer is for whoever sends the first request again.
            assert await done(by.ask(method, f"/operator{path}", fields | WHY, f"k-{number}")) == first

    staffed(database, body)


def test_a_release_is_proposed_of_halted_books_alone_and_done_once(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def release(key: str | None = None) -> Any:
            return await s.rita.ask("POST", "/operator/books/release", WHY, key)

        assert (await refused(release("k"), "already-so"))["detail"] == "the books are not halted"
        assert await s.all("select 1 from access.proposals") == []
        s.api.process.tell(ReconciliationDone(0, "x", D(1), D(2), D(1), "CRITICAL"))
        asked = [await done(release(key), 202) for key in ("k", "l")]
        paths = [f"/operator/proposals/{each['proposal']['id']}/approve" for each in asked]
        first, second = [await done(s.rolf.ask("POST", path, WHY)) for path in paths]
        assert (first["status"], first["code"]) == ("EXECUTED", None)
        assert (second["status"], second["code"], second["outcome"]) == (
            "FAILED",
            "already-so",
            "the books are not halted",
        )
        assert (await done(release("k"), 202))["proposal"] == first
        await refused(release(), "already-so")
        acts = await s.all("select count(*) from audit_log where action = 'BOOKS_RELEASED'")
        assert acts == [(1,)]

    staffed(database, body)


def test_an_address_that_is_listed_is_told_with_its_entry(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def add(by: Any, reason: str) -> Any:
            return await by.ask("POST", "/operator/blacklist", {"address": ADDRESS, "reason": reason})

        first = await done(add(s.rita, "stolen"), 201)
        assert await done(add(s.rita, "stolen"), 201) == first  # the same asked again, as after a lost answer
        for by, reason in ((s.rita, "sanctioned"), (s.rolf, "stolen")):
            told = (await refused(add(by, reason), "already-so"))["detail"]
            assert f"was listed by {s.rita.user} at " in told
            assert told.endswith(": stolen")
        acts = await s.all("select actor, detail from audit_log where action = 'ADDRESS_BLACKLISTED'")
        assert acts == [(s.rita.user, "stolen")]
        await done(s.rolf.ask("POST", f"/operator/blacklist/{ADDRESS}/remove", WHY), 204)
        assert (await done(add(s.rolf, "sanctioned"), 201))["added_by"] == s.rolf.user

    staffed(database, body)


def test_what_is_not_there_is_404_in_the_path_and_422_in_the_body(database: str) -> None:
    async def body(s: Staffed) -> None:
        nobody = "u" + 20 * "a"
        in_path: list[tuple[Any, str, str, Any, str]] = [
            (s.rita, "GET", "/routing-config/XYZ", None, "unknown-symbol"),
            (s.rita, "PUT", "/routing-mode/XYZ", {"mode": None}, "unknown-symbol"),
            (s.rita, "POST", "/halts/XYZ/lift", {}, "unknown-symbol"),
            (s.otto, "GET", "/users/nobody", None, "unknown-user"),
            (s.otto, "POST", f"/users/{nobody}/kyc", {"kyc_status": "APPROVED"}, "unknown-user"),
            (s.otto, "POST", f"/users/{nobody}/adjustments", {"amount": "1"}, "unknown-user"),
            (s.otto, "GET", "/orders/o999", None, "unknown-order"),
            (s.otto, "GET", "/withdrawals/w999", None, "unknown-withdrawal"),
            (s.otto, "POST", "/withdrawals/w999/approve", {}, "unknown-withdrawal"),
            (s.otto, "POST", "/withdrawals/w999/refuse", {}, "unknown-withdrawal"),
            (s.rita, "POST", f"/blacklist/{ADDRESS}/remove", {}, "not-listed"),
            (s.rita, "GET", "/proposals/999", None, "unknown-proposal"),
            (s.rita, "POST", "/proposals/999/approve", {}, "unknown-proposal"),
            (s.rita, "POST", "/proposals/999/reject", {}, "unknown-proposal"),
            (s.rita, "POST", "/proposals/999/withdraw", {}, "unknown-proposal"),
        ]
        for by, method, path, fields, code in in_path:
            content = None if fields is None else fields | WHY
            await refused(by.ask(method, f"/operator{path}", content), code, 404)
        changes = {"changes": {"normal_threshold": "12000"}}
        in_body: list[tuple[Any, str, dict[str, Any], str]] = [
            (s.rita, "/routing-config", {"symbol": "XYZ"} | changes, "body.symbol"),
            (s.sam, "/operators", {"account": nobody, "role": "ANALYST"}, "body.account"),
            (s.sam, "/operators", {"email": "nobody@example.org", "role": "ANALYST"}, "body.email"),
        ]
        for by, path, fields, field in in_body:
            told = await refused(by.ask("POST", f"/operator{path}", fields | WHY), "invalid", 422)
            assert [each["field"] for each in told["errors"]] == [field]

    staffed(database, body)
