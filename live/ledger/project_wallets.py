"""Deposits and hot wallets as rows, and what of them can never be right."""

from dataclasses import dataclass, field
from decimal import Decimal

from live.ledger.batch import Batch
from live.ledger.inputs import DepositArrived, DepositRejected, DepositSeen, HotWalletReported
from live.ledger.rows import Moment
from live.ledger.rows_users import DepositRow, HotWalletRow
from risk.checks import finite, money
from risk.errors import InvalidInput
from risk.numbers import round_money


@dataclass(slots=True)
class WalletsState:
    """Hold the ids of deposits that have ended, those on their way, and our hot wallets."""

    ended: set[str] = field(default_factory=set)
    deposits: dict[str, DepositRow] = field(default_factory=dict)
    hot: dict[str, HotWalletRow] = field(default_factory=dict)


class WalletsProjection:
    """Check what the chain says of deposits and hot wallets, and write their rows."""

    def __init__(self, state: WalletsState) -> None:
        self.state = state

    def check_deposit(self, given: DepositSeen | DepositArrived) -> None:
        """Raise InvalidInput for a deposit that has ended, is told of otherwise than before, or lost confirmations."""
        if given.deposit_id in self.state.ended:
            raise InvalidInput(
                f"deposit_id was {given.deposit_id!r}; that deposit has been credited or rejected"
            )
        money("amount", given.amount)
        if not 0 <= given.confirmations < 2**31:
            raise InvalidInput(f"confirmations was {given.confirmations}; it must be 0 or more, below 2^31")
        row = self.state.deposits.get(given.deposit_id)
        if row is None:
            return
        for name in ("chain", "asset", "amount", "tx_hash"):
            if getattr(given, name) != getattr(row, name):
                raise InvalidInput(
                    f"{name} was {getattr(given, name)!r}; it was {getattr(row, name)!r} before"
                )
        if given.user != row.user_id:
            raise InvalidInput(f"user was {given.user!r}; the deposit was {row.user_id!r}'s before")
        if given.confirmations < row.confirmations:
            raise InvalidInput(
                f"confirmations was {given.confirmations}; it must not be below the {row.confirmations} before"
            )

    def check_rejected(self, given: DepositRejected) -> None:
        """Raise InvalidInput unless the deposit is on its way and a reason is given."""
        if given.deposit_id not in self.state.deposits:
            raise InvalidInput(f"deposit_id was {given.deposit_id!r}; no such deposit is on its way")
        if not given.reason:
            raise InvalidInput("reason was empty; tell why the deposit is rejected")

    def check_hot_wallet(self, given: HotWalletReported) -> None:
        """Raise InvalidInput for a wallet without a name, or a balance that is no amount of USDC."""
        for name in ("chain", "address"):
            if not getattr(given, name):
                raise InvalidInput(f"{name} was empty; name the hot wallet")
        finite("balance", given.balance)
        if given.balance < 0 or given.balance != round_money(given.balance):
            raise InvalidInput(f"balance was {given.balance}; it must be 0 or more, with at most 6 decimals")

    def deposit(self, batch: Batch, seq: int, given: DepositSeen | DepositArrived) -> None:
        """Set a deposit: on its way, or credited."""
        state, now = self.state, Moment(given.ts)
        status = "CREDITED" if isinstance(given, DepositArrived) else "PENDING"
        row = state.deposits.pop(given.deposit_id, None)
        if row is None:
            row = DepositRow(
                given.deposit_id,
                given.user,
                given.chain,
                given.asset,
                given.amount,
                given.tx_hash,
                status,
                given.confirmations,
                seq,
                now,
                now,
                None,
            )
        else:
            row = row._replace(status=status, confirmations=given.confirmations, updated_at=now)
        self._keep(batch, row)

    def rejected(self, batch: Batch, given: DepositRejected) -> str:
        """End a deposit without crediting it; return its user."""
        row = self.state.deposits.pop(given.deposit_id)
        now = Moment(given.ts)
        self._keep(batch, row._replace(status="REJECTED", reason=given.reason, updated_at=now))
        return row.user_id

    def _keep(self, batch: Batch, row: DepositRow) -> None:
        if row.status == "PENDING":
            self.state.deposits[row.id] = row
        else:
            self.state.ended.add(row.id)
        batch.replace(row)

    def hot_wallet(self, batch: Batch, seq: int, given: HotWalletReported) -> Decimal | None:
        """Set what a hot wallet holds; return what it held before, None of one that is new."""
        name = f"{given.chain}:{given.address}"
        row = HotWalletRow(name, given.chain, given.address, given.balance, Moment(given.ts), seq)
        before = self.state.hot.get(name)
        self.state.hot[name] = row
        batch.replace(row)
        return None if before is None else before.balance
