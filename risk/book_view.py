"""What a shell may ask of a book between two inputs: read here, changed only by ``Book.handle``."""

from collections.abc import Container
from decimal import Decimal

from risk import house
from risk.core import Core
from risk.digest import state_digest
from risk.inputs import HlAccount
from risk.market import SymbolSpec, SymbolView
from risk.settings import RoutingMode, Settings
from risk.state import Position


class BookView:
    """Tell what stands in a book; what is returned is to be read, never changed."""

    _core: Core

    @property
    def balances(self) -> dict[str, Decimal]:
        """Return a copy of all balances by account name (§7)."""
        return dict(self._core.ledger.balances)

    @property
    def positions(self) -> dict[int, Position]:
        """Return the open positions by id; to be read, never changed."""
        return self._core.positions

    def symbols_of(self, name: str) -> Container[str]:
        """Return the symbols in which a user has, or has had, positions."""
        user = self._core.users.get(name)
        return () if user is None else user.by_symbol.keys()

    def venue_position(self, account: HlAccount, symbol: str) -> Decimal:
        """Return the signed size the book expects on one of our HL accounts."""
        return self._core.venue_size(account, self._core.symbol(symbol))

    def balance(self, account: str) -> Decimal:
        """Return one account's balance (§7)."""
        return self._core.ledger.balance(account)

    def hedge(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Return the signed size and cost, at decision marks, of our hedge of ``symbol``."""
        state = self._core.symbol(symbol)
        return state.hedge_size, state.hedge_cost

    def mode(self, symbol: str) -> tuple[RoutingMode, bool, Decimal]:
        """Return a symbol's routing mode, whether an operator has pinned it, and its signed net exposure."""
        state = self._core.symbol(symbol)
        return state.mode, state.pinned, state.exposure

    @property
    def service_level(self) -> int:
        """Return how far the service is degraded, 0 where it is not (§10)."""
        return self._core.service_level

    def is_working(self, user: str, order_id: str) -> bool:
        """Tell whether something of a user's order still waits, here or at Hyperliquid."""
        sent = self._core.users[user].in_flight.values()
        return order_id in self._core.orders or any(each.command_id == order_id for each in sent)

    @property
    def specs(self) -> dict[str, SymbolSpec]:
        """Return the symbols the book trades."""
        return {name: state.spec for name, state in self._core.symbols.items()}

    @property
    def settings(self) -> Settings:
        """Return the settings in force."""
        return self._core.settings

    def views(self) -> list[SymbolView]:
        """Return the last valid view of every symbol that has one."""
        return [state.view for state in self._core.symbols.values() if state.view is not None]

    def open_exposure(self) -> bool:
        """Tell whether anything is still in flight at Hyperliquid."""
        return bool(self._core.venue_orders)

    def solvency(self) -> Decimal:
        """Return what would be left to the house if everything were closed at mark (§7)."""
        return house.solvency(self._core)

    def users_open(self) -> Decimal:
        """Return what users' positions would gain at mark, funding not yet settled included."""
        return house.users_open(self._core)

    def marks(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return each symbol's last valid mark and its funding index."""
        return {name: (state.mark, state.funding_index) for name, state in self._core.symbols.items()}

    @property
    def transactions(self) -> int:
        """Return how many transactions the journal has: the id of the last."""
        return self._core.ledger.seq

    def digest(self) -> str:
        """Return the hash of the whole state: equal books have equal digests, on any machine."""
        return state_digest(self._core)
