"""Wallet log-in: a message as EIP-4361 has it, signed by the wallet it names (EIP-191).

Wallets that are contracts (EIP-1271) cannot be known without a node of their chain and are refused.
"""

import asyncio
import re
import secrets
import string
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from live.identity.accounts import Account, Accounts
from live.identity.errors import Conflict, NotAuthenticated, NotThere
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Guesses, network_of
from live.identity.log_in import Challenge, LoggedIn, LogIn
from live.identity.moments import moment, seconds
from live.identity.names import new_id
from live.identity.notices import Notices
from live.identity.rules import AccessRules
from live.identity.sessions import Sessions
from live.identity.standing import Standings
from live.wallets.addresses import as_written

_LONGEST = 4_000
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
_ALPHABET = string.ascii_letters + string.digits
_NONCE_CHARACTERS = 24
_GOOD = "nonce = $1 and used_at is null and expires_at > $2 and created_at <= $2"
_KNOWN = f"select true from access.wallet_nonces where {_GOOD}"
_TAKE = f"update access.wallet_nonces set used_at = $2 where {_GOOD} returning true"


@dataclass(frozen=True)
class Wallets:
    """Know wallets; ``public_url`` is what their messages must be for."""

    pool: asyncpg.Pool
    clock: Callable[[], int]
    rules: AccessRules
    public_url: str
    accounts: Accounts
    log_in_: LogIn
    sessions: Sessions
    standings: Standings
    guesses: Guesses
    events: SecurityEvents
    notices: Notices

    @property
    def domain(self) -> str:
        """Return the domain that a message must name."""
        return urlsplit(self.public_url).netloc

    async def nonce(self) -> tuple[str, int]:
        """Return a nonce for one message, and how many seconds it lives."""
        nonce = "".join(secrets.choice(_ALPHABET) for _ in range(_NONCE_CHARACTERS))
        now = moment(self.clock())
        await self.pool.execute(
            "insert into access.wallet_nonces (nonce, created_at, expires_at) values ($1, $2, $3)",
            nonce,
            now,
            now + seconds(self.rules.nonce_s),
        )
        return nonce, self.rules.nonce_s

    async def log_in(
        self, message: str, signature: str, origin: Origin, device_token: str | None = None
    ) -> LoggedIn | Challenge:
        """Return a session of the wallet's account, which its first log-in makes; raises NotAuthenticated."""
        address = await self._address(message, signature, origin)
        account = await self.accounts.by_wallet(address)
        if account is None:
            account = await self._add(address, origin)
        return await self.log_in_.after_first(account, "WALLET", origin, device_token)

    async def link(self, account: Account, message: str, signature: str, origin: Origin) -> None:
        """Give an account a wallet to log in with; raises Conflict where one of them has another already."""
        address = await self._address(message, signature, origin)
        try:
            done = await self.pool.fetchval(
                """update access.accounts set wallet_address = $2 where id = $1 and wallet_address is null
                returning true""",
                account.id,
                address,
            )
        except asyncpg.UniqueViolationError:
            raise _taken() from None
        if not done:
            raise _linked(account)
        shown = as_written(address)
        await self.events.add(account.id, "WALLET_LINKED", origin, shown)
        self.notices.write(account.email, f"The wallet {shown} was linked and can log in.")

    async def check_linkable(self, account: Account, message: str, signature: str, origin: Origin) -> None:
        """Raise as ``link`` would now; the nonce is left. To be asked before a code, which is used up by it."""
        if account.wallet_address is not None:
            raise _linked(account)
        if await self.accounts.by_wallet(await self._address(message, signature, origin, _KNOWN)) is not None:
            raise _taken()

    async def unlink(self, account: Account, origin: Origin, session: str) -> None:
        """Take an account's wallet away, and end the other sessions, which it may have begun.

        Raises NotThere where there is no wallet, Conflict where nothing else opens the account.
        """
        self.check_unlinkable(account)
        assert account.wallet_address is not None
        async with self.pool.acquire() as connection, connection.transaction():
            done = await connection.fetchval(
                """update access.accounts set wallet_address = null
                where id = $1 and wallet_address = $2 and password_hash is not null returning true""",
                account.id,
                account.wallet_address,
            )
            if not done:
                raise _only_way_in()
            await connection.execute(
                "delete from access.challenges where account_id = $1 and method = 'WALLET'", account.id
            )
            await self.sessions.revoke_all(account.id, "REVOKED", connection, but=session)
            shown = as_written(account.wallet_address)
            await self.events.add(account.id, "WALLET_UNLINKED", origin, shown, connection)
        self.standings.forget()
        what = f"The wallet {shown} was unlinked and can log in no more."
        self.notices.write(account.email, what)

    def check_unlinkable(self, account: Account) -> None:
        """Raise as ``unlink`` would of the account as it is."""
        if account.wallet_address is None:
            raise NotThere("no-wallet", "the account has no wallet")
        if account.password_hash is None:
            raise _only_way_in()

    async def _add(self, address: str, origin: Origin) -> Account:
        made = new_id("u")
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                await self.accounts.add(made, wallet=address, within=connection)
                await self.events.add(made, "REGISTERED", origin, as_written(address), connection)
        except Conflict:  # its other log-in was quicker
            pass
        account = await self.accounts.by_wallet(address)
        assert account is not None
        return account

    async def _address(self, message: str, signature: str, origin: Origin, of_nonce: str = _TAKE) -> str:
        """Return the wallet, in lower case, that signed a message for us, now and for the first time."""
        async with self.guesses.attempt(network_of(origin.ip)):
            return await self._signer(message, signature, of_nonce)

    async def _signer(self, message: str, signature: str, of_nonce: str) -> str:
        """Do that, and take its nonce, or look at it, as ``of_nonce`` does."""
        if len(message) > _LONGEST or not _SIGNATURE.fullmatch(signature):
            raise _wrong("it must be 65 bytes in hex, of a message as EIP-4361 has it", "signature")
        now = moment(self.clock())
        address, nonce = await asyncio.to_thread(
            _verify, message, signature, self.public_url, now, self.rules
        )
        if not await self.pool.fetchval(of_nonce, nonce, now):
            raise _wrong("its nonce is unknown, expired, or was used before; ask for another")
        return address


def _verify(
    message: str, signature: str, public_url: str, now: datetime, rules: AccessRules
) -> tuple[str, str]:
    """Return the address and nonce of a signed message; raises NotAuthenticated."""
    siwe = _siwe()
    wanted = urlsplit(public_url)
    _, _, named = message.partition("\n")
    address, _, _ = named.partition("\n")
    if as_written(address) != address:
        raise _wrong(f"its address must have the capitals of its checksum (EIP-55): {as_written(address)}")
    try:
        parsed = siwe.SiweMessage.from_message(message)
        if parsed.prepare_message() != message:
            raise ValueError("other than its parts")
        uri = urlsplit(parsed.uri)
    except Exception:  # the parser's own, pydantic's, the grammar's: none of them tells a user more
        raise _wrong("it is not as EIP-4361 has it") from None
    if (uri.scheme, uri.netloc) != (wanted.scheme, wanted.netloc):
        raise _wrong(f"its URI must begin with {wanted.scheme}://{wanted.netloc}")
    at = _by_its_clock(parsed, now, rules)
    try:
        parsed.verify(signature, domain=wanted.netloc, timestamp=at)
    except siwe.DomainMismatch:
        raise _wrong(f"its domain must be {wanted.netloc}") from None
    except siwe.ExpiredMessage:
        raise _wrong("its Expiration Time is over") from None
    except Exception:  # also what a point off the curve raises
        raise _wrong("it is not that of its address, which the message names", "signature") from None
    return parsed.address.lower(), parsed.nonce


def _by_its_clock(parsed: Any, now: datetime, rules: AccessRules) -> datetime:
    """Return the moment at which a message is looked at: now, by the clock it was written by where that is ahead.

    Raises NotAuthenticated for one from further ahead, or from before any nonce that is good now.
    """
    ahead = now + seconds(rules.wallet_clock_s)
    issued = parsed.issued_at._datetime
    if issued > ahead:
        raise _wrong(f"its Issued At is more than {rules.wallet_clock_s} s ahead of our clock")
    if issued < now - seconds(rules.nonce_s + rules.wallet_clock_s):
        raise _wrong(f"its Issued At is more than {rules.nonce_s + rules.wallet_clock_s} s ago")
    if parsed.not_before is None:
        return now
    begins: datetime = parsed.not_before._datetime
    if begins > ahead:
        raise _wrong(f"its Not Before is more than {rules.wallet_clock_s} s ahead of our clock")
    return max(now, begins + timedelta.resolution)  # the library wants it to have passed


def prepare() -> None:
    """Import what takes seconds, so that no log-in has to; run it in a thread before there is traffic."""
    _siwe()


def _siwe() -> Any:
    """Return the library, which takes seconds to import and warns of what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import siwe

    return siwe


def _wrong(why: str, field: str = "message") -> NotAuthenticated:
    return NotAuthenticated("wrong-wallet-message", f"{field} was refused: {why}")


def _taken() -> Conflict:
    return Conflict("wallet-taken", "the wallet is another account's")


def _linked(account: Account) -> Conflict:
    shown = as_written(account.wallet_address or "")
    return Conflict("wallet-linked", f"the account has the wallet {shown} already")


def _only_way_in() -> Conflict:
    return Conflict("only-way-in", "the wallet alone opens the account; set a password first")
