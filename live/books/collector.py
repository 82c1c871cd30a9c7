"""The garbage collector while books are open: it leaves alone what recovery made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = 50_000, 20, 100


@contextmanager
def calm_collector() -> Iterator[None]:
    """Look for garbage seldom, and not in what is there now.

    The books' state is long-lived and has no cycles, but every full collection would walk all of it, and one
    order makes some hundred short-lived objects, so that with the usual thresholds pauses come often and grow
    with the books.
    """
    before = gc.get_threshold()
    gc.unfreeze()  # of books that were open before
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
