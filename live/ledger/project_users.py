"""Users as rows, and what of them can never be right."""

from dataclasses import dataclass, field

from live.ledger.batch import Batch
from live.ledger.inputs import KycChanged, UserRegistered
from live.ledger.rows import Moment
from live.ledger.rows_users import UserRow
from risk.errors import AlreadySo, InvalidInput

KYC_STATUSES = ("NONE", "PENDING", "APPROVED", "REJECTED")


@dataclass(slots=True)
class UsersState:
    """Hold users, and what is taken of what must be unique."""

    users: dict[str, UserRow] = field(default_factory=dict)
    emails: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)


class UsersProjection:
    """Check the shell's inputs about users, and write their rows."""

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
        """Raise InvalidInput for an unknown user or status, and AlreadySo for the one the user has."""
        self.known(given.user)
        if given.kyc_status not in KYC_STATUSES:
            raise InvalidInput(
                f"kyc_status was {given.kyc_status!r}; it must be one of {', '.join(KYC_STATUSES)}"
            )
        if given.kyc_status == self.state.users[given.user].kyc_status:
            raise AlreadySo(f"kyc_status was {given.kyc_status}; the user has that status already")

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

    def kyc_changed(self, batch: Batch, given: KycChanged) -> str:
        """Set a user's KYC status; return the one before."""
        before = self.state.users[given.user]
        self.state.users[given.user] = row = before._replace(kyc_status=given.kyc_status)
        batch.replace(row)
        return before.kyc_status
