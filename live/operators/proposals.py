"""What needs a second person: proposed by one operator, approved by another, done once."""

from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec

from live.books.bus import Bus
from live.identity.errors import Conflict, NotPermitted, NotThere
from live.identity.moments import moment
from live.identity.principal import Principal
from live.ledger.acts import BOOKS
from live.operators import audit
from live.operators.execution import Execution
from live.operators.kinds import COLUMNS, SIDES, Kind, Proposal, proposal
from live.operators.permissions import PERMISSIONS, check_permitted
from live.operators.requests import reused
from live.operators.settings_store import SettingsStore
from live.operators.staff import Staff
from risk.errors import InvalidInput
from risk.settings import DAY_NS

LASTS_NS = DAY_NS


class Proposals:
    """Keep proposals, and do those that were approved."""

    def __init__(
        self, pool: asyncpg.Pool, bus: Bus, clock: Callable[[], int], staff: Staff, settings: SettingsStore
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._execution = Execution(pool, bus, clock, staff, settings)

    # -- reading

    async def all(
        self, status: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[Proposal]:
        """Return proposals, newest first, those before an id."""
        rows = await self._pool.fetch(
            f"""select {COLUMNS} from access.proposals where ($1::text is null or status = $1)
            and ($2::bigint is null or id < $2) order by id desc limit $3""",
            *(status, before, limit),
        )
        return [proposal(row) for row in rows]

    async def find(self, proposal_id: int) -> Proposal:
        """Return a proposal; raises NotThere."""
        return proposal(await self._row(self._pool, proposal_id, ""))

    async def of_key(self, key: str) -> Proposal | None:
        """Return the proposal that a request of that key made before."""
        row = await self._pool.fetchrow(f"select {COLUMNS} from access.proposals where request_key = $1", key)
        return None if row is None else proposal(row)

    # -- the first person

    async def propose(
        self, by: Principal, kind: Kind, subject: str, body: dict[str, Any], reason: str, key: str
    ) -> Proposal:
        """Put up a proposal; the same ``key`` gets the first one, and raises KeyReused where that is another.

        ``reason`` must not be empty. Raises NotPermitted.
        """
        check_permitted(by.role, SIDES[kind][0])
        if not reason.strip():
            raise InvalidInput("reason was empty; tell the one who is to approve why")
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                f"""insert into access.proposals
                (kind, subject, body, reason, request_key, proposed_by, created_at, expires_at)
                values ($1, $2, $3::jsonb, $4, $5, $6, $7, $8) on conflict (request_key) do nothing
                returning {COLUMNS}""",
                *(kind, subject, msgspec.json.encode(body).decode(), reason, key, by.user),
                *(moment(now), moment(now + LASTS_NS)),
            )
            if row is not None:
                detail = f"proposal {row['id']} {kind}: {row['body']}: {reason}"
                await audit.append(connection, by.user, "PROPOSED", subject, detail, now)
        found = proposal(row) if row is not None else await self.of_key(key)
        assert found is not None
        if (found.kind, found.subject, found.reason) != (kind, subject, reason) or found.body != body:
            raise reused(key)
        return found

    async def withdraw(self, by: Principal, proposal_id: int, decision: str) -> Proposal:
        """Take back one's own proposal. Raises NotThere, NotPermitted, Conflict where it was decided."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await self._row(connection, proposal_id, "for update")
            if row["proposed_by"] != by.user:
                raise NotPermitted(
                    "not-yours", "only who proposed something takes it back; reject it instead"
                )
            if row["status"] != "WITHDRAWN":
                self._check_open(row)
                await self._decide(connection, row, by, "WITHDRAWN", decision)
        return await self.find(proposal_id)

    # -- the second person

    async def approve(self, by: Principal, proposal_id: int, decision: str) -> Proposal:
        """Approve what another proposed, and do it; approved again by the same one it is not done again.

        Raises NotThere, NotPermitted, and Conflict where it was decided or is too old.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await self._row(connection, proposal_id, "for update")
            await self._check_second(connection, row, by)
            if row["status"] == "OPEN" or row["decided_by"] != by.user or row["status"] == "REJECTED":
                self._check_open(row)
                await self._decide(connection, row, by, "APPROVED", decision)
        await self._execution.carry_out(proposal_id)
        return await self.find(proposal_id)

    async def reject(self, by: Principal, proposal_id: int, decision: str) -> Proposal:
        """Reject what another proposed. Raises as ``approve``."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await self._row(connection, proposal_id, "for update")
            await self._check_second(connection, row, by)
            if (row["status"], row["decided_by"]) != ("REJECTED", by.user):
                self._check_open(row)
                await self._decide(connection, row, by, "REJECTED", decision)
        return await self.find(proposal_id)

    # -- the clock

    async def finish(self) -> None:
        """Do what was approved and, after a crash, not done; end what nobody decided in time."""
        await self._expire()
        rows = await self._pool.fetch("select id from access.proposals where status = 'APPROVED' order by id")
        for row in rows:
            await self._execution.carry_out(row["id"])

    # -- inside

    async def _expire(self) -> None:
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await connection.fetch(
                """update access.proposals set status = 'EXPIRED', ended_at = $1
                where status = 'OPEN' and expires_at <= $1 returning id, subject""",
                moment(now),
            )
            for row in ended:
                detail = f"proposal {row['id']}: nobody decided it in time"
                await audit.append(connection, BOOKS, "PROPOSAL_EXPIRED", row["subject"], detail, now)

    async def _row(self, connection: Any, proposal_id: int, lock: str) -> asyncpg.Record:
        row = await connection.fetchrow(
            f"select {COLUMNS} from access.proposals where id = $1 {lock}", proposal_id
        )
        if row is None:
            raise NotThere("unknown-proposal", f"proposal_id was {proposal_id}; there is no such proposal")
        return row

    async def _check_second(self, connection: asyncpg.Connection, row: asyncpg.Record, by: Principal) -> None:
        """Raise unless ``by`` is another person of the right role, who gains nothing by it."""
        proposes, approves = SIDES[Kind(row["kind"])]
        check_permitted(by.role, approves)
        if by.user == row["proposed_by"]:
            raise NotPermitted("four-eyes", "you proposed that yourself; another person must decide")
        if row["kind"] == Kind.BALANCE_ADJUSTMENT and by.user == row["subject"]:
            raise NotPermitted("four-eyes", "that is your own balance; another person must decide")
        role = await connection.fetchval(
            "select role from access.operators where account_id = $1", row["proposed_by"]
        )
        if role not in PERMISSIONS[proposes] and row["status"] == "OPEN":
            raise Conflict("proposer-gone", "who proposed that may not propose it any more; reject it")

    def _check_open(self, row: asyncpg.Record) -> None:
        if row["status"] not in ("OPEN", "EXPIRED"):
            raise Conflict("proposal-decided", f"the proposal was {row['status']}; it is decided")
        if row["status"] == "EXPIRED" or row["expires_at"] <= moment(self._clock()):
            raise Conflict("proposal-expired", "nobody decided the proposal in time; propose it again")

    async def _decide(
        self, connection: asyncpg.Connection, row: asyncpg.Record, by: Principal, status: str, decision: str
    ) -> None:
        now = self._clock()
        await connection.execute(
            """update access.proposals
            set status = $2::text, decided_by = $3, decided_at = $4::timestamptz, decision = $5,
            ended_at = case when $2::text = 'APPROVED' then null else $4::timestamptz end where id = $1""",
            *(row["id"], status, by.user, moment(now), decision),
        )
        detail = f"proposal {row['id']}: {decision}"
        await audit.append(connection, by.user, f"PROPOSAL_{status}", row["subject"], detail, now)
