"""What one client of the load harness asks for: every kind of command, some of them wrong, drawn by a seed."""

import random
from collections.abc import Callable
from decimal import Decimal

from live.books.commands import Answer, Asked
from live.ledger.inputs import (
    DepositArrived,
    KycChanged,
    UserRegistered,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from risk.inputs import CancelSubmitted, MarginAdjusted, MarginMode, OrderSubmitted, OrderType
from tests.risk.book_builder import MARKS, SPECS

_USERS = 4  # of each client
_NOTIONALS = (100, 1_000, 3_000, 20_000)  # the last goes to the venue
_LEVERAGE = {"BTC": 40, "ETH": 25, "COIN": 5}
_MOST_OPEN = 40


class Traffic:
    """Draw one client's commands, from what its earlier ones were answered."""

    def __init__(self, client: str, rng: random.Random) -> None:
        self._client = client
        self._rng = rng
        self._users = [f"{client}-u{number}" for number in range(_USERS)]
        self._opening = [kind for user in self._users for kind in self._welcome(user)]
        self._positions: list[tuple[str, str, int]] = []  # user, symbol, position
        self._resting: list[tuple[str, str]] = []  # user, order
        self._steps: list[Asked] = []  # that withdrawals can take next
        self._deposits = 0
        self._kinds: list[tuple[Callable[[], Asked | None], int]] = [
            (self._open, 50),
            (self._close, 28),
            (self._limit, 6),
            (self._cancel, 4),
            (self._deposit, 5),
            (self._withdraw, 2),
            (self._step, 6),
            (self._adjust, 2),
            (self._wrong, 1),
        ]

    def _welcome(self, user: str) -> list[Asked]:
        deposit = DepositArrived(0, f"{user}-first", user, Decimal(50_000), "eth", "USDC", f"0x{user}", 12)
        return [UserRegistered(0, user), deposit]

    def draw(self) -> Asked:
        """Return the next command."""
        if self._opening:
            return self._opening.pop(0)
        draws, weights = zip(*self._kinds, strict=True)
        while True:
            asked: Asked | None = self._rng.choices(draws, weights)[0]()
            if asked is not None:
                return asked

    def answered(self, asked: Asked, answer: Answer) -> None:
        """Note what became of a command."""
        if isinstance(asked, OrderSubmitted) and answer.status == "DONE":
            if answer.resting:
                self._resting.append((asked.user, answer.id))
            elif asked.position_id is None:
                self._positions += [(asked.user, asked.symbol, fill.position_id) for fill in answer.fills]
        if answer.status == "DONE":
            self._steps += self._steps_after(asked, answer.id)

    def _steps_after(self, asked: Asked, name: str) -> list[Asked]:
        match asked:
            case WithdrawalRequested():
                wanted = self._rng.random() < 0.8
                return [
                    WithdrawalConfirmed(0, name, "1") if wanted else WithdrawalRefused(0, name, "user", "no")
                ]
            case WithdrawalConfirmed():
                return [WithdrawalSending(0, asked.withdrawal_id)]
            case WithdrawalSending(_, sent):
                if self._rng.random() < 0.8:
                    return [WithdrawalProcessed(0, sent, True, f"0x{sent}")]
                return [WithdrawalProcessed(0, sent, False, None, "no such address")]
        return []

    def _size(self, symbol: str) -> Decimal:
        notional = self._rng.choice(_NOTIONALS) * self._rng.uniform(0.5, 1)
        return round(Decimal(notional) / MARKS[symbol], SPECS[symbol].size_decimals) or Decimal(1)

    def _open(self) -> Asked | None:
        if len(self._positions) >= _MOST_OPEN:
            return self._close()
        rng, symbol = self._rng, self._rng.choice(list(MARKS))
        leverage = rng.choice((2, _LEVERAGE[symbol], _LEVERAGE[symbol]))
        mode = rng.choice(list(MarginMode))
        side, user = rng.choice((1, -1)), rng.choice(self._users)
        return OrderSubmitted(
            0, "", user, symbol, side, self._size(symbol), leverage=leverage, margin_mode=mode
        )

    def _limit(self) -> Asked | None:
        symbol = self._rng.choice(list(MARKS))
        away = Decimal(str(round(self._rng.uniform(0.97, 1.03), 3)))
        price = round(MARKS[symbol] * away, 1)
        side, user = self._rng.choice((1, -1)), self._rng.choice(self._users)
        return OrderSubmitted(
            0, "", user, symbol, side, self._size(symbol), OrderType.LIMIT, price, leverage=2
        )

    def _close(self) -> Asked | None:
        position = self._taken(self._positions)
        if position is None:
            return None
        user, symbol, number = position
        return OrderSubmitted(0, "", user, symbol, self._rng.choice((1, -1)), None, position_id=number)

    def _cancel(self) -> Asked | None:
        order = self._taken(self._resting)
        return None if order is None else CancelSubmitted(0, order[1], order[0])

    def _deposit(self) -> Asked | None:
        self._deposits += 1
        amount = Decimal(self._rng.randint(1, 5_000_000_000)) / 1_000_000
        name, user = f"{self._client}-{self._deposits}", self._rng.choice(self._users)
        return DepositArrived(0, name, user, amount, "eth", "USDC", f"0x{name}", 12)

    def _withdraw(self) -> Asked | None:
        amount = Decimal(self._rng.randint(1, 500_000_000)) / 1_000_000
        return WithdrawalRequested(
            0, "", self._rng.choice(self._users), amount, "eth", "USDC", "0xaway", Decimal(1)
        )

    def _step(self) -> Asked | None:
        return self._taken(self._steps)

    def _adjust(self) -> Asked | None:
        if not self._positions:
            return None
        user, _, number = self._rng.choice(self._positions)
        return MarginAdjusted(0, user, number, Decimal(self._rng.choice((5, -3, 20))))

    def _wrong(self) -> Asked | None:
        user = self._rng.choice(self._users)
        wrong: list[Asked] = [
            OrderSubmitted(0, "", "nobody", "BTC", 1, Decimal(1)),
            OrderSubmitted(0, "", user, "DOGE", 1, Decimal(1)),
            OrderSubmitted(0, "", user, "BTC", 1, Decimal(-1)),
            CancelSubmitted(0, "o0", user),
            UserRegistered(0, user),
            KycChanged(0, user, "MAYBE", "operator"),
            WithdrawalProcessed(0, "w0", True, "0x0"),
            DepositArrived(0, f"{user}-first", user, Decimal(1), "eth", "USDC", "0x1", 12),
        ]
        return self._rng.choice(wrong)

    def _taken[T](self, held: list[T]) -> T | None:
        if not held:
            return None
        return held.pop(self._rng.randrange(len(held)))
