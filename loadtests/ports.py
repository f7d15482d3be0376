"""Ports for what is started again during a load."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_TRIES = 200


def lasting_port(host: str = "127.0.0.1") -> int:
    """Return a free port of ``host`` that the system gives to no client.

    A gateway that is stopped and started on its port must find it free. Clients that try to reach it meanwhile are
    given ports of their own by the system, and one of those could be this very port. Raises OSError when none is
    free.
    """
    for port in random.sample(range(_LOWEST, _first_of_clients()), _TRIES):
        try:
            with socket.create_server((host, port)):
                return port
        except OSError:
            continue
    raise OSError(f"no port of {host} between {_LOWEST} and {_first_of_clients()} is free")


def _first_of_clients() -> int:
    """Return the first port that the system gives to clients; 32768 where it does not tell."""
    try:
        first = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > _LOWEST + _TRIES else 32_768
