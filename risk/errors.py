"""Typed errors of the core: each message names the wrong value and says what would be right."""


class HybridPerpsError(ValueError):
    """Be the base of every error a user's input can cause; shells show it in one line."""


class InvalidInput(HybridPerpsError):
    """Say that one value was unusable; the book is unchanged."""


class StateConflict(InvalidInput):
    """Say that an input is right in itself, but not as things stand; ``code`` names why, for programs."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class AlreadySo(StateConflict):
    """Say that an input would change nothing: it is so already."""

    def __init__(self, detail: str) -> None:
        super().__init__("already-so", detail)


class InvariantBroken(RuntimeError):
    """Say that the core's own books disagree; never caused by input, always fatal."""
