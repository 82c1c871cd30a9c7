"""What the platform is told beyond the core's own inputs: users, the chain's side of money, and its own checks.

They are journaled like every input; those that concern the core become one of its inputs as well.
"""

from decimal import Decimal
from functools import singledispatch

from live.ledger.book_options import BookOptions
from risk.inputs import DepositCredited, Input, WithdrawalEnded, WithdrawalSubmitted
from risk.record import record


@record
class BooksOpened:
    """The books began: with these symbols, settings and capital. The first input of every journal."""

    ts: int
    options: BookOptions


@record
class UserRegistered:
    """Someone became a user; ``email`` and ``wallet_address`` are unique where given."""

    ts: int
    user: str
    email: str | None = None
    wallet_address: str | None = None


@record
class KycChanged:
    """An operator moved a user's KYC status: NONE, PENDING, APPROVED or REJECTED."""

    ts: int
    user: str
    kyc_status: str
    operator_id: str


@record
class DepositArrived:
    """A user's deposit is final on its chain; ``deposit_id`` is the watcher's, one for each transfer."""

    ts: int
    deposit_id: str
    user: str
    amount: Decimal
    chain: str
    asset: str
    tx_hash: str
    confirmations: int


@record
class WithdrawalRequested:
    """A user asks for ``amount`` on an address; it leaves the balance at once, ``fee`` on top of it."""

    ts: int
    withdrawal_id: str
    user: str
    amount: Decimal
    chain: str
    asset: str
    address: str
    fee: Decimal = Decimal(0)


@record
class WithdrawalProcessed:
    """A withdrawal was sent in ``tx_hash``, or refused for ``reason``."""

    ts: int
    withdrawal_id: str
    sent: bool
    tx_hash: str | None = None
    reason: str | None = None


@record
class ReconciliationDone:
    """Two figures that must be equal were compared (rulebook §8); ``status`` is OK, ALERT or CRITICAL."""

    ts: int
    dimension: str
    expected: Decimal
    actual: Decimal
    deviation_rate: Decimal
    status: str


@record
class BooksReleased:
    """An operator lets the books take commands again after a critical reconciliation."""

    ts: int
    operator_id: str
    reason: str


@record
class CommandInvalid:
    """A command was answered that it can never be right; ``request`` is its digest in hex. It changes nothing."""

    ts: int
    request: str
    detail: str


ShellInput = (
    BooksOpened
    | UserRegistered
    | KycChanged
    | DepositArrived
    | WithdrawalRequested
    | WithdrawalProcessed
    | ReconciliationDone
    | BooksReleased
    | CommandInvalid
)
LedgerInput = Input | ShellInput


@singledispatch
def book_input(given: LedgerInput) -> Input | None:
    """Return what the core is told of an input; None where it is none of its business."""
    return given if isinstance(given, Input) else None


@book_input.register
def _(given: DepositArrived) -> Input:
    return DepositCredited(given.ts, given.user, given.amount, given.deposit_id)


@book_input.register
def _(given: WithdrawalRequested) -> Input:
    return WithdrawalSubmitted(given.ts, given.withdrawal_id, given.user, given.amount, given.fee)


@book_input.register
def _(given: WithdrawalProcessed) -> Input:
    return WithdrawalEnded(given.ts, given.withdrawal_id, given.sent)
