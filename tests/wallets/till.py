"""Withdrawals on real books and a real database, with a clock, letters and a chain that the test holds."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import count
from typing import Any

import asyncpg

from live.books.commands import Answer
from live.identity.email_tokens import EmailTokens
from live.identity.keyring import Keyring
from live.identity.mail import Letter, Mailer
from live.identity.moments import moment
from live.identity.rules import AccessRules
from live.wallets.address_book import BookedAddress
from live.wallets.dispatch import Dispatcher
from live.wallets.flow import Wish, Withdrawals
from live.wallets.rules import WithdrawalRules
from risk.settings import DAY_NS
from tests.live.books import Desk, a_desk
from tests.risk.book_builder import D
from tests.wallets.simulated_chain import SimulatedChain

RULES = WithdrawalRules()
_numbers = count(1)


def account_id(name: str) -> str:
    """Return an account's id that shows its name."""
    return "u" + name.ljust(20, "a")


def address(number: int) -> str:
    """Return an address, in lower case."""
    return f"0x{number:040x}"


@dataclass
class Till:
    """What a test of withdrawals has at hand."""

    desk: Desk
    pool: asyncpg.Pool
    withdrawals: Withdrawals
    letters: list[Letter]
    chain: SimulatedChain
    dispatcher: Dispatcher
    codes: list[str] = field(default_factory=list)  # whose second factor was asked for

    def wait(self, ns: int) -> None:
        """Let time pass."""
        self.desk.clock.advance(self.desk.clock.now_ns() + ns)

    async def user(self, name: str, amount: object = 1_000_000, email: bool = True) -> str:
        """Make an account, with an address in its book that can be used, and money; return its id."""
        user = account_id(name)
        await self.pool.execute(
            "insert into access.accounts (id, email, wallet_address, created_at) values ($1, $2, $3, $4)",
            *(user, f"{name}@example.org" if email else None, None if email else address(1)),
            moment(self.desk.clock.now_ns()),
        )
        await self.desk.user(user, amount)
        return user

    async def booked(self, user: str, number: int = 17, chain: str = "arbitrum") -> BookedAddress:
        """Add an address that can be used at once, as far as that user goes."""
        added, _ = await self.withdrawals.addresses.add(user, chain, address(number), f"number {number}")
        self.wait(DAY_NS)
        return added

    async def ask(
        self, user: str, to: BookedAddress, amount: object = 100, key: str | None = None, **more: Any
    ) -> Answer:
        """Ask for a withdrawal."""

        async def second_factor(_: str) -> None:
            self.codes.append(user)

        name = f"{user}:{key or f'ask-{next(_numbers)}'}"
        wish = Wish(user, D(str(amount)), "USDC", to.id, name, more.pop("credential", "s-none"), None)
        return await self.withdrawals.request(wish, more.pop("second_factor", second_factor))

    def token(self) -> str:
        """Return the token of the last letter."""
        found = re.search(r"token: (\S+)", self.letters[-1].text)
        assert found is not None
        return found[1]

    async def confirmed(self, user: str, to: BookedAddress, amount: object = 100) -> str:
        """Ask for a withdrawal and confirm it; return its id."""
        asked = await self.ask(user, to, amount)
        assert asked.status == "DONE", asked
        answer = await self.withdrawals.confirm(user, asked.id, self.token())
        assert answer.status == "DONE", answer
        return asked.id

    async def row(self, withdrawal_id: str) -> asyncpg.Record:
        """Return a withdrawal's row."""
        return await self.pool.fetchrow("select * from withdrawals where id = $1", withdrawal_id)

    async def statuses(self) -> dict[str, str]:
        """Return what each withdrawal is."""
        rows = await self.pool.fetch("select id, status from withdrawals order by seq")
        return {row["id"]: row["status"] for row in rows}

    async def cash(self, user: str) -> Any:
        """Return a user's cash."""
        return await self.pool.fetchval("select cash from wallets where user_id = $1", user)

    async def fill(self, amount: object = 1_000_000, chain: str = "arbitrum") -> None:
        """Set what a chain's hot wallet holds, and have the books know it."""
        self.chain.balances[chain] = D(str(amount))
        await self.dispatcher.step()


async def _as_it_is(_: object) -> None:
    """Leave a connection as it is, as the API's pool does."""


@asynccontextmanager
async def a_till(dsn: str, rules: WithdrawalRules = RULES) -> AsyncIterator[Till]:
    """Open books at ``dsn``, and withdrawals on them."""
    letters: list[Letter] = []

    async def dropped(_: EmailMessage) -> None:
        return

    async with a_desk(dsn) as desk, asyncpg.create_pool(dsn, min_size=1, max_size=4, reset=_as_it_is) as pool:
        now_ns = desk.clock.now_ns
        tokens = EmailTokens(pool, Keyring(b"k" * 32), now_ns, AccessRules())
        mailer = Mailer("books@example.org", dropped, letters.append)
        chain = SimulatedChain(arbitrum=D(0))
        yield Till(
            desk,
            pool,
            Withdrawals(pool, desk.process, now_ns, tokens, mailer, rules),
            letters,
            chain,
            Dispatcher(pool, desk.process, chain, rules),
        )
