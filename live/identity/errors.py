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


def wrong_password(field: str) -> NotAuthenticated:
    """Return the answer to a password that a session's owner shows in ``field`` and that is wrong."""
    return NotAuthenticated("wrong-password", f"{field} is not the account's password")


def wrong_code() -> NotAuthenticated:
    """Return the answer to a second factor that is wrong or late."""
    return NotAuthenticated("wrong-code", "code is wrong or too old")


def used_code() -> NotAuthenticated:
    """Return the answer to a second factor that was right, once."""
    return NotAuthenticated(
        "used-code", "code was used before; show the authenticator's next one, or another recovery code"
    )


def wrong_token() -> NotAuthenticated:
    """Return the answer to a letter's token that is unknown, expired or used."""
    return NotAuthenticated("wrong-token", "token is unknown, expired, or was used before")
