"""The header by which a request that changes something is done once, however often it is sent."""

from typing import Annotated

from fastapi import Header

from live.api.wording import worded

HEADER = "Idempotency-Key"
WANTED = "1 to 128 visible ASCII characters"
PATTERN = worded(r"^[\x21-\x7e]{1,128}$", WANTED)

IdempotencyKey = Annotated[
    str,
    Header(
        alias=HEADER,
        description="Names this request: sent again with the same key it gets the first answer again, for 24 h.",
        pattern=PATTERN,
        examples=["3f0a7d52-order-1"],
    ),
]


def command_key(user: str, key: str) -> str:
    """Return the books' key of a user's: nobody meets the key of another."""
    return f"{user}:{key}"
