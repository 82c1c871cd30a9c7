"""Accounts: register, log in and out, second factor, sessions, API keys."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from live.client.access_results import (
    ApiKey,
    NewApiKey,
    Profile,
    RecoveryCodes,
    Registered,
    SessionInfo,
    TotpSecret,
)
from live.client.calls import Calls
from live.client.credentials import Session, Tokens
from live.client.errors import SecondFactorNeeded

ApiScope = Literal["READ", "TRADE", "WITHDRAW"]


class _LoggedIn(Tokens, frozen=True, tag_field="kind", tag="session"):
    pass


class _Challenge(msgspec.Struct, frozen=True, tag_field="kind", tag="challenge"):
    challenge: str
    expires_in: int


class _AccessToken(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: int


class _Anything(msgspec.Struct, frozen=True):
    pass


class Access(Calls):
    """Look after an account; but for what comes before a log-in this needs a session, an API key may not."""

    async def register(self, email: str) -> None:
        """Ask for an account: a letter with a token goes to ``email``."""
        await self._ask_as_anybody(_Anything, "/auth/register", {"email": email})

    async def verify_email(self, token: str, password: str) -> Registered:
        """Make the account of a letter's token, opened by ``password``."""
        return await self._ask_as_anybody(
            Registered, "/auth/verify-email", {"token": token, "password": password}
        )

    async def log_in(
        self, email: str, password: str, code: str | None = None, *, device_token: str | None = None
    ) -> Tokens:
        """Begin a session, which this client then uses, in the place of an API key if it had one.

        ``code`` is the authenticator's; without one SecondFactorNeeded is raised where the account has one, unless
        ``device_token`` is that of a trusted device.
        """
        body = {"email": email, "password": password, "device_token": device_token}
        kinds: type[_LoggedIn | _Challenge] = _LoggedIn | _Challenge  # type: ignore[assignment]
        found = await self._ask_as_anybody(kinds, "/auth/login", body)
        if isinstance(found, _LoggedIn):
            return self.use(found)
        if code is None:
            raise SecondFactorNeeded(found.challenge, found.expires_in)
        return await self.give_second_factor(found.challenge, code)

    async def give_second_factor(
        self, challenge: str, code: str, *, trust_device_as: str | None = None
    ) -> Tokens:
        """Begin the session of a challenge; ``trust_device_as`` names this device as one that needs no code."""
        body = {"challenge": challenge, "code": code, "trust_device_as": trust_device_as}
        return self.use(await self._ask_as_anybody(_LoggedIn, "/auth/login/totp", body))

    def use(self, tokens: Tokens) -> Tokens:
        """Go on with the session of these tokens; they are changed for others as they end."""
        self.session = Session(tokens)
        return tokens

    async def log_out(self) -> None:
        """End the session."""
        await self._tell("POST", "/auth/logout")
        self.session = None

    async def step_up(self, code: str) -> None:
        """Give the second factor again: some acts want it to be recent."""
        found = await self._ask(_AccessToken, "POST", "/auth/second-factor", {"code": code})
        if self.session is not None:
            self.session.renew(found.access_token, found.expires_in)

    async def profile(self) -> Profile:
        """Return who the account is."""
        return await self._get(Profile, "/account/profile")

    async def sessions(self) -> list[SessionInfo]:
        """Return the open sessions, newest first."""
        return await self._get(list[SessionInfo], "/account/sessions")

    async def enrol_totp(self, password: str) -> TotpSecret:
        """Begin to enrol an authenticator; it counts after ``confirm_totp``."""
        return await self._ask(TotpSecret, "POST", "/account/totp", {"password": password})

    async def confirm_totp(self, code: str) -> RecoveryCodes:
        """Let the authenticator count from now on."""
        return await self._ask(RecoveryCodes, "POST", "/account/totp/confirm", {"code": code})

    async def create_key(
        self, name: str, scopes: Iterable[ApiScope], *, networks: Iterable[str] = (), code: str | None = None
    ) -> NewApiKey:
        """Make an API key and return it with its secret; ``code`` is needed where there is an authenticator."""
        body = {"name": name, "scopes": list(scopes), "networks": list(networks), "code": code}
        return await self._ask(NewApiKey, "POST", "/keys", body)

    async def keys(self) -> list[ApiKey]:
        """Return the API keys that work, newest first."""
        return await self._get(list[ApiKey], "/keys")

    async def rotate_key(self, key: str, *, grace_s: int = 0, code: str | None = None) -> NewApiKey:
        """Give a key another secret; the one before works for ``grace_s`` more seconds."""
        return await self._ask(NewApiKey, "POST", f"/keys/{key}/rotate", {"grace_s": grace_s, "code": code})

    async def revoke_key(self, key: str) -> None:
        """End a key."""
        await self._tell("DELETE", f"/keys/{key}")
