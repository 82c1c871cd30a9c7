"""Addresses become accounts, passwords are set anew, and nobody learns whose address has an account."""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from live.books.commands import NotAnswered
from live.identity.email_tokens import Purpose
from live.identity.errors import Conflict, NotAuthenticated, TooManyGuesses
from live.identity.log_in import Challenge, LoggedIn
from live.identity.names import new_id, new_token
from live.identity.principal import Scope
from risk.errors import InvalidInput

from .conftest import CHEAP, PASSWORD

OTHER = "another battery, another horse"


def latest(site, email: str) -> tuple[str, str]:
    """Return subject and token of an address's latest letter."""
    letter = [letter for letter in site.letters if letter.to == email][-1]
    found = re.search(r"token: (\S{43})", letter.text)
    return letter.subject, found[1] if found else ""


def stranger() -> str:
    return f"{new_id('x')}@example.org"


async def wrong_token(work) -> None:
    with pytest.raises(NotAuthenticated, match="token is unknown, expired, or was used before"):
        await work


def test_address_becomes_an_account_with_the_password_of_who_reads_its_mail(site):
    async def scenario():
        registration, email, origin = site.identity.registration, stranger(), site.origin()
        await registration.register(f" {email.upper()} ")
        _, first = latest(site, email)
        await registration.register(email)
        _, second = latest(site, email)
        with pytest.raises(InvalidInput):
            await registration.verify(second, "short", origin)
        with pytest.raises(InvalidInput):
            await registration.verify(second, email, origin)
        account = await registration.verify(second, PASSWORD, origin)
        assert (account.email, account.in_books) == (email, False)
        for token in (first, second, new_token()):
            await wrong_token(registration.verify(token, OTHER, origin))
        with pytest.raises(NotAnswered):  # the books are away: no session without a user of theirs
            await site.identity.log_in.with_password(email, PASSWORD, origin)

    site.run(scenario())


def test_token_of_an_address_makes_one_account_however_often_it_comes_at_once(site):
    async def scenario():
        email, registration = stranger(), site.identity.registration
        tokens = []
        for _ in range(2):
            await registration.register(email)
            tokens += [latest(site, email)[1]] * 3
        ends = await asyncio.gather(
            *(registration.verify(token, PASSWORD, site.origin()) for token in tokens), return_exceptions=True
        )
        assert sum(not isinstance(end, Exception) for end in ends) == 1
        assert sum(isinstance(end, NotAuthenticated) for end in ends) == 5

    site.run(scenario())


def test_letters_alone_tell_whether_an_address_has_an_account(site):
    async def scenario():
        account, registration, unknown = await site.account(), site.identity.registration, stranger()
        for write, known_subject, unknown_subject in (
            (registration.register, "You have an account already", "Confirm your e-mail address"),
            (registration.forgot, "Set another password", "There is no account with this address"),
        ):
            assert await write(account.email) is await write(unknown) is None
            assert latest(site, account.email)[0] == known_subject
            assert latest(site, unknown)[0] == unknown_subject
        # The letters' tokens do what they say, and nothing else.
        await wrong_token(registration.verify(latest(site, account.email)[1], PASSWORD, site.origin()))
        credentials = site.identity.credentials
        await wrong_token(credentials.reset_password(latest(site, unknown)[1], OTHER, site.origin()))
        made = await registration.verify(latest(site, unknown)[1], OTHER, site.origin())
        assert made.email == unknown

    site.run(scenario())


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@",
        "ann@",
        "@x.org",
        "a b@x.org",
        "a@x.org\nBcc: b@y.org",
        "a@x..org",
        "ä@x.org",
        "a" * 250 + "@x.org",
    ],
)
def test_what_is_no_address_is_refused(site, email):
    with pytest.raises(InvalidInput, match="email was no e-mail address"):
        site.run(site.identity.registration.register(email))


def test_an_address_gets_five_letters_and_then_waits(site):
    async def scenario():
        email = stranger()
        for _ in range(9):
            await site.identity.registration.register(email)
        assert sum(letter.to == email for letter in site.letters) == 5
        site.clock.advance(600)
        await site.identity.registration.register(email)
        assert sum(letter.to == email for letter in site.letters) == 6

    site.run(scenario())


def test_tokens_end_after_an_hour_and_serve_one_purpose(site):
    async def scenario():
        account, tokens = await site.account(), site.identity.email_tokens
        token = await tokens.issue(Purpose.WITHDRAWAL, account.email, account.id, "w7")
        await wrong_token(tokens.take(Purpose.ADDRESS, token))
        await wrong_token(site.identity.credentials.reset_password(token, OTHER, site.origin()))
        taken = await tokens.take(Purpose.WITHDRAWAL, token)
        assert (taken.account, taken.subject) == (account.id, "w7")
        await wrong_token(tokens.take(Purpose.WITHDRAWAL, token))
        token = await tokens.issue(Purpose.WITHDRAWAL, account.email, account.id, "w8")
        site.clock.advance(3_600)
        await wrong_token(tokens.take(Purpose.WITHDRAWAL, token))

    site.run(scenario())


def test_reset_ends_sessions_devices_and_keys_but_not_the_authenticator(site):
    async def scenario():
        account, identity, origin = await site.account(), site.identity, site.origin()
        found = await identity.log_in.with_password(account.email, PASSWORD, origin)
        assert isinstance(found, LoggedIn)
        _, device = await identity.devices.trust(account.id, "laptop")
        await identity.keys.create(account.id, "bot", [Scope.READ], [], origin)
        await identity.registration.forgot(account.email)
        _, token = latest(site, account.email)
        await identity.credentials.reset_password(token, OTHER, origin)
        with pytest.raises(NotAuthenticated, match="session was ended"):
            await identity.sessions.principal(found.tokens.access_token)
        assert await identity.devices.known(account.id, device) is None
        assert await identity.keys.list(account.id) == []
        with pytest.raises(NotAuthenticated):
            await identity.log_in.with_password(account.email, PASSWORD, origin)
        assert isinstance(await identity.log_in.with_password(account.email, OTHER, origin), LoggedIn)
        await wrong_token(identity.credentials.reset_password(token, PASSWORD, origin))

    site.run(scenario())


def test_change_of_password_ends_the_other_sessions(site):
    async def scenario():
        account, identity, origin = await site.account(), site.identity, site.origin()
        here = (await identity.log_in.with_password(account.email, PASSWORD, origin)).tokens
        there = (await identity.log_in.with_password(account.email, PASSWORD, origin)).tokens
        change = identity.credentials.change_password
        with pytest.raises(NotAuthenticated):
            await change(account, OTHER, "yet another one", None, origin, here.session)
        await change(account, PASSWORD, OTHER, None, origin, here.session)
        await identity.sessions.principal(here.access_token)
        with pytest.raises(NotAuthenticated):
            await identity.sessions.principal(there.access_token)
        assert [letter.subject for letter in site.letters if letter.to == account.email] == [
            "A change to your account"
        ]
        with pytest.raises(Conflict, match="has no password"):
            await change(await site.account(password=False), PASSWORD, OTHER, None, origin, here.session)

    site.run(scenario())


def test_log_in_that_was_under_way_opens_nothing_after_a_change(site):
    """Between the right old password and its session the password is changed: no session outlives that."""

    async def scenario():
        account, identity, origin = await site.account(), site.identity, site.origin()
        log_in = identity.log_in
        await identity.credentials.change_password(account, PASSWORD, OTHER, None, origin, "")
        with pytest.raises(NotAuthenticated, match="password is wrong"):
            await log_in.after_first(account, "PASSWORD", origin)  # the account as it was read before
        assert await identity.sessions.list(account.id) == []

    site.run(scenario())


def test_log_in_renews_a_hash_of_other_costs(site):
    async def scenario():
        account, identity, origin = await site.account(), site.identity, site.origin()
        async with AsyncExitStack() as stack:
            dearer = await site.another(stack, rules=replace(CHEAP, argon2_passes=2))
            stack.callback(dearer.close)
            for _ in range(2):
                found = await dearer.log_in.with_password(account.email, PASSWORD, origin)
                assert isinstance(found, LoggedIn)
        renewed = await identity.accounts.by_id(account.id)
        assert ",t=1," in account.password_hash
        assert ",t=2," in renewed.password_hash

    site.run(scenario())


def test_new_address_is_confirmed_by_its_own_letter(site):
    async def scenario():
        account, other, email = await site.account(), await site.account(), stranger()
        credentials, origin = site.identity.credentials, site.origin()
        await credentials.ask_for_email(account, email)
        _, token = latest(site, email)
        await wrong_token(credentials.set_email(other, token, origin))
        await credentials.set_email(account, token, origin)
        changed = await site.identity.accounts.by_id(account.id)
        assert changed.email == email
        assert latest(site, account.email)[0] == "A change to your account"  # the old address is told
        await credentials.ask_for_email(changed, other.email)
        assert latest(site, other.email) == ("A change to your account", "")
        # A letter to the old address, written before, sets no password any more.
        late = await site.identity.email_tokens.issue(Purpose.PASSWORD, account.email, account.id)
        await wrong_token(credentials.reset_password(late, OTHER, origin))

    site.run(scenario())


def test_log_in_locks_known_and_unknown_addresses_alike(site):
    async def scenario():
        account, log_in = await site.account(), site.identity.log_in
        for email in (account.email, stranger(), "no address"):
            origin, told = site.origin(), []
            for _ in range(7):
                with pytest.raises((NotAuthenticated, TooManyGuesses)) as caught:
                    await log_in.with_password(email, OTHER, origin)
                told.append(str(caught.value))
            assert (
                told
                == ["the e-mail address or the password is wrong"] * 5
                + ["too many attempts; try again in 60 s"] * 2
            )
        with pytest.raises(TooManyGuesses):
            await log_in.with_password(account.email, PASSWORD, site.origin())
        site.clock.advance(60)
        assert isinstance(await log_in.with_password(account.email, PASSWORD, site.origin()), LoggedIn)

    site.run(scenario())


def test_one_network_may_not_go_through_many_addresses(site):
    async def scenario():
        origin, account = site.origin(), await site.account()
        for _ in range(20):
            with pytest.raises(NotAuthenticated):
                await site.identity.log_in.with_password(stranger(), OTHER, origin)
        with pytest.raises(TooManyGuesses):
            await site.identity.log_in.with_password(account.email, PASSWORD, origin)
        assert isinstance(
            await site.identity.log_in.with_password(account.email, PASSWORD, site.origin()), LoggedIn
        )

    site.run(scenario())


def test_trusted_device_needs_no_code_until_it_is_revoked_or_old(site):
    async def scenario():
        import pyotp

        account, identity, origin = await site.account(), site.identity, site.origin()
        secret = (await identity.second_factor.enrol(account)).secret

        def code() -> str:
            return pyotp.TOTP(secret).at(site.clock() // 10**9)

        async def log_in(device: str | None = None):
            return await identity.log_in.with_password(account.email, PASSWORD, origin, device)

        await identity.second_factor.confirm(account.id, code(), origin)
        site.clock.advance(30)
        asked = await log_in()
        assert isinstance(asked, Challenge)
        found = await identity.log_in.with_code(asked.challenge, code(), origin, "my laptop")
        assert (await identity.sessions.principal(found.tokens.access_token)).mfa
        site.clock.advance(30)
        with pytest.raises(NotAuthenticated, match="challenge is unknown, expired, or was used"):
            await identity.log_in.with_code(asked.challenge, code(), origin)
        known = await log_in(found.device_token)
        assert isinstance(known, LoggedIn)
        assert not (await identity.sessions.principal(known.tokens.access_token)).mfa
        assert isinstance(await log_in(new_token()), Challenge)
        other = await site.account()
        assert await identity.devices.known(other.id, found.device_token) is None
        late = await log_in()
        site.clock.advance(300)
        with pytest.raises(NotAuthenticated, match="challenge"):
            await identity.log_in.with_code(late.challenge, code(), origin)
        site.clock.advance(30 * 86_400)
        assert isinstance(await log_in(found.device_token), Challenge)

    site.run(scenario())


def test_tidying_leaves_what_counts(site):
    async def scenario():
        account, origin = await site.account(), site.origin()
        found = await site.identity.log_in.with_password(account.email, PASSWORD, origin)
        await site.identity.registration.register(stranger())
        await site.identity.wallets.nonce()
        site.clock.advance(6 * 86_400)
        await site.identity.tidy()
        for table in ("email_tokens", "wallet_nonces", "challenges"):
            assert await site.pool.fetchval(f"select count(*) from access.{table}") == 0
        await site.identity.sessions.refresh(found.tokens.refresh_token, origin)

    site.run(scenario())
