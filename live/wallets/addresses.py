"""Addresses of EVM chains, in their checksummed form (EIP-55)."""

import re

from risk.errors import InvalidInput

_SHAPE = re.compile(r"0x[0-9a-fA-F]{40}")
_NOBODY = "0x" + 40 * "0"


def as_written(text: str) -> str:
    """Return what is an address, in whatever case, with the capitals of its checksum; anything else as it is."""
    return _with_capitals(text) if _SHAPE.fullmatch(text) else text


def checksummed(address: str) -> str:
    """Return an address as EIP-55 writes it.

    Raises InvalidInput for what is no address, for one whose mixed case is not its checksum (a typing error),
    and for the zero address.
    """
    if not _SHAPE.fullmatch(address):
        raise InvalidInput(f"address was {address!r}; it must be 0x and 40 hexadecimal digits")
    if address.lower() == _NOBODY:
        raise InvalidInput("address was the zero address; what is sent there is lost")
    right = _with_capitals(address)
    digits = address[2:]
    if address != right and digits not in (digits.lower(), digits.upper()):
        raise InvalidInput(f"address was {address!r}; its capitals are no valid checksum: check it")
    return right


def _with_capitals(address: str) -> str:
    from eth_utils.address import to_checksum_address  # takes 0.1 s to import

    return str(to_checksum_address(address.lower()))
