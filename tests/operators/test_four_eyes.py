"""What needs two people: never the same one, never without its role, and done once whatever breaks off."""

from typing import Any

import asyncpg
import pytest

from live.books.commands import Answer, Command, NotAnswered
from tests.api.operators import done
from tests.api.traders import Trader
from tests.operators.staffed import Staffed, staffed
from tests.risk.book_builder import D


def routing(symbol: str = "BTC", reason: str = "because", **changes: Any) -> dict[str, Any]:
    return {"symbol": symbol, "changes": changes, "reason": reason}


async def _proposed(by: Trader, path: str, body: Any, key: str | None = None) -> int:
    answer = await done(by.ask("POST", path, body, key), 202)
    assert answer["status"] == "PROPOSED"
    return answer["proposal"]["id"]


async def _decides(by: Trader, number: int, what: str = "approve") -> Any:
    return await by.ask("POST", f"/operator/proposals/{number}/{what}", {"reason": "seen"})


def test_a_change_without_an_anomaly_is_done_at_once(database: str) -> None:
    async def body(s: Staffed) -> None:
        asked = s.rita.ask("POST", "/operator/routing-config", routing(normal_threshold="99999.5"), "k")
        first = await done(asked)
        assert first["status"] == "DONE"
        again = s.rita.ask("POST", "/operator/routing-config", routing(normal_threshold="99999.5"), "k")
        assert await done(again) == first
        sql = "select symbol, normal_threshold, updated_by from routing_config order by symbol"
        assert await s.all(sql) == [("*", D(10_000), "books"), ("BTC", D("99999.5"), s.rita.user)]
        acts = await s.all("select action, subject, detail from audit_log where actor = $1", s.rita.user)
        told = "normal_threshold 10000 to 99999.5: because"
        assert acts == [("ROUTING_CONFIG_CHANGED", "BTC", told)]
        assert s.api.process.machine.book.settings.routing_of("BTC").normal_threshold == D("99999.5")

    staffed(database, body)


def test_an_anomalous_threshold_waits_for_a_second_person(database: str) -> None:
    async def body(s: Staffed) -> None:
        def threshold(symbol: str) -> Any:
            return s.api.process.machine.book.settings.routing_of(symbol).normal_threshold

        for symbol, value, needs_two in (
            ("BTC", "0", 1),
            ("ETH", "1000", 1),
            ("COIN", "1000.01", 0),
            ("*", "100000", 1),
        ):
            asked = s.rita.ask("POST", "/operator/routing-config", routing(symbol, normal_threshold=value))
            answer = await done(asked, 202 if needs_two else 200)
            assert threshold(symbol) == D(10_000 if needs_two else value)
            if needs_two:
                proposal = answer["proposal"]
                assert proposal["body"] == {
                    "changes": {"normal_threshold": value},
                    "before": {"normal_threshold": "10000"},
                    "agreed": {},
                    "anomalies": ["normal_threshold"],
                }
                await done(_decides(s.rolf, proposal["id"]))
                assert threshold(symbol) == D(value)
        rows = dict(await s.all("select symbol, updated_by from routing_config"))
        assert set(rows.values()) == {s.rita.user}

    staffed(database, body)


def test_many_small_steps_go_no_further_than_one(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def step(symbol: str, value: str) -> Any:
            return await s.rita.ask(
                "POST", "/operator/routing-config", routing(symbol, normal_threshold=value)
            )

        await done(step("BTC", "40000"))
        await done(step("BTC", "90000"))
        asked = (await done(step("BTC", "160000"), 202))["proposal"]  # less than twice the last value
        assert asked["body"]["before"] == {"normal_threshold": "90000"}
        assert asked["body"]["agreed"] == {"normal_threshold": "10000"}
        assert (await done(step("BTC", "1000"), 202))["status"] == "PROPOSED"
        await done(step("BTC", "20000"))  # what the first proposal was made of is another now
        assert (await done(_decides(s.rolf, asked["id"])))["status"] == "FAILED"
        asked = (await done(step("BTC", "160000"), 202))["proposal"]
        assert (await done(_decides(s.rolf, asked["id"])))["status"] == "EXECUTED"
        await done(step("BTC", "900000"))  # two agreed on 160 000: from there it goes on
        await done(step("BTC", "1600000"), 202)
        # nor by way of the default row, which counts where a symbol has none of its own
        await done(step("*", "90000"))
        await done(step("ETH", "100000"), 202)
        await done(step("ETH", "80000"))
        await done(step("*", "10000"))
        await done(step("ETH", "100000"), 202)
        await done(step("COIN", "90000"))

    staffed(database, body)


def test_small_steps_of_the_risk_config_are_counted_too(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def step(value: str) -> Any:
            changes = {"changes": {"taker_fee_rate": value}, "reason": "r"}
            return await s.rita.ask("POST", "/operator/risk-config", changes)

        await done(step("0.0001"))
        asked = (await done(step("0.00005"), 202))["proposal"]
        assert asked["body"]["agreed"] == {"taker_fee_rate": "0.0005"}
        await done(_decides(s.rolf, asked["id"]))
        await done(step("0.00001"))
        await done(step("0.000005"), 202)
        acts = await s.all("select detail from audit_log where action = 'RISK_CONFIG_CHANGED' order by id")
        assert acts == [
            ("taker_fee_rate 0.0005 to 0.0001: r",),
            (f"proposal {asked['id']}, approved by {s.rolf.user}: taker_fee_rate 0.0001 to 0.00005: r",),
            ("taker_fee_rate 0.00005 to 0.00001: r",),
        ]

    staffed(database, body)


def test_of_the_risk_config_bounds_are_held_and_dangers_proposed(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def change(**changes: Any) -> Any:
            return await s.rita.ask("POST", "/operator/risk-config", {"changes": changes, "reason": "r"})

        settings = s.api.process.machine.book.settings
        answer = await change(reserve_floor="600000")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert "reserve_floor was 600000" in answer.json()["detail"]
        assert "trading_account_capital" in (await change(trading_account_capital="1")).json()["detail"]
        assert "nonsense" in (await change(nonsense=1)).json()["detail"]
        assert (await change(reserve_floor=0.25)).status_code == 422
        assert (await change(reserve_floor="250000")).status_code == 200
        assert (await change(hedging_enabled=not settings.risk.hedging_enabled)).status_code == 202
        assert s.api.process.machine.book.settings.risk.reserve_floor == 250_000
        shown = await s.ada.get("/operator/risk-config")
        assert shown["values"]["reserve_floor"] == "250000"
        assert shown["bounds"]["reserve_floor"] == {"minimum": "0", "maximum": "1000000000"}
        assert "trading_account_capital" not in shown["bounds"]

    staffed(database, body)


def test_the_same_person_is_refused_and_so_is_the_wrong_role(database: str) -> None:
    async def body(s: Staffed) -> None:
        number = await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold="0"))
        for what in ("approve", "reject"):
            own = await _decides(s.rita, number, what)
            assert (own.status_code, own.json()["code"]) == (403, "four-eyes")
            for other in (s.otto, s.ada, s.ann):
                assert (await _decides(other, number, what)).status_code == 403
        taken_back = await _decides(s.rolf, number, "withdraw")
        assert (taken_back.status_code, taken_back.json()["code"]) == (403, "not-yours")
        assert (await s.ada.get(f"/operator/proposals/{number}"))["status"] == "OPEN"
        assert (await _decides(s.rolf, 4711)).status_code == 404

    staffed(database, body)


def test_what_is_decided_stays_decided(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def a_proposal(value: str) -> int:
            return await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold=value))

        rejected, withdrawn, approved = [await a_proposal(value) for value in ("0", "1", "2")]
        assert (await done(_decides(s.rolf, rejected, "reject")))["status"] == "REJECTED"
        assert (await done(_decides(s.rolf, rejected, "reject")))["status"] == "REJECTED"
        taken_back = await done(_decides(s.rita, withdrawn, "withdraw"))
        assert (taken_back["status"], taken_back["decision"]) == ("WITHDRAWN", "seen")
        first = await done(_decides(s.rolf, approved))
        assert (first["status"], first["decided_by"]) == ("EXECUTED", s.rolf.user)
        assert await done(_decides(s.rolf, approved)) == first  # a retry
        for number, what, by in (
            (rejected, "approve", s.rolf),
            (rejected, "approve", s.sam),
            (withdrawn, "approve", s.rolf),
            (approved, "reject", s.rolf),
            (approved, "approve", s.sam),
        ):
            late = await _decides(by, number, what)
            assert (late.status_code, late.json()["code"]) == (409, "proposal-decided")
        changes = "select count(*) from audit_log where action = 'ROUTING_CONFIG_CHANGED'"
        assert await s.all(changes) == [(1,)]
        listed = await s.ada.get("/operator/proposals", limit=2)
        assert ([each["id"] for each in listed["items"]], listed["next"]) == (
            [approved, withdrawn],
            withdrawn,
        )
        rest = await s.ada.get("/operator/proposals", before=withdrawn, status="REJECTED")
        assert ([each["id"] for each in rest["items"]], rest["next"]) == ([rejected], None)

    staffed(database, body)


def test_the_database_itself_refuses_an_approval_by_the_proposer(database: str) -> None:
    async def body(s: Staffed) -> None:
        number = await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold="0"))
        for change in (
            "status = 'APPROVED', decided_by = proposed_by, decided_at = created_at",
            "status = 'EXECUTED', decided_by = 'x', decided_at = created_at, ended_at = created_at",
            "body = '{}'",
            "proposed_by = 'x'",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await s.api.services.pool.execute(
                    f"update access.proposals set {change} where id = $1", number
                )
        with pytest.raises(asyncpg.RestrictViolationError):
            await s.api.services.pool.execute("delete from access.proposals")

    staffed(database, body)


def test_settings_that_changed_meanwhile_are_not_overwritten(database: str) -> None:
    async def body(s: Staffed) -> None:
        number = await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold="0"))
        for changes in ({"betting_threshold": "60000"}, {"normal_threshold": "12000"}):
            await done(s.rolf.ask("POST", "/operator/routing-config", routing(**changes)))
        found = await done(_decides(s.rolf, number))
        assert found["status"] == "FAILED"
        assert found["code"] == "settings-changed"
        assert found["outcome"] == "normal_threshold was 10000 then, it is 12000 now"
        second = await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold="0"))
        await done(s.rolf.ask("POST", "/operator/routing-config", routing(betting_threshold="70000")))
        assert (await done(_decides(s.rolf, second)))["status"] == "EXECUTED"
        row = s.api.process.machine.book.settings.routing_of("BTC")
        assert (row.normal_threshold, row.betting_threshold) == (0, 70_000)

    staffed(database, body)


def test_a_proposer_who_lost_the_role_and_time_that_ran_out(database: str) -> None:
    async def body(s: Staffed) -> None:
        number = await _proposed(s.rita, "/operator/routing-config", routing(normal_threshold="0"))
        pool = s.api.services.pool
        await pool.execute("update access.operators set role = 'ANALYST' where account_id = $1", s.rita.user)
        gone = await _decides(s.rolf, number)
        assert (gone.status_code, gone.json()["code"]) == (409, "proposer-gone")
        await pool.execute(
            "update access.operators set role = 'RISK_MANAGER' where account_id = $1", s.rita.user
        )
        proposals = s.api.services.office.proposals
        later = s.api.services.clock() + 25 * 3600 * 10**9
        proposals._clock = lambda: later
        late = await _decides(s.rolf, number)
        assert (late.status_code, late.json()["code"]) == (409, "proposal-expired")
        await proposals.finish()
        assert (await proposals.find(number)).status == "EXPIRED"
        for what in ("approve", "reject"):
            ended = await _decides(s.rolf, number, what)
            assert (ended.status_code, ended.json()["code"]) == (409, "proposal-expired")

    staffed(database, body)


def test_a_correction_is_a_journal_entry_that_two_people_made(database: str) -> None:
    async def body(s: Staffed) -> None:
        path = f"/operator/users/{s.ann.user}/adjustments"
        number = await _proposed(s.otto, path, {"amount": "12.5", "reason": "case 11"}, "k")
        assert await _proposed(s.otto, path, {"amount": "12.5", "reason": "case 11"}, "k") == number
        reused = await s.otto.ask("POST", path, {"amount": "13", "reason": "case 11"}, "k")
        assert (reused.status_code, reused.json()["code"]) == (409, "key-reused")
        assert await s.cash() == 1_000
        assert (await _decides(s.otto, number)).status_code == 403
        assert (await done(_decides(s.rita, number)))["status"] == "EXECUTED"
        assert await s.cash() == D("1012.5")
        kinds = await s.all("select kind, amounts from journal order by id desc limit 1")
        assert kinds[0][0] == "balance_adjusted"
        (act,) = await s.all("select actor, detail from audit_log where action = 'BALANCE_ADJUSTED'")
        entry = (await s.all("select ref_id from journal order by id desc limit 1"))[0][0]
        told = f"proposal {number}, approved by {s.rita.user}: {entry}: 12.5, cash 1000 to 1012.5: case 11"
        assert act == (s.otto.user, told)
        too_much = await _proposed(s.otto, path, {"amount": "-5000", "reason": "r"})
        failed = await done(_decides(s.rita, too_much))
        assert (failed["status"], await s.cash()) == ("FAILED", D("1012.5"))
        assert failed["code"] == "ADJUSTMENT_EXCEEDS_FREE"
        assert "free" in failed["outcome"]
        for amount in ("0", "0.0000001", "1e3", "x", 5, None):
            assert (await s.otto.ask("POST", path, {"amount": amount, "reason": "r"})).status_code == 422
        unknown = await s.otto.ask(
            "POST", "/operator/users/nobody/adjustments", {"amount": "1", "reason": "r"}
        )
        assert unknown.status_code == 404

    staffed(database, body)


def test_nobody_corrects_the_own_balance_or_kyc(database: str) -> None:
    async def body(s: Staffed) -> None:
        own = await s.otto.ask(
            "POST", f"/operator/users/{s.otto.user}/adjustments", {"amount": "1", "reason": "r"}
        )
        assert (own.status_code, own.json()["code"]) == (403, "four-eyes")
        number = await _proposed(
            s.otto, f"/operator/users/{s.rita.user}/adjustments", {"amount": "1", "reason": "r"}
        )
        assert (await _decides(s.rita, number)).json()["code"] == "four-eyes"
        kyc = await s.otto.ask(
            "POST", f"/operator/users/{s.otto.user}/kyc", {"kyc_status": "APPROVED", "reason": "r"}
        )
        assert kyc.status_code == 403

    staffed(database, body)


class _Breaking:
    """A bus that breaks off before or after the books have done it, as often as it is told to."""

    def __init__(self, bus: Any, after: bool) -> None:
        self.bus, self.after, self.times, self.keys = bus, after, 1, []

    async def submit(self, command: Command) -> Answer:
        self.keys.append(command.key)
        if self.times and not self.after:
            self.times -= 1
            raise NotAnswered("broken off")
        answer = await self.bus.submit(command)
        if self.times:
            self.times -= 1
            raise NotAnswered("broken off")
        return answer


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("days", [0, 2])
def test_what_breaks_off_at_the_books_is_done_once(database: str, after: bool, days: int) -> None:
    async def body(s: Staffed) -> None:
        path = f"/operator/users/{s.ann.user}/adjustments"
        number = await _proposed(s.otto, path, {"amount": "12.5", "reason": "case 11"})
        proposals, services = s.api.services.office.proposals, s.api.services
        execution = proposals._execution
        execution._bus = breaking = _Breaking(services.bus, after)
        lost = await _decides(s.rita, number)
        assert (lost.status_code, lost.json()["code"]) == (504, "outcome-unknown")
        assert (await proposals.find(number)).status == "APPROVED"
        if days:  # the books have forgotten the answer, their journal has not
            await services.pool.execute("delete from idempotency_keys where key = $1", f"proposal:{number}")
            later = services.clock() + days * 24 * 3600 * 10**9
            execution._clock = lambda: later
        for _ in range(2):
            await proposals.finish()
        found = await proposals.find(number)
        assert (found.status, await s.cash()) == ("EXECUTED", D("1012.5"))
        assert set(breaking.keys) == {f"proposal:{number}"}
        assert (await done(_decides(s.rita, number)))["status"] == "EXECUTED"
        assert await s.cash() == D("1012.5")

    staffed(database, body)


def test_what_broke_off_and_was_refused_failed_also_when_the_books_have_forgotten(database: str) -> None:
    async def body(s: Staffed) -> None:
        path = f"/operator/users/{s.ann.user}/adjustments"
        number = await _proposed(s.otto, path, {"amount": "-5000", "reason": "r"})
        proposals, services = s.api.services.office.proposals, s.api.services
        proposals._execution._bus = _Breaking(services.bus, after=True)
        assert (await _decides(s.rita, number)).status_code == 504
        await services.pool.execute("delete from idempotency_keys where key = $1", f"proposal:{number}")
        later = services.clock() + 2 * 24 * 3600 * 10**9
        proposals._execution._clock = lambda: later
        await proposals.finish()
        found = await proposals.find(number)
        assert (found.status, found.code) == ("FAILED", "balance-not-adjusted")
        assert "cash 1000 stays, ADJUSTMENT_EXCEEDS_FREE" in (found.outcome or "")

    staffed(database, body)
