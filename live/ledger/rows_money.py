"""What the journal says of money: transfers, the house's accounts, users' wallets and their changes."""

from decimal import Decimal
from typing import NamedTuple


class JournalRow(NamedTuple):
    id: int
    kind: str
    ref_id: str
    accounts: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    seq: int
    ts: int


class HouseAccountRow(NamedTuple):
    account: str
    balance: Decimal


class WalletRow(NamedTuple):
    user_id: str
    total_balance: Decimal
    available_balance: Decimal
    frozen_margin: Decimal
    cash: Decimal
    order_holds: Decimal
    isolated_margin: Decimal
    withdrawals_pending: Decimal
    updated_seq: int


class BalanceLogRow(NamedTuple):
    id: int
    user_id: str
    type: str
    amount: Decimal
    before: Decimal
    after: Decimal
    ref_id: str
    journal_id: int
    seq: int
    ts: int
