"""Wallet log-in: a message for us, signed by the wallet it names, now and once."""

import asyncio
import warnings
from datetime import UTC, datetime, timedelta, timezone

import pytest

from live.identity.errors import Conflict, NotAuthenticated
from live.identity.log_in import Challenge
from live.identity.moments import moment

from .conftest import URL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from eth_account import Account as Wallet
    from eth_account.messages import encode_defunct


def message_for(site, wallet, nonce: str, **change: str) -> str:
    """Write the message as EIP-4361 has it; ``change`` replaces its parts."""
    now = datetime.fromtimestamp(site.clock() // 10**9, UTC)
    parts = {
        "domain": "perps.example",
        "address": wallet.address,
        "uri": URL,
        "version": "1",
        "issued": _iso(now),
        "expires": _iso(now + timedelta(minutes=5)),
    } | change
    return (
        f"{parts['domain']} wants you to sign in with your Ethereum account:\n{parts['address']}\n\n"
        f"Log in\n\nURI: {parts['uri']}\nVersion: {parts['version']}\nChain ID: 1\nNonce: {nonce}\n"
        f"Issued At: {parts['issued']}\nExpiration Time: {parts['expires']}"
    )


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def sign(wallet, message: str) -> str:
    return "0x" + wallet.sign_message(encode_defunct(text=message)).signature.hex().removeprefix("0x")


async def logged_in(site, wallet, **how):
    nonce, _ = await site.identity.wallets.nonce()
    message = message_for(site, wallet, nonce)
    return await site.identity.wallets.log_in(message, sign(wallet, message), site.origin(), **how)


async def refused(site, message: str, signature: str) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        await site.identity.wallets.log_in(message, signature, site.origin())
    assert caught.value.code == "wrong-wallet-message"
    return str(caught.value)


async def in_books(site, wallet) -> None:
    """Have the books know the wallet's account, which they do not hear of here."""
    await site.pool.execute(
        """insert into users (id, kyc_status, seq, created_at) select id, 'NONE', 1, now()
        from access.accounts where wallet_address = $1""",
        wallet.address.lower(),
    )


async def known(site):
    """Return a wallet that has an account, and the account."""
    wallet = Wallet.create()
    await site.identity.accounts.add(account := _new(), wallet=wallet.address.lower())
    await in_books(site, wallet)
    return wallet, await site.identity.accounts.by_id(account)


def _new() -> str:
    from live.identity.names import new_id

    return new_id("u")


def test_first_log_in_makes_the_account_and_later_ones_find_it(site):
    async def scenario():
        wallet = Wallet.create()
        from live.books.commands import NotAnswered

        for _ in range(2):  # the books are away: no session without a user of theirs
            with pytest.raises(NotAnswered):
                await logged_in(site, wallet)
        await in_books(site, wallet)
        first = await logged_in(site, wallet)
        second = await logged_in(site, wallet)
        principals = [
            await site.identity.sessions.principal(each.tokens.access_token) for each in (first, second)
        ]
        assert principals[0].user == principals[1].user
        account = await site.identity.accounts.by_id(principals[0].user)
        assert (account.wallet_address, account.email) == (wallet.address.lower(), None)

    site.run(scenario())


def test_message_is_taken_once(site):
    async def scenario():
        wallet, _ = await known(site)
        nonce, _ = await site.identity.wallets.nonce()
        message = message_for(site, wallet, nonce)
        signature = sign(wallet, message)
        work = [site.identity.wallets.log_in(message, signature, site.origin()) for _ in range(4)]
        ends = await asyncio.gather(*work, return_exceptions=True)
        assert sum(isinstance(end, NotAuthenticated) for end in ends) == 3
        assert "nonce is unknown" in await refused(site, message, signature)

    site.run(scenario())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"domain": "evil.example"}, "domain must be perps.example"),
        ({"domain": "perps.example.evil.example"}, "domain must be"),
        ({"uri": "https://evil.example"}, "URI must begin with"),
        ({"uri": "https://perps.example@evil.example"}, "URI must begin with"),
        ({"uri": "http://perps.example"}, "URI must begin with"),
        ({"version": "2"}, "not as EIP-4361 has it"),
        ({"issued": "yesterday"}, "not as EIP-4361 has it"),
        ({"issued": "2026-09-21T13:33:20"}, "not as EIP-4361 has it"),  # of no zone, as RFC 3339 wants one
        ({"issued": "0001-01-01T00:00:00+02:00"}, "Issued At is more than 660 s ago"),
        ({"issued": "9999-12-31T23:59:59-02:00"}, "Issued At is more than 60 s ahead"),
        ({"expires": "2020-01-01T00:00:00Z"}, "Expiration Time is over"),
        (
            {"address": "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"},
            "its checksum (EIP-55): 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
        ),
        ({"address": "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"}, "not that of its address"),
    ],
)
def test_message_for_others_or_another_time_is_refused(site, change, why):
    async def scenario():
        wallet, _ = await known(site)
        nonce, _ = await site.identity.wallets.nonce()
        message = message_for(site, wallet, nonce, **change)
        assert why in await refused(site, message, sign(wallet, message))
        right = message_for(site, wallet, nonce)  # and the nonce was not used up
        await site.identity.wallets.log_in(right, sign(wallet, right), site.origin())

    site.run(scenario())


@pytest.mark.parametrize(
    ("times", "why"),
    [
        # All in seconds from now; why is None where it is taken.
        ({"issued": 0}, None),
        ({"issued": 60}, None),
        ({"issued": 61}, "Issued At is more than 60 s ahead"),
        ({"issued": 86_400 * 365_000}, "Issued At is more than 60 s ahead"),
        ({"issued": -660}, None),
        ({"issued": -661}, "Issued At is more than 660 s ago"),
        ({"issued": -86_400 * 365_000 // 500}, "Issued At is more than 660 s ago"),
        ({"issued": 0, "expires": 1}, None),
        ({"issued": 0, "expires": 0}, "Expiration Time is over"),
        ({"issued": -100, "expires": -40}, "Expiration Time is over"),
        ({"issued": 0, "begins": 0}, None),
        ({"issued": 0, "begins": 60}, None),
        ({"issued": 0, "begins": 61}, "Not Before is more than 60 s ahead"),
        ({"issued": 0, "begins": -3_600}, None),
        ({"issued": 30, "begins": 30, "expires": 90}, None),
        ({"issued": 0, "begins": 30, "expires": 20}, "Expiration Time is over"),
    ],
)
@pytest.mark.parametrize("hours", [0, 14, -12])
def test_message_is_of_now_give_or_take_a_minute_in_whatever_zone(site, times, why, hours):
    async def scenario():
        wallet, _ = await known(site)
        now, zone = moment(site.clock()), timezone(timedelta(hours=hours))
        nonce, _ = await site.identity.wallets.nonce()
        said = {name: _iso((now + timedelta(seconds=s)).astimezone(zone)) for name, s in times.items()}
        message = (
            f"perps.example wants you to sign in with your Ethereum account:\n{wallet.address}\n\n\nURI: {URL}\n"
            f"Version: 1\nChain ID: 1\nNonce: {nonce}\nIssued At: {said['issued']}"
        )
        message += f"\nExpiration Time: {said['expires']}" if "expires" in said else ""
        message += f"\nNot Before: {said['begins']}" if "begins" in said else ""
        if why is None:
            await site.identity.wallets.log_in(message, sign(wallet, message), site.origin())
        else:
            assert why in await refused(site, message, sign(wallet, message))

    site.run(scenario())


def test_signature_must_be_the_wallet_s_of_that_very_message(site):
    async def scenario():
        wallet, _ = await known(site)
        nonce, _ = await site.identity.wallets.nonce()
        message = message_for(site, wallet, nonce)
        assert "not that of" in await refused(site, message, sign(Wallet.create(), message))
        assert "not that of" in await refused(site, message, sign(wallet, message + " "))
        for signature in ("", "0x", "0x" + "0" * 130, "0x" + "f" * 130, sign(wallet, message)[:-2]):
            await refused(site, message, signature)
        for other in ("", "hello", message + "\n", message.replace("\n", "\r\n"), "\0", "x" * 5_000):
            await refused(site, other, sign(wallet, message))

    site.run(scenario())


def test_nonce_ends_after_ten_minutes_and_no_other_will_do(site):
    async def scenario():
        wallet, _ = await known(site)
        nonce, _ = await site.identity.wallets.nonce()
        site.clock.advance(600)
        message = message_for(site, wallet, nonce)
        assert "nonce is unknown" in await refused(site, message, sign(wallet, message))
        message = message_for(site, wallet, "abcdefgh12345678")
        assert "nonce is unknown" in await refused(site, message, sign(wallet, message))

    site.run(scenario())


def test_wallet_is_linked_to_one_account(site):
    async def scenario():
        account, other = await site.account(), await site.account()
        wallet, wallets = Wallet.create(), site.identity.wallets

        async def link(to, by) -> None:
            nonce, _ = await wallets.nonce()
            message = message_for(site, by, nonce)
            await wallets.link(to, message, sign(by, message), site.origin())

        await link(account, wallet)
        found = await logged_in(site, wallet)
        assert (await site.identity.sessions.principal(found.tokens.access_token)).user == account.id
        with pytest.raises(Conflict, match="another account's"):
            await link(other, wallet)
        with pytest.raises(Conflict, match="already"):
            await link(await site.identity.accounts.by_id(account.id), Wallet.create())

    site.run(scenario())


def test_wallet_with_an_authenticator_is_asked_for_a_code(site):
    async def scenario():
        import pyotp

        wallet, account = await known(site)
        second = site.identity.second_factor
        made = await second.enrol(account)
        await second.confirm(account.id, pyotp.TOTP(made.secret).at(site.clock() // 10**9), site.origin())
        assert isinstance(await logged_in(site, wallet), Challenge)

    site.run(scenario())
