"""Keep what goes wrong in callbacks: NautilusTrader 2.0.0rc7 logs an exception there and runs on."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Protocol


class FailureKeeper:
    """Hold the first exception of a run; once there is one, guarded callbacks do nothing more."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def reraise(self) -> None:
        """Raise what went wrong, if anything did; to be called when the engine has returned."""
        if self.error is not None:
            raise self.error


class Guarded(Protocol):
    """Have what ``guarded`` needs of a strategy or actor."""

    failures: FailureKeeper

    def shutdown_system(self, reason: str | None = None) -> None:
        """Stop the engine."""


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback that takes one event, or none: its first exception is kept and stops the engine."""

    def keep(self: Guarded, error: BaseException) -> None:
        self.failures.error = error
        self.shutdown_system(f"{type(error).__name__} in {callback.__name__}")

    # Fixed arguments, since this stands before every tick: passing any through costs three times as much.
    @wraps(callback)
    def on_event(self: Guarded, event: Any) -> None:
        if self.failures.error is not None:
            return
        try:
            callback(self, event)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: nothing may be lost
            keep(self, error)

    @wraps(callback)
    def on_change(self: Guarded) -> None:
        if self.failures.error is not None:
            return
        try:
            callback(self)
        except BaseException as error:
            keep(self, error)

    return on_event if len(signature(callback).parameters) > 1 else on_change
