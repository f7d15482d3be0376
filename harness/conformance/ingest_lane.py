"""The ingest endpoint as the runner sees it: lanes, each with a token and a fault script of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from harness.conformance.arrival_form import ArrivalForm
from harness.conformance.observation import Delivery, accepted_events
from harness.conformance.scenario import MAIN_LANE


class IngestEndpoint(Protocol):
    """A fake ingest endpoint that keeps what arrives apart by lane."""

    def open_lane(self, lane: str, token: str, script: Sequence[Mapping[str, Any]], form: ArrivalForm) -> str:
        """Make a lane that takes what is of ``form`` with ``token`` and behaves as ``script`` says.

        Returns its URL for the plugin.
        """
        ...

    def untrusted_url(self, lane: str) -> str:
        """Return the lane's URL over TLS with a certificate that no client trusts."""
        ...

    def deliveries(self, lane: str, after: int, wait: float) -> list[Delivery]:
        """Return the lane's deliveries but the first ``after``, waiting up to ``wait`` seconds for one to come."""
        ...

    def close_lane(self, lane: str) -> None:
        """Forget the lane; what still arrives there is refused."""
        ...


class Lanes:
    """The lanes of one scenario, read as one sequence of deliveries in order of arrival."""

    def __init__(self, endpoint: IngestEndpoint, lanes: Mapping[str, str]) -> None:
        """``lanes`` maps the scenario's name of a lane to the endpoint's."""
        self._endpoint = endpoint
        self._lanes = dict(lanes)
        self._received: dict[str, list[Delivery]] = {name: [] for name in lanes}

    def received(self) -> list[Delivery]:
        """Return all deliveries seen so far, numbered from 1 in order of arrival."""
        merged = sorted((one for lane in self._received.values() for one in lane), key=lambda one: one.at)
        return [replace(one, number=number) for number, one in enumerate(merged, 1)]

    def look(self, wait: float = 0.0) -> None:
        """Fetch what has arrived; wait up to ``wait`` seconds on the main lane when nothing new is there."""
        for name, lane in self._lanes.items():
            seen = self._received[name]
            patience = wait if name == MAIN_LANE else 0.0
            new = self._endpoint.deliveries(lane, len(seen), patience)
            seen.extend(replace(one, lane=name) for one in new)

    def wait(self, enough: Callable[[list[Delivery]], bool], seconds: float) -> bool:
        """Wait until ``enough`` is true of the deliveries; return False when it is not after ``seconds``."""
        deadline = time.monotonic() + seconds
        self.look()
        while not enough(self.received()):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.look(min(left, 1.0 if len(self._lanes) == 1 else 0.1))
        return True

    def wait_for(self, condition: Mapping[str, int], seconds: float) -> bool:
        """Wait for so many ``deliveries`` or accepted ``events``."""

        def enough(deliveries: list[Delivery]) -> bool:
            if "deliveries" in condition:
                return len(deliveries) >= condition["deliveries"]
            return len(accepted_events(deliveries)) >= condition["events"]

        return self.wait(enough, seconds)

    def close(self) -> None:
        """Close every lane."""
        for lane in self._lanes.values():
            self._endpoint.close_lane(lane)
