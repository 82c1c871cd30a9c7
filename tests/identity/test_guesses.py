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


def test_right_guess_forgets_the_failures_of_an_account_but_not_those_of_its_network(site):
    async def scenario():
        guesses, account, network = guesses_of(site), ("password", new_id("u")), ("network", new_id("u"))
        for _ in range(10):
            for _ in range(4):
                attempt = await guesses.attempt(account)
            await (await guesses.attempt(account)).succeeded()
        for _ in range(19):
            await guesses.attempt(network)
        for _ in range(5):
            await (await guesses.attempt(network)).succeeded()
        await guesses.attempt(network)
        with pytest.raises(TooManyGuesses):
            await guesses.attempt(account, network)
        attempt = await guesses.attempt(account)  # which the refusal has not counted
        await attempt.succeeded()

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
