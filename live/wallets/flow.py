"""A withdrawal's way from its user's wish to the books' decision: asked for, confirmed, judged, cancelled, expired."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import asyncpg

from live.books.bus import Bus
from live.books.commands import Answer, Command
from live.books.first_answers import answer_before
from live.identity.email_tokens import EmailTokens, Purpose
from live.identity.errors import Conflict, NotThere, wrong_token
from live.identity.events import Origin
from live.identity.guesses import Address
from live.identity.mail import Letter, Mailer
from live.identity.moments import moment, nanoseconds
from live.identity.notices import Notices
from live.ledger.inputs import WithdrawalConfirmed, WithdrawalRefused, WithdrawalRequested
from live.wallets.address_book import AddressBook, BookedAddress
from live.wallets.policy import Facts, judge
from live.wallets.rules import WithdrawalRules
from risk.settings import SECOND_NS

BOOKS = "books"  # who refuses what expired
_CANCELLABLE = ("UNCONFIRMED", "REVIEW", "APPROVED", "QUEUED")
_OVER = ("SENT", "REFUSED")
# Of one's own withdrawals those count that were asked for before. Of others' those that they confirmed, as to ask
# costs nothing, and would send anybody's to review; in whatever order they were asked for, so that no order of
# confirming goes round the count. One's own confirmed earlier but asked for later count unless they were counted too
# many themselves, which they were for those before them. One that is being confirmed counts as confirmed: the books may
# yet take what they did not answer.
_FACTS = """
select w.amount,
    (select count(*) from withdrawals other
        left join access.withdrawal_requests asked on asked.withdrawal_id = other.id
        where other.address = w.address
        and (other.status <> 'REFUSED' or other.sending_at is not null)
        and (other.user_id = w.user_id and other.seq <= w.seq and other.created_at > w.created_at - $2::interval
            or coalesce(other.confirmed_at, asked.confirming_at) > $3::timestamptz - $2::interval
            and (other.user_id <> w.user_id or not 'SAME_ADDRESS' = any(other.review_reasons)))) as same_address,
    exists (select from access.blacklist b where b.address = w.address) as blacklisted,
    r.unusual_login,
    coalesce((select sum(balance) from hot_wallets h where h.chain = w.chain)
        < (select (value::jsonb #>> '{}')::numeric from risk_config where key = 'hot_wallet_floor'), true)
        as hot_wallet_low
from withdrawals w join access.withdrawal_requests r on r.withdrawal_id = w.id where w.id = $1"""
# Until the books have decided: two judged at once would not see each other.
_ALONE = """
select pg_advisory_lock(hashtextextended('withdrawals.address ' || address, 0)) from withdrawals where id = $1"""
_CONFIRMING = "update access.withdrawal_requests set confirming_at = $2 where withdrawal_id = $1"
_MAILED = "select mailed_at from access.withdrawal_requests where withdrawal_id = $1 for update"
_UNUSUAL = """select exists (select from access.sessions where account_id = $1 and unusual
    and (id = $2 or created_at > $3 or created_at > $4 and created_at <= $5))"""


@dataclass(frozen=True)
class Wish:
    """Hold what a user asks for, and by which session or API key, from where; ``key`` makes it once."""

    account: str
    amount: Decimal
    asset: str
    address_id: int
    key: str
    credential: str
    ip: Address | None

    @property
    def use(self) -> str:
        """Return what a code given for it is good for: this, and the same asked again."""
        return f"withdrawal {self.key} {self.amount} {self.asset} {self.address_id}"


class Withdrawals:
    """Take withdrawals from users. ``rules`` bound them; letters with tokens go out through ``mailer``."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        bus: Bus,
        clock: Callable[[], int],
        tokens: EmailTokens,
        mailer: Mailer,
        rules: WithdrawalRules,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._tokens = tokens
        self._mailer = mailer
        self._notices = Notices(mailer)
        self.rules = rules
        self.addresses = AddressBook(pool, clock, rules)

    # -- the user's part

    async def add_address(
        self, account: str, chain: str, address: str, label: str, origin: Origin | None = None
    ) -> tuple[BookedAddress, bool]:
        """Take an address into the book, and tell the account's owner by e-mail; return it and whether it is new.

        Raises as ``AddressBook.add``.
        """
        owner = await self._notices.owner(account, self._pool)
        booked, new = await self.addresses.add(account, chain, address, label, origin)
        if new:
            what = (
                f"The address {booked.address} ({booked.label}) was added for withdrawals on {booked.chain}."
            )
            self._notices.write(owner, what)
        return booked, new

    async def request(self, wish: Wish, second_factor: Callable[[str], Awaitable[None]]) -> Answer:
        """Hold the money and mail the token that confirms it.

        ``second_factor`` raises unless its user gave one for what it is told; it is asked last, as a code is used up
        by it, for that alone. The same ``key`` gets the first answer without. Raises InvalidInput for an amount
        outside the limits, NotThere for an unknown address, Conflict for a locked one or an account without an
        e-mail address, and KeyReused.
        """
        address = await self.addresses.find(wish.account, wish.address_id)
        rule = self.rules.asset(address.chain, wish.asset)
        email = await self._email(wish.account)
        asked = WithdrawalRequested(
            0, "", wish.account, wish.amount, address.chain, wish.asset, address.address, rule.fee
        )
        command = Command(wish.key, asked)
        answer = await answer_before(self._pool, command)
        if answer is None:
            self.rules.check_amount(address.chain, wish.asset, wish.amount)
            await self.addresses.check_usable(wish.account, wish.address_id)
            await second_factor(wish.use)
            answer = await self._bus.submit(command)
        if answer.status == "DONE":
            await self._keep(answer.id, wish, address)
            await self._mail(answer.id, wish, address, email)
        return answer

    async def confirm(self, account: str, withdrawal_id: str, token: str) -> Answer:
        """Take the mailed token, judge the withdrawal, and tell the books; to repeat it is harmless.

        Raises NotThere, NotAuthenticated for a wrong token, and Conflict for one that was cancelled or expired.
        """
        done = Answer("DONE", id=withdrawal_id)
        if not await self._is_unconfirmed(self._pool, account, withdrawal_id):
            return done
        async with self._alone(withdrawal_id) as connection:
            if not await self._is_unconfirmed(connection, account, withdrawal_id):
                return done  # meanwhile
            # The token is not used up: it confirms this alone, and the books take that once.
            shown = await self._tokens.look(Purpose.WITHDRAWAL, token, connection)
            if (shown.account, shown.subject) != (account, withdrawal_id):
                raise wrong_token()
            asked = await self._judge(connection, withdrawal_id)
            # Noted first, as the books may take what they do not answer, whatever becomes of us.
            await connection.execute(_CONFIRMING, withdrawal_id, moment(self._clock()))
            # The books take this step once, whatever its key; judged again it may be another.
            answer = await self._bus.submit(Command(f"confirm:{withdrawal_id}:{uuid4()}", asked))
            if answer.status != "DONE":
                await connection.execute(_CONFIRMING, withdrawal_id, None)
            return answer

    async def cancel(self, account: str, withdrawal_id: str, key: str) -> Answer:
        """Give a withdrawal back that is not being sent; the same ``key`` gets the first answer.

        Raises NotThere, Conflict for one that is being sent, or is over, and KeyReused.
        """
        status = await self._status(self._pool, account, withdrawal_id)
        command = Command(key, WithdrawalRefused(0, withdrawal_id, account, "CANCELLED_BY_USER"))
        before = await answer_before(self._pool, command)
        if before is not None:
            return before
        if status not in _CANCELLABLE:
            code = "withdrawal-status" if status in _OVER else "withdrawal-under-way"
            raise Conflict(code, f"the withdrawal is {status}; it can be cancelled no more")
        return await self._bus.submit(command)

    # -- the clock's part

    async def expire(self) -> int:
        """Refuse the withdrawals that were not confirmed in time; return how many."""
        latest = moment(self._clock() - self.rules.confirm_within_ns)
        rows = await self._pool.fetch(
            "select id from withdrawals where status = 'UNCONFIRMED' and created_at <= $1", latest
        )
        for row in rows:
            asked = WithdrawalRefused(0, row["id"], BOOKS, "NOT_CONFIRMED_IN_TIME")
            await self._bus.submit(Command(f"expire:{row['id']}:{uuid4()}", asked))
        return len(rows)

    # -- inside

    @asynccontextmanager
    async def _alone(self, withdrawal_id: str) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection while no other withdrawal to the same address is judged."""
        async with self._pool.acquire() as connection:
            try:
                await connection.execute(_ALONE, withdrawal_id)
                yield connection
            finally:
                try:
                    await connection.execute("select pg_advisory_unlock_all()")
                except BaseException as error:
                    with suppress(asyncpg.InterfaceError):  # raised where it is gone
                        connection.terminate()  # and the lock with it
                    if not isinstance(error, Exception):
                        raise

    async def _is_unconfirmed(
        self, using: asyncpg.Pool | asyncpg.Connection, account: str, withdrawal_id: str
    ) -> bool:
        status = await self._status(using, account, withdrawal_id)
        if status == "REFUSED":
            raise Conflict("withdrawal-refused", "the withdrawal was cancelled, refused, or expired")
        return status == "UNCONFIRMED"

    async def _judge(self, connection: asyncpg.Connection, withdrawal_id: str) -> WithdrawalConfirmed:
        window = timedelta(microseconds=self.rules.same_address_window_ns // 1000)
        row = await connection.fetchrow(_FACTS, withdrawal_id, window, moment(self._clock()))
        verdict = judge(Facts(**row), self.rules)
        return WithdrawalConfirmed(
            0, withdrawal_id, verdict.tier, tuple(verdict.approvals_needed), tuple(verdict.reasons)
        )

    async def _keep(self, withdrawal_id: str, wish: Wish, address: BookedAddress) -> None:
        """Keep how it came to be asked for.

        A log-in counts as unusual for as long as addresses are locked, and for ever for those booked in that time:
        else whoever booked one had but to wait.
        """
        now, lock_ns = self._clock(), self.rules.address_lock_ns
        unusual = await self._pool.fetchval(
            _UNUSUAL,
            wish.account,
            wish.credential,
            moment(now - lock_ns),
            moment(nanoseconds(address.created_at) - lock_ns),
            address.created_at,
        )
        await self._pool.execute(
            """insert into access.withdrawal_requests
            (withdrawal_id, account_id, address_id, credential, ip, unusual_login, created_at)
            values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing""",
            *(withdrawal_id, wish.account, wish.address_id, wish.credential, wish.ip, unusual, moment(now)),
        )

    async def _mail(self, withdrawal_id: str, wish: Wish, address: BookedAddress, email: str) -> None:
        """Mail the token, once."""
        lasts_s = self.rules.confirm_within_ns // SECOND_NS
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_MAILED, withdrawal_id) is not None:
                return
            token = await self._tokens.issue(
                Purpose.WITHDRAWAL, email, wish.account, withdrawal_id, lasts_s, connection
            )
            await connection.execute(
                "update access.withdrawal_requests set mailed_at = $2 where withdrawal_id = $1",
                *(withdrawal_id, moment(self._clock())),
            )
            self._mailer.post(to_confirm(email, withdrawal_id, wish, address, token))

    async def _email(self, account: str) -> str:
        email = await self._pool.fetchval("select email from access.accounts where id = $1", account)
        if email is None:
            raise Conflict("no-email", "withdrawals are confirmed by e-mail; give your account an address")
        return str(email)

    async def _status(
        self, using: asyncpg.Pool | asyncpg.Connection, account: str, withdrawal_id: str
    ) -> str:
        status = await using.fetchval(
            "select status from withdrawals where id = $1 and user_id = $2", withdrawal_id, account
        )
        if status is None:
            raise NotThere("unknown-withdrawal", f"withdrawal_id was {withdrawal_id!r}; you have no such one")
        return str(status)


def to_confirm(email: str, withdrawal_id: str, wish: Wish, address: BookedAddress, token: str) -> Letter:
    """Return the letter that confirms a withdrawal."""
    return Letter(
        email,
        "Confirm your withdrawal",
        f"Withdrawal {withdrawal_id}: {wish.amount} {wish.asset} on {address.chain} to {address.address}"
        f" ({address.label}).\n\nYour token: {token}\n\nIt works once, within half an hour; then the withdrawal is"
        " given up.\nIf that was not you, do not pass the token on, and set another password at once.\n",
    )
