"""What one operator does alone, unless it is dangerous: then it becomes a proposal."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import asyncpg

from live.books.bus import Bus
from live.books.commands import Answer, Command
from live.books.first_answers import first_answer
from live.books.queries import HouseQuery
from live.identity.errors import Conflict, NotPermitted, NotThere
from live.identity.moments import moment
from live.identity.principal import Principal, Role
from live.ledger.inputs import KycChanged, WithdrawalApproved, WithdrawalRefused
from live.operators import audit, requests
from live.operators.bounds import anomalies
from live.operators.changes import different, shown
from live.operators.kinds import SIDES, Kind, Proposal
from live.operators.permissions import Permission, check_permitted
from live.operators.proposals import Proposals
from live.operators.settings_store import SettingsStore, checked, subject_of
from live.operators.staff import Staff, already
from live.wallets.addresses import checksummed
from risk.checks import finite, money
from risk.errors import InvalidInput
from risk.inputs import HlHaltLifted, RoutingModeSet, ServiceLevelSet
from risk.settings import RoutingMode

Done = Answer | Proposal


class OperatorsDesk:
    """Do what operators ask; each method takes who asks, and the key that makes it once."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        bus: Bus,
        clock: Callable[[], int],
        staff: Staff,
        settings: SettingsStore,
        proposals: Proposals,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._staff = staff
        self._settings = settings
        self._proposals = proposals

    # -- routing, risk, service

    async def set_mode(
        self, by: Principal, symbol: str, mode: RoutingMode | None, reason: str, key: str
    ) -> Answer:
        """Pin a symbol's mode, or release the pin. Raises NotThere for an unknown symbol."""
        check_permitted(by.role, Permission.SET_ROUTING)
        await self._check_symbol(symbol)
        await self._keep(key, "set_mode", symbol, mode, reason)
        return await self._bus.submit(Command(key, RoutingModeSet(0, symbol, mode, by.user, reason)))

    async def change_settings(
        self, by: Principal, symbol: str | None, changes: Mapping[str, Any], reason: str, key: str
    ) -> Done:
        """Change a symbol's routing row (``*`` the default's), or the risk config; an anomaly is proposed instead.

        Raises InvalidInput, naming the setting, for what is outside its bounds.
        """
        check_permitted(by.role, Permission.SET_RISK if symbol is None else Permission.SET_ROUTING)
        answer = await self._done_before(key, "change_settings", symbol, changes, reason)
        known = answer or await self._proposals.of_key(key)
        if known is not None:
            return known
        async with self._settings.alone():
            now, agreed = await self._settings.current(symbol), await self._settings.agreed(symbol)
            after = checked(now, changes)
            found = anomalies(now, after, agreed)
            if not found:
                await self._settings.keep_agreed(symbol, changes)
                command = await self._settings.command(symbol, changes, by.user, reason)
                return await self._bus.submit(Command(key, command))
        last, new = shown(now), different(now, after)
        body: dict[str, Any] = {
            "changes": new,
            "before": {name: last[name] for name in new},
            "agreed": {name: value for name, value in different(now, agreed).items() if name in new},
            "anomalies": list(found),
        }
        kind = Kind.RISK_CONFIG if symbol is None else Kind.ROUTING_CONFIG
        return await self._proposals.propose(by, kind, subject_of(symbol), body, reason, key)

    async def set_service_level(self, by: Principal, level: int, reason: str, key: str) -> Answer:
        """Degrade the service, or restore it (rulebook §10)."""
        check_permitted(by.role, Permission.SET_SERVICE_LEVEL)
        await self._keep(key, "set_service_level", level, reason)
        return await self._bus.submit(Command(key, ServiceLevelSet(0, level, by.user, reason)))

    async def roll_service_back(self, by: Principal, switch: int, reason: str, key: str) -> Answer:
        """Undo the last switch of the service level: go back to the one before.

        ``switch`` is the input of that switch, so that nothing else is undone, and it only once: raises Conflict
        where another was the last.
        """
        check_permitted(by.role, Permission.SET_SERVICE_LEVEL)
        known = await self._done_before(key, "roll_service_back", switch, reason)
        if known is not None:
            return known
        last = await self._pool.fetchrow(
            "select seq, level, previous from service_levels order by id desc limit 1"
        )
        if last is None:
            raise Conflict("never-switched", "the service level was never switched")
        if last["seq"] != switch:
            raise Conflict(
                "not-the-last-switch",
                f"switch was {switch}; the last one is {last['seq']}, to level {last['level']}: "
                "undo that, or set the level",
            )
        why = f"undoes switch {switch}: {reason}"
        asked = ServiceLevelSet(0, last["previous"], by.user, why, last["level"])
        return await self._bus.submit(Command(key, asked))

    async def lift_halt(self, by: Principal, symbol: str, reason: str, key: str) -> Answer:
        """Let opening orders of a symbol go to Hyperliquid again. Raises NotThere for an unknown symbol."""
        check_permitted(by.role, Permission.LIFT_HALT)
        await self._check_symbol(symbol)
        await self._keep(key, "lift_halt", symbol, reason)
        return await self._bus.submit(Command(key, HlHaltLifted(0, symbol, by.user, reason)))

    async def release_books(self, by: Principal, reason: str, key: str) -> Proposal:
        """Propose to let the books go on after a critical reconciliation; raises Conflict while they are not halted."""
        check_permitted(by.role, SIDES[Kind.BOOKS_RELEASE][0])
        await self._keep(key, "release_books", reason)
        known = await self._proposals.of_key(key)
        if known is not None:
            return known
        if (await self._bus.ask(HouseQuery())).halted is None:
            raise Conflict("already-so", "the books are not halted")
        return await self._proposals.propose(by, Kind.BOOKS_RELEASE, "books", {}, reason, key)

    # -- users

    async def set_kyc(self, by: Principal, user: str, status: str, reason: str, key: str) -> Answer:
        """Set a user's KYC status, not one's own. Raises NotThere for an unknown user."""
        check_permitted(by.role, Permission.SET_KYC)
        _check_other(by, user)
        await self._check_user(user)
        await self._keep(key, "set_kyc", user, status, reason)
        return await self._bus.submit(Command(key, KycChanged(0, user, status, by.user, reason)))

    async def adjust_balance(
        self, by: Principal, user: str, amount: Decimal, reason: str, key: str
    ) -> Proposal:
        """Propose to correct another user's cash by ``amount``. Raises NotThere for an unknown user."""
        _check_other(by, user)
        finite("amount", amount)
        money("amount", abs(amount))
        await self._check_user(user)
        body = {"amount": str(amount)}
        await self._keep(key, "adjust_balance", user, body, reason)
        return await self._proposals.propose(by, Kind.BALANCE_ADJUSTMENT, user, body, reason, key)

    # -- withdrawals

    async def approve_withdrawal(self, by: Principal, withdrawal_id: str, reason: str, key: str) -> Answer:
        """Approve another's withdrawal in one's role. Raises NotThere, NotPermitted."""
        check_permitted(by.role, Permission.REVIEW_WITHDRAWAL)
        await self._check_withdrawal(by, withdrawal_id)
        assert by.role is not None
        await self._keep(key, "approve_withdrawal", withdrawal_id, reason)
        asked = WithdrawalApproved(0, withdrawal_id, by.user, by.role, reason)
        return await self._bus.submit(Command(key, asked))

    async def refuse_withdrawal(self, by: Principal, withdrawal_id: str, reason: str, key: str) -> Answer:
        """Refuse another's withdrawal that is not being sent: it returns to its user."""
        check_permitted(by.role, Permission.REVIEW_WITHDRAWAL)
        await self._check_withdrawal(by, withdrawal_id)
        await self._keep(key, "refuse_withdrawal", withdrawal_id, reason)
        return await self._bus.submit(Command(key, WithdrawalRefused(0, withdrawal_id, by.user, reason)))

    async def blacklist(self, by: Principal, address: str, reason: str) -> str:
        """Have withdrawals to an address looked at; return it as it is listed.

        The same person with the same reason asks the same again. Raises InvalidInput, and Conflict for an address
        that is listed otherwise.
        """
        check_permitted(by.role, Permission.SET_BLACKLIST)
        address = checksummed(address)
        if not reason.strip():
            raise InvalidInput("reason was empty; tell why")
        async with self._pool.acquire() as connection, connection.transaction():
            added = await connection.fetchval(
                """insert into access.blacklist (address, reason, added_by, added_at) values ($1, $2, $3, $4)
                on conflict do nothing returning true""",
                *(address, reason, by.user, moment(self._clock())),
            )
            if added:
                await audit.append(connection, by.user, "ADDRESS_BLACKLISTED", address, reason, self._clock())
                return address
        listed = await self._pool.fetchrow(
            "select reason, added_by, added_at from access.blacklist where address = $1", address
        )
        if listed is not None and (listed["added_by"], listed["reason"]) != (by.user, reason):
            raise Conflict(
                "already-so",
                f"address {address} was listed by {listed['added_by']} at {listed['added_at']:%Y-%m-%d %H:%M:%S} UTC: "
                f"{listed['reason']}",
            )
        return address

    async def unlist(self, by: Principal, address: str, reason: str) -> None:
        """Take an address off the blacklist; raises NotThere."""
        check_permitted(by.role, Permission.SET_BLACKLIST)
        address = checksummed(address)
        async with self._pool.acquire() as connection, connection.transaction():
            removed = await connection.fetchval(
                "delete from access.blacklist where address = $1 returning true", address
            )
            if not removed:
                raise NotThere("not-listed", f"address was {address!r}; it is not on the blacklist")
            await audit.append(connection, by.user, "ADDRESS_UNLISTED", address, reason, self._clock())

    # -- operators

    async def change_operator(
        self, by: Principal, account: str, role: Role | None, reason: str, key: str
    ) -> Proposal | None:
        """Give an account a role, or none; with several super admins it is proposed, else it is done: None.

        Raises InvalidInput for an unknown account, and Conflict for the role it has and where no super admin would be
        left.
        """
        check_permitted(by.role, Permission.MANAGE_OPERATORS)
        request = requests.digest_of("change_operator", account, role, reason)
        if await requests.is_known(self._pool, key, request):
            return None
        await self._staff.check_account(account)
        known = await self._proposals.of_key(key)
        if known is not None or await self._staff.needs_two():
            if known is None and await self._staff.role_of(account) == role:
                raise already(role)
            body = {"role": role}
            return await self._proposals.propose(by, Kind.OPERATOR_CHANGE, account, body, reason, key)
        await self._staff.change_alone(account, role, by.user, reason, key, request)
        return None

    # -- keys

    async def _keep(self, key: str, act: str, *asked: Any) -> bool:
        """Keep what was asked for under a key; tell whether it is the first time. Raises KeyReused."""
        return await requests.keep(self._pool, key, requests.digest_of(act, *asked), self._clock())

    async def _done_before(self, key: str, act: str, *asked: Any) -> Answer | None:
        """Return what the books answered to the same request before. Raises KeyReused."""
        first = await self._keep(key, act, *asked)
        answer = await first_answer(self._pool, key)
        if first and answer is not None:
            raise requests.reused(key)  # by something else than an operator's request
        return answer

    async def _check_symbol(self, symbol: str) -> None:
        if not await self._settings.is_traded(symbol):
            raise NotThere("unknown-symbol", f"symbol was {symbol!r}; it must be one that is traded")

    async def _check_user(self, user: str) -> None:
        if not await self._pool.fetchval("select exists (select from users where id = $1)", user):
            raise NotThere("unknown-user", f"user was {user!r}; there is no such user")

    async def _check_withdrawal(self, by: Principal, withdrawal_id: str) -> None:
        user = await self._pool.fetchval("select user_id from withdrawals where id = $1", withdrawal_id)
        if user is None:
            raise NotThere("unknown-withdrawal", f"withdrawal_id was {withdrawal_id!r}; there is no such one")
        _check_other(by, user)


def _check_other(by: Principal, user: str) -> None:
    if by.user == user:
        raise NotPermitted("four-eyes", "that is your own; another person must do it")
