"""Which cross accounts are in liquidation, by rulebook §4 alone.

A liquidation begins when the account is under water and none of its closes is in flight at Hyperliquid, whether or
not anything can be sent. It goes on while a close is in flight or waits to be sent again, and ends with those when the
account is above its maintenance.
"""

from decimal import Decimal

from risk.events import OrderFilled, Source
from risk.house_events import VenueOrderRequested
from risk.inputs import HlAccount, OrderSubmitted, OrderType
from risk.settings import RiskConfig
from tests.risk.oracle_holdings import ZERO, Account, Holding, Margins, unrealised

LIQUIDATION = "liquidation:"


class NaiveLiquidations:
    """Follow what is in flight or waits; look at every account after each input."""

    def __init__(
        self, risk: RiskConfig, margins: Margins, users: dict[str, Account], holdings: dict[int, Holding]
    ) -> None:
        self.risk = risk
        self.margins = margins
        self.users = users
        self.holdings = holdings
        self.marks: dict[str, Decimal] = {}
        self.connected = True
        self.commands: dict[str, OrderSubmitted] = {}
        self.in_flight: dict[str, dict[int, Decimal]] = {}  # what each order may still close, by position
        self.waiting: dict[int, int] = {}  # position → when its close is sent again
        self.left_open: int | None = None  # by a liquidation that the input in hand ended

    def crosses(self, user: str) -> dict[int, Holding]:
        """Return a user's cross positions by their ids."""
        return {i: h for i, h in self.holdings.items() if h.user == user and not h.isolated}

    def under_water(self, user: str) -> bool:
        """Tell whether a user's cross account is at or under its maintenance."""
        crosses = self.crosses(user)
        wallet = self.users[user].wallet
        return bool(crosses) and self.margins.cross_under_water(wallet, crosses.values(), self.marks)

    def sent(self, order: VenueOrderRequested) -> None:
        """Note which positions an order at Hyperliquid is to close, oldest first."""
        if order.account is HlAccount.HEDGE:
            return
        if order.order_id.startswith(LIQUIDATION):
            position_id = int(order.order_id.removeprefix(LIQUIDATION))
            self.begun(position_id)
            self.in_flight[order.cloid] = {position_id: order.size}
            return
        command = self.commands.get(order.order_id)
        if command is None or not _closes(command):
            return
        left, parts = order.size, {}
        for position_id, h in sorted(self.holdings.items()):
            against = (h.user, h.symbol, -h.side) == (command.user, command.symbol, command.side)
            if against and h.source is Source.HYPERLIQUID and command.position_id in (None, position_id):
                parts[position_id] = min(left, h.size - self._closing(position_id))
                left -= parts[position_id]
        self.in_flight[order.cloid] = parts

    def filled(self, cloid: str, fill: OrderFilled) -> None:
        """Take a fill of a close off what is in flight."""
        self.in_flight[cloid][fill.position_id] -= fill.size

    def order_ended(self, order: VenueOrderRequested) -> None:
        """Forget an order; what a liquidation left open is remembered until the input is done."""
        for position_id, left in self.in_flight.pop(order.cloid, {}).items():
            if left and order.order_id.startswith(LIQUIDATION):
                self.left_open = position_id

    def begun(self, position_id: int) -> None:
        """Take note of a liquidation's close; it must be of an account under water, and of its largest loss."""
        holding = self.holdings[position_id]
        if holding.isolated:
            return
        assert self.under_water(holding.user), f"{holding.user} is above maintenance"
        if not self._busy(holding.user) and self.left_open != position_id:
            assert position_id == self._worst(holding.user)
        self._begin(self.users[holding.user])

    def look(self) -> None:
        """Begin what the input in hand made due, before anything else follows from it."""
        for user in self.users:
            if self.under_water(user) and not self._busy(user):
                self._begin(self.users[user])

    def settle(self, now: int) -> None:
        """Look after an input at what it left: an account still under water waits for Hyperliquid."""
        self.waiting = {i: due for i, due in self.waiting.items() if due > now and i in self.holdings}
        for user, account in self.users.items():
            if self._busy(user):
                continue
            if not self.under_water(user):
                account.liquidating = False
                continue
            self._begin(account)
            again = self.left_open in self.crosses(user)
            position_id = self.left_open if again else self._worst(user)
            assert self.holdings[position_id].source is Source.HYPERLIQUID, f"{position_id} was left open"
            assert again or not self.connected, f"{position_id} was not sent"
            self.waiting[position_id] = now + self.risk.liquidation_retry_ns
        self.left_open = None

    def _begin(self, account: Account) -> None:
        if not account.liquidating:
            account.liquidating = True
            account.losses.clear()

    def _busy(self, user: str) -> bool:
        return any(i in self.waiting or self._closing(i) for i in self.crosses(user))

    def _closing(self, position_id: int) -> Decimal:
        return sum((parts.get(position_id, ZERO) for parts in self.in_flight.values()), ZERO)

    def _worst(self, user: str) -> int:
        crosses = self.crosses(user)
        return min(crosses, key=lambda i: (unrealised(crosses[i], self.marks), i))


def _closes(command: OrderSubmitted) -> bool:
    waits = command.type in (OrderType.TAKE_PROFIT, OrderType.STOP_LOSS)
    return command.netted or command.reduce_only or command.position_id is not None or waits
