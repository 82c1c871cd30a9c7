"""Failed attempts lock out for longer and longer, and a right one ends that."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from ipaddress import ip_address

import asyncpg
import pytest

from live.books.commands import Overloaded
from live.identity.errors import NotAuthenticated, TooManyGuesses, wrong_code
from live.identity.guesses import Guesses, network_of
from live.identity.names import new_id

from .conftest import CHEAP


def guesses_of(site) -> Guesses:
    return site.identity.log_in.guesses


async def fail(guesses: Guesses, *subjects: tuple[str, str]) -> None:
    with suppress(NotAuthenticated):
        async with guesses.attempt(*subjects):
            raise wrong_code()


async def succeed(guesses: Guesses, *subjects: tuple[str, str]) -> None:
    async with guesses.attempt(*subjects):
        pass


def test_lock_grows_with_every_failure_up_to_an_hour(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(4):
            await fail(guesses, subject)
        for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
            await fail(guesses, subject)
            for early_s in (0, minutes * 60 - 1):
                site.clock.advance(early_s)
                with pytest.raises(TooManyGuesses) as caught:
                    await succeed(guesses, subject)
                assert caught.value.retry_after_s == minutes * 60 - early_s
            site.clock.advance(1)

    site.run(scenario())


@pytest.mark.parametrize(("kind", "free"), [("password", 5), ("network", 20)])
def test_right_guess_takes_back_itself_and_no_failure_of_others(site, kind, free):
    async def scenario():
        guesses, subject = guesses_of(site), (kind, new_id("u"))
        for _ in range(free + 5):
            await succeed(guesses, subject)
        for _ in range(free - 1):
            await fail(guesses, subject)
        for _ in range(5):
            await succeed(guesses, subject)
        await fail(guesses, subject)
        other = ("password", new_id("u"))
        with pytest.raises(TooManyGuesses):
            await fail(guesses, other, subject)
        for _ in range(4):  # the refusal has not counted
            await fail(guesses, other)
        await succeed(guesses, other)

    site.run(scenario())


@pytest.mark.parametrize(
    ("kind", "free"), [("second-factor", 5), ("session", 5), ("device", 5), ("account", 20)]
)
def test_right_guess_at_what_its_owner_alone_can_prove_ends_the_count(site, kind, free):
    async def scenario():
        guesses, subject, network = guesses_of(site), (kind, new_id("u")), ("network", new_id("n"))
        for _ in range(3):  # as many as never, were they counted together
            for _ in range(free - 1):
                await fail(guesses, subject)
                site.clock.advance(3_600)
            await succeed(guesses, subject, network)
        for _ in range(free):
            await fail(guesses, subject)
        with pytest.raises(TooManyGuesses):  # once it is locked no right one is looked at
            await succeed(guesses, subject)
        site.clock.advance(60)
        await succeed(guesses, subject)
        for _ in range(free - 1):
            await fail(guesses, subject)
        with pytest.raises(ConnectionError):  # what was broken off was not right
            async with guesses.attempt(subject):
                raise ConnectionError
        await fail(guesses, subject)
        with pytest.raises(TooManyGuesses):
            await succeed(guesses, subject)

    site.run(scenario())


@pytest.mark.parametrize("failed", range(7))
def test_of_many_wrong_guesses_at_once_as_many_are_looked_at_as_one_after_the_other(site, failed):
    async def scenario():
        guesses, subject = guesses_of(site), ("second-factor", new_id("u"))
        for _ in range(failed):
            await fail(guesses, subject)
            site.clock.advance(3_600)
        looked_at = 0

        async def guess() -> None:
            nonlocal looked_at
            async with guesses.attempt(subject):
                looked_at += 1
                await asyncio.sleep(random.uniform(0, 0.02))
                raise wrong_code()

        ends = await asyncio.gather(*(guess() for _ in range(40)), return_exceptions=True)
        assert looked_at == max(1, 5 - failed)
        assert sum(isinstance(end, TooManyGuesses) for end in ends) == 40 - looked_at

    site.run(scenario())


@pytest.mark.parametrize("failed", range(7))
def test_right_guesses_at_once_are_never_refused(site, failed):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(failed):
            await fail(guesses, subject)
            site.clock.advance(3_600)
        at_once, most = 0, 0

        async def log_in() -> None:
            nonlocal at_once, most
            async with guesses.attempt(subject):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.005)
                at_once -= 1

        await asyncio.gather(*(log_in() for _ in range(15)))
        assert 1 <= most <= max(1, 5 - failed)

    site.run(scenario())


def test_an_attempt_that_a_crash_left_counts_as_failed(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(4):
            await fail(guesses, subject)
        left = guesses.attempt(subject)
        await left.__aenter__()
        site.clock.advance(31)
        with pytest.raises(TooManyGuesses):
            await succeed(guesses, subject)
        await left.__aexit__(None, None, None)
        with pytest.raises(TooManyGuesses):
            await succeed(guesses, subject)

    site.run(scenario())


def test_who_waits_too_long_is_refused(site):
    async def scenario():
        impatient = replace(CHEAP, longest_wait_s=0.1)
        parts = guesses_of(site)
        guesses = Guesses(site.pool, parts._keyring, site.clock, impatient)
        subject = ("password", new_id("u"))
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(guesses.attempt(subject))
            with pytest.raises(TooManyGuesses) as caught:
                await succeed(guesses, subject)
            assert caught.value.retry_after_s == 1
        await succeed(guesses, subject)

    site.run(scenario())


def test_what_was_not_looked_at_for_want_of_room_is_no_failure(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(10):
            with pytest.raises(Overloaded):
                async with guesses.attempt(subject):
                    raise Overloaded("too many passwords wait to be checked")

    site.run(scenario())


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), ConnectionError(), asyncpg.InterfaceError("lost")]
)
def test_attempts_that_we_broke_off_are_no_failures(site, error):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(4):
            await fail(guesses, subject)
        for _ in range(10):
            with pytest.raises(type(error)):
                async with guesses.attempt(subject):
                    raise error
        await succeed(guesses, subject)
        await fail(guesses, subject)  # and the fifth that was wrong locks
        with pytest.raises(TooManyGuesses):
            await succeed(guesses, subject)

    site.run(scenario())


@pytest.mark.parametrize("crashed", [False, True])
def test_what_is_left_of_attempts_is_tidied_a_day_later(site, crashed):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        rows = "select count(*) from access.guesses"
        site.clock.advance(3 * 86_400)
        await site.identity.tidy()
        before = await site.pool.fetchval(rows)
        left = guesses.attempt(subject)
        await left.__aenter__()
        if not crashed:
            await left.__aexit__(None, None, None)
        site.clock.advance(86_399)
        await site.identity.tidy()
        assert await site.pool.fetchval(rows) == before + 1
        site.clock.advance(2)
        await site.identity.tidy()
        assert await site.pool.fetchval(rows) == before

    site.run(scenario())


def test_failures_are_forgotten_after_a_day(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(5):
            await fail(guesses, subject)
        site.clock.advance(80_000)
        await succeed(guesses, subject)  # which does not keep the failures
        site.clock.advance(6_401)
        for _ in range(4):
            await fail(guesses, subject)
        await succeed(guesses, subject)

    site.run(scenario())


def test_a_network_is_an_address_or_what_one_customer_has_of_them():
    assert network_of(ip_address("192.0.2.7")) != network_of(ip_address("192.0.2.8"))
    assert network_of(ip_address("2001:db8::1")) == network_of(ip_address("2001:db8::ffff:1"))
    assert network_of(ip_address("2001:db8::1")) != network_of(ip_address("2001:db8:0:1::1"))
