"""The port to the chains: what holds the keys, sends, and watches what arrives stands behind it."""

from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from risk.record import record


@record
class HotWallet:
    """Hold what one of our hot wallets has, in USDC; there is one for each chain."""

    chain: str
    address: str
    balance: Decimal


@record
class Transfer:
    """Ask for a payment; ``withdrawal_id`` is what makes it once."""

    withdrawal_id: str
    chain: str
    asset: str
    amount: Decimal
    address: str


class SendState(StrEnum):
    """Say how far a payment is. FAILED is for what surely never will be on the chain."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"


@record
class SendOutcome:
    """Tell of a payment: SENT has its ``tx_hash``; FAILED its ``reason``, and ``again`` if it may be tried again."""

    state: SendState
    tx_hash: str | None = None
    reason: str | None = None
    again: bool = False


@record
class ArrivedTransfer:
    """Tell of a transfer to a user's deposit address; ``dropped`` is why it is not on the chain any more, if so."""

    deposit_id: str
    user: str
    chain: str
    asset: str
    amount: Decimal
    tx_hash: str
    confirmations: int
    dropped: str | None = None


class Chain(Protocol):
    """Reach the chains. Whatever is raised means that the outcome is not known, and is asked for again."""

    async def hot_wallets(self) -> list[HotWallet]:
        """Return what each hot wallet holds now."""

    async def send(self, transfer: Transfer) -> None:
        """Take a payment to be sent. One of that id that is PENDING or SENT is never sent again."""

    async def find(self, withdrawal_id: str) -> SendOutcome | None:
        """Return how far a payment is; None if it was never taken."""

    async def arrived(self) -> list[ArrivedTransfer]:
        """Return the transfers to users that are not final yet, or became so lately."""
