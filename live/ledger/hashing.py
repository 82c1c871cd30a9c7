"""How rows of the books are hashed: the links of the two chains, and the digest of a row."""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256

type Field = str | int | Decimal | None

GENESIS = bytes(32)  # the link before a chain's first row


def plain(value: Decimal) -> str:
    """Give the shortest text of a number without an exponent: ``1.50`` and ``15E-1`` are ``1.5``, all zeros ``0``.

    Exact under any decimal context, as a number's text must not depend on who hashes it.
    """
    text = str(value)
    if "E" in text or "e" in text:  # which ``format`` never writes, but it takes three times as long
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def netstrings(*fields: Field) -> bytes:
    """Write each field as its length in bytes, a colon and itself, in UTF-8; None is the empty text.

    The lengths keep neighbours apart: no two lists of fields give the same bytes.
    """
    texts = [field if type(field) is str else _text(field) for field in fields]
    whole = "".join([f"{len(text)}:{text}" for text in texts])
    if whole.isascii():  # a character is a byte then
        return whole.encode()
    encoded = [text.encode() for text in texts]
    return b"".join([b"%d:%b" % (len(text), text) for text in encoded])


def _text(field: Field) -> str:
    if field is None:
        return ""
    return plain(field) if isinstance(field, Decimal) else str(field)


def link(previous: bytes, *fields: Field) -> bytes:
    """Return the link of a row after the row whose link is ``previous``: 32 bytes."""
    return sha256(previous + netstrings(*fields)).digest()


def row_digest(fields: Iterable[Field]) -> bytes:
    """Return the digest of a row by itself: 32 bytes."""
    return sha256(netstrings(*fields)).digest()
