"""Time putting a book down and taking it up again: ``python tests/bench/freeze.py``.

10 000 positions of 2 000 users on 50 symbols, isolated and cross in turn, and 1 000 orders waiting. Beside it, in
the same run, the plain way to the same state: all its inputs handed to a new book once more.
"""

import gc
from collections.abc import Callable
from decimal import Decimal
from time import perf_counter

from _bench import show
from book import MARK, OPENED_NS, SYMBOLS, USERS, open_book

from risk.book import Book
from risk.inputs import MarginMode, OrderSubmitted, OrderType

POSITIONS = 10_000
WAITING = 1_000
ROUNDS = 7


def fill(book: Book) -> Book:
    """Open the positions and let the orders wait."""
    modes = list(MarginMode)
    for i in range(POSITIONS + WAITING):
        waits = i >= POSITIONS
        size = Decimal(1 + i % 40) / 1000
        book.handle(
            OrderSubmitted(
                OPENED_NS,
                f"o{i}",
                USERS[i % len(USERS)],
                SYMBOLS[i % 49],
                1 - 2 * (i % 2),
                size,
                OrderType.LIMIT if waits else OrderType.MARKET,
                MARK * (Decimal("0.9") if i % 2 == 0 else Decimal("1.1")) if waits else None,
                leverage=10,
                margin_mode=modes[i // 2 % 2],
            )
        )
    return book


def best_of[T](act: Callable[[], T]) -> tuple[float, T]:
    """Return the least milliseconds of some rounds, and the last result."""
    least = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = perf_counter()
        result = act()
        least = min(least, perf_counter() - start)
    return least * 1000, result


def main() -> None:
    """Measure and show."""
    replaying, book = best_of(lambda: fill(open_book()))
    assert len(book.positions) == POSITIONS
    freezing, data = best_of(book.freeze)
    thawing, thawed = best_of(lambda: Book.thaw(data))
    assert thawed.digest() == book.digest()
    show(
        f"{POSITIONS:,} positions and {WAITING:,} waiting orders",
        ["", "ms", "bytes per position", "share of a replay"],
        [
            ["freeze", freezing, len(data) / POSITIONS, freezing / replaying],
            ["thaw", thawing, "", thawing / replaying],
            ["replay", replaying, "", ""],
        ],
    )


if __name__ == "__main__":
    main()
