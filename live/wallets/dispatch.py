"""Driving the chain port: approved withdrawals out, deposits in, hot wallets reported.

It keeps nothing: every step begins with what the books say, so it may be broken off anywhere. What stands SENDING
is looked up at the chain before it is sent, which makes a payment once.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from uuid import uuid4

import asyncpg

from live.books.bus import Bus
from live.books.commands import Command
from live.ledger.inputs import (
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalSending,
)
from live.wallets.chain import ArrivedTransfer, Chain, HotWallet, SendOutcome, SendState, Transfer
from live.wallets.policy import Tier
from live.wallets.rules import WithdrawalRules
from risk.errors import InvalidInput

_RANK = {tier: place for place, tier in enumerate(Tier)}
_OPEN = """select id, chain, asset, amount, address, status, tier from withdrawals
    where status = any($1) and status not in ('SENT', 'REFUSED') order by seq"""
# Blacklisted since it was judged: it stays where it is until an operator refuses it.
_HELD = """select id from withdrawals where status in ('APPROVED', 'QUEUED')
    and address in (select address from access.blacklist) and not 'BLACKLISTED' = any(review_reasons)"""
_SHORT = "the hot wallet is short"
_log = logging.getLogger(__name__)


class Dispatcher:
    """Take withdrawals and deposits one step further each time."""

    def __init__(self, pool: asyncpg.Pool, bus: Bus, chain: Chain, rules: WithdrawalRules) -> None:
        self._pool = pool
        self._bus = bus
        self._chain = chain
        self._rules = rules

    async def step(self) -> None:
        """Do what can be done now; whatever the chain or the books raise leaves the rest to the next step."""
        await self._take_deposits()
        await self._settle()
        wallets = await self._chain.hot_wallets()
        await self._report(wallets)
        await self._send_due(wallets)

    # -- withdrawals

    async def _settle(self) -> None:
        """Tell the books what became of each payment under way; hand over again what the chain never got."""
        for row in await self._open("SENDING"):
            outcome = await self._chain.find(row["id"])
            if outcome is None:
                await self._chain.send(_transfer(row))
            elif outcome.state is not SendState.PENDING:
                await self._processed(row, outcome)

    async def _processed(self, row: asyncpg.Record, outcome: SendOutcome) -> None:
        sent = outcome.state is SendState.SENT
        again = outcome.again and not sent
        given = WithdrawalProcessed(0, row["id"], sent, outcome.tx_hash, outcome.reason, again)
        await self._tell("processed", row, given)

    async def _send_due(self, wallets: Sequence[HotWallet]) -> None:
        """Send what the hot wallets can pay, smaller tiers first; what they cannot waits in the queue.

        While one of a tier waits, none of a larger tier of that chain is paid.
        """
        left = await self._left(wallets)
        held = {row["id"] for row in await self._pool.fetch(_HELD)}
        waits: dict[str, str] = {}
        for row in sorted(await self._open("APPROVED", "QUEUED"), key=lambda row: _RANK[row["tier"]]):
            if row["id"] in held:
                continue
            chain, tier = row["chain"], row["tier"]
            if row["amount"] <= left[chain] and waits.get(chain, tier) == tier:
                left[chain] -= row["amount"]
                if await self._tell("sending", row, WithdrawalSending(0, row["id"])):
                    await self._chain.send(_transfer(row))
                continue
            waits.setdefault(chain, tier)
            if row["status"] == "APPROVED":
                await self._tell("queued", row, WithdrawalQueued(0, row["id"], _SHORT))

    async def _left(self, wallets: Sequence[HotWallet]) -> dict[str, Decimal]:
        """Return what each chain's wallets have left when all that is under way is paid."""
        left: dict[str, Decimal] = defaultdict(Decimal)
        for wallet in wallets:
            left[wallet.chain] += wallet.balance
        for row in await self._open("SENDING"):
            left[row["chain"]] -= row["amount"]
        return left

    async def _open(self, *statuses: str) -> list[asyncpg.Record]:
        return list(await self._pool.fetch(_OPEN, list(statuses)))

    async def _tell(
        self,
        what: str,
        row: asyncpg.Record,
        given: WithdrawalProcessed | WithdrawalQueued | WithdrawalSending,
    ) -> bool:
        """Have a step of a withdrawal taken; tell whether it was.

        The books take each step once, whatever its key: one that they refused today they may take tomorrow.
        """
        answer = await self._bus.submit(Command(f"{what}:{row['id']}:{uuid4()}", given))
        if answer.status != "DONE":  # its user was quicker, or no money leaves now
            _log.info("withdrawal %s was not %s: %s", row["id"], what, answer.detail)
        return answer.status == "DONE"

    # -- hot wallets and deposits

    async def _report(self, wallets: Sequence[HotWallet]) -> None:
        rows = await self._pool.fetch("select chain, address, balance, seq from hot_wallets")
        known = {(row["chain"], row["address"]): row for row in rows}
        for wallet in wallets:
            row = known.get((wallet.chain, wallet.address))
            if row is not None and row["balance"] == wallet.balance:
                continue
            key = f"hot-wallet:{wallet.chain}:{wallet.address}:{row['seq'] if row else ''}:{wallet.balance}"
            given = HotWalletReported(0, wallet.chain, wallet.address, wallet.balance)
            await self._bus.submit(Command(key, given))

    async def _take_deposits(self) -> None:
        """Tell the books of transfers that came further; raises nothing for one that cannot be taken."""
        arrived = await self._chain.arrived()
        rows = await self._pool.fetch(
            "select id, status, confirmations from deposits where id = any($1)",
            [each.deposit_id for each in arrived],
        )
        known = {row["id"]: row for row in rows}
        for each in arrived:
            row = known.get(each.deposit_id)
            if row is None or row["status"] == "PENDING":
                await self._take(each, -1 if row is None else row["confirmations"])

    async def _take(self, each: ArrivedTransfer, known: int) -> None:
        try:
            final = each.confirmations >= self._rules.asset(each.chain, each.asset).confirmations
        except InvalidInput as error:
            _log.error("deposit %s cannot be taken: %s", each.deposit_id, error)
            return
        fields = (each.deposit_id, each.user, each.amount, each.chain, each.asset, each.tx_hash)
        given: DepositRejected | DepositArrived | DepositSeen
        if each.dropped is not None:
            if known < 0:
                return
            given = DepositRejected(0, each.deposit_id, each.dropped)
        elif final:
            given = DepositArrived(0, *fields, each.confirmations)
        elif each.confirmations > known:
            given = DepositSeen(0, *fields, each.confirmations)
        else:
            return
        key = f"deposit:{each.deposit_id}:{type(given).__name__}:{each.confirmations}"
        answer = await self._bus.submit(Command(key, given))
        if answer.status != "DONE":
            _log.error("deposit %s was not taken: %s", each.deposit_id, answer.detail)


def _transfer(row: asyncpg.Record) -> Transfer:
    return Transfer(row["id"], row["chain"], row["asset"], row["amount"], row["address"])
