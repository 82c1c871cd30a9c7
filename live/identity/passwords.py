"""Passwords: argon2id over a peppered digest, hashed in threads of their own so that trading never waits."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pwdlib.hashers.argon2 import Argon2Hasher

from live.books.commands import Overloaded
from live.identity.keyring import Keyring
from live.identity.names import new_token
from live.identity.rules import AccessRules
from risk.errors import InvalidInput

_LEAST_DIFFERENT = 5


class Passwords:
    """Hash and compare passwords, as many at once as ``rules`` allow."""

    def __init__(self, keyring: Keyring, rules: AccessRules) -> None:
        self._keyring = keyring
        self._rules = rules
        self._hasher = Argon2Hasher(
            time_cost=rules.argon2_passes,
            memory_cost=rules.argon2_memory_kib,
            parallelism=rules.argon2_lanes,
        )
        self._threads = ThreadPoolExecutor(rules.argon2_threads, "passwords")
        self._waiting = 0
        self._nobody = self._hasher.hash(new_token())

    def check_strength(self, password: str, email: str) -> None:
        """Raise InvalidInput for a password that is too short, too long, or says little."""
        least, most = self._rules.shortest_password, self._rules.longest_password
        if not least <= len(password) <= most:
            raise InvalidInput(
                f"password was {len(password)} characters; it must be {least} to {most} characters"
            )
        if len(set(password)) < _LEAST_DIFFERENT or password.lower() in (email, email.partition("@")[0]):
            raise InvalidInput(
                "password was too easy to guess; it must be neither the e-mail address nor what stands before its @,"
                f" and have {_LEAST_DIFFERENT} different characters or more"
            )

    def are_same(self, one: str, other: str) -> bool:
        """Tell whether two passwords open the same."""
        return _normal(one) == _normal(other)

    async def hash(self, account: str, password: str) -> str:
        """Return the hash to keep of an account's password; raises Overloaded."""
        return await self._run(self._hasher.hash, self._digest(account, password))

    async def matches(self, account: str, password: str, kept: str | None) -> bool:
        """Tell whether a password is the one ``kept``; without one it takes as long and is not.

        Raises Overloaded.
        """
        right = await self._run(self._hasher.verify, self._digest(account, password), kept or self._nobody)
        return right and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Tell whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _digest(self, account: str, password: str) -> bytes:
        return self._keyring.peppered(account, _normal(password))

    async def _run[T](self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= self._rules.argon2_waiting:
            raise Overloaded("too many passwords wait to be checked; try again shortly")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    """Return a password as it is hashed: the same text, however a keyboard composed it."""
    return unicodedata.normalize("NFKC", password)
