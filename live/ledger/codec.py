"""Inputs as the text the journal keeps: JSON, decimals as strings with every digit they had."""

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import msgspec

from live.ledger.inputs import LedgerInput
from risk.errors import InvalidInput
from risk.market import SymbolView

KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(LedgerInput)}
_encode = msgspec.json.Encoder().encode


def encode(given: LedgerInput, quiet: Sequence[SymbolView] = ()) -> str:
    """Return an input with the quiet views it was decided on."""
    return _encode((given, quiet)).decode()


def decode(kind: str, body: str) -> tuple[LedgerInput, tuple[SymbolView, ...]]:
    """Read what ``encode`` wrote of an input of that kind; raise InvalidInput for anything else."""
    try:
        given, quiet = _decoder(kind).decode(body)
    except KeyError:
        raise InvalidInput(f"kind was {kind!r}; the journal knows {', '.join(sorted(KINDS))}") from None
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"an input {kind} could not be read: {error}") from None
    return given, quiet


@cache
def _decoder(kind: str) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(tuple.__class_getitem__((KINDS[kind], tuple[SymbolView, ...])))


def plain(event: object) -> str:
    """Return an event's fields as JSON text."""
    return _encode(event).decode()
