"""Registering, logging in and looking after an account, over HTTP: what is told, and what is not."""

import asyncio
import hashlib
import json
import secrets
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import httpx
import psycopg
import pytest

from live.api.auth import operator
from live.identity.names import new_token
from live.identity.principal import Principal, Role
from tests.api.access_site import open_site, site
from tests.api.people import PASSWORD, Person, letters, sign_up, token_for
from tests.api.served import over_http

with warnings.catch_warnings(action="ignore"):
    from eth_account import Account as Wallet
    from eth_account.messages import encode_defunct

__all__ = ["open_site", "site"]

OTHER = "another battery, another horse"


def refusal(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def without_id(answer):
    """Return all of an answer but what every answer has of its own."""
    own = {"x-request-id", "ratelimit", "ratelimit-policy"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, answer.json() | {"instance": ""}


def stranger() -> str:
    return f"nobody-{secrets.token_hex(8)}@example.org"


def test_somebody_registers_logs_in_and_is_known(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        answer = await ann.get("/v1/account/profile")
        assert answer.status_code == 200
        assert answer.json() | {"created_at": ""} == {
            "user": ann.user,
            "email": ann.email,
            "wallet_address": None,
            "has_password": True,
            "has_totp": True,
            "kyc_status": "NONE",
            "role": None,
            "created_at": "",
        }
        known = await asyncpg.connect(site.dsn)
        assert tuple(await known.fetchrow("select id, email from users where id = $1", ann.user)) == (
            ann.user,
            None,
        )
        await known.close()
        (session,) = (await ann.get("/v1/account/sessions")).json()
        assert (session["current"], session["method"], session["unusual"]) == (True, "PASSWORD", False)
        assert (await ann.get("/v1/account/kyc")).json() == {"kyc_status": "NONE"}
        kinds = [event["kind"] for event in (await ann.get("/v1/account/security-events")).json()["items"]]
        assert kinds == ["TOTP_ENROLLED", "LOGGED_IN", "REGISTERED"]

    site.run(scenario())


def test_answers_and_work_are_the_same_whether_an_address_has_an_account(site, monkeypatch):
    """Whoever asks learns nothing: not from the answer, not from the statements, not from the hashes made."""
    statements: list[str] = []
    execute = asyncpg.connection.Connection._execute

    async def noted(self, query, *rest, **more):
        statements.append(query)
        return await execute(self, query, *rest, **more)

    async def scenario():
        ann = await sign_up(site.api)
        wallet_only = await sign_up(site.api)
        await site.api.services.pool.execute(
            "update access.accounts set password_hash = null where id = $1", wallet_only.user
        )
        monkeypatch.setattr(asyncpg.connection.Connection, "_execute", noted)
        passwords = site.api.services.identity.passwords
        hashes: list[str] = []
        run = passwords._run

        async def counted(work, *arguments):
            hashes.append(work.__name__)
            return await run(work, *arguments)

        monkeypatch.setattr(passwords, "_run", counted)
        for path, more in (
            ("/v1/auth/register", {}),
            ("/v1/auth/password/forgot", {}),
            ("/v1/auth/login", {"password": OTHER}),
        ):
            seen = []
            for address in (ann.email, stranger(), wallet_only.email):
                statements.clear(), hashes.clear()
                answer = await site.api.client.post(path, json={"email": address} | more)
                seen.append((without_id(answer), _shapes(statements), tuple(hashes)))
            assert seen[0] == seen[1] == seen[2]
            assert seen[0][1]
        assert seen[0][2] == ("verify",)

    site.run(scenario())


def _shapes(statements: list[str]) -> list[str]:
    """Return the statements without those that another task makes at any time."""
    return [query for query in statements if "access.operators" not in query and "access." in query]


def test_lock_is_the_same_for_known_and_unknown_addresses(site):
    async def scenario():
        ann = await sign_up(site.api)
        seen = []
        for address in (ann.email, stranger()):
            api, told = site.from_elsewhere(), []
            for _ in range(6):
                body = {"email": address, "password": OTHER}
                told.append(without_id(await api.client.post("/v1/auth/login", json=body)))
            seen.append([(status, document["code"]) for status, _, document in told])
            assert 58 <= int(told[-1][1]["retry-after"]) <= 60
        assert seen[0] == seen[1] == [(401, "wrong-credentials")] * 5 + [(429, "too-many-attempts")]
        assert refusal(await ann.log_in()) == (429, "too-many-attempts")  # also for the right password
        site.clock.advance(60)
        assert (await ann.log_in()).status_code == 200

    site.run(scenario())


def test_stranger_s_guesses_lock_out_neither_a_trusted_device_nor_a_reset(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        site.clock.advance(90)
        body = {"challenge": (await ann.log_in()).json()["challenge"], "code": ann.code()}
        answer = await site.api.client.post("/v1/auth/login/totp", json=body | {"trust_device_as": "laptop"})
        device, elsewhere = answer.json()["device_token"], site.from_elsewhere()
        guess = {"email": ann.email, "password": OTHER}
        for _ in range(5):
            await elsewhere.client.post("/v1/auth/login", json=guess)
        for token in (None, new_token()):
            assert refusal(await ann.log_in(device_token=token)) == (429, "too-many-attempts")
        assert (await ann.log_in(device_token=device)).json()["kind"] == "session"
        for _ in range(5):
            assert refusal(await ann.log_in(OTHER, device_token=device)) == (401, "wrong-credentials")
        assert refusal(await ann.log_in(device_token=device)) == (429, "too-many-attempts")
        await elsewhere.client.post("/v1/auth/password/forgot", json={"email": ann.email})
        body = {"token": await token_for(site.api, ann.email), "password": OTHER}
        assert (await elsewhere.client.post("/v1/auth/password/reset", json=body)).status_code == 204
        assert (await ann.log_in(OTHER)).json()["kind"] == "challenge"

    site.run(scenario())


def test_second_factor_is_asked_for_and_each_code_counts_once(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        site.clock.advance(90)
        answer = await ann.log_in()
        assert answer.json()["kind"] == "challenge"
        code = ann.code()
        body = {"challenge": answer.json()["challenge"], "code": code, "trust_device_as": " "}
        assert refusal(await site.api.client.post("/v1/auth/login/totp", json=body)) == (422, "invalid")
        body["trust_device_as"] = "laptop"  # and neither the code nor the challenge was used up
        answer = await site.api.client.post("/v1/auth/login/totp", json=body)
        assert answer.status_code == 200
        device = answer.json()["device_token"]
        assert refusal(await site.api.client.post("/v1/auth/login/totp", json=body)) == (
            401,
            "wrong-challenge",
        )
        assert refusal(await ann.log_in(code=code)) == (401, "used-code")
        assert refusal(await ann.log_in(code=ann.code(5))) == (401, "wrong-code")
        assert (await ann.log_in(code=ann.codes[0])).status_code == 200
        assert refusal(await ann.log_in(code=ann.codes[0])) == (401, "used-code")
        assert (await ann.log_in(device_token=device)).json()["kind"] == "session"
        (found,) = (await ann.get("/v1/account/devices")).json()
        assert (await ann.delete(f"/v1/account/devices/{found['id']}")).status_code == 204
        assert (await ann.log_in(device_token=device)).json()["kind"] == "challenge"
        assert (await ann.get("/v1/account/recovery-codes")).json() == {"left": 9}

    site.run(scenario())


def test_session_is_refreshed_and_ends_when_a_token_comes_twice(site):
    async def scenario():
        ann = await sign_up(site.api)
        stolen = ann.refresh
        for _ in range(2):  # the first answer may have been lost
            answer = await site.api.client.post("/v1/auth/refresh", json={"refresh_token": stolen})
            ann.take(answer)
        site.clock.advance(10)
        assert (await ann.get("/v1/account/profile")).status_code == 200
        for token in (stolen, ann.refresh):
            answer = await site.api.client.post("/v1/auth/refresh", json={"refresh_token": token})
            assert refusal(answer) == (401, "wrong-token")
        assert refusal(await ann.get("/v1/account/profile")) == (401, "session-ended")

    site.run(scenario())


def test_strangers_guesses_keep_nobody_from_showing_the_password_in_a_session(site):
    async def scenario():
        ann = await sign_up(site.api)
        for _ in range(5):
            assert refusal(await replace(ann).log_in("wrong")) == (401, "wrong-credentials")
        assert refusal(await replace(ann).log_in()) == (429, "too-many-attempts")
        assert (await ann.post("/v1/account/totp", {"password": PASSWORD})).status_code == 200
        # And who guesses in a session is locked out of that, not of the account.
        for _ in range(5):
            answer = await ann.post("/v1/account/totp", {"password": "wrong"})
            assert refusal(answer) == (401, "wrong-password")
            assert answer.json()["errors"][0]["field"] == "body.password"
        answer = await ann.post("/v1/account/totp", {"password": PASSWORD})
        assert refusal(answer) == (429, "too-many-attempts")
        site.clock.advance(59)
        assert refusal(await replace(ann).log_in()) == (429, "too-many-attempts")
        site.clock.advance(1)
        there = replace(ann)
        assert (await there.log_in()).status_code == 200
        for _ in range(2):
            answer = await there.post("/v1/account/totp", {"password": "wrong"})
            assert refusal(answer) == (401, "wrong-password")

    site.run(scenario())


def test_right_log_ins_side_by_side_are_all_let_in(site):
    async def scenario():
        ann = await sign_up(site.api)
        for _ in range(4):
            await replace(ann).log_in("wrong")
        answers = await asyncio.gather(*(replace(ann).log_in() for _ in range(12)))
        assert [answer.status_code for answer in answers] == [200] * 12

    site.run(scenario())


def test_a_wrong_guess_counts_whose_client_does_not_wait_for_the_answer(site, monkeypatch):
    async def scenario():
        ann = await sign_up(site.api)
        passwords, looking, go_on = site.api.services.identity.passwords, asyncio.Event(), asyncio.Event()
        matches = passwords.matches

        async def slow(*given) -> bool:
            looking.set()
            await go_on.wait()
            return await matches(*given)

        monkeypatch.setattr(passwords, "matches", slow)
        body = {"email": ann.email, "password": "wrong horse battery"}
        async with over_http(site.api) as url:
            for _ in range(5):
                looking.clear()
                go_on.clear()
                async with httpx.AsyncClient(base_url=url) as client:
                    asked = asyncio.create_task(client.post("/v1/auth/login", json=body))
                    await asyncio.wait_for(looking.wait(), 60)
                    asked.cancel()
                await asyncio.sleep(0.05)  # the server has seen it leave
                go_on.set()
                await asyncio.sleep(0.05)
        right = await site.api.client.post("/v1/auth/login", json=body | {"password": PASSWORD})
        assert refusal(right)[0] == 429

    site.run(scenario())


def test_session_ends_by_log_out_by_its_owner_and_with_the_password(site):
    async def scenario():
        ann = await sign_up(site.api)
        there = replace(ann)
        await there.log_in()
        assert (await ann.delete(f"/v1/account/sessions/{there.session}")).status_code == 204
        assert refusal(await there.get("/v1/account/profile")) == (401, "session-ended")
        await there.log_in()
        assert (await ann.delete("/v1/account/sessions")).status_code == 204
        assert refusal(await there.get("/v1/account/profile")) == (401, "session-ended")
        await there.log_in()
        body = {"old_password": PASSWORD, "new_password": OTHER}
        assert (await ann.post("/v1/account/password", body)).status_code == 204
        assert refusal(await there.get("/v1/account/profile")) == (401, "session-ended")
        assert (await ann.post("/v1/auth/logout")).status_code == 204
        assert refusal(await ann.get("/v1/account/profile")) == (401, "session-ended")
        assert (await ann.log_in(OTHER)).status_code == 200
        site.clock.advance(306)
        assert refusal(await ann.get("/v1/account/profile")) == (401, "token-expired")

    site.run(scenario())


def test_forgotten_password_is_set_anew_and_ends_the_keys(site):
    async def scenario():
        ann = await sign_up(site.api)
        key = await ann.key()
        await site.api.client.post("/v1/auth/password/forgot", json={"email": ann.email})
        body = {"token": await token_for(site.api, ann.email), "password": OTHER}
        assert (await site.api.client.post("/v1/auth/password/reset", json=body)).status_code == 204
        assert refusal(await site.api.client.post("/v1/auth/password/reset", json=body)) == (
            401,
            "wrong-token",
        )
        assert refusal(await ann.get("/v1/account/profile")) == (401, "session-ended")
        assert refusal(await key.send("GET", "/v1/keys")) == (401, "wrong-signature")
        assert refusal(await ann.log_in()) == (401, "wrong-credentials")
        assert (await ann.log_in(OTHER)).status_code == 200
        subjects = [subject for subject, _ in await letters(site.api, ann.email)]
        assert subjects == [
            "Confirm your e-mail address",
            "A change to your account",  # the key
            "Set another password",
            "A change to your account",
        ]

    site.run(scenario())


def test_the_owner_is_told_of_every_change_of_the_ways_in_by_letter_and_in_the_list(site):
    async def scenario():
        ann = await sign_up(site.api)
        await ann.enrol(give=False)
        key = await ann.key("READ", code=ann.codes[0])
        await ann.post(f"/v1/keys/{key.id}/rotate", {"code": ann.codes[1]})
        await ann.delete(f"/v1/keys/{key.id}")
        await ann.post("/v1/account/recovery-codes", {"code": ann.codes[2]})
        site.clock.advance(60)
        there = replace(ann)
        asked = (await there.log_in()).json()["challenge"]
        body = {"challenge": asked, "code": ann.code(), "trust_device_as": "laptop"}
        there.take(await site.api.client.post("/v1/auth/login/totp", json=body))
        (device,) = (await ann.get("/v1/account/devices")).json()
        await ann.delete(f"/v1/account/devices/{device['id']}")
        await ann.delete(f"/v1/account/sessions/{there.session}")
        await ann.delete("/v1/account/sessions")
        await ann.post("/v1/account/totp/disable", {"password": "wrong", "code": ann.code(1)})
        await ann.post("/v1/account/totp/disable", {"password": PASSWORD, "code": "000000"})
        await ann.post("/v1/account/totp/disable", {"password": PASSWORD, "code": ann.code(1)})
        await ann.post("/v1/account/password", {"old_password": PASSWORD, "new_password": OTHER})
        await ann.post("/v1/auth/logout")
        told = [text.splitlines()[0] for _, text in await letters(site.api, ann.email)][1:]
        assert told == [
            "An authenticator was enrolled, and recovery codes made.",
            "A recovery code was used; 9 are left.",
            f"The API key {key.id} was made. It may: READ.",
            "A recovery code was used; 8 are left.",
            f"The API key {key.id} was given another secret.",
            f"The API key {key.id} was revoked.",
            "A recovery code was used; 7 are left.",
            "New recovery codes were made; the old ones work no more.",
            "The authenticator was disabled: log-ins need no second factor.",
            "The password was changed.",
        ]
        events = (await (await _again(ann)).get("/v1/account/security-events")).json()["items"]
        assert [event["kind"] for event in reversed(events)] == [
            "REGISTERED",
            "LOGGED_IN",
            "TOTP_ENROLLED",
            "RECOVERY_CODE_USED",
            "KEY_CREATED",
            "RECOVERY_CODE_USED",
            "KEY_ROTATED",
            "KEY_REVOKED",
            "RECOVERY_CODE_USED",
            "RECOVERY_CODES_RENEWED",
            "DEVICE_TRUSTED",
            "LOGGED_IN",
            "DEVICE_REMOVED",
            "SESSION_ENDED",
            "SESSIONS_ENDED",
            "WRONG_PASSWORD",
            "WRONG_CODE",
            "TOTP_DISABLED",
            "PASSWORD_CHANGED",
            "SESSION_ENDED",
            "LOGGED_IN",
        ]

    site.run(scenario())


async def _again(ann):
    assert (await ann.log_in(OTHER)).status_code == 200
    return ann


def test_another_password_takes_a_code_and_ends_the_keys(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        key = await ann.key(code=ann.codes[0])
        body = {"old_password": PASSWORD, "new_password": OTHER}
        assert refusal(await ann.post("/v1/account/password", body)) == (403, "second-factor-needed")
        wrong = body | {"code": "000000"}
        assert refusal(await ann.post("/v1/account/password", wrong)) == (401, "wrong-code")
        assert (await ann.post("/v1/account/password", body | {"code": ann.codes[1]})).status_code == 204
        assert refusal(await key.send("GET", "/v1/keys")) == (401, "wrong-signature")
        assert (await ann.get("/v1/keys")).json() == []

    site.run(scenario())


def test_password_is_not_changed_to_itself_and_which_was_wrong_is_named(site):
    async def scenario():
        ann = await sign_up(site.api)
        for old, new, status, field, why in (
            (PASSWORD, PASSWORD, 422, "new_password", "was the old one"),
            ("a\u0301 la carte", "\u00e1 la carte", 422, "new_password", "was the old one"),
            (OTHER, "yet another one", 401, "old_password", "is not the account's password"),
            (PASSWORD, "abcdabcdabcd", 422, "new_password", "5 different characters"),
            (PASSWORD, ann.email.upper(), 422, "new_password", "neither the e-mail address nor"),
            (PASSWORD, ann.email.partition("@")[0], 422, "new_password", "what stands before its @"),
            (PASSWORD, "9 letters", 422, "new_password", "10 to 256 characters"),
        ):
            body = {"old_password": old, "new_password": new}
            answer = await ann.post("/v1/account/password", body)
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["field"]) == (status, f"body.{field}"), answer.text
            assert why in error["detail"]
        assert (await ann.log_in()).status_code == 200

    site.run(scenario())


def test_log_in_half_done_ends_with_the_password(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        site.clock.advance(90)
        there = await ann.log_in()
        body = {"old_password": PASSWORD, "new_password": OTHER, "code": ann.codes[0]}
        assert (await ann.post("/v1/account/password", body)).status_code == 204
        body = {"challenge": there.json()["challenge"], "code": ann.code()}
        assert refusal(await site.api.client.post("/v1/auth/login/totp", json=body)) == (
            401,
            "wrong-challenge",
        )

    site.run(scenario())


async def signed_by(wallet, site) -> dict[str, str]:
    """Return what logs a wallet in."""
    asked = (await site.api.client.post("/v1/auth/wallet/nonce")).json()
    now = datetime.fromtimestamp(site.clock() // 10**9, UTC).isoformat().replace("+00:00", "Z")
    message = (
        f"{asked['domain']} wants you to sign in with your Ethereum account:\n{wallet.address}\n\n\n"
        f"URI: {asked['uri']}\nVersion: 1\nChain ID: 1\nNonce: {asked['nonce']}\nIssued At: {now}"
    )
    signature = wallet.sign_message(encode_defunct(text=message)).signature.to_0x_hex()
    return {"message": message, "signature": signature}


async def log_in_by(wallet, site):
    return await site.api.client.post("/v1/auth/wallet/login", json=await signed_by(wallet, site))


async def linked(site) -> tuple[Person, Any]:
    """Return somebody who has a password and a wallet, and the wallet."""
    ann, wallet = await sign_up(site.api), Wallet.create()
    body = await signed_by(wallet, site) | {"password": PASSWORD}
    assert (await ann.post("/v1/account/wallet", body)).status_code == 204
    return ann, wallet


def test_wallet_is_linked_with_the_password_and_its_owner_told(site):
    async def scenario():
        ann, wallet = await sign_up(site.api), Wallet.create()
        body = await signed_by(wallet, site)
        assert refusal(await ann.post("/v1/account/wallet", body)) == (422, "invalid")
        wrong = body | {"password": OTHER}
        assert refusal(await ann.post("/v1/account/wallet", wrong)) == (401, "wrong-password")
        assert (await ann.post("/v1/account/wallet", body | {"password": PASSWORD})).status_code == 204
        assert (await log_in_by(wallet, site)).status_code == 200
        assert f"{wallet.address} was linked" in (await letters(site.api, ann.email))[-1][1]

    site.run(scenario())


def test_wallet_is_unlinked_and_what_it_began_ends(site):
    async def scenario():
        ann, wallet = await linked(site)
        there = replace(ann)
        there.take(await log_in_by(wallet, site))
        path, body = "/v1/account/wallet/unlink", {"password": PASSWORD}
        assert refusal(await ann.post(path, {})) == (422, "invalid")
        assert refusal(await ann.post(path, {"password": OTHER})) == (401, "wrong-password")
        await ann.enrol(give=False)
        assert refusal(await ann.post(path, body)) == (403, "second-factor-needed")
        assert (await ann.post(path, body | {"code": ann.codes[0]})).status_code == 204
        assert refusal(await there.get("/v1/account/profile")) == (401, "session-ended")
        assert (await ann.get("/v1/account/profile")).json()["wallet_address"] is None
        assert "was unlinked" in (await letters(site.api, ann.email))[-1][1]
        kinds = [event["kind"] for event in (await ann.get("/v1/account/security-events")).json()["items"]]
        assert kinds[0] == "WALLET_UNLINKED"
        assert refusal(await ann.post(path, body | {"code": ann.codes[1]})) == (404, "no-wallet")
        another = Person(site.api, "")
        another.take(await log_in_by(wallet, site))  # which is a new account's now
        assert (await another.get("/v1/account/profile")).json()["user"] != ann.user
        assert refusal(await another.post(path, {})) == (409, "only-way-in")

    site.run(scenario())


def test_account_without_a_password_is_changed_soon_after_its_wallet_logged_in(site):
    async def scenario():
        wallet, ann = Wallet.create(), Person(site.api, "")
        ann.take(await log_in_by(wallet, site))
        site.clock.advance(299)
        assert (await ann.post("/v1/account/email", {"email": stranger()})).status_code == 202
        site.clock.advance(1)
        ann.take(await site.api.client.post("/v1/auth/refresh", json={"refresh_token": ann.refresh}))
        for path, body in (
            ("email", {"email": stranger()}),
            ("totp", {}),
            ("totp/disable", {"code": "123456"}),
        ):
            answer = await ann.post(f"/v1/account/{path}", body)
            assert refusal(answer) == (403, "wallet-log-in-needed")
        another = await signed_by(Wallet.create(), site)
        assert refusal(await ann.post("/v1/account/wallet", another)) == (409, "wallet-linked")
        assert refusal(await ann.post("/v1/account/wallet/unlink", {})) == (409, "only-way-in")
        ann.take(await log_in_by(wallet, site))
        assert (await ann.post("/v1/account/totp", {})).status_code == 200

    site.run(scenario())


def test_what_is_wrong_beside_password_and_code_is_told_before_they_are_looked_at(site):
    async def scenario():
        ann, wallet = await sign_up(site.api, totp=True), Wallet.create()
        _, of_another = await linked(site)
        signed = await signed_by(wallet, site)
        shown = {"password": PASSWORD, "code": ann.codes[0]}
        for path, body, told in (
            ("email", {"email": "no address"}, (422, "invalid")),
            ("email", {"email": ann.email}, (422, "invalid")),
            ("wallet", signed | {"message": signed["message"] + "0"}, (401, "wrong-wallet-message")),
            ("wallet", await signed_by(of_another, site), (409, "wallet-taken")),
            ("wallet/unlink", {}, (404, "no-wallet")),
        ):
            for proof in (shown, {"password": OTHER, "code": "000000"}):
                answer = await ann.post(f"/v1/account/{path}", body | proof)
                assert refusal(answer) == told, (path, answer.text)
        wrong = signed | {"password": PASSWORD, "code": "000000"}  # which uses up no nonce
        assert refusal(await ann.post("/v1/account/wallet", wrong)) == (401, "wrong-code")
        assert (await ann.post("/v1/account/wallet", signed | shown)).status_code == 204

    site.run(scenario())


def test_password_set_anew_unlinks_the_wallet_and_says_so(site):
    async def scenario():
        ann, wallet = await linked(site)
        await site.api.client.post("/v1/auth/password/forgot", json={"email": ann.email})
        body = {"token": await token_for(site.api, ann.email), "password": OTHER}
        assert (await site.api.client.post("/v1/auth/password/reset", json=body)).status_code == 204
        told = (await letters(site.api, ann.email))[-1][1]
        assert f"{wallet.address} was unlinked" in told
        await ann.log_in(OTHER)
        assert (await ann.get("/v1/account/profile")).json()["wallet_address"] is None

    site.run(scenario())


def test_wallet_logs_in_once_a_message_and_is_a_user_of_the_books(site):
    async def scenario():
        wallet = Wallet.create()
        body = await signed_by(wallet, site)
        answer = await site.api.client.post("/v1/auth/wallet/login", json=body)
        assert answer.status_code == 200, answer.text
        again = await site.api.client.post("/v1/auth/wallet/login", json=body)
        assert refusal(again) == (401, "wrong-wallet-message")
        ann = Person(site.api, "")
        ann.take(answer)
        profile = (await ann.get("/v1/account/profile")).json()
        assert (profile["wallet_address"], profile["email"]) == (wallet.address, None)
        assert await site.api.services.pool.fetchval("select true from users where id = $1", profile["user"])
        bob = await sign_up(site.api)
        body = await signed_by(wallet, site) | {"password": PASSWORD}
        assert refusal(await bob.post("/v1/account/wallet", body)) == (409, "wallet-taken")
        # An address, and a password through a letter to it, make the wallet's account one like any other.
        ann.email = stranger()
        assert (await ann.post("/v1/account/email", {"email": ann.email})).status_code == 202
        body = {"token": await token_for(site.api, ann.email)}
        assert (await ann.post("/v1/account/email/confirm", body)).status_code == 204
        await site.api.client.post("/v1/auth/password/forgot", json={"email": ann.email})
        body = {"token": await token_for(site.api, ann.email), "password": PASSWORD}
        assert (await site.api.client.post("/v1/auth/password/reset", json=body)).status_code == 204
        assert (await ann.log_in()).status_code == 200
        assert (await ann.get("/v1/account/profile")).json()["user"] == profile["user"]
        assert (await log_in_by(wallet, site)).status_code == 200  # a first password takes no wallet away

    site.run(scenario())


def test_nobody_sees_or_ends_what_is_another_s(site):
    async def scenario():
        ann, bob = await sign_up(site.api, totp=True), await sign_up(site.api)
        key = await ann.key(code=ann.codes[0])
        for path in (f"/v1/account/sessions/{ann.session}", f"/v1/keys/{key.id}"):
            assert (await bob.delete(path)).status_code == 404
        assert (await bob.post(f"/v1/keys/{key.id}/rotate")).status_code == 404
        assert (await bob.get("/v1/keys")).json() == []
        assert [each["id"] for each in (await bob.get("/v1/account/sessions")).json()] == [bob.session]
        assert (await ann.get("/v1/account/profile")).status_code == 200

    site.run(scenario())


def test_sensitive_changes_take_the_password_and_a_code(site):
    async def scenario():
        ann = await sign_up(site.api)
        without = await ann.post("/v1/account/totp")
        assert refusal(without) == (422, "invalid")
        assert without.json()["errors"][0]["field"] == "body.password"
        await ann.enrol()
        for path, body in (
            ("/v1/keys", {"name": "bot", "scopes": ["READ"]}),
            ("/v1/account/email", {"email": stranger(), "password": PASSWORD}),
        ):
            assert refusal(await ann.post(path, body)) == (403, "second-factor-needed")
            assert refusal(await ann.post(path, body | {"code": "000000"})) == (401, "wrong-code")
        body = {"email": stranger(), "password": OTHER, "code": ann.codes[0]}
        assert refusal(await ann.post("/v1/account/email", body)) == (401, "wrong-password")
        body = {"code": ann.codes[0], "password": OTHER}
        assert refusal(await ann.post("/v1/account/totp/disable", body)) == (401, "wrong-password")
        body["password"] = PASSWORD
        assert (await ann.post("/v1/account/totp/disable", body)).status_code == 204
        assert (await ann.log_in()).json()["kind"] == "session"

    site.run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("register", {}, "body.email"),
        ("register", {"email": "a@b.c", "admin": True}, "body.admin"),
        ("login", {"email": "a@b.c", "password": ["a secret"]}, "body.password"),
        ("login", {"email": "a@b.c", "password": "a secret" * 100}, "body.password"),
        ("login", {"email": 7, "password": "a secret"}, "body.email"),
        ("login", {"email": "a@b.c", "password": "a \ud800 secret"}, "body.password"),
        ("refresh", {"refresh_token": "a secret"}, "body.refresh_token"),
        ("login/totp", {"challenge": "x" * 43, "code": "a secret"}, "body.code"),
        ("wallet/login", {"message": "m", "signature": "0xsecret"}, "body.signature"),
        ("verify-email", {"token": "x" * 43, "password": "short"}, "body.password"),
        ("register", {"email": "no address"}, "body.email"),
    ],
)
def test_what_is_wrong_with_a_body_is_named_and_not_repeated(site, path, body, field):
    async def scenario():
        content = json.dumps(body)
        headers = {"Content-Type": "application/json"}
        answer = await site.api.client.post(f"/v1/auth/{path}", content=content, headers=headers)
        assert refusal(answer) == (422, "invalid")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert "secret" not in answer.text

    site.run(scenario())


def test_text_that_a_database_cannot_hold_is_refused_or_harmless(site):
    async def scenario():
        ann = await sign_up(site.api)
        for name in ("\0", "a\0b", "\x1b[2J", "\u202e"):
            answer = await ann.post("/v1/keys", {"name": name, "scopes": ["READ"]})
            assert refusal(answer) == (422, "invalid")
        body = {"email": ann.email, "password": "a\0b"}
        assert refusal(await site.api.client.post("/v1/auth/login", json=body)) == (401, "wrong-credentials")
        answer = await ann.log_in(device_token="\0" * 43)
        assert answer.status_code == 422

    site.run(scenario())


def test_operators_need_their_role_and_a_second_factor(site):
    async def scenario():
        async def answer(principal: Annotated[Principal, operator(Role.OPERATIONS)]) -> str:
            return principal.user

        site.api.app.add_api_route("/v1/test-of-operators", answer)
        ann = await sign_up(site.api)
        key = await ann.key()
        standings = site.api.services.identity.standings

        async def be(role: str) -> None:
            await site.api.services.pool.execute(
                """insert into access.operators (account_id, role, added_by, added_at, changed_by, changed_at)
                values ($1, $2, 'test', now(), 'test', now())
                on conflict (account_id) do update set role = $2""",
                ann.user,
                role,
            )
            standings.forget()

        path = "/v1/test-of-operators"
        assert refusal(await site.api.client.get(path)) == (401, "not-authenticated")
        assert refusal(await ann.get(path)) == (403, "role-missing")
        await be("ANALYST")
        assert refusal(await ann.get(path)) == (403, "role-missing")
        await be("OPERATIONS")
        assert refusal(await ann.get(path)) == (403, "second-factor-needed")
        assert refusal(await key.send("GET", path)) == (403, "role-missing")  # a key is no operator
        await ann.enrol()
        assert (await ann.get(path)).json() == ann.user

    site.run(scenario())


def test_stolen_database_and_logs_reveal_no_secret(site, capfd, caplog):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        key = await ann.key(code=ann.codes[0])
        site.clock.advance(90)
        answer = await ann.log_in()
        challenge = answer.json()["challenge"]
        body = {"challenge": challenge, "code": ann.code(), "trust_device_as": "laptop"}
        answer = await site.api.client.post("/v1/auth/login/totp", json=body)
        device, old = answer.json()["device_token"], ann.refresh
        ann.take(answer)
        rotated = (await ann.post(f"/v1/keys/{key.id}/rotate", {"grace_s": 60, "code": ann.codes[1]})).json()
        await site.api.client.post("/v1/auth/password/forgot", json={"email": ann.email})
        reset = await token_for(site.api, ann.email)
        secret = [
            PASSWORD,
            ann.totp,
            key.secret,
            rotated["secret"],
            challenge,
            device,
            old,
            ann.refresh,
            reset,
        ]
        codes = [each.replace("-", "") for each in ann.codes]
        return [*secret, *codes, *ann.codes, ann.access, hashlib.sha256(reset.encode()).hexdigest()]

    secret = site.run(scenario())
    dump = _dump(site.dsn)
    assert "laptop" in dump  # it is a dump of all that, indeed
    log = "".join(capfd.readouterr()) + caplog.text
    for each in secret:
        assert each not in dump
        assert each.encode().hex() not in dump
        assert each not in log


def _dump(dsn: str) -> str:
    """Return every row of every table as text."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            """select format('%I.%I', schemaname, tablename) from pg_tables
            where schemaname in ('public', 'access')"""
        ).fetchall()
        rows = [
            connection.execute(f"select row_to_json(t)::text from {name} as t".encode()).fetchall()
            for (name,) in tables
        ]
    return "\n".join(row for table in rows for (row,) in table)


def test_address_that_was_given_up_is_free_for_others(site):
    async def scenario():
        ann = await sign_up(site.api)
        first, second = ann.email, stranger()
        body = {"email": second, "password": PASSWORD}
        assert (await ann.post("/v1/account/email", body)).status_code == 202
        body = {"token": await token_for(site.api, second)}
        assert (await ann.post("/v1/account/email/confirm", body)).status_code == 204
        bob = await sign_up(site.api, first)
        assert bob.user != ann.user
        assert refusal(await replace(ann, email=first).log_in(OTHER)) == (401, "wrong-credentials")
        assert (await replace(ann, email=second).log_in()).status_code == 200

    site.run(scenario())


def test_token_of_nobody_is_refused_everywhere(site):
    async def scenario():
        for path, body in (
            ("/v1/auth/verify-email", {"token": new_token(), "password": PASSWORD}),
            ("/v1/auth/password/reset", {"token": new_token(), "password": PASSWORD}),
            ("/v1/auth/refresh", {"refresh_token": new_token()}),
        ):
            assert refusal(await site.api.client.post(path, json=body)) == (401, "wrong-token")

    site.run(scenario())
