"""The pool ends all that it started, whatever one of them does about it, and soon when nobody waits any more."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest
from test_runner_verdicts import TEXT, Endpoint, FakeGateway, well_behaved

from harness.conformance.observation import Delivery
from harness.conformance.outcome import Verdict
from harness.conformance.pool import Pool, StartedEndpoint
from harness.conformance.runner import Order
from harness.conformance.scenario import parse_scenario
from harness.targets.target import TargetUnavailableError

#: An event more than there will be is waited for.
WAITING = TEXT.replace("within: 0.5", "within: 60").replace("{of: acme, subject: acme,", "{of: acme, subject: other,")


class EndableEndpoint(Endpoint):
    """An ingest endpoint that cannot be asked any more once it was ended, like one that is a process."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.ended = threading.Event()

    def stop(self) -> None:
        self.ended.set()

    def deliveries(self, lane: str, after: int, wait: float) -> list[Delivery]:
        self.asked.set()
        if self.ended.wait(min(wait, 0.05)):
            raise TargetUnavailableError("the ingest process ended")
        return self.received[after:]


class Stubborn(FakeGateway):
    """A gateway that says, when it is ended, that it cannot be."""

    made: list[Stubborn]

    def __init__(self) -> None:
        super().__init__(well_behaved)
        self.started = False
        self.stops = 0
        self.made.append(self)

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stops += 1
        if self.stops == 1:
            super().stop()
        raise TargetUnavailableError(f"cannot remove the container {self.made.index(self)}: the engine is gone")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Stubborn]:
    gateways: list[Stubborn] = []
    monkeypatch.setattr(Stubborn, "made", gateways, raising=False)
    return gateways


def scenario(number: int) -> str:
    return WAITING.replace("id: tenant\n", f"id: tenant-{number}\n")


def test_one_that_cannot_be_ended_keeps_no_other_from_its_end_and_is_told_of(made: list[Stubborn]) -> None:
    endpoint = EndableEndpoint()
    pool = Pool(Stubborn, lambda: StartedEndpoint(endpoint, endpoint.stop), 2, Order())
    both = [parse_scenario(scenario(number)) for number in range(2)]
    futures = pool.submit_all(both)
    assert endpoint.asked.wait(30)
    while sum(gateway.started for gateway in made) < 2:
        time.sleep(0.01)
    told = pool.close(at_once=True)
    assert endpoint.ended.is_set()
    running = [gateway for gateway in made if gateway.started]
    assert len(running) == 2 and all(gateway.stops for gateway in running)
    assert sorted(told) == [f"cannot remove the container {number}: the engine is gone" for number in (1, 2)]
    assert {future.result().verdict for future in futures.values()} == {Verdict.ERROR}
    FakeGateway.stop(made[0])  # the one that is never started


def test_what_runs_when_nobody_waits_any_more_ends_soon_and_what_is_queued_is_dropped(made: list[Stubborn]) -> None:
    endpoint = EndableEndpoint()
    pool = Pool(Stubborn, lambda: StartedEndpoint(endpoint, endpoint.stop), 1, Order())
    futures = [*pool.submit_all([parse_scenario(scenario(number)) for number in range(5)], in_order=True).values()]
    assert endpoint.asked.wait(30)
    begun = time.monotonic()
    pool.close(at_once=True)
    assert time.monotonic() - begun < 10  # the scenario under way would have waited for sixty
    assert futures[0].result().reason == "the ingest process ended"
    for future in futures[1:]:
        with pytest.raises(CancelledError):
            future.result()
    FakeGateway.stop(made[0])
