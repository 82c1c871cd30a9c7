"""What the shell's inputs, and operators' ones, do besides what the core makes of them: checks, rows, audit log."""

from collections.abc import Callable, Sequence
from typing import Any

from live.ledger.acts import BOOKS, Act, approved, told, why
from live.ledger.batch import Batch
from live.ledger.hashing import plain
from live.ledger.inputs import (
    BooksOpened,
    BooksReleased,
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    KycChanged,
    LedgerInput,
    ReconciliationDone,
    UserRegistered,
    WithdrawalConfirmed,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.project_house import HouseProjection
from live.ledger.project_money import MoneyProjection
from live.ledger.project_trading import TradingProjection
from live.ledger.project_users import UsersProjection
from live.ledger.project_wallets import WalletsProjection
from live.ledger.project_withdrawals import Step, WithdrawalsProjection
from live.ledger.rows import AuditRow
from risk.book import Book
from risk.errors import AlreadySo, InvalidInput, StateConflict
from risk.events import Event, OrderRefused
from risk.house_events import AlertLevel, AlertRaised
from risk.inputs import (
    BalanceAdjusted,
    CancelSubmitted,
    ConfigChanged,
    HlHaltLifted,
    MarginAdjusted,
    OrderSubmitted,
    RoutingModeSet,
    ServiceLevelSet,
    VenueAccountLiquidated,
    VenueOrderEnded,
)
from risk.ledger import user_cash
from risk.service import CLOSED

STOPPED_BY_A_HALT = (OrderSubmitted, WithdrawalRequested, WithdrawalSending, MarginAdjusted)
_STOPPED_WHILE_CLOSED = (
    WithdrawalConfirmed,
    WithdrawalSending,
)  # the core refuses the rest of users' commands


class Shell:
    """Check inputs before they are taken, and write what follows of them alone, each sensitive one with its audit row.

    ``halted`` is what a critical reconciliation found wrong.
    """

    def __init__(
        self,
        book: Book,
        money: MoneyProjection,
        trading: TradingProjection,
        house: HouseProjection,
        users: UsersProjection,
        wallets: WalletsProjection,
        withdrawals: WithdrawalsProjection,
    ) -> None:
        self.halted: str | None = None
        self._mode_before = ""  # of the symbol whose mode is being set
        self._book = book
        self._money = money
        self._trading = trading
        self._house = house
        self._users = users
        self._wallets = wallets
        self._withdrawals = withdrawals

        def known(given: Any) -> None:
            users.known(given.user)

        self._checks: dict[type, Callable[[Any], None]] = {
            OrderSubmitted: known,
            CancelSubmitted: known,
            MarginAdjusted: known,
            WithdrawalRequested: known,
            BalanceAdjusted: known,
            UserRegistered: users.check_registered,
            KycChanged: users.check_kyc,
            DepositSeen: self._check_deposit,
            DepositArrived: self._check_deposit,
            DepositRejected: wallets.check_rejected,
            HotWalletReported: wallets.check_hot_wallet,
            **dict.fromkeys(Step.__args__, withdrawals.check),
            BooksOpened: _refuse_opened,
            ConfigChanged: _check_approval,
            BooksReleased: self._check_release,
        }
        self._before: dict[type, Callable[[Batch, int, Any], None]] = {
            OrderSubmitted: lambda _, seq, given: trading.orders.submitted(seq, given),
            VenueOrderEnded: self._venue_order_ended,
            RoutingModeSet: self._pin_set,
        }
        self._after: dict[type, Callable[[Batch, int, Any, Sequence[Event]], None]] = {
            BooksOpened: self._opened,
            UserRegistered: self._registered,
            KycChanged: self._kyc_changed,
            DepositSeen: self._deposit,
            DepositArrived: self._deposit,
            DepositRejected: self._deposit_rejected,
            WithdrawalRequested: self._withdrawal_requested,
            **dict.fromkeys(Step.__args__, self._withdrawal_step),
            HotWalletReported: self._hot_wallet,
            BalanceAdjusted: self._balance_adjusted,
            RoutingModeSet: self._routing_mode_set,
            ServiceLevelSet: self._service_level_set,
            HlHaltLifted: self._halt_lifted,
            ConfigChanged: self._config_changed,
            VenueAccountLiquidated: self._account_liquidated,
            ReconciliationDone: self._reconciled,
            BooksReleased: self._released,
        }

    def check(self, given: LedgerInput) -> None:
        """Raise InvalidInput for an input that can never be right, and StateConflict for one that is not taken now."""
        if self.halted is not None and isinstance(given, STOPPED_BY_A_HALT):
            raise StateConflict(
                "books-halted", f"the books are halted: {self.halted}; wait for an operator to release them"
            )
        level = self._book.service_level
        if level >= CLOSED and isinstance(given, _STOPPED_WHILE_CLOSED):
            raise StateConflict(
                "SERVICE_LEVEL",
                f"the service is degraded to level {level}; no money leaves until it is restored",
            )
        check = self._checks.get(type(given))
        if check is not None:
            check(given)

    def before(self, batch: Batch, seq: int, given: LedgerInput) -> None:
        """Write what stands before the rows of the core's events."""
        write = self._before.get(type(given))
        if write is not None:
            write(batch, seq, given)

    def after(self, batch: Batch, seq: int, given: LedgerInput, events: Sequence[Event]) -> None:
        """Write what follows them."""
        write = self._after.get(type(given))
        if write is not None:
            write(batch, seq, given, events)

    # -- users and their money

    def _check_deposit(self, given: DepositSeen | DepositArrived) -> None:
        self._users.known(given.user)
        self._wallets.check_deposit(given)

    def _registered(self, batch: Batch, seq: int, given: UserRegistered, _: Sequence[Event]) -> None:
        self._users.registered(batch, seq, given)
        self._money.registered(given.user)

    def _kyc_changed(self, batch: Batch, seq: int, given: KycChanged, _: Sequence[Event]) -> None:
        detail = why(f"{self._users.kyc_changed(batch, given)} to {given.kyc_status}", given.reason)
        _audit(batch, seq, given, given.operator_id, Act.KYC_CHANGED, given.user, detail)

    def _deposit(
        self, batch: Batch, seq: int, given: DepositSeen | DepositArrived, _: Sequence[Event]
    ) -> None:
        first = given.deposit_id not in self._wallets.state.deposits
        self._wallets.deposit(batch, seq, given)
        arrived = isinstance(given, DepositArrived)
        if arrived or first:
            act = Act.DEPOSIT_CREDITED if arrived else Act.DEPOSIT_SEEN
            detail = f"{given.deposit_id}: {given.amount} {given.asset} on {given.chain}"
            _audit(batch, seq, given, BOOKS, act, given.user, detail)

    def _deposit_rejected(self, batch: Batch, seq: int, given: DepositRejected, _: Sequence[Event]) -> None:
        user = self._wallets.rejected(batch, given)
        _audit(batch, seq, given, BOOKS, Act.DEPOSIT_REJECTED, user, f"{given.deposit_id}: {given.reason}")

    def _withdrawal_requested(
        self, batch: Batch, seq: int, given: WithdrawalRequested, events: Sequence[Event]
    ) -> None:
        refusal = _refusal(given.withdrawal_id, events)
        self._withdrawals.requested(batch, seq, given, refusal)
        detail = f"{given.withdrawal_id}: {given.amount} {given.asset} to {given.address}"
        _audit(batch, seq, given, given.user, Act.WITHDRAWAL_REQUESTED, given.user, detail)
        if refusal is not None:
            detail = f"{given.withdrawal_id}: {refusal}"
            _audit(batch, seq, given, BOOKS, Act.WITHDRAWAL_REFUSED, given.user, detail)

    def _withdrawal_step(self, batch: Batch, seq: int, given: Step, _: Sequence[Event]) -> None:
        row = self._withdrawals.step(batch, seq, given)
        actor, act, detail = told(given, row.user_id)
        _audit(batch, seq, given, actor, act, row.user_id, f"{row.id}: {detail}")

    def _hot_wallet(self, batch: Batch, seq: int, given: HotWalletReported, _: Sequence[Event]) -> None:
        before, floor = self._wallets.hot_wallet(batch, seq, given), self._book.settings.risk.hot_wallet_floor
        subject = f"{given.chain}:{given.address}"
        if before != given.balance:
            _audit(batch, seq, given, BOOKS, Act.HOT_WALLET_REPORTED, subject, str(given.balance))
        if given.balance < floor and (before is None or before >= floor):
            detail = f"{subject} holds {given.balance} USDC, less than {floor}"
            alert = AlertRaised(given.ts, AlertLevel.P0, "HOT_WALLET_LOW", "", given.balance, detail)
            self._house.alerted(batch, seq, alert)

    def _balance_adjusted(
        self, batch: Batch, seq: int, given: BalanceAdjusted, events: Sequence[Event]
    ) -> None:
        refusal = _refusal(given.adjustment_id, events)
        after = self._book.balance(user_cash(given.user))
        if refusal is None:
            act, change = Act.BALANCE_ADJUSTED, f"{plain(after - given.amount)} to {plain(after)}"
        else:
            act, change = Act.BALANCE_NOT_ADJUSTED, f"{plain(after)} stays, {refusal}"
        detail = why(f"{given.adjustment_id}: {plain(given.amount)}, cash {change}", given.reason)
        _audit(batch, seq, given, given.operator_id, act, given.user, approved(given.approval, detail))

    # -- the house

    def _opened(self, batch: Batch, seq: int, given: BooksOpened, _: Sequence[Event]) -> None:
        for symbol, row in sorted(given.options.routing.items()):
            self._house.routing_set(batch, given.ts, symbol, row, BOOKS)
        self._house.risk_set(batch, given.ts, given.options.risk, BOOKS)
        self._house.modes_opened(batch, given.ts, BOOKS)
        _audit(batch, seq, given, BOOKS, Act.BOOKS_OPENED, "books", "")

    def _venue_order_ended(self, batch: Batch, seq: int, given: VenueOrderEnded) -> None:
        self._trading.orders.touch(self._house.venue_order_ended(batch, given.ts, given.cloid))

    def _pin_set(self, batch: Batch, seq: int, given: RoutingModeSet) -> None:
        self._mode_before = self._house.mode_told(given.symbol)
        self._house.pin_set(batch, seq, given)

    def _routing_mode_set(self, batch: Batch, seq: int, given: RoutingModeSet, _: Sequence[Event]) -> None:
        detail = why(f"{self._mode_before} to {self._house.mode_told(given.symbol)}", given.reason)
        _audit(batch, seq, given, given.operator_id, Act.ROUTING_MODE_SET, given.symbol, detail)

    def _service_level_set(self, batch: Batch, seq: int, given: ServiceLevelSet, _: Sequence[Event]) -> None:
        before = self._house.service_level_set(batch, seq, given)
        detail = f"{before} to {given.level}: {given.reason}"
        _audit(batch, seq, given, given.operator_id, Act.SERVICE_LEVEL_SET, "service", detail)

    def _halt_lifted(self, batch: Batch, seq: int, given: HlHaltLifted, _: Sequence[Event]) -> None:
        detail = why("halted to open", given.reason)
        _audit(batch, seq, given, given.operator_id, Act.HL_HALT_LIFTED, given.symbol, detail)

    def _config_changed(self, batch: Batch, seq: int, given: ConfigChanged, _: Sequence[Event]) -> None:
        operator = given.operator_id
        if given.routing is not None and given.symbol is not None:
            changes = self._house.routing_set(batch, given.ts, given.symbol, given.routing, operator)
            detail = approved(given.approval, why(changes, given.reason))
            _audit(batch, seq, given, operator, Act.ROUTING_CONFIG_CHANGED, given.symbol, detail)
        if given.risk is not None:
            changes = self._house.risk_set(batch, given.ts, given.risk, operator)
            detail = approved(given.approval, why(changes, given.reason))
            _audit(batch, seq, given, operator, Act.RISK_CONFIG_CHANGED, "risk_config", detail)

    def _account_liquidated(
        self, batch: Batch, seq: int, given: VenueAccountLiquidated, _: Sequence[Event]
    ) -> None:
        _audit(batch, seq, given, BOOKS, Act.HL_ACCOUNT_LIQUIDATED, given.account, "")

    def _reconciled(self, batch: Batch, seq: int, given: ReconciliationDone, _: Sequence[Event]) -> None:
        self._house.reconciled(batch, seq, given)
        if given.status == "CRITICAL":
            self.halted = f"{given.dimension} was {given.actual}, not {given.expected}"
            _audit(batch, seq, given, BOOKS, Act.BOOKS_HALTED, given.dimension, self.halted)

    def _check_release(self, given: BooksReleased) -> None:
        _check_approval(given)
        if self.halted is None:
            raise AlreadySo("the books are not halted")

    def _released(self, batch: Batch, seq: int, given: BooksReleased, _: Sequence[Event]) -> None:
        was_halted, self.halted = self.halted, None
        detail = approved(given.approval, why(f"halted ({was_halted}) to open", given.reason))
        _audit(batch, seq, given, given.operator_id, Act.BOOKS_RELEASED, "books", detail)


def _refuse_opened(_: BooksOpened) -> None:
    raise InvalidInput("the books are open already")


def _check_approval(given: ConfigChanged | BooksReleased) -> None:
    approval = given.approval
    if approval is not None and approval.approver_id in ("", given.operator_id):
        raise InvalidInput(f"approver_id was {approval.approver_id!r}; another operator must approve")


def _refusal(ref: str, events: Sequence[Event]) -> str | None:
    """Return the code with which the core refused what ``ref`` names; None where it did not."""
    return next((e.code for e in events if isinstance(e, OrderRefused) and e.order_id == ref), None)


def _audit(
    batch: Batch, seq: int, given: LedgerInput, actor: str, act: Act, subject: str, detail: str
) -> None:
    batch.audit.append(AuditRow(actor, act, subject, detail, seq, given.ts))
