"""Why something about a wallet is not done; the books' own refusals come as answers."""

from risk.errors import HybridPerpsError


class WalletNotFound(HybridPerpsError):
    """Say that a user has no such withdrawal, deposit or address."""


class WithdrawalBlocked(HybridPerpsError):
    """Say that a withdrawal cannot go where it was to, or not yet."""


class WrongState(HybridPerpsError):
    """Say that a withdrawal is past, or not at, the point where that can be done."""
