"""What the audit log is told of the shell's inputs: the act, who did it, and in which words."""

from enum import StrEnum

from live.ledger.inputs import (
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalSending,
)
from live.ledger.project_withdrawals import Step
from risk.inputs import Approval

BOOKS = "books"  # who acted where no operator did


class Act(StrEnum):
    """Name what the books themselves tell the audit log."""

    BOOKS_OPENED = "BOOKS_OPENED"
    KYC_CHANGED = "KYC_CHANGED"
    DEPOSIT_SEEN = "DEPOSIT_SEEN"
    DEPOSIT_CREDITED = "DEPOSIT_CREDITED"
    DEPOSIT_REJECTED = "DEPOSIT_REJECTED"
    WITHDRAWAL_REQUESTED = "WITHDRAWAL_REQUESTED"
    WITHDRAWAL_CONFIRMED = "WITHDRAWAL_CONFIRMED"
    WITHDRAWAL_APPROVED = "WITHDRAWAL_APPROVED"
    WITHDRAWAL_QUEUED = "WITHDRAWAL_QUEUED"
    WITHDRAWAL_SENDING = "WITHDRAWAL_SENDING"
    WITHDRAWAL_NOT_SENT = "WITHDRAWAL_NOT_SENT"
    WITHDRAWAL_SENT = "WITHDRAWAL_SENT"
    WITHDRAWAL_REFUSED = "WITHDRAWAL_REFUSED"
    HOT_WALLET_REPORTED = "HOT_WALLET_REPORTED"
    BALANCE_ADJUSTED = "BALANCE_ADJUSTED"
    BALANCE_NOT_ADJUSTED = "BALANCE_NOT_ADJUSTED"
    ROUTING_MODE_SET = "ROUTING_MODE_SET"
    SERVICE_LEVEL_SET = "SERVICE_LEVEL_SET"
    HL_HALT_LIFTED = "HL_HALT_LIFTED"
    ROUTING_CONFIG_CHANGED = "ROUTING_CONFIG_CHANGED"
    RISK_CONFIG_CHANGED = "RISK_CONFIG_CHANGED"
    HL_ACCOUNT_LIQUIDATED = "HL_ACCOUNT_LIQUIDATED"
    BOOKS_HALTED = "BOOKS_HALTED"
    BOOKS_RELEASED = "BOOKS_RELEASED"


def told(given: Step, user: str) -> tuple[str, Act, str]:
    """Return who took a step of a withdrawal, which, and what is to be told of it."""
    match given:
        case WithdrawalConfirmed():
            needed = f"; needs {', '.join(given.approvals_needed)}" if given.approvals_needed else ""
            reasons = f": {', '.join(given.review_reasons)}" if given.review_reasons else ""
            return user, Act.WITHDRAWAL_CONFIRMED, f"tier {given.tier}{needed}{reasons}"
        case WithdrawalApproved():
            return given.operator_id, Act.WITHDRAWAL_APPROVED, why(f"as {given.role}", given.reason)
        case WithdrawalRefused():
            return given.by, Act.WITHDRAWAL_REFUSED, given.reason
        case WithdrawalQueued():
            return BOOKS, Act.WITHDRAWAL_QUEUED, given.reason
        case WithdrawalSending():
            return BOOKS, Act.WITHDRAWAL_SENDING, "handed to its chain"
        case WithdrawalProcessed():
            if given.sent:
                return BOOKS, Act.WITHDRAWAL_SENT, given.tx_hash or ""
            return (
                BOOKS,
                Act.WITHDRAWAL_NOT_SENT if given.again else Act.WITHDRAWAL_REFUSED,
                given.reason or "",
            )


def why(what: str, reason: str) -> str:
    """Return what was done with the reason behind it, where one was given."""
    return f"{what}: {reason}" if reason else what


def approved(approval: Approval | None, detail: str) -> str:
    """Return ``detail`` behind who approved it: in front, where nothing stands that an operator writes."""
    if approval is None:
        return detail
    return f"proposal {approval.proposal}, approved by {approval.approver_id}: {detail}"
