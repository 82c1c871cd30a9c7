"""Doing what was approved: once, whatever breaks off."""

from collections.abc import Callable
from typing import Any

import asyncpg

from live.books.bus import Bus
from live.books.commands import Answer, Asked, Command, invalid, not_taken, refused
from live.books.first_answers import first_answer
from live.identity.errors import Conflict, NotThere
from live.identity.moments import moment
from live.identity.principal import Role
from live.ledger.acts import BOOKS
from live.ledger.codec import decode
from live.ledger.inputs import BooksReleased, CommandInvalid, CommandRefused
from live.operators import audit
from live.operators.kinds import COLUMNS, Kind, Proposal, proposal
from live.operators.settings_store import SettingsStore, agree
from live.operators.staff import Staff
from risk.errors import InvalidInput
from risk.inputs import Approval, BalanceAdjusted
from risk.numbers import to_decimal
from risk.settings import DAY_NS

_REFUSAL = """select detail from audit_log where subject = $1 and seq = $2 and action = 'BALANCE_NOT_ADJUSTED'
    and action <> 'ROUTING_DECIDED'"""
_SOON_NS = DAY_NS // 2  # the books remember answers for longer than that


class Execution:
    """Carry out approved proposals: in the books under the proposal's own key, or among the operators."""

    def __init__(
        self, pool: asyncpg.Pool, bus: Bus, clock: Callable[[], int], staff: Staff, settings: SettingsStore
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._staff = staff
        self._settings = settings

    async def carry_out(self, proposal_id: int) -> None:
        """Do an approved proposal, unless that is done already; what the books cannot tell is raised."""
        row = await self._pool.fetchrow(f"select {COLUMNS} from access.proposals where id = $1", proposal_id)
        found = proposal(row)
        if found.status == "APPROVED":
            if found.kind is Kind.OPERATOR_CHANGE:
                await self._change_operator(found)
            else:
                await self._ask_books(found)

    async def _change_operator(self, found: Proposal) -> None:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if not await self._end(connection, found.id, "EXECUTED", "done"):
                    return
                role = found.body["role"]
                await self._staff.change(
                    connection,
                    found.subject,
                    None if role is None else Role(role),
                    found.proposed_by,
                    found.reason,
                    _approval(found),
                )
        except (Conflict, NotThere) as error:
            await self._fail(found, str(error), error.code)
        self._staff.changed()

    async def _ask_books(self, found: Proposal) -> None:
        """Have the books do it under the proposal's own key, unless they did already."""
        key = f"proposal:{found.id}"
        of_settings = found.kind in (Kind.ROUTING_CONFIG, Kind.RISK_CONFIG)
        async with self._settings.alone():
            answer = await self._answered(found, key)
            if answer is None:
                try:
                    if of_settings:
                        await self._settings.keep_agreed(_symbol(found))
                    answer = await self._bus.submit(Command(key, await self._asked(found)))
                except Conflict as error:
                    answer = refused(error.code, str(error))
                except InvalidInput as error:
                    answer = not_taken(error)
        if answer.status != "DONE":
            await self._fail(found, answer.detail, answer.code or "invalid")
            return
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await self._end(connection, found.id, "EXECUTED", f"input {answer.seq}")
            if ended and of_settings:
                await agree(connection, found.subject, found.body["changes"])

    async def _answered(self, found: Proposal, key: str) -> Answer | None:
        """Return the answer of an earlier try: an old one stands in the journal alone."""
        answer = await first_answer(self._pool, key)
        assert found.decided_at is not None
        if answer is not None or found.decided_at > moment(self._clock() - _SOON_NS):
            return answer
        row = await self._pool.fetchrow(
            "select seq, kind, body from input_journal where idempotency_key = $1 and ts >= $2 limit 1",
            *(key, int(found.decided_at.timestamp()) * 10**9),
        )
        if row is None:
            return None
        given, _ = decode(row["kind"], row["body"])
        match given:
            case CommandInvalid():
                return invalid(given.detail)
            case CommandRefused():
                return refused(given.code, given.detail)
            case BalanceAdjusted() if told := await self._pool.fetchval(_REFUSAL, found.subject, row["seq"]):
                return refused("balance-not-adjusted", told)
            case _:
                return Answer("DONE", row["seq"])

    async def _asked(self, found: Proposal) -> Asked:
        """Return what the books are to be asked; raises Conflict where the settings have changed since."""
        assert found.decided_by is not None
        body, proposer = found.body, found.proposed_by
        match found.kind:
            case Kind.ROUTING_CONFIG | Kind.RISK_CONFIG:
                return await self._settings.command(
                    *(
                        _symbol(found),
                        body["changes"],
                        proposer,
                        found.reason,
                        body["before"],
                        _approval(found),
                    )
                )
            case Kind.BALANCE_ADJUSTMENT:
                amount = to_decimal(body["amount"], "amount")
                reason = found.reason
                return BalanceAdjusted(0, "", found.subject, amount, reason, proposer, _approval(found))
            case Kind.BOOKS_RELEASE:
                return BooksReleased(0, proposer, found.reason, _approval(found))
            case _:
                raise InvalidInput(f"kind was {found.kind}; it is nothing for the books")

    async def _fail(self, found: Proposal, outcome: str, code: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            if await self._end(connection, found.id, "FAILED", outcome, code):
                detail = f"proposal {found.id}: {code}: {outcome}"
                now = self._clock()
                await audit.append(connection, BOOKS, "PROPOSAL_FAILED", found.subject, detail, now)

    async def _end(
        self, connection: Any, proposal_id: int, status: str, outcome: str, code: str | None = None
    ) -> bool:
        """Write what became of an approved proposal; tell whether nobody else had done so."""
        ended = await connection.fetchval(
            """update access.proposals set status = $2, outcome = $3, ended_at = $4, code = $5
            where id = $1 and status = 'APPROVED' returning true""",
            *(proposal_id, status, outcome, moment(self._clock()), code),
        )
        return ended is not None


def _symbol(found: Proposal) -> str | None:
    """Return the symbol whose routing row is to be changed; None where it is the risk config."""
    return None if found.kind is Kind.RISK_CONFIG else found.subject


def _approval(found: Proposal) -> Approval:
    """Return who approved a proposal, as the books and the audit log are told it."""
    assert found.decided_by is not None
    return Approval(found.id, found.decided_by)
