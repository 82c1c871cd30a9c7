"""Ending what works in the background."""

import asyncio
from typing import Any

_AGAIN_S = 1.0


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until all have ended, however they do.

    Once is not enough: a driver that is broken off while it waits for its server may raise an error of its own in the
    place of the cancellation, which a task that tries again and again takes for a loss that will pass.
    """
    working = set(tasks)
    while working:
        for task in working:
            task.cancel()
        _, working = await asyncio.wait(working, timeout=_AGAIN_S)
