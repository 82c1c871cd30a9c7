"""Passwords: what is kept of them, and what comparing them takes."""

import asyncio
from dataclasses import replace

import pytest

from live.books.commands import Overloaded
from live.identity.keyring import Keyring
from live.identity.passwords import Passwords
from risk.errors import InvalidInput

from .conftest import CHEAP, PASSWORD

RING = Keyring(bytes(32))


def run(work):
    return asyncio.run(work)


def test_hash_is_argon2id_and_belongs_to_its_account_and_our_key():
    async def scenario():
        passwords, others = Passwords(RING, CHEAP), Passwords(Keyring(bytes(range(32))), CHEAP)
        kept = await passwords.hash("ann", PASSWORD)
        assert kept.startswith("$argon2id$v=19$m=64,t=1,p=1$")
        assert kept != await passwords.hash("ann", PASSWORD)
        assert await passwords.matches("ann", PASSWORD, kept)
        assert not await passwords.matches("ann", PASSWORD + " ", kept)
        assert not await passwords.matches("bob", PASSWORD, kept)
        assert not await others.matches("ann", PASSWORD, kept)
        assert not await passwords.matches("ann", PASSWORD, None)

    run(scenario())


def test_same_characters_are_the_same_password_however_they_are_typed():
    async def scenario():
        passwords = Passwords(RING, CHEAP)
        kept = await passwords.hash("ann", "Ångström zwölf")
        assert await passwords.matches("ann", "A\u030angstro\u0308m zwo\u0308lf", kept)

    run(scenario())


@pytest.mark.parametrize(
    "password",
    ["short", "a" * 257, "aaaaaaaaaaaa", "abcabcabcabcabc", "ann.miller@example.org", "ANN.MILLER"],
)
def test_easy_passwords_are_refused(password):
    with pytest.raises(InvalidInput, match=r"password was .* it must be"):
        Passwords(RING, CHEAP).check_strength(password, "ann.miller@example.org")


def test_costs_that_changed_show():
    async def scenario():
        old, new = Passwords(RING, CHEAP), Passwords(RING, replace(CHEAP, argon2_passes=2))
        kept = await old.hash("ann", PASSWORD)
        assert await new.matches("ann", PASSWORD, kept)
        assert (old.is_outdated(kept), new.is_outdated(kept)) == (False, True)

    run(scenario())


def test_loop_goes_on_while_passwords_are_hashed_and_too_many_are_refused():
    async def scenario():
        passwords = Passwords(RING, replace(CHEAP, argon2_memory_kib=8_192, argon2_waiting=3))
        hashing = [asyncio.create_task(passwords.hash("ann", PASSWORD)) for _ in range(4)]
        turns = 0
        while not all(task.done() for task in hashing):
            await asyncio.sleep(0)
            turns += 1
        ends = await asyncio.gather(*hashing, return_exceptions=True)
        assert [type(end) for end in ends] == [str, str, str, Overloaded]
        assert turns > 50  # on the loop each hash would take one turn

    run(scenario())
