"""What ``GET /status`` tells: how much the node has been asked, and by how many connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts over all listeners.

    ``requests`` and ``accepted`` (connections) since the start; ``active`` connections are open now, and of these
    ``writing`` have a request under way.
    """

    requests: int
    accepted: int
    active: int
    writing: int


def node_status(traffic: Traffic, configuration_hash: str, *, database: bool) -> dict[str, Any]:
    """Return the body of ``GET /status``; without a ``database`` there is no word of one, as in Kong."""
    server = {
        "connections_accepted": traffic.accepted,
        "connections_handled": traffic.accepted,
        "connections_active": traffic.active,
        # A head is taken in when it is complete: nobody is ever seen in the midst of one.
        "connections_reading": 0,
        "connections_writing": traffic.writing,
        "connections_waiting": traffic.active - traffic.writing,
        "total_requests": traffic.requests,
    }
    status: dict[str, Any] = {"server": server, "configuration_hash": configuration_hash}
    return {**status, "database": {"reachable": True}} if database else status
