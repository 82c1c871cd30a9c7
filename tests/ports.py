"""Ports for servers of tests."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

_LOWEST = 10_000
_chance = random.SystemRandom()  # the test processes that run side by side look in other places


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens at, and that no client will be given before the server comes.

    A port that the system chooses is one of those it gives to every connection that is made meanwhile.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = _chance.randrange(_LOWEST, _first_of_clients())
            trying = held.enter_context(socket.socket())
            with suppress(OSError):
                trying.bind(("127.0.0.1", port))
                found.append(port)
    return found


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]


def _first_of_clients() -> int:
    said = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(said.read_text().split()[0]) if said.exists() else 49_152
    return first if first > 2 * _LOWEST else 65_536
