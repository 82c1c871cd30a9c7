"""Withdrawals as rows, and which step may follow which: decisions are made elsewhere, and checked here."""

from collections import Counter
from dataclasses import dataclass, field

from live.ledger.batch import Batch
from live.ledger.inputs import (
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.rows import Moment
from live.ledger.rows_users import WithdrawalRow
from risk.errors import InvalidInput, StateConflict

Step = (
    WithdrawalConfirmed
    | WithdrawalApproved
    | WithdrawalRefused
    | WithdrawalQueued
    | WithdrawalSending
    | WithdrawalProcessed
)
# From which states a step can be taken.
FROM: dict[type, tuple[str, ...]] = {
    WithdrawalConfirmed: ("UNCONFIRMED",),
    WithdrawalApproved: ("REVIEW",),
    WithdrawalRefused: ("UNCONFIRMED", "REVIEW", "APPROVED", "QUEUED"),
    WithdrawalQueued: ("APPROVED",),
    WithdrawalSending: ("APPROVED", "QUEUED"),
    WithdrawalProcessed: ("SENDING",),
}
_STATUS = "withdrawal-status"
_BOOKS = "books"
_BETWEEN = ":"  # a role and an operator, a state and its time


@dataclass(slots=True)
class WithdrawalsState:
    """Hold the withdrawals on their way, by id."""

    open: dict[str, WithdrawalRow] = field(default_factory=dict)


class WithdrawalsProjection:
    """Check each step of a withdrawal, and write its row."""

    def __init__(self, state: WithdrawalsState) -> None:
        self.state = state

    def check(self, given: Step) -> None:
        """Raise InvalidInput, naming what is wrong, and StateConflict for a step that cannot be taken now."""
        row = self.state.open.get(given.withdrawal_id)
        if row is None:
            raise StateConflict(_STATUS, f"withdrawal {given.withdrawal_id!r} is not on its way")
        wanted = FROM[type(given)]
        if row.status not in wanted:
            detail = f"withdrawal {row.id} was {row.status}; it must be {' or '.join(wanted)}"
            raise StateConflict(_STATUS, detail)
        match given:
            case WithdrawalConfirmed():
                _check_confirmed(given)
            case WithdrawalApproved():
                _check_approved(row, given)
            case WithdrawalRefused() | WithdrawalQueued() if not given.reason:
                raise InvalidInput("reason was empty; tell why")
            case WithdrawalRefused() if not given.by:
                raise InvalidInput("by was empty; tell who refuses the withdrawal")
            case WithdrawalProcessed():
                _check_processed(given)

    def requested(self, batch: Batch, seq: int, given: WithdrawalRequested, refusal: str | None) -> None:
        """Add a withdrawal: its user has yet to confirm it, or it was refused at once."""
        now = Moment(given.ts)
        row = WithdrawalRow(
            given.withdrawal_id,
            given.user,
            given.chain,
            given.asset,
            given.amount,
            given.address,
            "UNCONFIRMED" if refusal is None else "REFUSED",
            None,
            None if refusal is None else now,
            given.fee,
            refusal,
            seq,
            now,
            seq,
            refused_by=None if refusal is None else _BOOKS,
        )
        self._keep(batch, row, now)

    def step(self, batch: Batch, seq: int, given: Step) -> WithdrawalRow:
        """Take a step that was checked; return the row after it."""
        row, now = self.state.open.pop(given.withdrawal_id), Moment(given.ts)
        match given:
            case WithdrawalConfirmed():
                row = _confirmed(row, given, now)
            case WithdrawalApproved():
                row = row._replace(
                    approvals_given=(*row.approvals_given, f"{given.role}{_BETWEEN}{given.operator_id}")
                )
                if len(row.approvals_given) == len(row.approvals_needed):
                    row = row._replace(status="APPROVED", approved_at=now)
            case WithdrawalRefused():
                row = _refused(row, given.by, given.reason, now)
            case WithdrawalQueued():
                row = row._replace(status="QUEUED", queued_at=now, reason=given.reason)
            case WithdrawalSending():
                row = row._replace(status="SENDING", sending_at=now, reason=None)
            case WithdrawalProcessed():
                row = _processed(row, given, now)
        return self._keep(batch, row._replace(updated_seq=seq), now)

    def _keep(self, batch: Batch, row: WithdrawalRow, now: Moment) -> WithdrawalRow:
        """Write a row, with its state if that is another than before."""
        if not row.passed or row.passed[-1].split(_BETWEEN, 1)[0] != row.status:
            row = row._replace(passed=(*row.passed, f"{row.status}{_BETWEEN}{now}"))
        if row.status not in ("SENT", "REFUSED"):
            self.state.open[row.id] = row
        batch.replace(row)
        return row


def _check_confirmed(given: WithdrawalConfirmed) -> None:
    if not given.tier:
        raise InvalidInput("tier was empty; name the withdrawal's tier")
    if bool(given.review_reasons) and not given.approvals_needed:
        raise InvalidInput("approvals_needed was empty; what is reviewed needs an approval")
    for role in given.approvals_needed:
        if not role or _BETWEEN in role:
            raise InvalidInput(f"approvals_needed had {role!r}; it must be names of roles")


def _check_approved(row: WithdrawalRow, given: WithdrawalApproved) -> None:
    """Raise unless the role is still needed and its operator has given no approval yet: four eyes are two people."""
    given_by = [each.split(_BETWEEN, 1) for each in row.approvals_given]
    missing = Counter(row.approvals_needed) - Counter(role for role, _ in given_by)
    if not given.operator_id:
        raise InvalidInput("operator_id was empty; tell who approves the withdrawal")
    if given.operator_id in (operator for _, operator in given_by):
        detail = (
            f"operator {given.operator_id} has approved withdrawal {row.id} already; it needs another one"
        )
        raise StateConflict("approved-already", detail)
    if not missing[given.role]:
        detail = (
            f"role was {given.role}; what withdrawal {row.id} still needs is {', '.join(sorted(missing))}"
        )
        raise StateConflict("role-not-needed", detail)


def _check_processed(given: WithdrawalProcessed) -> None:
    if given.sent and (not given.tx_hash or given.again):
        raise InvalidInput(f"tx_hash was {given.tx_hash!r}; what was sent has one, and is not sent again")
    if not given.sent and not given.reason:
        raise InvalidInput("reason was empty; tell why the withdrawal was not sent")


def _confirmed(row: WithdrawalRow, given: WithdrawalConfirmed, now: Moment) -> WithdrawalRow:
    reviewed = bool(given.approvals_needed)
    return row._replace(
        status="REVIEW" if reviewed else "APPROVED",
        tier=given.tier,
        approvals_needed=given.approvals_needed,
        review_reasons=given.review_reasons,
        confirmed_at=now,
        approved_at=None if reviewed else now,
    )


def _processed(row: WithdrawalRow, given: WithdrawalProcessed, now: Moment) -> WithdrawalRow:
    if given.sent:
        return row._replace(status="SENT", tx_hash=given.tx_hash, processed_at=now, reason=given.reason)
    if given.again:
        return row._replace(status="APPROVED", reason=given.reason)
    return _refused(row, _BOOKS, given.reason, now)._replace(tx_hash=given.tx_hash)


def _refused(row: WithdrawalRow, by: str, reason: str | None, now: Moment) -> WithdrawalRow:
    return row._replace(status="REFUSED", refused_by=by, reason=reason, processed_at=now)
