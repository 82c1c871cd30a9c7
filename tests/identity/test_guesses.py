"""Failed attempts lock out for longer and longer, and a right one ends that."""

import asyncio
from ipaddress import ip_address

import pytest

from live.identity.errors import TooManyGuesses
from live.identity.guesses import Guesses, network_of
from live.identity.names import new_id


def guesses_of(site) -> Guesses:
    return site.identity.log_in.guesses


def test_lock_grows_with_every_failure_up_to_an_hour(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(4):
            await guesses.attempt(subject)
        for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
            await guesses.attempt(subject)
            for early_s in (0, minutes * 60 - 1):
                site.clock.advance(early_s)
                with pytest.raises(TooManyGuesses) as caught:
                    await guesses.attempt(subject)
                assert caught.value.retry_after_s == minutes * 60 - early_s
            site.clock.advance(1)

    site.run(scenario())


@pytest.mark.parametrize(("kind", "free"), [("password", 5), ("second-factor", 5), ("network", 20)])
def test_right_guess_takes_back_itself_and_no_failure_of_others(site, kind, free):
    async def scenario():
        guesses, subject = guesses_of(site), (kind, new_id("u"))
        for _ in range(free + 5):
            await (await guesses.attempt(subject)).succeeded()
        for _ in range(free - 1):
            await guesses.attempt(subject)
        for _ in range(5):
            await (await guesses.attempt(subject)).succeeded()
        await guesses.attempt(subject)
        other = ("password", new_id("u"))
        with pytest.raises(TooManyGuesses):
            await guesses.attempt(other, subject)
        for _ in range(4):  # the refusal has not counted
            await guesses.attempt(other)
        await (await guesses.attempt(other)).succeeded()

    site.run(scenario())


def test_right_guesses_do_not_keep_failures_from_being_forgotten(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(10):
            await guesses.attempt(subject)
            site.clock.advance(80_000)
            await (await guesses.attempt(subject)).succeeded()
            site.clock.advance(80_000)

    site.run(scenario())


def test_many_guesses_at_once_are_no_way_around(site):
    async def scenario():
        subject = ("second-factor", new_id("u"))
        ends = await asyncio.gather(
            *(guesses_of(site).attempt(subject) for _ in range(40)), return_exceptions=True
        )
        assert sum(not isinstance(end, Exception) for end in ends) == 5
        assert all(isinstance(end, TooManyGuesses) for end in ends if isinstance(end, Exception))

    site.run(scenario())


def test_failures_are_forgotten_after_a_day(site):
    async def scenario():
        guesses, subject = guesses_of(site), ("password", new_id("u"))
        for _ in range(5):
            await guesses.attempt(subject)
        site.clock.advance(86_401)
        for _ in range(4):
            await guesses.attempt(subject)
        await (await guesses.attempt(subject)).succeeded()

    site.run(scenario())


def test_a_network_is_an_address_or_what_one_customer_has_of_them():
    assert network_of(ip_address("192.0.2.7")) != network_of(ip_address("192.0.2.8"))
    assert network_of(ip_address("2001:db8::1")) == network_of(ip_address("2001:db8::ffff:1"))
    assert network_of(ip_address("2001:db8::1")) != network_of(ip_address("2001:db8:0:1::1"))
