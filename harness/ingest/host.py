"""What a host of the ingest endpoint is: it puts requests before a receiver and acts out what comes back."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from harness.ingest.lanes import Arrival
from harness.ingest.messages import Answer, IngestRequest, Receipt
from harness.ingest.problem import problem

#: Takes one-line messages for the operator.
Report = Callable[[str], None]


class Receiver(Protocol):
    """Decides on requests; ``harness.ingest.lanes.Lanes`` is the one that is an ingest endpoint."""

    def arrive(self, path: str) -> Arrival:
        """Take note of a request's head."""

    def receive(self, arrival: Arrival, request: IngestRequest) -> Receipt:
        """Decide on a whole request, and keep it; only then the host answers."""

    def abandon(self, arrival: Arrival, request: IngestRequest, why: str = ..., answer: Answer | None = ...) -> None:
        """Keep a request whose body never came whole."""


class Serve(Protocol):
    """The function that is a host."""

    async def __call__(
        self,
        lanes: Receiver,
        host: str,
        port: int,
        stop: asyncio.Event,
        ready: Callable[[int], Awaitable[None]],
        report: Report,
    ) -> None:
        """Serve ``lanes`` on ``host``:``port`` (0: any free port) until ``stop`` is set.

        ``ready`` is awaited with the port once requests are taken. Raises PortError when the port cannot be had.
        """


#: What tells that the address is wrong, whatever the port: it is no address of this machine, or of no such family.
_WRONG_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class PortError(OSError):
    """The endpoint cannot listen. The message is one line with address and reason.

    ``wrong_host``: no port would help, it is the host that this machine cannot listen on.
    """

    wrong_host = False

    @classmethod
    def of(cls, host: str, port: int, error: BaseException | None) -> PortError:
        """Say that ``error`` kept the endpoint from listening on ``host``:``port``."""
        place = f"cannot listen on {host}:{port}"
        if error is None:
            return cls(place)
        if isinstance(error, OSError) and error.errno is not None:
            # A name that cannot be resolved has a number of its own kind, below 0; asyncio words errors its own way.
            told = cls(f"{place}: {os.strerror(error.errno) if error.errno > 0 else error.strerror}")
            told.wrong_host = error.errno < 0 or error.errno in _WRONG_ADDRESS
            return told
        return cls(f"{place}: {error}")


def no_tunnel() -> Answer:
    """Return the answer to CONNECT."""
    return problem(405, "This endpoint is no proxy", "connect", headers=(("Allow", "POST"),))


def internal_error(error: Exception, report: Report) -> Answer:
    """Report a defect of ours in one line; return the 500 for the client."""
    report(f"internal error: {type(error).__name__} in the ingest endpoint; answered 500")
    return problem(500, f"Internal error of the ingest endpoint [{type(error).__name__}]", "internal")
