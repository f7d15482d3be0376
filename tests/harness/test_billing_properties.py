"""Billing, for any configuration, traffic and ingest endpoint: pipeline and queue in virtual time.

Expectations come from ``billing_rules`` and from the laws below. For each of a list of planted defects it is shown
that they notice.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from billing_rules import Expected, check_events, expected
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_and_billing import config as config_module
from plugin_emulator.metering_and_billing import pipeline as pipeline_module
from plugin_emulator.queue import BatchQueue, backoff
from plugin_emulator.runtime import simulation

START = 1_795_213_579.0  # seconds since the epoch

HEADER_NAMES = ["x-tenant-id", "X-Tenant-Id", "X-TENANT-ID", "x-department", "User-Agent", "x-tenant"]
HEADER_VALUES = st.sampled_from(["acme", "globex", "", "  acme \t", "a b", "é", "unknown"])
QUERY_PAIRS = st.sampled_from(
    ["tenant=acme", "tenant=b%20c", "tenant=d+e", "ten%61nt=f", "tenant=", "tenant", "dept=%C3%A9", "dept=x", "q=1"]
)
STATUS = st.sampled_from([200, 201, 299, 300, 404, 499, 500])
SUBJECTS = st.sampled_from(
    [
        {"look_up_value_in": "header", "field": "x-tenant-id"},
        {"look_up_value_in": "header", "field": "X-Tenant-ID"},
        {"look_up_value_in": "header"},
        {"look_up_value_in": "query", "field": "tenant"},
        {"look_up_value_in": "consumer"},
        {"look_up_value_in": "consumer", "field": "custom_id"},
        {"look_up_value_in": "application"},
        {"look_up_value_in": "application", "field": "portal_id"},
    ]
)
ATTRIBUTES = [
    {"source": "header", "look_up_value_in": "X-Department", "event_property_name": "department"},
    {"source": "query", "look_up_value_in": "dept", "event_property_name": "dept"},
    {"source": "header", "look_up_value_in": "x-tenant-id", "event_property_name": "request_method"},
    {"source": "header", "look_up_value_in": "user-agent", "event_property_name": "type"},
]
QUEUES = st.fixed_dictionaries(
    {
        "max_batch_size": st.sampled_from([1, 2, 3, 7]),
        "max_coalescing_delay": st.sampled_from([0, 0.04, 0.05, 0.5, 1]),
        "max_entries": st.sampled_from([1, 2, 3, 5, 1000]),
        "initial_retry_delay": st.sampled_from([0.001, 0.25]),
        "max_retry_delay": st.sampled_from([0.1, 60]),
        "max_retry_time": st.sampled_from([-1, 0.5, 2]),
        "concurrency_limit": st.sampled_from([1, 1, 1, -1]),
    }
)
CONFIGS = st.fixed_dictionaries(
    {"subject": SUBJECTS, "attributes": st.lists(st.sampled_from(ATTRIBUTES), unique_by=str), "queue": QUEUES},
    optional={
        "meter_api_requests": st.booleans(),
        "meter_ai_token_usage": st.booleans(),
        "allow_status_codes": st.sampled_from([["200-299"], ["200-200", "404-499"]]),
    },
)
AI = st.fixed_dictionaries(
    {"provider": st.just("openai"), "request_model": st.just("m"), "response_model": st.just("m-1")},
    optional={"prompt_tokens": st.integers(0, 3), "completion_tokens": st.integers(4, 9), "request_id": st.just("r")},
)
CONSUMERS = st.sampled_from([None, {"id": "c-1", "username": "alice", "custom_id": "A-1"}, {"username": "bob"}])
APPLICATIONS = st.sampled_from([None, {"id": "app-1", "portal_id": "p-1"}])
ENTITIES = st.sampled_from(
    [
        {},
        {
            "route": {"id": "r-1", "name": "orders"},
            "service": {"id": "s-1", "name": "orders", "port": 80, "protocol": "http"},
        },
    ]
)
ANSWERS = st.lists(
    st.builds(
        simulation.Answer,
        status=st.sampled_from([202, 202, 200, 500, 301, 400, 429, 0]),
        duration=st.sampled_from([0, 0.01, 0.3, 0.7]),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def exchanges(draw: Any) -> dict[str, Any]:
    began = START + draw(st.sampled_from([0, 0.3, 1.05, 2.5]) | st.floats(0, 5))
    return {
        "request": {
            "method": draw(st.sampled_from(["GET", "POST"])),
            "path": draw(st.sampled_from(["/anything", "/a/b"])),
            "query": "&".join(draw(st.lists(QUERY_PAIRS, max_size=3))),
            "headers": draw(st.lists(st.tuples(st.sampled_from(HEADER_NAMES), HEADER_VALUES), max_size=4)),
            "started_at": began,
            "host": draw(st.sampled_from([None, "api.test"])),
            "client_ip": draw(st.sampled_from([None, "10.0.0.1"])),
        },
        "response": {
            "status": draw(STATUS),
            "ended_at": began + draw(st.sampled_from([0.001, 0.2, 1.5])),
            "size_bytes": draw(st.sampled_from([None, 0, 17])),
        },
        "upstream_status": draw(st.sampled_from([None, 200, 502])),
        "consumer": draw(CONSUMERS),
        "application": draw(APPLICATIONS),
        "ai": draw(st.none() | AI),
        **draw(ENTITIES),
    }


@dataclass(frozen=True)
class Case:
    """One plugin instance, what it sees, and how its endpoint answers."""

    config: dict[str, Any]
    traffic: list[dict[str, Any]]
    answers: list[simulation.Answer]


@st.composite
def cases(draw: Any) -> Case:
    traffic = draw(st.lists(exchanges(), min_size=1, max_size=4))
    # Customers come again: the same request at other times, so that what a plugin remembers of one is used.
    for again in draw(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 3)), max_size=8)):
        like = json.loads(json.dumps(traffic[again[0] % len(traffic)]))
        like["request"]["started_at"] += again[1]
        like["response"]["ended_at"] += again[1]
        traffic.append(like)
    return Case(draw(CONFIGS), sorted(traffic, key=lambda one: one["response"]["ended_at"]), draw(ANSWERS))


@st.composite
def crowds(draw: Any) -> Case:
    """Many plain requests, so that queues fill up."""
    began = sorted(draw(st.lists(st.sampled_from([0, 0.25, 0.5, 0.97, 1.2, 2, 3.5]), min_size=1, max_size=25)))
    traffic = [
        {
            "request": {"method": "GET", "path": "/", "headers": [["x-tenant-id", "acme"]], "started_at": START + at},
            "response": {"status": 200, "ended_at": START + at + 0.125},
        }
        for at in began
    ]
    source = {"look_up_value_in": "header", "field": "x-tenant-id"}
    return Case({"subject": source, "queue": draw(QUEUES)}, traffic, draw(ANSWERS))


@dataclass(frozen=True)
class Bill:
    """What became of a case: drops and events by request, and the queue's trace, entries named ``request.event``."""

    dropped: dict[int, tuple[str, str]]
    events: dict[int, list[dict[str, Any]]]
    arrivals: list[simulation.Arrival]
    trace: simulation.Trace


def bill(case: Case) -> Bill:
    """Run a case through the pipeline and the queue."""
    full = {"ingest_endpoint": "http://ingest.test/events", "api_token": "t", **case.config}
    loaded = config_module.load_config(full, "3.16")
    pipeline = pipeline_module.Pipeline(loaded, "3.16")
    dropped: dict[int, tuple[str, str]] = {}
    events: dict[int, list[dict[str, Any]]] = {}
    arrivals = []
    for number, exchange in enumerate(as_the_gateway_hands_them_over(case.traffic)):
        made = pipeline.entries(exchange)
        if isinstance(made, pipeline_module.Drop):
            dropped[number] = (made.rule, made.reason)
            continue
        events[number] = [json.loads(entry) for entry in made]
        for index, entry in enumerate(made):
            at = exchange.response.ended_at - START
            arrivals.append(simulation.Arrival(at, f"{number}.{index}", len(entry)))
    schedule = simulation.Schedule(loaded.queue, arrivals, case.answers)
    return Bill(dropped, events, arrivals, simulation.trace(schedule))


def as_the_gateway_hands_them_over(traffic: Sequence[Mapping[str, Any]]) -> list[Exchange]:
    """Return exchanges that share what is equal, as those of a gateway share headers and entities."""
    shared: dict[str, Any] = {}

    def same(value: Any) -> Any:
        return shared.setdefault(type(value).__name__ + repr(value), value)

    made = []
    for data in traffic:
        exchange = msgspec.convert(data, Exchange)
        request = msgspec.structs.replace(exchange.request, headers=same(exchange.request.headers))
        parts = {name: same(getattr(exchange, name)) for name in ("route", "service", "consumer", "application")}
        made.append(msgspec.structs.replace(exchange, request=request, **parts))
    return made


# The laws


def every_request_is_billed_or_dropped_for_its_reason(case: Case, seen: Bill) -> None:
    for number, exchange in enumerate(case.traffic):
        what: Expected = expected(case.config, exchange)
        assert (number in seen.dropped) != (number in seen.events)
        if what.drops:
            assert number in seen.dropped, f"SUB, DRP, FLT: no event was due, for {sorted(what.drops)}"
            rule, reason = seen.dropped[number]
            assert rule in what.drops and reason
        else:
            assert number in seen.events, f"dropped without a reason: {seen.dropped[number]}"
            times = exchange["request"]["started_at"], exchange["response"]["ended_at"]
            check_events(what, seen.events[number], *times)


def ids_are_unique(case: Case, seen: Bill) -> None:
    names = [(event["source"], event["id"]) for events in seen.events.values() for event in events]
    assert len(set(names)) == len(names), "EVT-3"


def every_event_is_delivered_or_lost_for_a_reason(case: Case, seen: Bill) -> None:
    fates = [one.id for one in seen.trace.delivered] + [one.id for one in seen.trace.lost]
    assert sorted(fates) == sorted(arrival.id for arrival in seen.arrivals)
    tries = tries_by_entry(seen)
    for one in seen.trace.delivered:
        *failed, last = tries[one.id]
        assert 200 <= last.status < 300 and not any(200 <= each.status < 300 for each in failed), "RET-6"
        assert one.t == pytest.approx(last.t + last.duration), "delivered is when the answer came"
    for one in seen.trace.lost:
        if one.reason == "gave_up":
            assert tries[one.id] and all(not 200 <= each.status < 300 for each in tries[one.id])
        else:
            assert one.reason in ("overflow_entries", "window_full"), "CAP"
            assert one.id not in tries, "CAP-3: what is being sent takes up no room"


def nothing_is_sent_before_its_request_was_over(case: Case, seen: Bill) -> None:
    arrived = {arrival.id: arrival.t for arrival in seen.arrivals}
    for entry, tries in tries_by_entry(seen).items():
        ended = case.traffic[int(entry.partition(".")[0])]["response"]["ended_at"] - START
        assert all(one.t >= arrived[entry] >= ended - 1e-6 for one in tries)


def batches_are_in_order_and_no_larger_than_allowed(case: Case, seen: Bill) -> None:
    queue = case.config["queue"]
    largest = 1 if queue["max_coalescing_delay"] < 0.05 or queue["concurrency_limit"] == -1 else None
    largest = largest or queue["max_batch_size"]
    assert all(1 <= len(one.entries) <= largest for one in seen.trace.tries), "BAT-1, BAT-6, BAT-7"
    if queue["concurrency_limit"] == 1:
        order = {arrival.id: number for number, arrival in enumerate(seen.arrivals)}
        sent = [order[entry] for batch in batches(seen) for entry in batch[0].entries]
        assert sent == sorted(set(sent)), "BAT-1: first in, first out"
        pairs = itertools.pairwise(seen.trace.tries)
        assert all(after.t >= before.t + before.duration - 1e-9 for before, after in pairs), "BAT-7: one at a time"


def a_retry_is_the_same_batch_after_the_right_wait(case: Case, seen: Bill) -> None:
    queue = case.config["queue"]
    waits = [min(queue["max_retry_delay"], queue["initial_retry_delay"] * 2**n) for n in range(64)]
    for tries in batches(seen):
        for number, (before, after) in enumerate(itertools.pairwise(tries)):
            assert after.entries == before.entries, "RET-4"
            assert after.t == pytest.approx(before.t + before.duration + waits[min(number, 63)]), "RET-1"
        over_at = tries[-1].t + tries[-1].duration
        given_up = not 200 <= tries[-1].status < 300
        for one in tries[: len(tries) if not given_up else -1]:
            failed_at = one.t + one.duration
            if not 200 <= one.status < 300:
                assert failed_at - tries[0].t <= queue["max_retry_time"] + 1e-9, "RET-2: tried for too long"
        if given_up:
            assert over_at - tries[0].t > queue["max_retry_time"] - 1e-9, "RET-2: given up too early"


def the_queue_holds_no_more_than_allowed_and_the_oldest_goes(case: Case, seen: Bill) -> None:
    """CAP-1 to CAP-4: told again from arrivals, first tries and losses alone."""
    queue = case.config["queue"]
    if queue["concurrency_limit"] == -1:
        assert not [one for one in seen.trace.lost if one.reason != "gave_up"], "BAT-7: no limit"
        return
    lost = {one.id: one.reason for one in seen.trace.lost if one.reason != "gave_up"}
    sends = [(batch[0].t, batch[0].entries) for batch in batches(seen)]
    waiting: list[str] = []
    for arrival in seen.arrivals:
        while sends and sends[0][0] < arrival.t:
            waiting = [entry for entry in waiting if entry not in sends[0][1]]
            sends.pop(0)
        if len(waiting) == queue["max_entries"]:
            if lost.get(arrival.id) == "window_full":
                assert queue["max_entries"] <= len(seen.arrivals), "CAP-4"
                del lost[arrival.id]
                continue
            assert lost.pop(waiting.pop(0), None) == "overflow_entries", "CAP-1: the oldest goes"
        assert lost.get(arrival.id) != "window_full", "CAP-4: there was room"
        waiting.append(arrival.id)
        assert len(waiting) <= queue["max_entries"]
    assert not lost, "CAP-1: lost although there was room"


LAWS: list[Callable[[Case, Bill], None]] = [
    every_request_is_billed_or_dropped_for_its_reason,
    ids_are_unique,
    every_event_is_delivered_or_lost_for_a_reason,
    nothing_is_sent_before_its_request_was_over,
    batches_are_in_order_and_no_larger_than_allowed,
    a_retry_is_the_same_batch_after_the_right_wait,
    the_queue_holds_no_more_than_allowed_and_the_oldest_goes,
]


def tries_by_entry(seen: Bill) -> dict[str, list[simulation.Try]]:
    found: dict[str, list[simulation.Try]] = {}
    for one in seen.trace.tries:
        for entry in one.entries:
            found.setdefault(entry, []).append(one)
    return found


def batches(seen: Bill) -> list[list[simulation.Try]]:
    """Return the tries of each batch, told by what they share."""
    found: list[list[simulation.Try]] = []
    for one in seen.trace.tries:
        mine = next((batch for batch in found if set(batch[-1].entries) & set(one.entries)), None)
        if mine is None:
            found.append([one])
        else:
            mine.append(one)
    return found


@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    report_multiple_bugs=False,
)
@given(cases() | crowds())
def test_every_request_is_billed_as_the_rules_say(case: Case) -> None:
    seen = bill(case)
    for law in LAWS:
        law(case, seen)


# Planted defects


Law = Callable[[Case, Bill], None]
Plant = Callable[[pytest.MonkeyPatch], None]
DEFECTS: list[tuple[Plant, Law]] = []


def found_by(law: Law) -> Callable[[Plant], Plant]:
    """Register a function that breaks the emulator as real plugins are broken; its docstring says how."""

    def register(plant: Plant) -> Plant:
        DEFECTS.append((plant, law))
        return plant

    return register


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def placeholder_subject(patch: pytest.MonkeyPatch) -> None:
    """Who is not known is billed as "unknown"."""
    rule_of = pipeline_module.subject_rule

    def broken(*arguments: Any) -> Any:
        rule = rule_of(*arguments)
        lookup = rule.lookup
        object.__setattr__(rule, "lookup", lambda *given: lookup(*given) or "unknown")
        return rule

    patch.setattr(pipeline_module, "subject_rule", broken)


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def last_header_wins(patch: pytest.MonkeyPatch) -> None:
    """Of a header given twice the last value is taken."""
    named = pipeline_module.headers_named
    patch.setattr(pipeline_module, "headers_named", lambda headers, *rest: named(list(reversed(headers)), *rest))


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def undecoded_query(patch: pytest.MonkeyPatch) -> None:
    """Query values stay percent-encoded."""

    def named(query: str, wanted: Any) -> dict[str, str]:
        pairs = [pair.partition("=") for pair in query.split("&")]
        return {name: value for name, _, value in reversed(pairs) if name in wanted}

    patch.setattr(pipeline_module, "parameters_named", named)


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def attribute_overwrites(patch: pytest.MonkeyPatch) -> None:
    """An attribute takes the place of a built-in field."""
    patch.setattr(pipeline_module, "add_attributes", lambda data, properties: data.update(properties))


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def time_of_delivery(patch: pytest.MonkeyPatch) -> None:
    """Events carry a time after their request."""
    rfc3339 = pipeline_module.rfc3339
    patch.setattr(pipeline_module, "rfc3339", lambda seconds: rfc3339(seconds + 5))


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def exclusive_end(patch: pytest.MonkeyPatch) -> None:
    """The last status of a range is left out."""
    read = config_module._status_range

    def broken(text: str) -> tuple[int, int] | None:
        found = read(text)
        return (found[0], found[1] - 1) if found and found[1] > found[0] else found

    patch.setattr(config_module, "_status_range", broken)


@found_by(ids_are_unique)
def reused_id(patch: pytest.MonkeyPatch) -> None:
    """Every event has the same id."""
    patch.setattr(pipeline_module, "id_source", lambda *seed: lambda: "00000000-0000-4000-8000-000000000000")


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def swapped_tokens(patch: pytest.MonkeyPatch) -> None:
    """Prompt tokens are on the response event."""
    data_of = pipeline_module.llm_request_data

    def broken(exchange: Any, ai: Any, kind: str, request_id: str) -> dict[str, Any]:
        other = data_of(exchange, ai, "response" if kind == "request" else "request", request_id)
        return {**other, "type": kind}

    patch.setattr(pipeline_module, "llm_request_data", broken)


@found_by(every_request_is_billed_or_dropped_for_its_reason)
def stale_rest(patch: pytest.MonkeyPatch) -> None:
    """What is remembered of a request is used for others that differ in their status alone."""
    entries = pipeline_module.Pipeline.entries

    def broken(self: Any, exchange: Any) -> Any:
        first = self.__dict__.setdefault("first", {}).setdefault(id(exchange.request.headers), exchange)
        return entries(self, msgspec.structs.replace(exchange, response=first.response))

    patch.setattr(pipeline_module.Pipeline, "entries", broken)


@found_by(batches_are_in_order_and_no_larger_than_allowed)
def batch_too_large(patch: pytest.MonkeyPatch) -> None:
    """Batches hold one entry more than allowed."""

    def queue(settings: Any, *rest: Any) -> Any:
        return BatchQueue(msgspec.structs.replace(settings, max_batch_size=settings.max_batch_size + 1), *rest)

    patch.setattr(simulation, "BatchQueue", queue)


@found_by(batches_are_in_order_and_no_larger_than_allowed)
def reversed_order(patch: pytest.MonkeyPatch) -> None:
    """A batch goes out last entry first."""
    begin = BatchQueue._begin_delivery

    def broken(self: Any, now: float) -> Any:
        batch = begin(self, now)
        batch.reverse()
        return batch

    patch.setattr(BatchQueue, "_begin_delivery", broken)


@found_by(every_event_is_delivered_or_lost_for_a_reason)
def smaller_retry(patch: pytest.MonkeyPatch) -> None:
    """A retry leaves the first entry of its batch behind."""
    failed = backoff.Delivery.failed

    def broken(self: Any, now: float) -> Any:
        again_at = failed(self, now)
        if again_at is not None and len(self.batch) > 1:
            self.batch = self.batch[1:]
        return again_at

    patch.setattr(backoff.Delivery, "failed", broken)


@found_by(a_retry_is_the_same_batch_after_the_right_wait)
def no_growth(patch: pytest.MonkeyPatch) -> None:
    """The waits between tries do not grow."""
    patch.setattr(backoff, "retry_delay", lambda settings, retry: settings.initial_retry_delay)


@found_by(a_retry_is_the_same_batch_after_the_right_wait)
def lost_at_the_first_failure(patch: pytest.MonkeyPatch) -> None:
    """A batch is given up after its first try."""
    patch.setattr(backoff.Delivery, "failed", lambda self, now: None)


@found_by(every_event_is_delivered_or_lost_for_a_reason)
def redirect_is_success(patch: pytest.MonkeyPatch) -> None:
    """Whatever is not an error counts as success."""
    patch.setattr(simulation.Answer, "ok", property(lambda self: 200 <= self.status < 400))


@found_by(the_queue_holds_no_more_than_allowed_and_the_oldest_goes)
def newest_is_dropped(patch: pytest.MonkeyPatch) -> None:
    """With the queue full the entry that waits for the shortest time is dropped."""

    def broken(self: Any, reason: Any) -> bool:
        if len(self._entries) - self._claimed <= 1:
            return False
        self._on_lost((self._entries.pop(),), reason)
        return True

    patch.setattr(BatchQueue, "_drop_oldest", broken)


@found_by(every_event_is_delivered_or_lost_for_a_reason)
def silent_loss(patch: pytest.MonkeyPatch) -> None:
    """What is given up is not counted."""
    make = BatchQueue.__init__

    def broken(self: Any, settings: Any, on_lost: Any, *rest: Any) -> None:
        make(self, settings, lambda entries, reason: None, *rest)

    patch.setattr(BatchQueue, "__init__", broken)


@pytest.mark.parametrize(("plant", "law"), DEFECTS, ids=[plant.__name__ for plant, _ in DEFECTS])
def test_a_planted_defect_is_found_by_its_law(plant: Plant, law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @settings(
        max_examples=400,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(cases() | crowds())
    def broken(case: Case) -> None:
        law(case, bill(case))

    with pytest.raises(AssertionError):
        broken()
