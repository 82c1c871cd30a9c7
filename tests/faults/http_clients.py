"""Clients of the API that ask again with the same Idempotency-Key until they are answered; each answer is kept."""

import asyncio
import json
import random
from dataclasses import dataclass, field

import psycopg

from live.books.commands import Answer
from tests.load.http_client import Connection, connect
from tests.load.serving import PATIENCE_S, Caller

_PAUSE_S = 0.05
_AGAIN = 0.15  # of requests are followed by one that came before
_FINAL = {200: "DONE", 201: "DONE", 409: "REFUSED", 422: "INVALID"}
_LATER = {
    "outcome-unknown",
    "database-unavailable",
    "overloaded",
    "unavailable",
    "late",
}  # signed before a restart


@dataclass(frozen=True)
class Asked:
    """Hold a request, to send it again as it was."""

    caller: Caller
    key: str
    method: str
    path: str
    body: bytes

    @property
    def command_key(self) -> str:
        """Return its key in the books."""
        return f"{self.caller.user}:{self.key}"


@dataclass
class Told:
    """Hold what clients were told; ``violations`` are answers that cannot be."""

    answers: dict[str, tuple[int, dict[str, object]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    asked_again: int = 0

    def note(self, asked: Asked, status: int, answer: dict[str, object]) -> None:
        """Keep a first answer, or hold another against it."""
        answer.pop("instance", None)  # of a problem: the id of the request, not of the answer
        first = self.answers.setdefault(asked.command_key, (status, answer))
        if first != (status, answer):
            self.violations.append(f"{asked.command_key} was answered {first}, then {(status, answer)}")

    async def more(self, count: int) -> None:
        """Wait until so many further requests were answered."""
        goal = len(self.answers) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.answers) < goal:
                await asyncio.sleep(0.01)

    def check(self, dsn: str) -> None:
        """Assert that the books have each answer as it was told, and no command that was not answered."""
        assert not self.violations, self.violations[0]
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("select key, answer from idempotency_keys where key like '%:load-%'")
            stored = {key: Answer.from_json(answer) for key, answer in rows}
        assert stored.keys() == self.answers.keys()
        for key, (status, answer) in self.answers.items():
            kept = stored[key]
            assert kept.status == _FINAL[status], (key, answer, kept)
            if kept.status == "DONE":
                fills = [fill["fill_id"] for fill in answer.get("fills", ())]  # type: ignore[attr-defined]
                assert (kept.seq, [fill.id for fill in kept.fills]) == (answer["seq"], fills), key


class Client:
    """Trade for a caller: open at market, add margin, place limit orders and cancel them, ask for too much."""

    def __init__(self, caller: Caller, number: int, port: int, told: Told) -> None:
        self._caller = caller
        self._name = f"load-{number}"
        self._by_key = number % 2 == 0
        self._port = port
        self._told = told
        self._rng = random.Random(number)
        self._sent = 0
        self._open: list[tuple[int, str]] = []
        self._resting: list[str] = []
        self._past: list[Asked] = []
        self._connection: Connection | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop; what was asked by then is answered first."""
        while not stop.is_set():
            asked = self._next()
            answer = await self._answer(asked)
            for fill in answer.get("fills", ()):
                self._open.append((fill["position_id"], json.loads(asked.body)["side"]))
            if answer.get("resting"):
                self._resting.append(str(answer["order_id"]))
            self._past.append(asked)
            if self._rng.random() < _AGAIN:
                await self._answer(self._rng.choice(self._past))

    def _next(self) -> Asked:
        rng, draw = self._rng, self._rng.random()
        if self._open and draw < 0.35:
            position, _ = self._open.pop(rng.randrange(len(self._open)))
            return self._asked("POST", f"/v1/positions/{position}/margin", {"action": "ADD", "amount": "1"})
        if self._resting and draw < 0.5:
            return self._asked("DELETE", f"/v1/orders/{self._resting.pop()}")
        order = {"symbol": "BTC", "side": rng.choice(("BUY", "SELL")), "size": "0.001", "leverage": 10}
        if draw > 0.95:
            order["size"] = "90000"
        elif draw > 0.8:
            order |= {"side": "BUY", "type": "LIMIT", "limit_price": "1000", "size": "0.1"}
        return self._asked("POST", "/v1/orders", order)

    def _asked(self, method: str, path: str, body: dict[str, object] | None = None) -> Asked:
        self._sent += 1
        text = b"" if body is None else json.dumps(body).encode()
        return Asked(self._caller, f"{self._name}-{self._sent}", method, path, text)

    async def _answer(self, asked: Asked) -> dict[str, object]:
        """Ask, signing anew each time, until there is an answer that stays."""
        while True:
            status, text = await self._exchange(asked)
            answer = json.loads(text) if text else {}
            if status in _FINAL:
                self._told.note(asked, status, dict(answer))
                return answer
            if status and answer.get("code") not in _LATER:
                self._told.violations.append(f"{asked.command_key} was answered {status} {answer}")
                return {}
            self._told.asked_again += 1
            await asyncio.sleep(_PAUSE_S)

    async def _exchange(self, asked: Asked) -> tuple[int, bytes]:
        """Return status and body, or 0 where the connection broke off."""
        caller = asked.caller
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._connection is None:
                    self._connection = await connect(self._port)
                text = caller.ask(
                    asked.method, asked.path, asked.body, idempotency=asked.key, by_key=self._by_key
                )
                return await self._connection.exchange(text)
        except (OSError, TimeoutError):
            self._connection = None
            return 0, b""
