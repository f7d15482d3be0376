"""When events entered the gateway's queues, by the ledger."""

from __future__ import annotations

from pathlib import Path

from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.queue_arrivals import queue_arrivals
from loadtests.queue_model import AmberfloQueue, KongQueue
from plugin_emulator.amberflo.simulation import ClientSettings
from plugin_emulator.queue import QueueSettings


def event(route: str | None, kind: str = "kong.api_request") -> ExpectedEvent:
    return ExpectedEvent(kind, "a", () if route is None else (("data.route_name", route),))


def test_each_request_gives_its_queue_as_many_events_as_are_made_of_it(tmp_path: Path) -> None:
    chat = (event("ai"), event(None, "kong.llm_request"), event(None, "kong.llm_request"))
    Expectations(
        [
            Expectation("plain", (event("plain"),), rejected=(401,)),
            Expectation("chat", chat),
            Expectation("dropped"),
        ]
    ).write(tmp_path)
    with LedgerWriter(ledger_path(tmp_path, 0), "0123abcd", 0) as ledger:
        for place, status in [(0, 200), (0, 401), (0, 0), (0, 500), (1, 200), (2, 200)]:
            n = ledger.begin(place, 100.0 + len(ledger))
            ledger.end(n, status, 200.0 + n)
        ledger.begin(0, 300.0)  # never ended
    queue = KongQueue(QueueSettings())
    arrivals = {route: times.tolist() for route, times in queue_arrivals(tmp_path, queue).items()}
    # Of an answer that is neither expected nor a rejection an event is made as well (EVT-8); of none, nobody knows.
    assert arrivals == {"plain": [200.0, 203.0], "ai": [204.0, 204.0, 204.0]}


def test_amb_10_records_of_all_routes_enter_one_queue_when_their_requests_begin(tmp_path: Path) -> None:
    """AMB-5: whatever the upstream answers; a request without an answer may have reached nobody."""
    first = Expectation("first", (event("one"),), rejected=(401,), any_answer=True)
    second = Expectation("second", (event("two"),), any_answer=True)
    Expectations([first, second]).write(tmp_path)
    with LedgerWriter(ledger_path(tmp_path, 0), "0123abcd", 0) as ledger:
        for place, status in [(0, 200), (0, 401), (0, 0), (0, 500), (1, 503)]:
            n = ledger.begin(place, 100.0 + len(ledger))
            ledger.end(n, status, 200.0 + n)
    arrivals = {
        route: times.tolist() for route, times in queue_arrivals(tmp_path, AmberfloQueue(ClientSettings())).items()
    }
    assert arrivals == {"": [100.0, 103.0, 104.0]}
