"""The book's inside: all state, the event stream of the input in hand, and what every rule needs of both.

The rules themselves are functions over a ``Core``, one module per part of the rulebook; ``risk.book``
dispatches inputs to them.
"""

from dataclasses import replace
from decimal import Decimal

from risk.deviation import DeviationDay
from risk.errors import InvalidInput
from risk.events import Event, OrderRefused, Source
from risk.guards import ChannelGuard, DailyLossBreaker, PriceGuard, RangeGuard
from risk.hedger import Hedger
from risk.house_events import AlertLevel, AlertRaised, GuardChanged, VenueOrderRequested
from risk.inputs import HlAccount, OrderSubmitted
from risk.ledger import HL_HEDGE, HL_TRADING, ZERO, Ledger
from risk.market import SymbolSpec
from risk.scan import LiquidationIndex
from risk.settings import Settings
from risk.state import Order, Position, SymbolState, User, VenueOrder
from risk.triggers import PriceTriggers


class Core:
    """Hold the state that the rules read and change; nothing outside ``risk`` touches it."""

    def __init__(
        self, specs: dict[str, SymbolSpec], settings: Settings, *, ids_vouched_for: bool = False
    ) -> None:
        # An operator may change rows while we run: the caller's own table stays as it was.
        self.settings = replace(settings, routing=dict(settings.routing))
        self.risk = settings.risk
        self.now = 0
        self.trigger_ns = 0  # when what the input in hand tells was received: its marks, or the input itself
        self.events: list[Event] = []
        self.ledger = Ledger(self.events.append)
        self.symbols = {
            name: SymbolState(
                spec=specs[name],
                guard=PriceGuard(ZERO),
                range_guard=RangeGuard(),
                mode=settings.routing_of(name).routing_mode,
            )
            for name in sorted(specs)
        }
        self.users: dict[str, User] = {}
        self.positions: dict[int, Position] = {}
        self.orders: dict[str, Order] = {}
        self.venue_orders: dict[str, VenueOrder] = {}
        self.withdrawals: dict[str, tuple[str, Decimal, Decimal]] = {}  # user, amount, fee
        self.ids_vouched_for = ids_vouched_for  # the shell knows that ids are new: both sets stay empty
        self.seen_withdrawals: set[str] = set()
        self.seen_orders: set[str] = set()
        self.orders_taken = 0
        self.liquidation_retries: list[tuple[int, int]] = []  # heap of (time, position id)
        self.expiries: list[tuple[int, str]] = []  # heap of (time, order id)
        self.next_position_id = 1
        self.next_fill_id = 1
        self.next_cloid = 1
        self.narrowed: set[str] = set()  # symbols whose bands may be other than the shell was last told
        self.index = LiquidationIndex(self.narrowed)
        self.mark_triggers: PriceTriggers[str] = PriceTriggers(
            self.narrowed
        )  # take-profit and stop-loss, on mark
        self.ask_triggers: PriceTriggers[str] = PriceTriggers(self.narrowed)  # resting buys
        self.bid_triggers: PriceTriggers[str] = PriceTriggers(self.narrowed)  # resting sells
        self.account_index = LiquidationIndex(self.narrowed)  # our own HL accounts, by their next limit
        self.touched: set[str] = set()  # symbols whose positions must be looked at before the input ends
        self.stale_accounts: set[str] = set()  # cross accounts whose slack the scan has to be told anew
        self.marks_moved: set[str] = set()  # symbols whose valid mark the input in hand changed
        self.accounts_touched: set[HlAccount] = set()
        self.channel = ChannelGuard()
        self.breaker = DailyLossBreaker()
        self.deviation_day = DeviationDay()
        self.hedger = Hedger(settings.risk)
        self.hedge_requested = False
        self.total_exposure = ZERO  # Σ |net exposure|
        self.total_unrealised = ZERO  # users' INTERNAL
        self.loss_ration: float | None = None  # what a symbol may lose the house before it is looked at again
        self.unreachable_told = False
        self.reserve_level = "NORMAL"
        self.account_level: dict[HlAccount, str] = dict.fromkeys(HlAccount, "NORMAL")
        self.swept_hl_losses = ZERO  # users' net HL results already returned to custody
        self.user_hl_result = ZERO  # users' net HL PnL, fees and funding so far (+ they gained)
        self.position_differences: dict[tuple[HlAccount, str], str] = {}  # level, where books and HL disagree
        self.service_level = 0  # how far operators have degraded the service (§10)
        self.hl_halted = False  # one of our accounts was liquidated

    def symbol(self, name: str) -> SymbolState:
        """Return a symbol's state; raise InvalidInput for one that is not loaded."""
        state = self.symbols.get(name)
        if state is None:
            raise InvalidInput(f"symbol was {name!r}; it must be one of {', '.join(self.symbols)}")
        return state

    def user(self, name: str) -> User:
        """Return a user, new ones with nothing."""
        user = self.users.get(name)
        if user is None:
            if not name:
                raise InvalidInput("user was empty; name the user")
            user = self.users[name] = User.named(name)
        return user

    def emit(self, event: Event) -> None:
        """Record a fact or a request of the input in hand."""
        self.events.append(event)

    def alert(self, level: AlertLevel, code: str, symbol: str, value: Decimal, detail: str) -> None:
        """Tell the operators."""
        self.events.append(AlertRaised(self.now, level, code, symbol, value, detail))

    def refuse(self, command: OrderSubmitted, code: str, detail: str) -> None:
        """Record that an order (or its remainder) was not taken."""
        refusal = OrderRefused(command.order_id, self.now, command.user, command.symbol, code, detail)
        self.events.append(refusal)

    def refuse_act(self, ref: str, user: str, code: str, detail: str) -> None:
        """Record that what was asked for about a user, other than an order, was not done."""
        self.events.append(OrderRefused(ref, self.now, user, "", code, detail))

    def guard_changed(self, guard: str, symbol: str, state: str, value: Decimal) -> None:
        """Record that a guard of the house opened or closed."""
        self.events.append(GuardChanged(self.now, guard, symbol, state, value))

    def new_cloid(self, order_id: str) -> str:
        """Derive a client order id from our order id; the counter tells attempts apart."""
        cloid = f"{order_id}~{self.next_cloid}"
        self.next_cloid += 1
        return cloid

    def send(self, order: VenueOrder, limit_price: Decimal) -> None:
        """Ask the shell to send ``order`` and remember it until it has ended."""
        self.venue_orders[order.cloid] = order
        if order.user:
            self.users[order.user].in_flight[order.cloid] = order
        self.emit(
            VenueOrderRequested(
                order.cloid,
                self.now,
                order.account,
                order.symbol,
                order.side,
                order.size,
                limit_price,
                order.resting,
                order.order_id,
                order.mark,
            )
        )

    def track(self, position: Position, size: Decimal, cost: Decimal) -> None:
        """Add ``size`` and ``cost`` (negative on a close) of a position to its symbol's sums."""
        state = self.symbols[position.symbol]
        signed = position.side * size
        if position.source is Source.INTERNAL:
            state.net_size += signed
            state.net_cost += position.side * cost
            state.net_indexed += signed * position.funding_index
            state.house_size -= signed
            self.revalue(state)
            self.hedger.size_changed(position.symbol, self.now, abs(state.exposure), state.hedge_size)
        else:
            state.hl_size += signed
            state.hl_cost += position.side * cost
            state.hl_indexed += signed * position.funding_index
            self.accounts_touched.add(HlAccount.TRADING)
        if not position.isolated:
            self.users[position.user].add_to_leg(position, size, cost)
        self.touched.add(position.symbol)

    def revalue(self, state: SymbolState) -> None:
        """Bring a symbol's exposure and unrealised result, and the totals of both, to its mark."""
        exposure = state.net_size * state.mark
        self.total_exposure += abs(exposure) - abs(state.exposure)
        state.exposure, state.exposure_float = exposure, float(exposure)
        unrealised = exposure - state.net_cost
        self.total_unrealised += unrealised - state.unrealised
        state.unrealised = unrealised

    def venue_size(self, account: HlAccount, state: SymbolState) -> Decimal:
        """Return our signed position of a symbol on one of our accounts."""
        return state.hl_size if account is HlAccount.TRADING else state.hedge_size

    def account_equity(self, account: HlAccount) -> Decimal:
        """Value one of our HL accounts: −journal balance + unrealised at cost (hedges: at decision marks) (§8).

        On the trading account what users still owe in funding has already left at Hyperliquid.
        """
        journal = HL_HEDGE if account is HlAccount.HEDGE else HL_TRADING
        return self.account_unrealised(account) - self.ledger.balances[journal]

    def account_unrealised(self, account: HlAccount) -> Decimal:
        """Sum the unrealised results of one of our HL accounts, and what users owe in funding on the trading one."""
        total = ZERO
        if account is HlAccount.HEDGE:
            for s in self.symbols.values():
                if s.hedge_size:
                    total += s.mark * s.hedge_size - s.hedge_cost
            return total
        for s in self.symbols.values():
            if s.hl_size or s.hl_cost or s.hl_indexed:
                total += s.mark * s.hl_size - s.hl_cost - (s.funding_index * s.hl_size - s.hl_indexed)
        return total

    def account_maintenance(self, account: HlAccount) -> Decimal:
        """Sum the maintenance margin of one of our HL accounts (cross)."""
        total = ZERO
        for state, size in self.held_on(account):
            total += state.spec.tiers.maintenance(abs(size) * state.mark)
        return total

    def held_on(self, account: HlAccount) -> list[tuple[SymbolState, Decimal]]:
        """List the symbols with a position on one of our accounts, and its signed size."""
        if account is HlAccount.HEDGE:
            return [(s, s.hedge_size) for s in self.symbols.values() if s.hedge_size]
        return [(s, s.hl_size) for s in self.symbols.values() if s.hl_size]
