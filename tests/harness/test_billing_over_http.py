"""Billing over HTTP, for random traffic, faults of the ingest endpoint and configuration changes.

A real gateway process and a real endpoint. Expectations come from ``billing_rules``, from what was sent and from the
answers the client got.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from billing_rules import expected
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.conformance.mutants import plant, read_mutants
from harness.pytest_metering.delivery import Delivery
from harness.pytest_metering.gateway import EmulatedGateway
from harness.pytest_metering.gateway_process import GatewayProcess
from harness.pytest_metering.ingest import Ingest
from harness.pytest_metering.ingest_process import IngestProcess
from harness.pytest_metering.settings import Settings

MARKER = {"source": "header", "look_up_value_in": "x-marker", "event_property_name": "marker"}
DEPARTMENT = {"source": "header", "look_up_value_in": "X-Department", "event_property_name": "department"}
#: Quick retries that never give up within a test.
RETRIES = {"initial_retry_delay": 0.001, "max_retry_delay": 0.02}

REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST"]),
        "path": st.sampled_from(
            ["/anything", "/anything/a", "/anything/status/404", "/anything/status/500", "/none"]
        ),
        "headers": st.fixed_dictionaries(
            {},
            optional={
                "X-Tenant-Id": st.sampled_from(["acme", "globex", "acme", "", "a b"]),
                "x-department": st.sampled_from(["sales", "", "R&D"]),
            },
        ),
        "query": st.dictionaries(st.sampled_from(["tenant", "q"]), st.sampled_from(["initech", "a b", "é", ""])),
    }
)
SETTINGS = st.fixed_dictionaries(
    {
        "subject": st.sampled_from(
            [
                {"look_up_value_in": "header", "field": "x-tenant-id"},
                {"look_up_value_in": "query", "field": "tenant"},
                {"look_up_value_in": "consumer"},
            ]
        ),
        "attributes": st.sampled_from([[MARKER], [MARKER, DEPARTMENT]]),
    },
    optional={"allow_status_codes": st.just(["200-299", "500-599"])},
)
FAULTS = st.sampled_from(["503", "429", "301", "reset before", "reset after", "drop", "delay"])
STEPS = st.lists(
    st.one_of(REQUESTS.map(lambda one: ("send", one)), REQUESTS.map(lambda one: ("send", one)))
    | st.tuples(st.just("configure"), SETTINGS)
    | st.tuples(st.just("fault"), FAULTS),
    min_size=4,
    max_size=16,
)


@dataclass(frozen=True)
class Story:
    """What happens: the plugin's settings at first, its queue, and steps."""

    first: dict[str, Any]
    queue: dict[str, Any]
    steps: list[tuple[str, Any]]


STORIES = st.builds(
    Story,
    SETTINGS,
    st.fixed_dictionaries(
        {"max_batch_size": st.sampled_from([1, 2, 5]), "max_coalescing_delay": st.sampled_from([0.04, 0.06])}
    ),
    STEPS,
)


@dataclass(frozen=True)
class Sent:
    """One request with its answer's status and the client's times, in seconds since the epoch."""

    marker: str
    config: dict[str, Any]
    exchange: dict[str, Any]
    began: float
    ended: float


@dataclass(frozen=True)
class Bench:
    """A gateway and an endpoint, used by one story after the other."""

    gateway: EmulatedGateway
    ingest: Ingest


@dataclass(frozen=True)
class Seen:
    """What one story showed."""

    sent: list[Sent]
    deliveries: list[Delivery]
    events: list[dict[str, Any]]
    duplicates: int
    violations: Sequence[object]
    statistics: dict[str, Any]


@pytest.fixture(scope="module")
def ingest_process() -> Iterator[IngestProcess]:
    process = IngestProcess("127.0.0.1", 0)
    process.start()
    yield process
    process.stop()


def bench_on(ingest_process: IngestProcess, process: GatewayProcess) -> Bench:
    ingest = Ingest(ingest_process, Settings())
    return Bench(EmulatedGateway(process, Settings(), ingest), ingest)


def configure(bench: Bench, story: Story, config: dict[str, Any]) -> None:
    plugin = {"name": "metering-and-billing", "config": {**config, "queue": {**story.queue, **RETRIES}}}
    service = {
        "name": "example",
        "url": "http://example.test",
        "routes": [{"name": "example", "paths": ["/anything"]}],
    }
    bench.gateway.configure({"_format_version": "3.0", "services": [service], "plugins": [plugin]})


def fault(ingest: Ingest, kind: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "429": lambda: ingest.respond(429, headers={"Retry-After": "1"}),
        "reset before": ingest.reset,
        "reset after": lambda: ingest.reset("after"),
        "drop": ingest.accept_then_drop,
        "delay": lambda: ingest.delay(0.02),
    }
    acts.get(kind, lambda: ingest.respond(int(kind)))()


def send(bench: Bench, config: dict[str, Any], request: dict[str, Any], marker: str) -> Sent:
    query = urlencode(request["query"])
    headers = {**request["headers"], "x-marker": marker}
    wire = {name: value.encode() for name, value in headers.items()}
    began = time.time()
    answer = bench.gateway.request(request["method"], f"{request['path']}?{query}", headers=wire)
    ended = time.time()
    exchange = {
        "request": {**request, "query": query, "headers": list(headers.items())},
        "response": {"status": answer.status_code},
    }
    return Sent(marker, config, exchange, began, ended)


def tell(bench: Bench, story: Story) -> Seen:
    """Let a story happen, wait until metering is idle, and return what it showed."""
    bench.ingest.wait_until_idle()
    bench.ingest.clear()
    configure(bench, story, story.first)
    before = bench.gateway.statistics()
    config, sent = story.first, []
    for kind, what in story.steps:
        if kind == "send":
            sent.append(send(bench, config, what, f"m{len(sent)}"))
        elif kind == "configure":
            config = what
            configure(bench, story, config)
        else:
            fault(bench.ingest, what)
    bench.ingest.wait_until_idle()
    after = bench.gateway.statistics()
    changed = {name: after[name] - before[name] for name in ("requests", "events", "delivered")}
    for name in ("dropped", "lost"):
        changed[name] = {
            reason: number - before[name].get(reason, 0)
            for reason, number in after[name].items()
            if number > before[name].get(reason, 0)
        }
    ingest = bench.ingest
    return Seen(sent, ingest.deliveries, ingest.events(), len(ingest.duplicates()), ingest.violations(), changed)


# The laws


def each_request_is_billed_once_or_dropped_for_its_reason(story: Story, seen: Seen) -> None:
    by_marker: dict[str, list[dict[str, Any]]] = {}
    for event in seen.events:
        by_marker.setdefault(event["data"]["marker"], []).append(event)
    reasons = []
    for one in seen.sent:
        what = expected(one.config, one.exchange)
        events = by_marker.pop(one.marker, [])
        assert [(event["type"], event["subject"]) for event in events] == [due[:2] for due in what.events]
        if what.drops:
            reasons.append(what.drops)
        for event, (_, _, data) in zip(events, what.events, strict=True):
            for name in ("marker", "department", "request_method", "request_uri", "response_http_status"):
                assert event["data"].get(name) == data.get(name), name
    assert not by_marker, "an event of no request"
    statistics = seen.statistics
    assert (statistics["events"], statistics["lost"]) == (len(seen.events), {})
    assert statistics["requests"] == len(seen.sent)
    given = [reason.partition(":")[0] for reason, number in statistics["dropped"].items() for _ in range(number)]
    assert len(given) == len(reasons), "DRP-4: every drop is counted"
    assert all(any(rule in due for due in reasons) for rule in given)


def times_are_the_requests_and_nothing_is_sent_before(story: Story, seen: Seen) -> None:
    sent = {one.marker: one for one in seen.sent}
    for delivery in seen.deliveries:
        for event in delivery.events:
            at, one = datetime.fromisoformat(event["time"]).timestamp(), sent[event["data"]["marker"]]
            assert one.began - 0.001 <= at <= one.ended + 0.001, "EVT-4"
            assert delivery.at >= at, "sent before it happened"


def batches_are_in_order_and_no_larger_than_allowed(story: Story, seen: Seen) -> None:
    largest = story.queue["max_batch_size"] if story.queue["max_coalescing_delay"] >= 0.05 else 1
    assert all(len(delivery.events) <= largest for delivery in seen.deliveries), "BAT-1, BAT-6"
    order = [int(event["data"]["marker"][1:]) for event in seen.events]
    assert order == sorted(order), "BAT-1: first in, first out"


def a_failed_delivery_comes_again_as_it_was(story: Story, seen: Seen) -> None:
    ids = [event["id"] for event in seen.events]
    assert len(set(ids)) == len(ids), "EVT-3"
    for before, after in zip(seen.deliveries, seen.deliveries[1:], strict=False):
        if before.body and before.status != 202:
            assert after.body == before.body, "RET-4"
    if seen.deliveries:
        assert seen.deliveries[-1].status == 202, "RET-6"
    drops = [delivery for delivery in seen.deliveries if delivery.fault == "drop_answer"]
    again = sum(delivery.verdicts.count("duplicate") for delivery in seen.deliveries)
    assert (seen.duplicates, bool(again)) == (again, bool(drops)), "DLV-2: duplicates come from lost answers alone"


def the_endpoint_has_nothing_to_complain_of(story: Story, seen: Seen) -> None:
    assert list(map(str, seen.violations)) == []


LAWS = [
    each_request_is_billed_once_or_dropped_for_its_reason,
    times_are_the_requests_and_nothing_is_sent_before,
    batches_are_in_order_and_no_larger_than_allowed,
    a_failed_delivery_comes_again_as_it_was,
    the_endpoint_has_nothing_to_complain_of,
]
BOUNDED = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
)


def test_whatever_happens_every_request_is_billed_as_the_rules_say(ingest_process: IngestProcess) -> None:
    process = GatewayProcess("3.16", echo=True)
    bench = bench_on(ingest_process, process)

    @BOUNDED
    @given(STORIES)
    def holds(story: Story) -> None:
        seen = tell(bench, story)
        for law in LAWS:
            law(story, seen)

    try:
        holds()
    finally:
        process.stop("kill")


@pytest.mark.parametrize(
    ("mutant", "law"),
    [
        ("new-id-on-retry", a_failed_delivery_comes_again_as_it_was),
        ("broken-connection-is-success", each_request_is_billed_once_or_dropped_for_its_reason),
        ("path-with-query", each_request_is_billed_once_or_dropped_for_its_reason),
    ],
)
def test_a_planted_defect_is_found_over_http(
    mutant: str,
    law: Callable[[Story, Seen], None],
    ingest_process: IngestProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (planted,) = [one for one in read_mutants() if one.id == mutant]
    plant(planted, tmp_path)
    monkeypatch.chdir(tmp_path)  # a child's own folder is the first place it looks for the emulator
    process = GatewayProcess("3.16", echo=True)
    bench = bench_on(ingest_process, process)

    @BOUNDED
    @given(STORIES)
    def broken(story: Story) -> None:
        law(story, tell(bench, story))

    try:
        with pytest.raises(AssertionError):
            broken()
    finally:
        process.stop("kill")
