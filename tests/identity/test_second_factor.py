"""Codes of an authenticator and recovery codes: each counts once, near its time, and guessing locks."""

import asyncio

import asyncpg
import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.identity.errors import Conflict, NotAuthenticated, NotPermitted, TooManyGuesses
from live.identity.principal import Scope

from .conftest import START_NS


def code_of(site, secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(site.clock() // 10**9 + 30 * steps)


async def enrolled(site):
    """Return an account with an authenticator, its secret and its recovery codes; its last step is long past."""
    account = await site.account()
    made = await site.identity.second_factor.enrol(account)
    codes = await site.identity.second_factor.confirm(account.id, code_of(site, made.secret), site.origin())
    site.clock.advance(300)
    return account.id, made.secret, codes


async def refused(site, account: str, code: str, why: str = "wrong-code") -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await site.identity.second_factor.check(account, code, site.origin())
    assert caught.value.code == why


def test_authenticator_counts_only_after_it_is_confirmed(site):
    async def scenario():
        account = await site.account()
        second, origin = site.identity.second_factor, site.origin()
        with pytest.raises(Conflict, match="no authenticator is being enrolled"):
            await second.confirm(account.id, "123456", origin)
        first = await second.enrol(account)
        made = await second.enrol(account)
        assert first.secret != made.secret
        assert pyotp.parse_uri(made.uri).secret == made.secret
        with pytest.raises(NotAuthenticated):
            await second.confirm(account.id, code_of(site, first.secret), origin)
        assert not (await site.identity.accounts.by_id(account.id)).has_totp
        codes = await second.confirm(account.id, code_of(site, made.secret), origin)
        assert len(set(codes)) == 10
        assert (await site.identity.accounts.by_id(account.id)).has_totp
        with pytest.raises(Conflict, match="already"):
            await second.enrol(account)
        with pytest.raises(Conflict, match="already"):
            await second.confirm(account.id, code_of(site, made.secret), origin)
        await refused(site, account.id, code_of(site, made.secret), "used-code")  # it confirmed it

    site.run(scenario())


def test_one_step_early_or_late_is_taken_and_two_are_not(site):
    async def scenario():
        for steps, right in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
            account, secret, _ = await enrolled(site)
            if right:
                await site.identity.second_factor.check(account, code_of(site, secret, steps), site.origin())
            else:
                await refused(site, account, code_of(site, secret, steps))

    site.run(scenario())


def test_code_counts_once_and_ends_those_before_it(site):
    async def scenario():
        account, secret, _ = await enrolled(site)
        second = site.identity.second_factor
        await second.check(account, code_of(site, secret), site.origin())
        await refused(site, account, code_of(site, secret), "used-code")
        await refused(site, account, code_of(site, secret, -1), "used-code")
        await second.check(account, code_of(site, secret, 1), site.origin())
        await refused(site, account, code_of(site, secret, 1), "used-code")

    site.run(scenario())


def test_of_many_requests_with_one_code_one_is_right(site):
    async def scenario():
        account, secret, _ = await enrolled(site)
        code = code_of(site, secret)
        ends = await asyncio.gather(*(site.identity.second_factor.totp.take(account, code) for _ in range(8)))
        assert (ends.count(True), ends.count(None)) == (1, 7)

    site.run(scenario())


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=1, max_size=12))
def test_codes_are_taken_as_a_list_of_taken_steps_says(site, moves):
    async def scenario():
        account, secret, _ = await enrolled(site)
        last = START_NS // 10**9 // 30
        for pause, steps in moves:
            site.clock.advance(30 * pause)
            step = site.clock() // 10**9 // 30 + steps
            expected = abs(steps) <= 1 and step > last
            unused = await site.identity.second_factor.totp.take(account, code_of(site, secret, steps))
            assert unused is (True if expected else None)
            last = step if expected else last

    site.run(scenario())


@pytest.mark.parametrize("recovery", [False, True])
def test_code_may_be_shown_again_for_what_it_was_used_for_and_nothing_else(site, recovery):
    async def scenario():
        account, secret, codes = await enrolled(site)
        second, origin = site.identity.second_factor, site.origin()
        code = codes[0] if recovery else code_of(site, secret)
        await asyncio.gather(*(second.check(account, code, origin, "this") for _ in range(12)))
        for use in ("that", ""):
            with pytest.raises(NotAuthenticated):
                await second.check(account, code, origin, use)
        site.clock.advance(600 if recovery else 60)
        with pytest.raises(NotAuthenticated):
            await second.check(account, code, origin, "this")
        kinds = [event.kind for event in await site.identity.events.latest(account)]
        assert kinds.count("RECOVERY_CODE_USED") == int(recovery)

    site.run(scenario())


def test_recovery_code_works_once_for_its_account(site):
    async def scenario():
        second = site.identity.second_factor
        ann, _, codes = await enrolled(site)
        bob, _, _ = await enrolled(site)
        await refused(site, bob, codes[0])
        await second.check(ann, codes[0].upper(), site.origin())
        await refused(site, ann, codes[0], "used-code")
        ends = await asyncio.gather(*(second.recovery.take(ann, codes[1]) for _ in range(6)))
        assert (ends.count(True), ends.count(None)) == (1, 5)
        assert await second.recovery.left(ann) == 8
        await second.renew_codes(ann, codes[2], site.origin())
        await refused(site, ann, codes[3])
        assert await second.recovery.left(ann) == 10

    site.run(scenario())


def test_guessing_locks_the_second_factor_and_a_right_code_does_not_open_it(site):
    async def scenario():
        account, secret, codes = await enrolled(site)
        for guess in range(5):
            await refused(site, account, f"00000{guess}")
        for code in (code_of(site, secret), codes[0]):
            with pytest.raises(TooManyGuesses):
                await site.identity.second_factor.check(account, code, site.origin())
        site.clock.advance(60)
        await site.identity.second_factor.check(account, code_of(site, secret), site.origin())

    site.run(scenario())


@pytest.mark.parametrize("recovery", [False, True])
def test_a_code_shown_again_ends_no_count(site, recovery):
    """Whoever has seen one code could else guess on for as long as it may be shown again."""

    async def scenario():
        account, secret, codes = await enrolled(site)
        second, origin = site.identity.second_factor, site.origin()
        code = codes[0] if recovery else code_of(site, secret)
        await second.check(account, code, origin, "this")
        for guess in range(4):
            await refused(site, account, f"00000{guess}")
        await second.check(account, code, origin, "this")
        await refused(site, account, "000004")
        with pytest.raises(TooManyGuesses):
            await second.check(account, codes[1], origin)

    site.run(scenario())


def test_who_mistypes_now_and_then_is_not_locked_out(site):
    async def scenario():
        account, secret, codes = await enrolled(site)
        second = site.identity.second_factor
        for right in (None, None, codes[0], None):
            for _ in range(4):
                site.clock.advance(3_600)
                await refused(site, account, "000000")
            await second.check(account, right or code_of(site, secret), site.origin())

    site.run(scenario())


@pytest.mark.parametrize("recovery", [False, True])
def test_code_that_was_used_is_told_so_and_is_neither_a_guess_nor_a_proof(site, recovery):
    async def scenario():
        account, secret, codes = await enrolled(site)
        second = site.identity.second_factor
        code = codes[0] if recovery else code_of(site, secret)
        await second.check(account, code, site.origin(), "this")
        for _ in range(4):
            await refused(site, account, "000000")
        for _ in range(10):
            await refused(site, account, code, "used-code")
        await refused(site, account, "000000")  # the fifth
        with pytest.raises(TooManyGuesses):  # also for what would be told to be used
            await second.check(account, code, site.origin())
        events = [(event.kind, event.detail) for event in await site.identity.events.latest(account)]
        assert events[:2] == [("WRONG_CODE", ""), ("WRONG_CODE", "used before")]

    site.run(scenario())


def test_disabling_takes_a_code_and_ends_recovery_codes_and_devices(site):
    async def scenario():
        account, secret, codes = await enrolled(site)
        identity, second = site.identity, site.identity.second_factor
        _, token = await identity.devices.trust(account, "laptop")
        with pytest.raises(NotPermitted, match="needs a code"):
            await second.check(account, None, site.origin())
        with pytest.raises(NotAuthenticated):
            await second.disable(account, "000000", site.origin())
        assert await identity.devices.known(account, token)
        await second.disable(account, code_of(site, secret), site.origin())
        assert not (await identity.accounts.by_id(account)).has_totp
        assert await identity.devices.known(account, token) is None
        for _ in range(7):  # which are no guesses: there is nothing to be guessed
            with pytest.raises(NotPermitted, match="enrol one first"):
                await second.check(account, codes[0], site.origin())
        kinds = [event.kind for event in await identity.events.latest(account)]
        assert kinds[:2] == ["TOTP_DISABLED", "WRONG_CODE"]

    site.run(scenario())


@pytest.mark.parametrize("broken", ["select email", "insert into access.security_events"])
def test_what_cannot_be_told_of_is_not_done_and_no_secret_is_lost(site, monkeypatch, broken):
    """Whatever fails is either undone, or fails before: what is answered with an error has changed nothing."""
    queries = {name: getattr(asyncpg.Connection, name) for name in ("fetchval", "execute")}

    def failing(name: str):
        async def query(self, text: str, *given, **how):
            if broken in text:
                raise ConnectionError("the database went away")
            return await queries[name](self, text, *given, **how)

        return query

    async def lost(work) -> None:
        with monkeypatch.context() as patch:
            for name in queries:
                patch.setattr(asyncpg.Connection, name, failing(name))
            with pytest.raises(ConnectionError):
                await work

    async def scenario():
        second, keys, origin = site.identity.second_factor, site.identity.keys, site.origin()
        fresh = await site.account()
        made = await second.enrol(fresh)
        await lost(second.confirm(fresh.id, code_of(site, made.secret), origin))
        assert len(await second.confirm(fresh.id, code_of(site, made.secret), origin)) == 10
        account, secret, codes = await enrolled(site)
        await lost(second.check(account, codes[0], origin))
        await second.check(account, codes[0], origin)  # it was not used up
        await lost(second.renew_codes(account, code_of(site, secret), origin))
        assert await second.recovery.left(account) == 9
        await second.check(account, codes[1], origin)
        await lost(keys.create(account, "mine", [Scope.READ], [], origin))
        assert await keys.list(account) == []
        key = (await keys.create(account, "mine", [Scope.READ], [], origin)).key.id
        sealed = await site.pool.fetchval("select secret from access.api_keys where id = $1", key)
        await lost(keys.rotate(account, key, 0, origin))
        assert await site.pool.fetchval("select secret from access.api_keys where id = $1", key) == sealed
        await lost(keys.revoke(account, key, origin))
        assert len(await keys.list(account)) == 1
        site.clock.advance(60)
        await lost(second.disable(account, code_of(site, secret), origin))
        assert await second.totp.is_enrolled(account)

    site.run(scenario())
