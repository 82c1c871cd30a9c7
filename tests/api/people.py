"""People who use the API in tests: they register, read their mail and log in, as anybody would."""

import email
import itertools
import re
import time
from dataclasses import dataclass, field
from email.policy import default
from typing import Any

import httpx
import pyotp

from tests.api.served import Api
from tests.api.traders import signature

PASSWORD = "correct horse battery staple"
_names = itertools.count(1)


@dataclass
class Person:
    """Somebody who is logged in: ``get``, ``post`` and ``delete`` send the access token."""

    api: Api
    email: str
    user: str = ""
    access: str = ""
    refresh: str = ""
    session: str = ""
    totp: str = ""
    codes: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    async def send(self, method: str, path: str, json: Any = None, **how: Any) -> httpx.Response:
        headers = self.headers | how.pop("headers", {})
        return await self.api.client.request(method, path, json=json, headers=headers, **how)

    async def get(self, path: str, **how: Any) -> httpx.Response:
        return await self.send("GET", path, **how)

    async def post(self, path: str, json: Any = None, **how: Any) -> httpx.Response:
        return await self.send("POST", path, {} if json is None else json, **how)

    async def delete(self, path: str, **how: Any) -> httpx.Response:
        return await self.send("DELETE", path, **how)

    async def log_in(self, password: str = PASSWORD, code: str | None = None, **more: Any) -> httpx.Response:
        """Log in, with ``code`` where there is a challenge; takes on the session if it worked."""
        body = {"email": self.email, "password": password} | more
        answer = await self.api.client.post("/v1/auth/login", json=body)
        if answer.status_code == 200 and answer.json()["kind"] == "challenge" and code is not None:
            body = {"challenge": answer.json()["challenge"], "code": code}
            answer = await self.api.client.post("/v1/auth/login/totp", json=body)
        if answer.status_code == 200 and answer.json()["kind"] == "session":
            self.take(answer)
        return answer

    def take(self, answer: httpx.Response) -> None:
        """Go on with the session of an answer."""
        found = answer.json()
        self.access, self.refresh = found["access_token"], found["refresh_token"]
        self.session = found["session"]

    def code(self, steps: int = 0) -> str:
        """Return the authenticator's code of so many steps from now."""
        return pyotp.TOTP(self.totp).at(self.api.services.clock() // 10**9 + 30 * steps)

    async def enrol(self, *, give: bool = True) -> None:
        """Enrol an authenticator and give it in this session; its codes up to the next step's are used then.

        Without ``give`` it is enrolled alone, and the code of now is good.
        """
        answer = await self.post("/v1/account/totp", {"password": PASSWORD})
        self.totp = answer.json()["secret"]
        answer = await self.post("/v1/account/totp/confirm", {"code": self.code(0 if give else -1)})
        assert answer.status_code == 200, answer.text
        self.codes = answer.json()["codes"]
        if not give:
            return
        answer = await self.post("/v1/auth/second-factor", {"code": self.code(1)})
        assert answer.status_code == 200, answer.text
        self.access = answer.json()["access_token"]

    async def key(self, *scopes: str, **more: Any) -> "Key":
        """Make an API key."""
        body = {"name": "bot", "scopes": scopes or ["READ", "TRADE"]} | more
        answer = await self.post("/v1/keys", body)
        assert answer.status_code == 201, answer.text
        return Key(self.api, answer.json()["id"], answer.json()["secret"])


@dataclass
class Key:
    """An API key that signs requests."""

    api: Api
    id: str
    secret: str

    def sign(
        self, method: str, target: str, body: bytes = b"", at_ms: int | None = None, **more: str
    ) -> dict[str, str]:
        """Return the headers of a request; ``target`` is the path with its query, ``more`` as ``signature`` has it."""
        stamp = str(self.api.services.clock() // 10**6 if at_ms is None else at_ms)
        return signature(self.id, self.secret, stamp, method, target, body, **more)

    async def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> httpx.Response:
        """Send a signed request."""
        kind = {"Content-Type": "application/json"} if body else {}
        signed = self.sign(method, target, body, once=headers.get("Idempotency-Key", ""))
        return await self.api.client.request(method, target, content=body, headers=kind | signed | headers)


async def letters(api: Api, to: str | None = None) -> list[tuple[str, str]]:
    """Return subject and text of the letters that went out, of one address's, oldest first."""
    await api.services.mailer.flush()
    found = []
    for path in sorted((api.home / "outbox").glob("*.eml"), key=_order):
        letter = email.message_from_bytes(path.read_bytes(), policy=default)
        if to is None or letter["To"] == to:
            body = letter.get_body()
            assert body is not None
            found.append((str(letter["Subject"]), body.get_content()))
    return found


def _order(path: Any) -> list[int]:
    return [int(part) for part in path.stem.split("-")]


async def token_for(api: Api, to: str) -> str:
    """Return the token of an address's latest letter."""
    _, text = (await letters(api, to))[-1]
    found = re.search(r"token: (\S{43})", text)
    assert found is not None, text
    return found[1]


async def sign_up(api: Api, address: str | None = None, *, totp: bool = False) -> Person:
    """Register somebody, through the letter, and log in; with ``totp`` an authenticator was used, too."""
    person = Person(api, address or f"person-{next(_names)}-{time.time_ns()}@example.org")
    answer = await api.client.post("/v1/auth/register", json={"email": person.email})
    assert answer.status_code == 202, answer.text
    body = {"token": await token_for(api, person.email), "password": PASSWORD}
    answer = await api.client.post("/v1/auth/verify-email", json=body)
    assert answer.status_code == 201, answer.text
    person.user = answer.json()["user"]
    answer = await person.log_in()
    assert answer.status_code == 200, answer.text
    if totp:
        await person.enrol()
    return person
