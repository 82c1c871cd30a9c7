"""Random names and tokens, and the forms of what people type."""

import base64
import re
import secrets

from risk.errors import InvalidInput

# As HTML defines an address that a form takes; no quoted local parts, no comments.
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_LONGEST_EMAIL = 254


def new_id(kind: str) -> str:
    """Return a random id: ``kind`` and 20 characters, 100 bits."""
    return kind + base64.b32encode(secrets.token_bytes(15)).decode().lower()[:20]


def new_token() -> str:
    """Return 256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def email_address(text: str) -> str:
    """Return an e-mail address in the one form it is kept in; raises InvalidInput for what is none."""
    address = text.strip().lower()
    if len(address) > _LONGEST_EMAIL or not _EMAIL.fullmatch(address):
        raise InvalidInput("email was no e-mail address; it must be like name@example.org")
    return address


def label(field: str, text: str) -> str:
    """Return a name that a user gives something; raises InvalidInput unless it is 1 to 100 printable characters."""
    name = text.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise InvalidInput(f"{field} was {text[:100]!r}; it must be 1 to 100 printable characters")
    return name
