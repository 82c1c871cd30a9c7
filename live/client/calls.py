"""Requests: signed, sent, sent again with the same key while nobody answers, and read."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Hashable, Mapping
from functools import cache
from typing import Any, Self
from uuid import uuid4

import httpx
import msgspec

from live.client.credentials import Session, Signer, Tokens
from live.client.errors import ApiProblem, NoAnswer, problem_of

API = "/v1"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_UNKNOWN = (503, 504)  # not done, or nobody knows: the same key finds out
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Calls:
    """Ask the server; the parts of the client build on it.

    A command carries a key by which the server does it once. Where the connection is lost, or the answer is 503 or
    504, it is sent again with the same key for ``patience_s`` seconds; so are reads. Requests of other kinds
    (a log-in, a new API key) are sent again only where they cannot have arrived.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        secret: str | None = None,
        patience_s: float = 30.0,
        timeout_s: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare to ask the server at ``base_url``, with an API key's id and secret, or to log in later.

        ``transport`` replaces the network.
        """
        if (key is None) != (secret is None):
            raise ValueError("an API key is given with its secret, or neither is")
        self.base_url = base_url.rstrip("/")
        self.signer = None if key is None or secret is None else Signer(key, secret)
        self.session: Session | None = None
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(base_url=self.base_url, timeout=timeout_s, transport=transport)
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the connections; the session, if there is one, goes on at the server."""
        await self._http.aclose()

    async def access_token(self) -> str:
        """Return the session's access token, a new one where it is about to end."""
        if self.session is None:
            raise ApiProblem(401, "not-authenticated", "log in first, or make the client with an API key")
        if self.session.is_stale:
            await self._renew(self.session)
        return self.session.access_token

    async def renew_session(self) -> None:
        """Change the session's tokens for new ones."""
        if self.session is not None:
            await self._renew(self.session)

    # -- asking

    async def _get[T](self, kind: type[T], path: str, **params: object) -> T:
        return _read(await self._send("GET", path, params=params, again=True), kind)

    async def _command[T](
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        **params: object,
    ) -> T:
        """Have something done once; ``key`` names it, one of its own by default."""
        name = key or uuid4().hex
        return _read(await self._send(method, path, body, params=params, key=name, again=True), kind)

    async def _ask[T](self, kind: type[T], method: str, path: str, body: Any = None) -> T:
        """Ask for something that a key does not make once."""
        return _read(await self._send(method, path, body), kind)

    async def _ask_as_anybody[T](self, kind: type[T], path: str, body: Any) -> T:
        """Ask for something that needs no log-in."""
        return _read(await self._send("POST", path, body, known=False), kind)

    async def _tell(self, method: str, path: str, body: Any = None) -> None:
        """Ask for something that is answered with nothing."""
        await self._send(method, path, body)

    async def _pages[T](
        self, kind: type[T], path: str, limit: int | None = None, **params: object
    ) -> AsyncIterator[T]:
        """Give the items of a list, page after page: all, or the newest ``limit``."""
        left = limit
        before: int | None = None
        page_of = _page_of(kind)  # type: ignore[arg-type]
        while left is None or left > 0:
            most = 500 if left is None else min(left, 500)
            page: Any = await self._get(page_of, path, limit=most, before=before, **params)
            for item in page.items:
                yield item
            if left is not None:
                left -= len(page.items)
            before = page.next
            if before is None:
                return

    # -- sending

    async def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, object] | None = None,
        key: str | None = None,
        again: bool = False,
        known: bool = True,
    ) -> httpx.Response:
        until = time.monotonic() + self._patience_s
        pause_s, why = _FIRST_PAUSE_S, ""
        fresh = False
        while True:
            problem: ApiProblem | None = None
            try:
                answer = await self._once(method, path, body, params or {}, key, known)
            except httpx.TransportError as error:
                why = f"{type(error).__name__} {error}".strip()
                if not again and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    raise NoAnswer(f"{method} {path}", None, why) from error
            else:
                if answer.is_success:
                    return answer
                problem = problem_of(answer)
                why = str(problem)
                if problem.code == "token-expired" and self.session is not None and not fresh:
                    fresh = True
                    await self._renew(self.session)
                    continue
                if not again or problem.status not in _UNKNOWN:
                    raise problem
            wait_s = _pause(pause_s, problem)
            if time.monotonic() + wait_s > until:
                if problem is not None and problem.status != 504:
                    raise problem
                raise NoAnswer(f"{method} {path}", key, why)
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, object],
        key: str | None,
        known: bool,
    ) -> httpx.Response:
        content = b"" if body is None else _encode(body)
        headers = {"Content-Type": "application/json"} if content else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        given: Any = {name: _text(value) for name, value in params.items() if value is not None}
        request = self._http.build_request(method, API + path, params=given, content=content, headers=headers)
        if known:
            target = request.url.raw_path.decode()
            request.headers.update(await self._credentials(method, target, content, key or ""))
        return await self._http.send(request)

    async def _credentials(self, method: str, target: str, content: bytes, key: str) -> dict[str, str]:
        if self.session is not None:
            return {"Authorization": f"Bearer {await self.access_token()}"}
        return {} if self.signer is None else self.signer.headers(method, target, content, key)

    async def _renew(self, session: Session) -> None:
        """Change the refresh token for new tokens, once for all who wait for that: it counts a single time."""
        before = session.refresh_token
        async with self._renewing:
            if session.refresh_token != before:
                return
            body = {"refresh_token": session.refresh_token}
            answer = await self._send("POST", "/auth/refresh", body, again=True, known=False)
            tokens = _read(answer, Tokens)
            session.refresh_token = tokens.refresh_token
            session.renew(tokens.access_token, tokens.expires_in)


class _Page[T](msgspec.Struct, frozen=True):
    items: list[T]
    next: int | None


@cache
def _page_of(kind: Hashable) -> Any:
    return _Page[kind]  # type: ignore[valid-type]


def _pause(pause_s: float, problem: ApiProblem | None) -> float:
    """Return how long to wait: as told, else longer and longer, and never all clients at once."""
    if problem is not None and problem.retry_after_s is not None:
        return problem.retry_after_s
    return pause_s * (0.5 + random.random() / 2)


def _read[T](answer: httpx.Response, kind: type[T]) -> T:
    """Read an answer; raises ApiProblem for one that is not what this client knows."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiProblem(
            answer.status_code, "unreadable", f"the answer was not understood: {error}"
        ) from None


def _text(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value
