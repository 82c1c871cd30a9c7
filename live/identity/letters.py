"""What the letters say."""

from live.identity.mail import Letter

_UNASKED = "If that was not you, do nothing: without the token nothing happens."


def to_register(email: str, token: str) -> Letter:
    """Return what an address gets that asked for an account and has none."""
    return Letter(
        email,
        "Confirm your e-mail address",
        f"Somebody, hopefully you, asked for an account with this address.\n\nYour token: {token}\n\n"
        f"It works once, within an hour, with the password you choose.\n{_UNASKED}\n",
    )


def to_have_account(email: str, token: str) -> Letter:
    """Return what an address gets that asked for an account and has one."""
    return Letter(
        email,
        "You have an account already",
        "Somebody, hopefully you, asked for an account with this address, which has one.\n\n"
        f"If you forgot its password, set another with this token: {token}\n\n"
        f"It works once, within an hour.\n{_UNASKED}\n",
    )


def to_reset(email: str, token: str) -> Letter:
    """Return what an account gets whose password was forgotten."""
    return Letter(
        email,
        "Set another password",
        f"Somebody, hopefully you, forgot the password of this address's account.\n\nYour token: {token}\n\n"
        "It works once, within an hour. All sessions, trusted devices and API keys end with it,\n"
        "and a wallet that was linked beside the old password.\n"
        f"{_UNASKED}\n",
    )


def to_have_none(email: str, token: str) -> Letter:
    """Return what an address gets whose password was forgotten and that has no account."""
    return Letter(
        email,
        "There is no account with this address",
        "Somebody, hopefully you, forgot the password of an account that this address does not have.\n\n"
        f"If you want one, choose its password with this token: {token}\n\n"
        f"It works once, within an hour.\n{_UNASKED}\n",
    )


def to_confirm_email(email: str, token: str) -> Letter:
    """Return what a new address of an account gets, to confirm it."""
    return Letter(
        email,
        "Confirm your new e-mail address",
        f"Somebody, hopefully you, gave this as the address of an account.\n\nYour token: {token}\n\n"
        f"It works once, within an hour.\n{_UNASKED}\n",
    )


def notice(email: str, what: str) -> Letter:
    """Return what tells an account's owner what happened to it."""
    return Letter(
        email,
        "A change to your account",
        f"{what}\n\nIf that was not you, set another password at once: that ends every session and API key.\n",
    )
