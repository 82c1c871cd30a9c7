"""Users with money who are logged in, for tests of trading."""

import hmac
import json
import time
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from itertools import count
from typing import Any

import httpx

from live.identity.events import Origin
from live.identity.names import new_id
from live.ledger.inputs import DepositArrived
from tests.api.served import Api
from tests.risk.book_builder import D

ORIGIN = Origin(ip_address("127.0.0.1"))
_numbers = count(1)


@dataclass
class Trader:
    """A user with a session; every command has a key of its own unless it names one."""

    api: Api
    user: str
    token: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **params: Any) -> Any:
        """Read something that is there."""
        answer = await self.api.client.get(f"/v1{path}", params=params, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None, **params: Any
    ) -> httpx.Response:
        """Ask for something."""
        headers = self.headers | {"Idempotency-Key": key or f"key-{next(_numbers)}"}
        content = {} if body is None else {"json": body}
        return await self.api.client.request(method, f"/v1{path}", headers=headers, params=params, **content)

    async def order(self, side: str = "BUY", size: str = "0.01", **body: Any) -> dict[str, Any]:
        """Place an order that is taken."""
        body = {"symbol": "BTC", "side": side, "size": size, "leverage": 10} | body
        answer = await self.ask("POST", "/orders", body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def limit(self, price: str = "90000", **body: Any) -> str:
        """Place an order that waits; return its id."""
        placed = await self.order(type="LIMIT", limit_price=price, **body)
        assert placed["resting"]
        return placed["order_id"]


async def trader(api: Api, amount: object = 100_000) -> Trader:
    """Make a user with money who is logged in."""
    identity, user = api.services.identity, new_id("u")
    await identity.accounts.add(user, email=f"{user}@example.org")
    await identity.accounts.bring_into_books(await identity.accounts.by_id(user))
    if amount:
        deposit = DepositArrived(0, f"d-{user}", user, D(str(amount)), "eth", "USDC", "0x1", 12)
        assert (await api.ask(f"money-{user}", deposit)).status == "DONE"
    tokens, _ = await identity.sessions.begin(user, "PASSWORD", ORIGIN, second_factor=True)
    return Trader(api, user, tokens.access_token, tokens.session)


async def signed(
    api: Api, key: str, secret: str, method: str, path: str, body: Any = None, **headers: str
) -> httpx.Response:
    """Send a request that an API key signs."""
    content = b"" if body is None else json.dumps(body).encode()
    stamp = str(time.time_ns() // 1_000_000)
    headers["Idempotency-Key"] = f"key-{next(_numbers)}"
    headers |= signature(key, secret, stamp, method, path, content, once=headers["Idempotency-Key"])
    if content:
        headers["Content-Type"] = "application/json"
    return await api.client.request(method, path, content=content, headers=headers)


def signature(
    key: str, secret: str, stamp: str, method: str, path: str, content: bytes = b"", **more: str
) -> dict[str, str]:
    """Return the headers that sign a request; ``more`` are its ``window`` and ``once``, the idempotency key."""
    parts = (stamp, method, path, more.get("window", ""), more.get("once", ""), sha256(content).hexdigest())
    text = "\n".join(parts).encode()
    return {
        "HP-KEY": key,
        "HP-TIMESTAMP": stamp,
        "HP-SIGNATURE": hmac.digest(secret.encode(), text, sha256).hex(),
    }
