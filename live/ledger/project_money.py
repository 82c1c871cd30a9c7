"""What happened to money, as rows: the journal, balance logs, wallets, the house's accounts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from live.ledger.batch import Batch
from live.ledger.rows_money import BalanceLogRow, HouseAccountRow, JournalRow, WalletRow
from risk.events import Event, PositionOpened, Transferred
from risk.ledger import ZERO, order_holds, user_cash, withdrawals_pending

_OF_POSITION = "isolated_margin"
_OUTSIDE_TOTAL = "withdrawals_pending"


@dataclass(slots=True)
class MoneyState:
    """Hold what the rows of money depend on besides the book.

    ``owners`` are the users of open positions, ``margins`` a user's Σ isolated margin, ``totals`` their
    total_balance, ``initials`` each cross position's initial margin at cost, ``frozen`` their sum by user and
    ``updated`` the last input that changed a user's wallet.
    """

    owners: dict[int, str] = field(default_factory=dict)
    margins: dict[str, Decimal] = field(default_factory=dict)
    totals: dict[str, Decimal] = field(default_factory=dict)
    initials: dict[int, Decimal] = field(default_factory=dict)
    frozen: dict[str, Decimal] = field(default_factory=dict)
    updated: dict[str, int] = field(default_factory=dict)
    balance_logs: int = 0


class MoneyProjection:
    """Turn transfers into rows of ``batch``; ``balance`` tells an account's balance after the input in hand."""

    def __init__(self, state: MoneyState, balance: Callable[[str], Decimal]) -> None:
        self.state = state
        self._balance = balance
        self._accounts: set[str] = set()
        self._users: set[str] = set()

    def begin(self, events: Iterable[Event]) -> None:
        """Learn whose the positions opened by this input are: their margin moves before they are told of."""
        for event in events:
            if type(event) is PositionOpened:
                self.state.owners[event.position_id] = event.user

    def transferred(self, batch: Batch, seq: int, event: Transferred) -> None:
        """Add a transaction, and a balance log for each user whose total balance it changed."""
        state = self.state
        accounts, amounts = zip(*event.entries, strict=True)
        batch.append(JournalRow(event.seq, event.kind, event.ref, accounts, amounts, seq, event.ts))
        changes: dict[str, Decimal] = {}
        for account, amount in event.entries:
            kind, _, name = account.partition(":")
            if not name:
                self._accounts.add(account)
                continue
            if kind == _OF_POSITION:
                name = state.owners[int(name)]
                state.margins[name] = state.margins.get(name, ZERO) + amount
            self._users.add(name)
            if kind != _OUTSIDE_TOTAL:
                changes[name] = changes[name] + amount if name in changes else amount
        for user, amount in changes.items():
            if amount:
                before = state.totals.get(user, ZERO)
                state.totals[user] = after = before + amount
                state.balance_logs += 1
                batch.append(
                    BalanceLogRow(
                        state.balance_logs,
                        user,
                        event.kind,
                        amount,
                        before,
                        after,
                        event.ref,
                        event.seq,
                        seq,
                        event.ts,
                    )
                )

    def cross_changed(self, position_id: int, user: str, initial: Decimal) -> None:
        """Take a cross position's initial margin at cost, zero once it is closed."""
        state = self.state
        change = initial - state.initials.get(position_id, ZERO)
        if initial:
            state.initials[position_id] = initial
        else:
            state.initials.pop(position_id, None)
        state.frozen[user] = state.frozen.get(user, ZERO) + change
        self._users.add(user)

    def closed(self, position_id: int) -> None:
        """Forget a position that is gone."""
        self.state.owners.pop(position_id, None)

    def registered(self, user: str) -> None:
        """Give a new user a wallet."""
        self._users.add(user)

    def finish(self, batch: Batch, seq: int) -> None:
        """Set the rows of every account and wallet that the input touched."""
        for account in self._accounts:
            batch.replace(HouseAccountRow(account, self._balance(account)))
        for user in self._users:
            self.state.updated[user] = seq
            batch.replace(self.wallet(user))
        self._accounts.clear()
        self._users.clear()

    def wallet(self, user: str) -> WalletRow:
        """Return a user's wallet as it stands."""
        state, balance = self.state, self._balance
        cash, margin, total = (
            balance(user_cash(user)),
            state.margins.get(user, ZERO),
            state.totals.get(user, ZERO),
        )
        available = cash - state.frozen.get(user, ZERO)
        return WalletRow(
            user,
            total,
            available,
            total - available,
            cash,
            balance(order_holds(user)),
            margin,
            balance(withdrawals_pending(user)),
            state.updated[user],
        )
