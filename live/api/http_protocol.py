"""Which of the server's ways to read HTTP is used."""

import asyncio
from typing import Literal


def http_protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    """Return the protocol that bounds requests; where httptools is missing, h11 serves them without."""
    try:
        from live.api.bounded_http import Bounded
    except ModuleNotFoundError as error:
        if error.name != "httptools":
            raise
        return "auto"
    return Bounded
