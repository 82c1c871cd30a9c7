"""The double-entry journal: every movement of money is one transaction between named accounts (rulebook §7).

Liabilities, capital and income are positive; assets (custody, the two HL accounts) are negative, so that
the sum of all balances is always zero.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

from risk.errors import InvariantBroken
from risk.events import Transferred
from risk.numbers import round_money
from risk.settings import RiskConfig

CUSTODY = "custody"
PLATFORM_CAPITAL = "platform_capital"
HL_CAPITAL = "hl_capital"
PLATFORM_PROFIT = "platform_profit"
RISK_RESERVE = "risk_reserve"
FEE_INCOME = "fee_income"
BUILDER_INCOME = "builder_income"
FUNDING_INCOME = "funding_income"
HL_TRADING = "hl_trading"
HL_HEDGE = "hl_hedge"
HEDGE_COST = "hedge_cost"
DEVIATION = "deviation"
BAD_DEBT = "bad_debt"
ROUNDING = "rounding"

HOUSE_ACCOUNTS = (
    CUSTODY,
    PLATFORM_CAPITAL,
    HL_CAPITAL,
    PLATFORM_PROFIT,
    RISK_RESERVE,
    FEE_INCOME,
    BUILDER_INCOME,
    FUNDING_INCOME,
    HL_TRADING,
    HL_HEDGE,
    HEDGE_COST,
    DEVIATION,
    BAD_DEBT,
    ROUNDING,
)
# What the house owns when everything is paid, before unrealised results (§7, "insolvent when").
EQUITY_ACCOUNTS = (
    PLATFORM_CAPITAL,
    HL_CAPITAL,
    PLATFORM_PROFIT,
    RISK_RESERVE,
    FEE_INCOME,
    BUILDER_INCOME,
    FUNDING_INCOME,
    HEDGE_COST,
    DEVIATION,
    ROUNDING,
)

ZERO = Decimal(0)
Entry = tuple[str, Decimal]


def user_cash(user: str) -> str:
    """Name the account of a user's free cash."""
    return f"user_cash:{user}"


def order_holds(user: str) -> str:
    """Name the account of what a user's waiting orders hold."""
    return f"order_holds:{user}"


def withdrawals_pending(user: str) -> str:
    """Name the account of a user's withdrawals on their way."""
    return f"withdrawals_pending:{user}"


def isolated_margin(position_id: int) -> str:
    """Name the account of an isolated position's margin."""
    return f"isolated_margin:{position_id}"


class Ledger:
    """Hold the balances and post transactions; each is told to ``emit`` as a ``Transferred`` event."""

    __slots__ = ("_emit", "balances", "seq", "turnover_bad_debt")

    def __init__(self, emit: Callable[[Transferred], None]) -> None:
        self._emit = emit
        self.balances: dict[str, Decimal] = dict.fromkeys(HOUSE_ACCOUNTS, ZERO)
        self.seq = 0
        self.turnover_bad_debt = ZERO

    def tell(self, emit: Callable[[Transferred], None]) -> None:
        """Tell every transaction from now on to ``emit``."""
        self._emit = emit

    def post(self, ts: int, kind: str, ref: str, entries: Iterable[Entry]) -> None:
        """Book one transaction; entries of the same account are merged, zero ones dropped.

        Raises InvariantBroken unless the entries sum to zero.
        """
        merged: dict[str, Decimal] = {}
        for account, amount in entries:
            if amount:
                held = merged.get(account)
                merged[account] = amount if held is None else held + amount
        if not merged:
            return
        if sum(merged.values()):
            raise InvariantBroken(f"transaction {kind} {ref} summed to {sum(merged.values())}: {merged}")
        self._book(ts, kind, ref, tuple(merged.items()))

    def _book(self, ts: int, kind: str, ref: str, entries: tuple[Entry, ...]) -> None:
        balances = self.balances
        for account, amount in entries:
            balances[account] = balances.get(account, ZERO) + amount
        self.seq += 1
        self._emit(Transferred(self.seq, ts, kind, ref, entries))

    def balance(self, account: str) -> Decimal:
        """Return an account's balance, zero when it was never used."""
        return self.balances.get(account, ZERO)

    def forget(self, account: str) -> None:
        """Drop the account of a closed position; it must be empty."""
        left = self.balances.pop(account, ZERO)
        if left:
            raise InvariantBroken(f"{account} was closed with {left} on it")

    def absorb(self, ts: int, ref: str, amount: Decimal, to: str) -> None:
        """Pay bad debt of ``amount`` USDC into ``to``: from the reserve, the rest from platform capital.

        The reserve never goes below zero; the bad-debt account nets to zero, its turnover is the report.
        """
        from_reserve = min(amount, max(self.balances[RISK_RESERVE], ZERO))
        self.turnover_bad_debt += amount
        self._book(
            ts,
            "bad_debt",
            ref,
            (
                (RISK_RESERVE, -from_reserve),
                (PLATFORM_CAPITAL, from_reserve - amount),
                (BAD_DEBT, amount),
                (BAD_DEBT, -amount),
                (to, amount),
            ),
        )

    def open_books(self, ts: int, risk: RiskConfig) -> None:
        """Book the starting capital (§7, "Opening")."""
        own = risk.platform_capital + risk.reserve_capital
        on_hl = risk.trading_account_capital + risk.hedge_account_capital
        self.post(
            ts,
            "opening",
            "capital",
            (
                (CUSTODY, -own),
                (PLATFORM_CAPITAL, risk.platform_capital),
                (RISK_RESERVE, risk.reserve_capital),
                (HL_TRADING, -risk.trading_account_capital),
                (HL_HEDGE, -risk.hedge_account_capital),
                (HL_CAPITAL, on_hl),
            ),
        )

    def house_equity(self) -> Decimal:
        """Sum the accounts that belong to the house (§7), without unrealised results."""
        return sum((self.balances[account] for account in EQUITY_ACCOUNTS), ZERO)

    def user_total(self) -> Decimal:
        """Sum every user's balances: what the house accounts do not hold, since all sums to zero."""
        return -sum((self.balances[account] for account in HOUSE_ACCOUNTS), ZERO)


def move(source: str, target: str, amount: Decimal) -> tuple[Entry, Entry]:
    """Return the two entries of ``source → target``."""
    return (source, -amount), (target, amount)


def loss_split(account: str, loss: Decimal, risk: RiskConfig) -> tuple[Entry, Entry, Entry]:
    """Return the entries of a client loss: the platform's share, and the rest to the reserve (§2)."""
    platform = round_money(loss * risk.platform_loss_share)
    return (account, -loss), (PLATFORM_PROFIT, platform), (RISK_RESERVE, loss - platform)
