"""Typed errors of the core: each message names the wrong value and says what would be right."""


class HybridPerpsError(ValueError):
    """Be the base of every error a user's input can cause; shells show it in one line."""


class InvalidInput(HybridPerpsError):
    """Say that one value was unusable; the book is unchanged."""


class InvariantBroken(RuntimeError):
    """Say that the core's own books disagree; never caused by input, always fatal."""
