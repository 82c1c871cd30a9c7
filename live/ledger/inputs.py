"""What the platform is told beyond the core's own inputs: users, the chain's side of money, and its own checks.

They are journaled like every input; those that concern the core become one of its inputs as well.
"""

from decimal import Decimal
from functools import singledispatch

from live.ledger.book_options import BookOptions
from risk.inputs import Approval, DepositCredited, Input, WithdrawalEnded, WithdrawalSubmitted
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
    reason: str = ""


@record
class DepositSeen:
    """A user's deposit is on its chain, not final yet: told again each time it has more ``confirmations``."""

    ts: int
    deposit_id: str
    user: str
    amount: Decimal
    chain: str
    asset: str
    tx_hash: str
    confirmations: int


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
class DepositRejected:
    """A deposit that was seen will not be credited, for ``reason``: its chain dropped it, or it must not be taken."""

    ts: int
    deposit_id: str
    reason: str


@record
class WithdrawalRequested:
    """A user asks for ``amount`` on an address: UNCONFIRMED.

    It leaves the balance at once, ``fee`` on top of it. A refusal gives both back: nothing was done for the fee.
    """

    ts: int
    withdrawal_id: str
    user: str
    amount: Decimal
    chain: str
    asset: str
    address: str
    fee: Decimal = Decimal(0)


@record
class WithdrawalConfirmed:
    """Its user confirmed a withdrawal; the policy put it into ``tier``: APPROVED, or REVIEW for ``approvals_needed``.

    ``approvals_needed`` are roles, one for each operator who must approve, ``review_reasons`` why they must look.
    """

    ts: int
    withdrawal_id: str
    tier: str
    approvals_needed: tuple[str, ...] = ()
    review_reasons: tuple[str, ...] = ()


@record
class WithdrawalApproved:
    """An operator approved a withdrawal in REVIEW in one of the roles it needs; the last one makes it APPROVED."""

    ts: int
    withdrawal_id: str
    operator_id: str
    role: str
    reason: str = ""


@record
class WithdrawalRefused:
    """A withdrawal that is not being sent is over: REFUSED ``by`` an operator, its user, or the books (expired)."""

    ts: int
    withdrawal_id: str
    by: str
    reason: str


@record
class WithdrawalQueued:
    """An APPROVED withdrawal waits for its hot wallet: QUEUED."""

    ts: int
    withdrawal_id: str
    reason: str


@record
class WithdrawalSending:
    """An APPROVED or QUEUED withdrawal is handed to its chain: SENDING until its outcome is known."""

    ts: int
    withdrawal_id: str


@record
class WithdrawalProcessed:
    """A withdrawal being sent has its outcome: SENT in ``tx_hash``, or not, for ``reason``.

    One that was surely not sent is REFUSED, or APPROVED again where ``again`` is set.
    """

    ts: int
    withdrawal_id: str
    sent: bool
    tx_hash: str | None = None
    reason: str | None = None
    again: bool = False


@record
class HotWalletReported:
    """The chain says what a hot wallet of ours holds: ``balance`` in USDC."""

    ts: int
    chain: str
    address: str
    balance: Decimal


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
    approval: Approval | None = None


@record
class CommandInvalid:
    """A command was answered that it can never be right; ``request`` is its digest in hex. It changes nothing."""

    ts: int
    request: str
    detail: str


@record
class CommandRefused:
    """A command was answered that it is right, but not as things stand: ``code`` names why. It changes nothing."""

    ts: int
    request: str
    code: str
    detail: str


ShellInput = (
    BooksOpened
    | UserRegistered
    | KycChanged
    | DepositSeen
    | DepositArrived
    | DepositRejected
    | WithdrawalRequested
    | WithdrawalConfirmed
    | WithdrawalApproved
    | WithdrawalRefused
    | WithdrawalQueued
    | WithdrawalSending
    | WithdrawalProcessed
    | HotWalletReported
    | ReconciliationDone
    | BooksReleased
    | CommandInvalid
    | CommandRefused
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
def _(given: WithdrawalRefused) -> Input:
    return WithdrawalEnded(given.ts, given.withdrawal_id, sent=False)


@book_input.register
def _(given: WithdrawalProcessed) -> Input | None:
    return None if given.again else WithdrawalEnded(given.ts, given.withdrawal_id, given.sent)
