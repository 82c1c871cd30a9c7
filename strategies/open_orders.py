"""Our live orders at one account's venue: what is not filled yet, and what the core is told of them."""

from collections.abc import Callable
from decimal import Decimal

from risk.house_events import VenueOrderRequested
from risk.inputs import Input, VenueFilled, VenueOrderEnded
from risk.numbers import round_money


class OpenOrders:
    """Turn what a venue says of an order into inputs, given to ``command``: each order ends exactly once."""

    def __init__(self, command: Callable[[Input], object]) -> None:
        self._command = command
        self._left: dict[str, Decimal] = {}  # size not yet filled, by cloid

    def sent(self, request: VenueOrderRequested) -> None:
        """Take an order on its way."""
        self._left[request.cloid] = request.size

    def is_live(self, cloid: str) -> bool:
        """Tell whether an order was sent and has not ended."""
        return cloid in self._left

    def filled(
        self, ts: int, cloid: str, price: Decimal, size: Decimal, commission: Decimal, *, maker: bool
    ) -> None:
        """Report a fill of ``size`` coins, and the end of the order when it was the last."""
        self._command(VenueFilled(ts, cloid, price, size, round_money(commission), maker))
        self._left[cloid] -= size
        if not self._left[cloid]:
            self.ended(ts, cloid)

    def ended(self, ts: int, cloid: str, *, refused: bool = False, reason: str = "") -> None:
        """Report that what was left of an order is gone; nothing follows when it had ended before."""
        if self._left.pop(cloid, None) is not None:
            self._command(VenueOrderEnded(ts, cloid, refused, reason))
