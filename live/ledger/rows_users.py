"""Users, and the money they bring and take out."""

from decimal import Decimal
from typing import NamedTuple

from live.ledger.rows import Moment


class UserRow(NamedTuple):
    id: str
    email: str | None
    wallet_address: str | None
    kyc_status: str
    seq: int
    created_at: Moment


class DepositRow(NamedTuple):
    id: str
    user_id: str
    chain: str
    asset: str
    amount: Decimal
    tx_hash: str
    status: str
    confirmations: int
    seq: int
    created_at: Moment
    updated_at: Moment
    reason: str | None


class WithdrawalRow(NamedTuple):
    id: str
    user_id: str
    chain: str
    asset: str
    amount: Decimal
    address: str
    status: str
    tx_hash: str | None
    processed_at: Moment | None
    fee: Decimal
    reason: str | None
    seq: int
    created_at: Moment
    updated_seq: int
    tier: str | None = None
    approvals_needed: tuple[str, ...] = ()
    approvals_given: tuple[str, ...] = ()
    review_reasons: tuple[str, ...] = ()
    confirmed_at: Moment | None = None
    approved_at: Moment | None = None
    queued_at: Moment | None = None
    sending_at: Moment | None = None
    refused_by: str | None = None
    passed: tuple[str, ...] = ()  # STATUS:ns of every state so far


class HotWalletRow(NamedTuple):
    id: str
    chain: str
    address: str
    balance: Decimal
    last_updated: Moment
    seq: int
