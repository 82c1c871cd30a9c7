"""How operators come and go."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import psycopg
import pytest

from hybrid_perps import run
from live.identity.errors import Conflict
from live.identity.principal import Role
from live.operators.staff import Staff
from tests.api.operators import done, refused
from tests.operators.staffed import Staffed, staffed


def _change(account: str, role: str | None) -> dict[str, Any]:
    return {"account": account, "role": role, "reason": "because"}


def test_the_only_super_admin_decides_alone(database: str) -> None:
    async def body(s: Staffed) -> None:
        async def change(account: str, role: str | None) -> Any:
            return await s.sam.ask("POST", "/operator/operators", _change(account, role))

        assert (await s.ann.ask("GET", "/operator/house")).status_code == 403
        assert (await done(change(s.ann.user, "ANALYST")))["status"] == "DONE"
        assert (await s.ann.ask("GET", "/operator/house")).status_code == 200
        await done(change(s.ann.user, "OPERATIONS"))
        await done(change(s.ann.user, None))
        assert (await s.ann.ask("GET", "/operator/house")).status_code == 403
        for role in ("ANALYST", None):
            last = await change(s.sam.user, role)
            assert (last.status_code, last.json()["code"]) == (409, "last-super-admin")
        unknown = await refused(change("u" + 20 * "a", "ANALYST"), "invalid", 422)
        assert [each["field"] for each in unknown["errors"]] == ["body.account"]
        nobody = {"email": "nobody@example.org", "role": "ANALYST", "reason": "r"}
        unknown = await refused(s.sam.ask("POST", "/operator/operators", nobody), "invalid", 422)
        assert [each["field"] for each in unknown["errors"]] == ["body.email"]
        assert (await change(s.ann.user, "KING")).status_code == 422
        acts = await s.all(
            "select action, subject, detail from audit_log where actor = $1 order by id", s.sam.user
        )
        assert acts == [
            ("OPERATOR_ADDED", s.ann.user, "None to ANALYST: because"),
            ("OPERATOR_CHANGED", s.ann.user, "ANALYST to OPERATIONS: because"),
            ("OPERATOR_REMOVED", s.ann.user, "OPERATIONS to None: because"),
        ]
        by_email = {"email": f"{s.ann.user}@example.org", "role": "ANALYST", "reason": "r"}
        await done(s.sam.ask("POST", "/operator/operators", by_email))
        both = await s.sam.ask("POST", "/operator/operators", {**by_email, "account": s.ann.user})
        assert both.status_code == 422
        listed = await s.ada.get("/operator/operators")
        assert {each["account_id"]: each["role"] for each in listed}[s.ann.user] == "ANALYST"

    staffed(database, body)


def test_with_several_super_admins_two_must_agree(database: str) -> None:
    async def body(s: Staffed) -> None:
        await done(s.sam.ask("POST", "/operator/operators", _change(s.rolf.user, "SUPER_ADMIN")))
        asked = await done(s.sam.ask("POST", "/operator/operators", _change(s.ann.user, "OPERATIONS")), 202)
        number = asked["proposal"]["id"]
        assert await s.api.services.office.staff.role_of(s.ann.user) is None
        for by, status in ((s.sam, 403), (s.rita, 403), (s.rolf, 200)):
            answer = await by.ask("POST", f"/operator/proposals/{number}/approve", {"reason": "fine"})
            assert answer.status_code == status
        assert answer.json()["status"] == "EXECUTED"
        assert await s.api.services.office.staff.role_of(s.ann.user) is Role.OPERATIONS
        (act,) = await s.all(
            "select actor, detail from audit_log where action = 'OPERATOR_ADDED' and subject = $1", s.ann.user
        )
        told = f"proposal {number}, approved by {s.rolf.user}: None to OPERATIONS: because"
        assert act == (s.sam.user, told)  # as of all that two decide: who proposed it did it
        # One of two may go with the other's word, or the own; the last one stays.
        asked = await done(s.rolf.ask("POST", "/operator/operators", _change(s.sam.user, None)), 202)
        path = f"/operator/proposals/{asked['proposal']['id']}/approve"
        assert (await done(s.sam.ask("POST", path, {"reason": "I go"})))["status"] == "EXECUTED"
        assert (await s.sam.ask("GET", "/operator/house")).status_code == 403
        last = await s.rolf.ask("POST", "/operator/operators", _change(s.rolf.user, None))
        assert last.status_code == 409

    staffed(database, body)


def test_a_change_that_cannot_be_made_any_more_fails_and_changes_nothing(database: str) -> None:
    async def body(s: Staffed) -> None:
        await done(s.sam.ask("POST", "/operator/operators", _change(s.rolf.user, "SUPER_ADMIN")))
        change = _change(s.ann.user, "ANALYST")
        asked = [await done(s.sam.ask("POST", "/operator/operators", change), 202) for _ in range(2)]
        paths = [f"/operator/proposals/{each['proposal']['id']}/approve" for each in asked]
        first, second = [await done(s.rolf.ask("POST", path, {"reason": "fine"})) for path in paths]
        assert (first["status"], first["code"]) == ("EXECUTED", None)
        assert (second["status"], second["code"]) == ("FAILED", "already-so")
        acts = await s.all("select action from audit_log where subject = $1 order by id", s.ann.user)
        assert [action for (action,) in acts].count("OPERATOR_ADDED") == 1

    staffed(database, body)


def test_two_super_admins_who_remove_each_other_at_once_leave_one(database: str) -> None:
    async def body(s: Staffed) -> None:
        pool = s.api.services.pool
        await pool.execute(
            "update access.operators set role = 'SUPER_ADMIN' where account_id = $1", s.rolf.user
        )
        first, second = await pool.acquire(), await pool.acquire()
        begun, other = first.transaction(), second.transaction()
        await begun.start()
        await other.start()
        await first.execute("delete from access.operators where account_id = $1", s.sam.user)
        waiting = asyncio.create_task(
            second.execute("delete from access.operators where account_id = $1", s.rolf.user)
        )
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await begun.commit()
        with pytest.raises(asyncpg.RestrictViolationError):
            await waiting
        await other.rollback()
        await pool.release(first)
        await pool.release(second)

    staffed(database, body)


def _on(dsn: str, work: Callable[[Staff], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            return await work(Staff(pool, lambda: 10**18))

    return asyncio.run(asked())


def test_the_first_one_is_made_on_the_command_line_and_only_that(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    account, other = "u" + 20 * "a", "u" + 20 * "b"
    with psycopg.connect(database) as connection:
        for number, user in enumerate((account, other)):
            connection.execute(
                "insert into access.accounts (id, email, created_at) values (%s, %s, now())",
                (user, f"a{number}@example.org"),
            )
    assert run(["operators", "add", "nobody@example.org"]) == 2
    assert "register first" in capsys.readouterr().err
    assert run(["operators", "add", "a0@example.org", "--role", "analyst"]) == 2
    assert "super_admin" in capsys.readouterr().err
    assert run(["operators", "add", "a0@example.org", "--role", "king"]) == 2
    assert "one of super_admin, risk_manager, operations, analyst" in capsys.readouterr().err
    assert run(["operators", "add", " A0@Example.org", "--role", "super_admin"]) == 0
    assert account in capsys.readouterr().out
    assert run(["operators", "add", "a1@example.org"]) == 2
    assert "there is a super admin" in capsys.readouterr().err
    assert run(["operators", "list", "--json"]) == 0
    assert '"role": "SUPER_ADMIN"' in capsys.readouterr().out
    assert run(["operators", "list"]) == 0
    assert "a0@example.org" in capsys.readouterr().out
    with pytest.raises(Conflict):
        _on(database, lambda staff: staff.change_alone(account, None, account, "r", "k", bytes(32)))
    with psycopg.connect(database) as connection:
        acts = connection.execute("select action, subject, detail from audit_log").fetchall()
    assert acts == [("OPERATOR_ADDED", account, "None to SUPER_ADMIN: the first super admin")]
