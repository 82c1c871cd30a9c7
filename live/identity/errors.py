"""Why somebody is not let in, or not allowed something. Each has a ``code`` for programs."""

from risk.errors import HybridPerpsError


class AccessError(HybridPerpsError):
    """Be the base: ``code`` names the reason, the message tells it."""

    def __init__(self, code: str, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after_s = retry_after_s


class NotAuthenticated(AccessError):
    """Say that who asks is not known: wrong, late or revoked credentials."""


class NotPermitted(AccessError):
    """Say that who asks is known and may not."""


class NotThere(AccessError):
    """Say that the one who asks has no such thing."""


class Conflict(AccessError):
    """Say that the state of an account stands against it."""


class TooManyGuesses(AccessError):
    """Say that too many guesses failed, and when to try again."""


def wrong_credentials() -> NotAuthenticated:
    """Return the one answer to a log-in that failed, whatever it was that was wrong."""
    return NotAuthenticated("wrong-credentials", "the e-mail address or the password is wrong")


def wrong_code() -> NotAuthenticated:
    """Return the answer to a second factor that is wrong, late, or was used before."""
    return NotAuthenticated("wrong-code", "the code is wrong, too old, or was used before")


def wrong_token() -> NotAuthenticated:
    """Return the answer to a letter's token that is unknown, expired or used."""
    return NotAuthenticated("wrong-token", "the token is unknown, expired, or was used before")
