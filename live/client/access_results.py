"""What the server tells of accounts, API keys, deposits and withdrawals."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """Say who one is, and what opens the account."""

    user: str
    email: str | None
    wallet_address: str | None
    has_password: bool
    has_totp: bool
    kyc_status: str
    role: str | None
    created_at: datetime


class Registered(msgspec.Struct, frozen=True):
    """Name a new account."""

    user: str
    email: str


class TotpSecret(msgspec.Struct, frozen=True):
    """Hold what the authenticator is told; shown once."""

    secret: str
    uri: str


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Hold recovery codes, shown once; each works once."""

    codes: tuple[str, ...]


class SessionInfo(msgspec.Struct, frozen=True):
    """Be one open session; ``unusual``: it began in a place that was new for the account."""

    id: str
    current: bool
    method: Literal["PASSWORD", "WALLET"]
    ip: str
    user_agent: str
    unusual: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class ApiKey(msgspec.Struct, frozen=True):
    """Be one API key; the secret before the latest works until ``previous_until_at``."""

    id: str
    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_at: datetime
    previous_until_at: datetime | None


class NewApiKey(ApiKey, frozen=True):
    """Be a key with its secret, shown once."""

    secret: str


class Chain(msgspec.Struct, frozen=True):
    """Say what one withdrawal of an asset may be, what it costs, and when a deposit is final."""

    chain: str
    asset: str
    minimum: Decimal
    maximum: Decimal
    fee: Decimal
    confirmations: int


class Address(msgspec.Struct, frozen=True):
    """Be an address of the book; withdrawals may go there from ``usable_at`` on."""

    address_id: int
    chain: str
    address: str
    label: str
    created_at: datetime
    usable_at: datetime


class Deposit(msgspec.Struct, frozen=True):
    """Be a deposit as it stands; its money counts from CREDITED on."""

    deposit_id: str
    chain: str
    asset: str
    amount: Decimal
    tx_hash: str
    status: Literal["PENDING", "CREDITED", "REJECTED"]
    confirmations: int
    reason: str | None
    created_at: datetime
    updated_at: datetime


class WithdrawalState(msgspec.Struct, frozen=True):
    """Say since when a withdrawal was in a state."""

    status: str
    at: datetime


class Withdrawal(msgspec.Struct, frozen=True):
    """Be a withdrawal as it stands; a REFUSED one, and its fee, is back in the balance.

    ``states`` are those it went through; a list of withdrawals leaves them out.
    """

    withdrawal_id: str
    chain: str
    asset: str
    amount: Decimal
    fee: Decimal
    address: str
    status: Literal["UNCONFIRMED", "REVIEW", "APPROVED", "QUEUED", "SENDING", "SENT", "REFUSED"]
    reason: str | None
    tx_hash: str | None
    created_at: datetime
    processed_at: datetime | None
    seq: int
    states: tuple[WithdrawalState, ...] = ()


class TestFunds(msgspec.Struct, frozen=True):
    """Say what the faucet gave."""

    amount: Decimal
    asset: str
    chain: str
    deposit_id: str
