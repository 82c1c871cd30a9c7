"""Who sends a request: sessions and signed requests over HTTP, each way they can be wrong, and its status."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from live.api.routes import account, auth, keys
from tests.api.access_site import open_site, site
from tests.api.people import sign_up
from tests.api.served import BASE_URL
from tests.api.test_access import refusal
from tests.api.traders import signature

__all__ = ["open_site", "site"]

# Any key may ask for this; it is refused for want of a scope only after the key was known.
PATH = "/v1/account/profile?a=1&b=%C3%A4"
KNOWN = (403, "scope-missing")


async def somebody(site):
    ann = await sign_up(site.api)
    return ann, await ann.key("READ")


def test_signed_request_is_known_once_and_any_change_is_refused(site):
    async def scenario():
        _, key = await somebody(site)
        body = json.dumps({"name": "x"}).encode()
        client, kind = site.api.client, {"Content-Type": "application/json"}
        path = "/v1/keys?a=1&b=%C3%A4"

        async def send(
            signed: dict[str, str], content: bytes = body, method: str = "POST", target: str = path
        ):
            answer = await client.request(method, target, content=content, headers=kind | signed)
            return refusal(answer)

        signed = key.sign("POST", path, body, window="9000", once="k1")
        signed |= {"HP-RECV-WINDOW": "9000", "Idempotency-Key": "k1"}
        for name, other in (("HP-RECV-WINDOW", "60000"), ("Idempotency-Key", "k2")):
            for changed in ({}, {name: other}):
                left = {header: value for header, value in signed.items() if header != name}
                assert await send(left | changed) == (401, "wrong-signature")
        assert await send(signed, body[:-1] + b" }") == (401, "wrong-signature")
        assert await send(signed, target="/v1/keys?b=%C3%A4&a=1") == (401, "wrong-signature")
        assert await send(signed, target="/v1/keys") == (401, "wrong-signature")
        assert await send(signed, b"", "GET") == (401, "wrong-signature")
        assert await send(signed | {"HP-TIMESTAMP": str(int(signed["HP-TIMESTAMP"]) + 1)}) == (
            401,
            "wrong-signature",
        )
        assert await send({name: signed[name] for name in ("HP-KEY", "HP-TIMESTAMP")}) == (
            401,
            "wrong-signature",
        )
        assert await send({name: signed[name] for name in ("HP-KEY", "HP-SIGNATURE")}) == (
            401,
            "wrong-timestamp",
        )
        assert await send(signed) == KNOWN
        assert await send(signed) == (401, "replayed")

    site.run(scenario())


def test_truncated_body_is_refused_whether_or_not_it_is_json(site):
    async def scenario():
        _, key = await somebody(site)
        body = b'[{"a":1},2]'
        kind = {"Content-Type": "application/json"}
        for cut in (body[:-1], body[:4], b""):
            signed = key.sign("POST", "/v1/keys", body)
            answer = await site.api.client.post(
                "/v1/keys", content=cut, headers=(kind if cut else {}) | signed
            )
            assert refusal(answer) in ((400, "malformed"), (401, "wrong-signature"))

    site.run(scenario())


@pytest.mark.parametrize(
    ("offset_ms", "window", "told"),
    [
        (-4_000, {}, KNOWN),
        (-6_000, {}, (401, "late")),
        (-6_000, {"HP-RECV-WINDOW": "10000"}, KNOWN),
        (5_000, {}, (401, "early")),
        (0, {"HP-RECV-WINDOW": "60001"}, (401, "wrong-window")),
    ],
)
def test_late_and_early_requests_are_refused(site, offset_ms, window, told):
    async def scenario():
        site.clock.advance(10)
        _, key = await somebody(site)
        at_ms = site.clock() // 10**6 + offset_ms
        signed = key.sign("GET", PATH, at_ms=at_ms, window=window.get("HP-RECV-WINDOW", ""))
        assert refusal(await site.api.client.get(PATH, headers=signed | window)) == told

    site.run(scenario())


def test_key_is_refused_from_another_network(site):
    async def scenario():
        ann = await sign_up(site.api)
        key = await ann.key("READ", networks=["203.0.113.0/24"])
        assert refusal(await key.send("GET", PATH)) == (403, "wrong-network")
        transport = httpx.ASGITransport(site.api.app, client=("::ffff:203.0.113.9", 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            assert refusal(await client.get(PATH, headers=key.sign("GET", PATH))) == KNOWN

    site.run(scenario())


def test_rotated_and_revoked_keys(site):
    async def scenario():
        ann, key = await somebody(site)
        made = (await ann.post(f"/v1/keys/{key.id}/rotate", {"grace_s": 60})).json()
        assert made["previous_until_at"]
        for secret in (key.secret, made["secret"]):
            assert refusal(await replace(key, secret=secret).send("GET", PATH)) == KNOWN
        site.clock.advance(60)
        assert refusal(await key.send("GET", PATH)) == (401, "wrong-signature")
        assert (await ann.delete(f"/v1/keys/{key.id}")).status_code == 204
        answer = await replace(key, secret=made["secret"]).send("GET", PATH)
        assert refusal(answer) == (401, "wrong-signature")
        assert (await ann.get("/v1/keys")).json() == []

    site.run(scenario())


def test_list_of_keys_shows_no_secret_and_bad_wishes_are_named(site):
    async def scenario():
        ann, key = await somebody(site)
        (shown,) = (await ann.get("/v1/keys")).json()
        assert (shown["id"], shown["scopes"], shown["networks"]) == (key.id, ["READ"], [])
        assert "secret" not in shown
        for change, word in (
            ({"scopes": ["ACCOUNT"]}, "body.scopes.0"),
            ({"scopes": []}, "body.scopes"),
            ({"scopes": ["WITHDRAW"]}, "networks was empty"),
            ({"networks": ["192.0.2.1/24"]}, "networks named '192.0.2.1/24'"),
            ({"name": " "}, "name was ' '"),
        ):
            answer = await ann.post("/v1/keys", {"name": "bot", "scopes": ["READ"]} | change)
            assert refusal(answer) == (422, "invalid")
            assert word in answer.text

    site.run(scenario())


def test_what_is_wrong_with_a_key_is_told_before_a_code_is_used_up(site):
    async def scenario():
        ann = await sign_up(site.api, totp=True)
        code = {"code": ann.codes[0]}
        key = await ann.key("READ", code=ann.codes[1])
        wanted = {"name": "bot", "scopes": ["READ", "WITHDRAW"]}
        networks = {"networks": ["192.0.2.0/24"]}
        for _ in range(2):  # each is a wrong guess, were the code looked at first
            for more in ({}, code, {"code": "000000"}):
                for change in ({}, {"networks": ["192.0.0.0/8"]}, {"name": " "} | networks):
                    assert refusal(await ann.post("/v1/keys", wanted | change | more)) == (422, "invalid")
                answer = await ann.post(f"/v1/keys/{'k' + 20 * 'a'}/rotate", more)
                assert refusal(answer) == (404, "no-such-key")
        assert (await ann.post("/v1/keys", wanted | networks | code)).status_code == 201
        rotated = await ann.post(f"/v1/keys/{key.id}/rotate", {"code": ann.codes[2]})
        assert rotated.status_code == 200, rotated.text

    site.run(scenario())


def test_no_or_two_credentials_are_refused(site):
    async def scenario():
        ann, key = await somebody(site)
        answer = await site.api.client.get(PATH)
        assert refusal(answer) == (401, "not-authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        answer = await site.api.client.get(PATH, headers=ann.headers | key.sign("GET", PATH))
        assert refusal(answer) == (401, "not-authenticated")
        for value in ("Basic YTpi", "Bearer", "Bearer a b", ann.access, f"Bearer {ann.access}x", "Bearer ä"):
            answer = await site.api.client.get(PATH, headers={"Authorization": value.encode("latin-1")})
            assert refusal(answer) == (401, "wrong-token")
        answer = await site.api.client.get(PATH, headers={"HP-KEY": "ä".encode("latin-1")})
        assert answer.status_code == 401

    site.run(scenario())


PRIVATE = [
    (method, "/v1" + route.path)
    for module in (auth, account, keys)
    for route in module.router.routes
    for method in route.methods
    if module is not auth or route.path in ("/auth/logout", "/auth/second-factor")
]
BODY = {
    "email": "a@b.cd",
    "password": "x",
    "code": "123456",
    "token": "x" * 43,
    "message": "m",
    "name": "n",
    "old_password": "x",
    "new_password": "y",
    "signature": "0x" + "0" * 130,
    "scopes": ["READ"],
    "grace_s": 0,
}


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_every_route_of_an_account_refuses_strangers_and_keys(site, method, path):
    """Each takes a session: 401 without credentials, 403 for an API key, whatever else the request says."""

    async def scenario():
        _, key = (
            await somebody(site) if not hasattr(site.api.app.state, "key") else (None, site.api.app.state.key)
        )
        site.api.app.state.key = key
        target = path.format(session="s" + "a" * 20, device="d" + "a" * 20, key="k" + "a" * 20)
        assert refusal(await site.api.client.request(method, target)) == (401, "not-authenticated")
        body = b"" if method != "POST" else json.dumps(BODY).encode()
        assert refusal(await key.send(method, target, body)) == KNOWN

    site.run(scenario())


def test_sessions_and_keys_are_charged_to_their_rates(site):
    async def scenario():
        ann, key = await somebody(site)
        await ann.get(PATH)
        await key.send("GET", PATH)
        windows = site.api.services.shared._windows.values()
        counted = {name for _, counts in windows for name in counts}
        assert {f"user:{ann.user}", f"key:{key.id}"} <= counted

    site.run(scenario())


def test_the_documentation_s_example_gives_the_signature_it_shows():
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (commands, shown), *others = re.findall(r"```\n((?:\$ .*\n)+)([0-9a-f]{64})\n```", text)
    assert not others
    script = re.sub(r"^\$ ", "", commands, flags=re.MULTILINE)
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    body = re.search(r"'(\{.*?\})'", commands)
    secret = re.search(r"-hmac (\S+)", commands)
    assert body is not None
    assert secret is not None
    parts = ("1790000000000", "POST", "/v1/orders", body[1].encode())
    ours = signature("k", secret[1], *parts, window="10000", once="order-1")["HP-SIGNATURE"]
    assert said.strip() == shown == ours
