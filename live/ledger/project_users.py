"""Users, deposits and withdrawals as rows, and what of them can never be right."""

from dataclasses import dataclass, field

from live.ledger.batch import Batch
from live.ledger.inputs import (
    DepositArrived,
    KycChanged,
    UserRegistered,
    WithdrawalProcessed,
    WithdrawalRequested,
)
from live.ledger.rows import DepositRow, Moment, UserRow, WithdrawalRow
from risk.errors import InvalidInput

KYC_STATUSES = ("NONE", "PENDING", "APPROVED", "REJECTED")


@dataclass(slots=True)
class UsersState:
    """Hold users, what is taken of what must be unique, and withdrawals on their way."""

    users: dict[str, UserRow] = field(default_factory=dict)
    emails: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    deposits: set[str] = field(default_factory=set)
    withdrawals: dict[str, WithdrawalRow] = field(default_factory=dict)


class UsersProjection:
    """Check the shell's inputs about users and their money's way in and out, and write their rows."""

    def __init__(self, state: UsersState) -> None:
        self.state = state

    def known(self, user: str) -> None:
        """Raise InvalidInput for a user who has not registered."""
        if user not in self.state.users:
            raise InvalidInput(f"user was {user!r}; no such user is registered")

    def check_registered(self, given: UserRegistered) -> None:
        """Raise InvalidInput for a user, e-mail or wallet that is taken."""
        state = self.state
        if not given.user:
            raise InvalidInput("user was empty; name the user")
        for name, value, taken in (
            ("user", given.user, state.users),
            ("email", given.email, state.emails),
            ("wallet_address", given.wallet_address, state.addresses),
        ):
            if value is not None and value in taken:
                raise InvalidInput(f"{name} was {value!r}; it is taken")

    def check_kyc(self, given: KycChanged) -> None:
        """Raise InvalidInput for an unknown user or status."""
        self.known(given.user)
        if given.kyc_status not in KYC_STATUSES:
            raise InvalidInput(
                f"kyc_status was {given.kyc_status!r}; it must be one of {', '.join(KYC_STATUSES)}"
            )

    def check_deposit(self, given: DepositArrived) -> None:
        """Raise InvalidInput for an unknown user, or a deposit that was credited before."""
        self.known(given.user)
        if given.deposit_id in self.state.deposits:
            raise InvalidInput(f"deposit_id was {given.deposit_id!r}; that deposit has been credited")
        if not 0 <= given.confirmations < 2**31:
            raise InvalidInput(f"confirmations was {given.confirmations}; it must be 0 or more, below 2^31")

    def registered(self, batch: Batch, seq: int, given: UserRegistered) -> None:
        """Add a user."""
        state = self.state
        row = UserRow(given.user, given.email, given.wallet_address, "NONE", seq, Moment(given.ts))
        state.users[given.user] = row
        if given.email is not None:
            state.emails.add(given.email)
        if given.wallet_address is not None:
            state.addresses.add(given.wallet_address)
        batch.replace(row)

    def kyc_changed(self, batch: Batch, given: KycChanged) -> None:
        """Set a user's KYC status."""
        row = self.state.users[given.user]._replace(kyc_status=given.kyc_status)
        self.state.users[given.user] = row
        batch.replace(row)

    def deposited(self, batch: Batch, seq: int, given: DepositArrived) -> None:
        """Add a credited deposit."""
        self.state.deposits.add(given.deposit_id)
        now = Moment(given.ts)
        batch.replace(
            DepositRow(
                given.deposit_id,
                given.user,
                given.chain,
                given.asset,
                given.amount,
                given.tx_hash,
                "CREDITED",
                given.confirmations,
                seq,
                now,
                now,
            )
        )

    def withdrawal_requested(
        self, batch: Batch, seq: int, given: WithdrawalRequested, refusal: str | None
    ) -> None:
        """Add a withdrawal: pending, or refused at once."""
        now = Moment(given.ts)
        row = WithdrawalRow(
            given.withdrawal_id,
            given.user,
            given.chain,
            given.asset,
            given.amount,
            given.address,
            "PENDING" if refusal is None else "REFUSED",
            None,
            None if refusal is None else now,
            given.fee,
            refusal,
            seq,
            now,
        )
        if refusal is None:
            self.state.withdrawals[given.withdrawal_id] = row
        batch.replace(row)

    def withdrawal_processed(self, batch: Batch, given: WithdrawalProcessed) -> None:
        """End a pending withdrawal."""
        row = self.state.withdrawals.pop(given.withdrawal_id)
        batch.replace(
            row._replace(
                status="SENT" if given.sent else "REFUSED",
                tx_hash=given.tx_hash,
                processed_at=Moment(given.ts),
                reason=given.reason,
            )
        )
