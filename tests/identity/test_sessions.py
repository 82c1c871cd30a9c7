"""Sessions: tokens that live shortly, change at every use, and end with their session."""

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from ipaddress import ip_address

import jwt
import pytest

from live.identity.errors import NotAuthenticated, NotThere
from live.identity.events import Origin
from live.identity.principal import Role, Scope
from live.identity.sessions import Tokens
from live.identity.standing import FRESH_S


async def begun(site, *, second_factor: bool = False, origin: Origin | None = None):
    account = await site.account(password=False)
    tokens, _ = await site.identity.sessions.begin(
        account.id, "PASSWORD", origin or site.origin(), second_factor=second_factor
    )
    return account.id, tokens


async def refused(work) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        await work
    return caught.value.code


def test_access_token_names_who_it_is(site):
    async def scenario():
        account, tokens = await begun(site, second_factor=True)
        principal = await site.identity.sessions.principal(tokens.access_token)
        assert (principal.user, principal.via, principal.id) == (account, "session", tokens.session)
        assert (principal.scopes, principal.role) == (frozenset(Scope), None)
        assert (principal.mfa, principal.second_factor_at) == (True, site.clock())
        _, plain = await begun(site)
        principal = await site.identity.sessions.principal(plain.access_token)
        assert (principal.mfa, principal.second_factor_at) == (False, 0)

    site.run(scenario())


def test_access_token_of_any_other_make_is_refused(site):
    async def scenario():
        account, tokens = await begun(site)
        _, other = await begun(site)
        sessions = site.identity.sessions
        claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
        head, body, signature = tokens.access_token.split(".")

        def part(value) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        made_up = [
            "",
            "a.b.c",
            tokens.access_token[:-2],
            tokens.access_token + "A",
            f"{head}.{body}.",
            f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
            f"{head}.{part(claims | {'sub': 'ubbbbbbbbbbbbbbbbbbbb'})}.{signature}",
            f"{head}.{other.access_token.split('.')[1]}.{signature}",
            jwt.encode(claims, b"\0" * 32, "HS256"),
            jwt.encode(claims, b"\0" * 64, "HS512"),
            tokens.refresh_token,
        ]
        for token in made_up:
            assert await refused(sessions.principal(token)) == "wrong-token"
        key = sessions._keyring.signing
        for name in claims:
            short = {field: value for field, value in claims.items() if field != name}
            assert await refused(sessions.principal(jwt.encode(short, key, "HS256"))) == "wrong-token"
        assert (await sessions.principal(jwt.encode(claims, key, "HS256"))).user == account

    site.run(scenario())


def test_access_token_ends_after_five_minutes(site):
    async def scenario():
        _, tokens = await begun(site)
        site.clock.advance(304)
        await site.identity.sessions.principal(tokens.access_token)
        site.clock.advance(1)
        assert await refused(site.identity.sessions.principal(tokens.access_token)) == "token-expired"

    site.run(scenario())


def test_refresh_changes_both_tokens_and_one_used_twice_ends_the_session(site):
    async def scenario():
        account, first = await begun(site, second_factor=True)
        sessions, origin = site.identity.sessions, site.origin()
        given = site.clock()
        site.clock.advance(200)
        second = await sessions.refresh(first.refresh_token, origin)
        third = await sessions.refresh(second.refresh_token, origin)
        assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
        assert (await sessions.principal(third.access_token)).second_factor_at == given
        assert {first.session, second.session, third.session} == {first.session}
        site.clock.advance(10)
        # A thief shows the second token: neither that nor the owner's latest works, and no access token.
        assert await refused(sessions.refresh(second.refresh_token, origin)) == "wrong-token"
        assert await refused(sessions.refresh(third.refresh_token, origin)) == "wrong-token"
        assert await refused(sessions.principal(third.access_token)) == "session-ended"
        assert [event.kind for event in await site.identity.events.latest(account)] == [
            "REFRESH_REUSED",
            "LOGGED_IN",
        ]

    site.run(scenario())


def test_a_refresh_whose_answer_was_lost_is_asked_for_again(site):
    async def scenario():
        account, tokens = await begun(site, second_factor=True)
        sessions, origin = site.identity.sessions, site.origin()
        lost = []
        for _ in range(3):
            lost.append(await sessions.refresh(tokens.refresh_token, origin))
            site.clock.advance(3)
        came = await sessions.refresh(tokens.refresh_token, origin)
        assert (await sessions.principal(came.access_token)).mfa
        latest = await sessions.refresh(came.refresh_token, origin)
        assert [event.kind for event in await site.identity.events.latest(account)] == ["LOGGED_IN"]
        # What was lost was found by somebody: whoever comes first, the session ends.
        assert await refused(sessions.refresh(lost[1].refresh_token, origin)) == "wrong-token"
        assert await refused(sessions.refresh(latest.refresh_token, origin)) == "wrong-token"
        assert await refused(sessions.principal(came.access_token)) == "session-ended"

    site.run(scenario())


async def _late(site, tokens, origin):
    await site.identity.sessions.refresh(tokens.refresh_token, origin)
    site.clock.advance(10)
    return origin


async def _elsewhere(site, tokens, origin):
    await site.identity.sessions.refresh(tokens.refresh_token, origin)
    return Origin(ip_address("192.0.2.7"))


async def _followed(site, tokens, origin):
    followed = await site.identity.sessions.refresh(tokens.refresh_token, origin)
    await site.identity.sessions.refresh(followed.refresh_token, origin)
    return origin


@pytest.mark.parametrize("used", [_late, _elsewhere, _followed])
def test_a_refresh_token_that_comes_again_too_late_from_elsewhere_or_after_the_next_ends_the_session(
    site, used
):
    async def scenario():
        account, tokens = await begun(site)
        origin = await used(site, tokens, site.origin())
        assert await refused(site.identity.sessions.refresh(tokens.refresh_token, origin)) == "wrong-token"
        assert await refused(site.identity.sessions.principal(tokens.access_token)) == "session-ended"
        assert (await site.identity.events.latest(account))[0].kind == "REFRESH_REUSED"

    site.run(scenario())


def test_of_refreshes_at_once_one_goes_on(site):
    async def scenario():
        _, tokens = await begun(site)
        sessions, origin = site.identity.sessions, site.origin()
        made = await asyncio.gather(*(sessions.refresh(tokens.refresh_token, origin) for _ in range(5)))
        ends = [await _try(sessions.refresh(each.refresh_token, origin)) for each in made]
        assert sum(isinstance(end, Tokens) for end in ends) <= 1
        assert await refused(sessions.principal(tokens.access_token)) == "session-ended"

    site.run(scenario())


async def _try(work):
    try:
        return await work
    except NotAuthenticated as error:
        return error


@pytest.mark.parametrize(("pause_days", "times", "works"), [(6, 4, True), (7, 1, False), (6, 5, False)])
def test_session_ends_when_it_is_idle_or_old(site, pause_days, times, works):
    async def scenario():
        _, tokens = await begun(site)
        for time in range(times):
            site.clock.advance(pause_days * 86_400)
            if time < times - 1 or works:
                tokens = await site.identity.sessions.refresh(tokens.refresh_token, site.origin())
            else:
                assert await refused(site.identity.sessions.refresh(tokens.refresh_token, site.origin()))

    site.run(scenario())


def test_revoked_session_is_refused_at_once_here_and_within_a_second_elsewhere(site):
    async def scenario():
        account, tokens = await begun(site)
        async with AsyncExitStack() as stack:
            other = await site.another(stack)
            stack.callback(other.close)
            await other.sessions.principal(tokens.access_token)
            await site.identity.sessions.revoke(account, tokens.session)
            assert await refused(site.identity.sessions.principal(tokens.access_token)) == "session-ended"
            await asyncio.sleep(FRESH_S)
            assert await refused(other.sessions.principal(tokens.access_token)) == "session-ended"
        assert await refused(site.identity.sessions.refresh(tokens.refresh_token, site.origin()))

    site.run(scenario())


def test_nobody_ends_the_session_of_another(site):
    async def scenario():
        ann, tokens = await begun(site)
        bob, _ = await begun(site)
        with pytest.raises(NotThere):
            await site.identity.sessions.revoke(bob, tokens.session)
        await site.identity.sessions.revoke_others(bob, "sbbbbbbbbbbbbbbbbbbbb")
        assert [found.id for found in await site.identity.sessions.list(ann)] == [tokens.session]
        assert await site.identity.sessions.list(bob) == []
        await site.identity.sessions.revoke(ann, tokens.session)
        with pytest.raises(NotThere):
            await site.identity.sessions.revoke(ann, tokens.session)

    site.run(scenario())


def test_role_is_known_within_a_second_of_its_change(site):
    async def scenario():
        account, tokens = await begun(site, second_factor=True)
        sessions = site.identity.sessions
        assert (await sessions.principal(tokens.access_token)).role is None
        await site.pool.execute(
            """insert into access.operators (account_id, role, added_by, added_at, changed_by, changed_at)
            values ($1, 'ANALYST', 'test', now(), 'test', now())""",
            account,
        )
        await asyncio.sleep(FRESH_S)
        assert (await sessions.principal(tokens.access_token)).role is Role.ANALYST
        await site.pool.execute("delete from access.operators where account_id = $1", account)
        await asyncio.sleep(FRESH_S)
        assert (await sessions.principal(tokens.access_token)).role is None

    site.run(scenario())


@pytest.mark.parametrize(
    ("first", "then", "unusual"),
    [
        ("192.0.2.7", "192.0.2.200", False),
        ("192.0.2.7", "192.0.3.7", True),
        ("2001:db8:1::1", "2001:db8:1:ffff::1", False),
        ("2001:db8:1::1", "2001:db8:2::1", True),
        ("192.0.2.7", "2001:db8:2::1", True),
    ],
)
def test_log_in_from_another_network_is_unusual(site, first, then, unusual):
    async def scenario():
        account, tokens = await begun(site, origin=Origin(ip_address(first)))
        assert not await site.identity.sessions.is_unusual(tokens.session)
        later, told = await site.identity.sessions.begin(
            account, "WALLET", Origin(ip_address(then)), second_factor=False
        )
        assert told == unusual == await site.identity.sessions.is_unusual(later.session)

    site.run(scenario())


@pytest.mark.parametrize(
    ("after_s", "ended", "unusual"),
    [(0, None, True), (86_399, None, True), (86_400, None, False), (86_400, "LOG_OUT", False)]
    + [(86_400, why, True) for why in ("REVOKED", "PASSWORD", "REUSE")],
)
def test_a_place_that_was_unusual_is_so_for_a_day_and_as_long_as_its_session_was_no_good(
    site, after_s, ended, unusual
):
    async def scenario():
        account, _ = await begun(site, origin=Origin(ip_address("192.0.2.7")))
        sessions, there = site.identity.sessions, Origin(ip_address("198.51.100.7"))
        first, told = await sessions.begin(account, "PASSWORD", there, second_factor=False)
        assert told
        if ended is not None:
            await sessions.revoke(account, first.session, ended)
        site.clock.advance(after_s)
        _, told = await sessions.begin(account, "PASSWORD", there, second_factor=False)
        assert told == unusual
        _, told = await sessions.begin(
            account, "PASSWORD", Origin(ip_address("192.0.2.9")), second_factor=False
        )
        assert not told

    site.run(scenario())
