"""The master key, and what only it opens."""

import asyncio
import base64
import stat
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.identity.keyring import Keyring, read_master
from risk.errors import InvalidInput

RING = Keyring(bytes(range(32)))


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_what_is_sealed_opens_whole_and_only_whole(secret, place, flip):
    sealed = RING.seal(secret, "totp:ann")
    assert RING.unseal(sealed, "totp:ann") == secret
    assert len(secret) < 4 or secret not in sealed
    broken = bytearray(sealed)
    broken[place % len(sealed)] ^= flip
    with pytest.raises(InvalidInput):
        RING.unseal(bytes(broken), "totp:ann")


@pytest.mark.parametrize("row", ["totp:bob", "api-key:ann", ""])
def test_a_secret_does_not_open_in_another_row(row):
    with pytest.raises(InvalidInput, match="was not sealed"):
        RING.unseal(RING.seal(b"secret", "totp:ann"), row)


def test_another_master_key_opens_nothing_and_hashes_otherwise():
    other = Keyring(bytes(32))
    with pytest.raises(InvalidInput):
        other.unseal(RING.seal(b"secret", "row"), "row")
    assert other.hash("refresh", "t") != RING.hash("refresh", "t") != RING.hash("device", "t")
    assert len({RING.signing, RING.fingerprint, RING.peppered("a", "p"), RING.hash("a", "p")}) == 4


def test_master_key_is_made_once_for_its_owner_alone(tmp_path):
    home = tmp_path / "home"
    made = read_master(None, home)
    assert len(made) == 32
    assert read_master(None, home) == made
    assert [path.name for path in home.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    (home / "secret.key").chmod(0o644)
    with pytest.raises(InvalidInput, match="may be read by others"):
        read_master(None, home)


def test_processes_that_start_at_once_make_one_key(tmp_path):
    async def scenario():
        return await asyncio.gather(*(asyncio.to_thread(read_master, None, tmp_path) for _ in range(8)))

    assert len(set(asyncio.run(scenario()))) == 1


@pytest.mark.parametrize("given", ["", "not base64!", base64.b64encode(bytes(31)).decode(), "ä"])
def test_unusable_master_key_is_refused_and_not_shown(given, tmp_path):
    with pytest.raises(InvalidInput, match=r"HYBRID_PERPS_SECRET was .* 32 random bytes in base64") as caught:
        read_master(given, tmp_path)
    assert not given or given not in str(caught.value)


def test_database_of_another_master_key_is_refused(site):
    async def scenario():
        async with AsyncExitStack() as stack:
            (await site.another(stack)).close()
            with pytest.raises(InvalidInput, match="master key was another"):
                await site.another(stack, secret=base64.b64encode(bytes(32)).decode())

    site.run(scenario())
