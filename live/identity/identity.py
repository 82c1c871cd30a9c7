"""All of it, put together once for a process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from live.books.bus import Bus
from live.identity.accounts import Accounts
from live.identity.credentials import Credentials
from live.identity.devices import Devices
from live.identity.email_tokens import EmailTokens
from live.identity.events import SecurityEvents
from live.identity.guesses import Guesses
from live.identity.keyring import Keyring, check_fingerprint, read_master
from live.identity.keys import ApiKeys
from live.identity.log_in import LogIn
from live.identity.mail import Mailer
from live.identity.moments import moment, seconds
from live.identity.notices import Notices
from live.identity.passwords import Passwords
from live.identity.recovery import RecoveryCodes
from live.identity.registration import Registration
from live.identity.rules import AccessRules
from live.identity.second_factor import SecondFactor
from live.identity.sessions import Sessions
from live.identity.signed import Marks, Signatures
from live.identity.standing import Standings
from live.identity.totp import Totp
from live.identity.wallet import Wallets

_TIDY = (
    "delete from access.email_tokens where expires_at < $1",
    "delete from access.challenges where expires_at < $1",
    "delete from access.wallet_nonces where expires_at < $1",
    """delete from access.guesses
    where last_at < $1 and (locked_until is null or locked_until < $1) and $1 > all (in_flight)""",
    """delete from access.refresh_tokens using access.sessions
    where sessions.id = session_id and sessions.expires_at < $1""",
)


@dataclass(frozen=True)
class Identity:
    """Hold each job of identity."""

    pool: asyncpg.Pool
    clock: Callable[[], int]
    rules: AccessRules
    accounts: Accounts
    registration: Registration
    log_in: LogIn
    wallets: Wallets
    credentials: Credentials
    second_factor: SecondFactor
    sessions: Sessions
    devices: Devices
    keys: ApiKeys
    signatures: Signatures
    email_tokens: EmailTokens
    events: SecurityEvents
    standings: Standings
    passwords: Passwords

    async def tidy(self) -> None:
        """Delete what ended more than a day ago and nobody will ask for."""
        ended = moment(self.clock()) - seconds(self.rules.forget_guesses_s)
        for statement in _TIDY:
            await self.pool.execute(statement, ended)

    def close(self) -> None:
        """Let its threads end."""
        self.passwords.close()


async def open_identity(
    pool: asyncpg.Pool,
    bus: Bus,
    clock: Callable[[], int],
    marks: Marks,
    mailer: Mailer,
    *,
    secret: str | None,
    home: Path,
    public_url: str,
    rules: AccessRules | None = None,
) -> Identity:
    """Put identity together on a migrated database.

    ``secret`` is the master key in base64, else it is kept in ``home``; ``public_url`` is where users reach us,
    which wallets' messages must name. Raises InvalidInput for a master key that is unusable or another one's.
    """
    keyring = Keyring(await asyncio.to_thread(read_master, secret, home))
    await check_fingerprint(pool, keyring)
    rules = rules or AccessRules()
    shared = (pool, keyring, clock, rules)
    events, standings = SecurityEvents(pool, clock), Standings(pool, clock)
    accounts = Accounts(pool, bus, clock)
    passwords = await asyncio.to_thread(Passwords, keyring, rules)
    guesses, tokens, devices = Guesses(*shared), EmailTokens(*shared), Devices(*shared)
    notices = Notices(mailer)
    recovery = RecoveryCodes(*shared)
    second = SecondFactor(pool, Totp(*shared), recovery, devices, guesses, events, notices)
    sessions = Sessions(*shared, standings, events)
    keys = ApiKeys(*shared, standings, events, notices)
    log_in = LogIn(
        pool, keyring, clock, rules, accounts, passwords, sessions, devices, second, guesses, events, notices
    )
    return Identity(
        pool,
        clock,
        rules,
        accounts,
        Registration(pool, accounts, tokens, passwords, guesses, events, mailer),
        log_in,
        Wallets(
            pool,
            clock,
            rules,
            public_url,
            accounts,
            log_in,
            sessions,
            standings,
            guesses,
            events,
            notices,
        ),
        Credentials(
            pool,
            accounts,
            passwords,
            tokens,
            sessions,
            devices,
            keys,
            standings,
            guesses,
            log_in,
            events,
            mailer,
            notices,
        ),
        second,
        sessions,
        devices,
        keys,
        Signatures(*shared, standings, marks),
        tokens,
        events,
        standings,
        passwords,
    )
