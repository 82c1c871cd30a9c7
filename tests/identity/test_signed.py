"""API keys: a request is taken that its key signed, now, from an allowed place, for the first time; no other."""

import asyncio
import hashlib
import hmac
from contextlib import AsyncExitStack
from copy import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.identity.errors import Conflict, NotAuthenticated, NotPermitted, NotThere
from live.identity.names import new_id
from live.identity.principal import Scope
from live.identity.signed import SignedRequest
from live.identity.standing import FRESH_S
from risk.errors import InvalidInput

HERE = ip_address("192.0.2.7")
BODY = b'{"symbol":"BTC"}'
ONCE = "order-1"


def signed(site, made, **change) -> SignedRequest:
    """Sign as the documentation says; ``change`` is made before, ``signature`` and the rest may be changed after."""
    sent_ms = change.pop("at_ms", site.clock() // 10**6)
    method, target, body = "POST", "/v1/orders?a=1&b=2", change.pop("body", BODY)
    window, once = change.pop("window", None), change.pop("once", ONCE)
    text = f"{sent_ms}\n{method}\n{target}\n{window or ''}\n{once}\n{hashlib.sha256(body).hexdigest()}"
    signature = hmac.new(made.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return SignedRequest(made.key.id, str(sent_ms), signature, window, once, method, target, body, HERE)


async def new_key(site, *scopes: Scope, networks=(), account: str | None = None):
    account = account or (await site.account(password=False)).id
    made = await site.identity.keys.create(account, "bot", scopes or [Scope.READ], networks, site.origin())
    return account, made


async def refused(site, request: SignedRequest) -> str:
    with pytest.raises((NotAuthenticated, NotPermitted)) as caught:
        await site.identity.signatures.principal(request)
    return caught.value.code


def test_signed_request_is_taken_once(site):
    async def scenario():
        account, made = await new_key(site, Scope.TRADE, Scope.READ)
        request = signed(site, made)
        principal = await site.identity.signatures.principal(request)
        assert (principal.user, principal.via, principal.id) == (account, "api_key", made.key.id)
        assert (principal.scopes, principal.mfa) == ({Scope.READ, Scope.TRADE}, False)
        assert await refused(site, request) == "replayed"
        site.clock.advance(4)
        assert await refused(site, request) == "replayed"
        site.clock.advance(2)
        assert await refused(site, request) == "late"

    site.run(scenario())


@pytest.mark.parametrize("ahead_ms", [0, 1_000])
@pytest.mark.parametrize("window", [None, "1", "60000"])
def test_a_request_is_remembered_until_it_is_late(site, window, ahead_ms):
    async def scenario():
        _, made = await new_key(site)
        request = signed(site, made, at_ms=site.clock() // 10**6 + ahead_ms, window=window)
        await site.identity.signatures.principal(request)
        site.clock.advance((int(window or 5_000) + ahead_ms) / 1000)
        assert await refused(site, request) == "replayed"
        site.clock.advance(0.0015)
        assert await refused(site, request) == "late"

    site.run(scenario())


def test_of_one_request_many_times_at_once_one_is_taken(site):
    async def scenario():
        _, made = await new_key(site)
        request = signed(site, made)
        ends = await asyncio.gather(
            *(site.identity.signatures.principal(request) for _ in range(8)), return_exceptions=True
        )
        assert sum(not isinstance(end, Exception) for end in ends) == 1

    site.run(scenario())


CHANGES = {
    "method": "DELETE",
    "target": "/v1/orders?b=2&a=1",
    "body": BODY[:-1],
    "window": "5000",
    "idempotency_key": "order-2",
    "signature": "0" * 64,
    "key": "k" + "a" * 20,
}


@pytest.mark.parametrize("part", CHANGES)
def test_whatever_part_is_changed_the_answer_is_the_same(site, part):
    async def scenario():
        _, made = await new_key(site)
        assert await refused(site, replace(signed(site, made), **{part: CHANGES[part]})) == "wrong-signature"

    site.run(scenario())


@given(
    st.sampled_from(["method", "target", "signature", "key", "timestamp", "window", "idempotency_key"]),
    st.integers(0, 100),
    st.characters(min_codepoint=33, max_codepoint=0x24F),
)
def test_no_single_character_can_be_another(site, part, place, character):
    async def scenario():
        request = signed(site, site.some_key, window="60000")
        text = getattr(request, part)
        place_ = place % len(text)
        changed = text[:place_] + character + text[place_ + 1 :]
        if changed != text:
            assert await refused(site, replace(request, **{part: changed}))

    if not hasattr(site, "some_key"):
        _, site.some_key = site.run(new_key(site))
    site.run(scenario())


@pytest.mark.parametrize("signature", ["", "a" * 63, "a" * 65, "ä" * 64, "g" * 64, "A" * 64])
def test_signature_of_another_form_is_refused(site, signature):
    async def scenario():
        _, made = await new_key(site)
        assert await refused(site, replace(signed(site, made), signature=signature)) == "wrong-signature"
        right = signed(site, made)
        assert await refused(site, replace(right, signature=right.signature.upper())) == "wrong-signature"

    site.run(scenario())


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (-5_000, None, ""),
        (-5_001, None, "late"),
        (1_000, None, ""),
        (1_001, None, "early"),
        (-60_000, "60000", ""),
        (-60_001, "60000", "late"),
        (-11, "10", "late"),
        (0, "60001", "wrong-window"),
        (0, "0", "wrong-window"),
        (0, "-1", "wrong-window"),
        (0, "", "wrong-window"),
        (0, "1e3", "wrong-window"),
        (0, "٣", "wrong-window"),
    ],
)
def test_request_is_taken_within_its_receive_window(site, offset_ms, window, code):
    async def scenario():
        site.clock.advance(120)  # the marks began before any of these was signed
        _, made = await new_key(site)
        request = signed(site, made, at_ms=site.clock() // 10**6 + offset_ms, window=window)
        if code:
            assert await refused(site, request) == code
        else:
            await site.identity.signatures.principal(request)

    site.run(scenario())


@pytest.mark.parametrize("timestamp", ["", "now", "1.5", "-1", "9" * 16, "٣"])
def test_timestamp_that_is_none_is_refused(site, timestamp):
    async def scenario():
        _, made = await new_key(site)
        assert await refused(site, replace(signed(site, made), timestamp=timestamp)) == "wrong-timestamp"

    site.run(scenario())


def test_what_was_signed_before_the_marks_began_is_late(site):
    async def scenario():
        site.clock.advance(30)
        _, made = await new_key(site)
        request = signed(site, made, at_ms=site.clock() // 10**6 - 1_000, window="60000")
        async with AsyncExitStack() as stack:
            other = await site.another(stack)  # a process that started just now knows no earlier marks
            stack.callback(other.close)
            with pytest.raises(NotAuthenticated) as caught:
                await other.signatures.principal(request)
            assert caught.value.code == "late"
        await site.identity.signatures.principal(request)

    site.run(scenario())


def test_key_works_from_its_networks_alone(site):
    async def scenario():
        _, made = await new_key(site, networks=["192.0.2.0/28", "2001:db8::/32"])
        for address in ("192.0.2.15", "2001:db8:ffff::1"):
            site.clock.advance(1)
            await site.identity.signatures.principal(replace(signed(site, made), ip=ip_address(address)))
        for address in ("192.0.2.16", "2001:db9::1", "127.0.0.1"):
            request = replace(signed(site, made), ip=ip_address(address))
            assert await refused(site, request) == "wrong-network"
            wrong = replace(request, signature="0" * 64)
            assert await refused(site, wrong) == "wrong-signature"  # who cannot sign learns nothing of them

    site.run(scenario())


@pytest.mark.parametrize("networks", [["192.0.2.1/24"], ["perps.example"], [""], ["192.0.2.0/24"] * 51])
def test_networks_that_are_none_are_refused(site, networks):
    with pytest.raises(InvalidInput, match="networks"):
        site.run(new_key(site, networks=networks))


@pytest.mark.parametrize("scopes", [[Scope.ACCOUNT], [Scope.READ, Scope.ACCOUNT]])
def test_key_never_looks_after_the_account(site, scopes):
    with pytest.raises(InvalidInput, match="scopes must be some of"):
        site.run(new_key(site, *scopes))


def test_key_that_may_withdraw_names_its_networks(site):
    with pytest.raises(InvalidInput, match="networks was empty"):
        site.run(new_key(site, Scope.WITHDRAW))
    for wide in ("0.0.0.0/0", "10.0.0.0/8", "198.18.0.0/15", "::/0", "2001:db8::/31"):
        with pytest.raises(InvalidInput, match="or smaller"):
            site.run(new_key(site, Scope.WITHDRAW, Scope.READ, networks=["192.0.2.7", wide]))
        site.run(new_key(site, Scope.READ, networks=[wide]))
    site.run(new_key(site, Scope.WITHDRAW, networks=["192.0.2.7", "10.1.0.0/16", "2001:db8::/32"]))


def test_rotated_secret_works_for_its_grace(site):
    async def scenario():
        account, first = await new_key(site)
        identity, origin = site.identity, site.origin()
        await identity.signatures.principal(signed(site, first))
        second = await identity.keys.rotate(account, first.key.id, 3_600, origin)
        site.clock.advance(3_599)
        for made in (first, second):
            await identity.signatures.principal(signed(site, made))
        site.clock.advance(1)
        assert await refused(site, signed(site, first)) == "wrong-signature"
        third = await identity.keys.rotate(account, first.key.id, 0, origin)
        assert await refused(site, signed(site, second)) == "wrong-signature"
        await identity.signatures.principal(signed(site, third))
        with pytest.raises(InvalidInput, match="grace_s was 86401"):
            await identity.keys.rotate(account, first.key.id, 86_401, origin)

    site.run(scenario())


@pytest.mark.parametrize("networks", [["0.0.0.0/0"], ["10.0.0.0/8"]])
def test_a_wide_key_that_may_withdraw_is_rotated_no_more(site, networks):
    async def scenario():
        account, made = await new_key(site, Scope.WITHDRAW, networks=["10.0.0.0/16"])
        keys, origin = site.identity.keys, site.origin()
        await keys.rotate(account, made.key.id, 0, origin)
        sealed = "select secret from access.api_keys where id = $1"
        for scope, refuses in ((Scope.WITHDRAW, True), (Scope.TRADE, False)):
            await site.pool.execute(
                "update access.api_keys set networks = $2, scopes = $3 where id = $1",
                *(made.key.id, [ip_network(each) for each in networks], [scope]),
            )
            before = await site.pool.fetchval(sealed, made.key.id)
            if refuses:
                with pytest.raises(Conflict, match="cannot be rotated, make another and revoke it: networks"):
                    await keys.rotate(account, made.key.id, 60, origin)
            else:
                await keys.rotate(account, made.key.id, 60, origin)
            assert (await site.pool.fetchval(sealed, made.key.id) == before) == refuses

    site.run(scenario())


def test_revoked_key_is_refused_at_once_here_and_within_a_second_elsewhere(site):
    async def scenario():
        account, made = await new_key(site)
        async with AsyncExitStack() as stack:
            other = await site.another(stack)
            stack.callback(other.close)
            site.clock.advance(1)
            await other.signatures.principal(signed(site, made))
            await site.identity.keys.revoke(account, made.key.id, site.origin())
            assert await refused(site, signed(site, made)) == "wrong-signature"
            await asyncio.sleep(FRESH_S)
            site.clock.advance(1)
            with pytest.raises(NotAuthenticated, match="the key is unknown"):
                await other.signatures.principal(signed(site, made))
        assert await site.identity.keys.list(account) == []

    site.run(scenario())


def test_nobody_sees_or_changes_the_key_of_another(site):
    async def scenario():
        ann, made = await new_key(site)
        bob, _ = await new_key(site)
        keys, origin = site.identity.keys, site.origin()
        for work in (keys.revoke(bob, made.key.id, origin), keys.rotate(bob, made.key.id, 0, origin)):
            with pytest.raises(NotThere):
                await work
        assert made.key.id not in [key.id for key in await keys.list(bob)]
        assert [key.id for key in await keys.list(ann)] == [made.key.id]

    site.run(scenario())


def test_account_has_thirty_keys_at_most_however_fast_they_are_made(site):
    async def scenario():
        account = (await site.account(password=False)).id
        ends = await asyncio.gather(
            *(new_key(site, account=account) for _ in range(33)), return_exceptions=True
        )
        assert sum(isinstance(end, Conflict) for end in ends) == 3
        assert len(await site.identity.keys.list(account)) == 30

    site.run(scenario())


def test_unknown_key_is_no_error_of_ours(site):
    async def scenario():
        _, made = await new_key(site)
        for key in (new_id("k"), "", "k\0", "k" * 10_000):
            assert await refused(site, replace(signed(site, made), key=key)) == "wrong-signature"

    site.run(scenario())
