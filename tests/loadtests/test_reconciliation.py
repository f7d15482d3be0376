"""Reconciliation: each kind of fault in a run of a few requests."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from loadtests.classification import CLASSES
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.matching import MatchingError, Mismatch
from loadtests.numbers import label
from loadtests.reconciliation import Reconciliation, ReconciliationError, reconcile
from tests.loadtests.recorded_run import (
    ALICE,
    DROPPED,
    RUN,
    Delivery,
    Event,
    Request,
    api,
    chat,
    write_run,
)

A, D, C = 0, 1, 2


def classes(result: Reconciliation) -> dict[str, int]:
    """Return the classes that are not empty; every request is in one."""
    assert sum(result.classes.values()) == result.requests
    assert tuple(result.classes) == CLASSES
    return {name: count for name, count in result.classes.items() if count}


def named(result: Reconciliation, kind: str) -> list[str]:
    return [example.number for example in result.examples[kind]]


def test_a_run_without_a_fault_is_right(tmp_path: Path) -> None:
    """Consumer, dropped and AI requests of two workers with sparse indices, billed once each."""
    requests = {0: [Request(A), Request(D), Request(C)], 40_000: [Request(A)]}
    events = (api(0, 0), *chat(0, 2), api(40_000, 0))
    result = reconcile(write_run(tmp_path, requests, [Delivery(events)]), late_after=1.0)
    assert classes(result) == {"billed_once": 3, "dropped_right": 1}
    assert result.right
    assert result.by_expectation["chat of bob"] == {"billed_once": 1}
    assert (result.events.due, result.events.billed, result.events.missing) == (5, 5, 0)
    assert result.latency["max"] == result.latency["p50"] == pytest.approx(0.5)
    assert not any(result.examples.values())
    assert len(result.strangers) == 0


def test_planted_faults_are_found_exactly_and_named(tmp_path: Path) -> None:
    """Of 1000 requests 7 events are dropped, 5 duplicated with new ids, 3 with the same, 2 given another subject."""
    planted = random.Random(6).sample(range(1000), 17)
    lost, twice, again, changed = planted[:7], planted[7:12], planted[12:15], planted[15:]
    events, extra = [], []
    for n in range(1000):
        if n in lost:
            continue
        event = api(3, n, subject="mallory" if n in changed else "alice")
        events.append(event)
        if n in twice:
            extra.append(api(3, n))
        if n in again:
            extra.append(Event(**{**vars(event), "verdict": "duplicate"}))
    batches = [Delivery(tuple(events[at : at + 100]), at=2.0) for at in range(0, len(events), 100)]
    result = reconcile(write_run(tmp_path, {3: [Request(A)] * 1000}, [*batches, Delivery(tuple(extra), at=3.0)]))
    assert classes(result) == {
        "missing": 7,
        "duplicated_new_id": 5,
        "wrong": 2,
        "duplicated_same_id": 3,
        "billed_once": 983,
    }
    for kind, numbers in (
        ("missing", lost),
        ("duplicated_new_id", twice),
        ("duplicated_same_id", again),
        ("wrong", changed),
    ):
        assert named(result, kind) == [label(RUN, 3, n) for n in sorted(numbers)], kind
    assert result.wrong_fields == {"subject": 2}
    assert result.examples["wrong"][0].arrivals[0].wrong == (Mismatch("subject", "alice", "mallory"),)
    assert [len(example.arrivals) for example in result.examples["duplicated_new_id"]] == [2] * 5
    assert (result.events.charged_again, result.events.delivered_again) == (5, 3)
    assert len(result.lost) == 7
    assert not result.right


def test_an_event_refused_and_delivered_later_counts_once(tmp_path: Path) -> None:
    """Two tries answered 503, then success: billed once, late by the last try, two retries."""
    event = api(0, 0)
    refused = Delivery((Event(**{**vars(event), "verdict": "refused"}),), status=503, fault="status")
    tries = [refused, Delivery(refused.events, at=2.0, status=503), Delivery((event,), at=5.0)]
    result = reconcile(write_run(tmp_path, {0: [Request(A)]}, tries), late_after=1.0)
    assert classes(result) == {"late": 1}
    assert result.latency["max"] == pytest.approx(4.0)
    assert (result.deliveries.requests, result.deliveries.retries) == (3, 2)
    assert result.deliveries.by_status == {202: 1, 503: 2}
    assert result.deliveries.by_fault == {"status": 1}


def test_an_event_only_ever_refused_is_missing(tmp_path: Path) -> None:
    """It came, but never with success: missing, and told apart from one that never came."""
    events = (api(0, 0, verdict="refused"), api(0, 1, verdict="invalid"))
    result = reconcile(write_run(tmp_path, {0: [Request(A)] * 3}, [Delivery(events, status=400)]))
    assert classes(result) == {"missing": 3}
    assert result.events.missing_refused == 1
    assert [len(example.arrivals) for example in result.examples["missing"]] == [1, 1, 0]


def test_a_delivery_after_a_lost_answer_is_told_from_one_after_success(tmp_path: Path) -> None:
    """DLV-2: accepted, answer lost, sent again with the same id is charged once; after a 202 it is needless, too."""
    events = (api(0, 0), api(0, 1))
    again = tuple(Event(**{**vars(event), "verdict": "duplicate"}) for event in events)
    deliveries = [
        Delivery(events[:1], status=None, fault="drop_answer"),
        Delivery(events[1:]),
        Delivery(again, at=2.0),
    ]
    result = reconcile(write_run(tmp_path, {0: [Request(A)] * 2}, deliveries))
    assert classes(result) == {"duplicated_same_id": 2}
    assert (result.events.delivered_again, result.events.delivered_again_needlessly) == (2, 1)
    assert result.events.charged_again == 0
    assert result.latency["max"] == pytest.approx(0.5), "the first arrival counts"
    assert result.right


def test_the_same_id_from_another_source_is_another_event(tmp_path: Path) -> None:
    """EVT-3: an event is known by source and id together."""
    event = api(0, 0, id="not-a-uuid")
    other = Event(**{**vars(event), "source": "kong-2"})
    result = reconcile(write_run(tmp_path, {0: [Request(A)]}, [Delivery((event, other))]))
    assert classes(result) == {"duplicated_new_id": 1}
    assert result.examples["duplicated_new_id"][0].arrivals[0].id.startswith("digest:")


@pytest.mark.parametrize(
    ("first", "second"),
    [("x", "X"), (str(2**70), str(2**70 + 1)), ("ab" * 16, "-".join(["ab"] * 16)), ("Ab" * 16, "aB" * 16)],
)
def test_ids_that_differ_in_anything_differ(tmp_path: Path, first: str, second: str) -> None:
    """Case, dashes and length of an id count, whatever form it has."""
    events = (api(0, 0, id=first), api(0, 0, id=second))
    assert classes(reconcile(write_run(tmp_path, {0: [Request(A)]}, [Delivery(events)]))) == {"duplicated_new_id": 1}


def test_two_plugin_instances_charge_twice(tmp_path: Path) -> None:
    """An event of the same request in another lane, expected in any, is money charged twice."""
    deliveries = [Delivery((api(0, 0),), lane="one"), Delivery((api(0, 0),), lane="two")]
    assert classes(reconcile(write_run(tmp_path, {0: [Request(A)]}, deliveries))) == {"duplicated_new_id": 1}


def test_events_expected_in_two_lanes(tmp_path: Path) -> None:
    """Two instances that both must bill: one event in each lane; the one in a wrong lane is named."""
    one, two = (ExpectedEvent("kong.api_request", "alice", lane=lane) for lane in ("one", "two"))
    table = Expectations([Expectation("both", (one, two))])
    deliveries = [
        Delivery((api(0, 0), api(0, 1)), lane="one"),
        Delivery((api(0, 0),), lane="two"),
        Delivery((api(0, 2),), lane="three"),
    ]
    result = reconcile(write_run(tmp_path, {0: [Request(0)] * 3}, deliveries, table))
    assert classes(result) == {"billed_once": 1, "missing": 2}
    assert result.wrong_fields == {"lane": 1}


def test_what_must_be_dropped_and_is_billed(tmp_path: Path) -> None:
    """DRP-1, and a request that the gateway turned away; an event that was refused is not billed."""
    requests = [Request(D), Request(A, 401), Request(A, 401), Request(D)]
    events = (api(0, 0, subject="unknown"), api(0, 1), api(0, 3, verdict="refused"))
    result = reconcile(write_run(tmp_path, {0: requests}, [Delivery(events)]))
    assert classes(result) == {"billed_though_dropped": 2, "dropped_right": 1, "rejected_unbilled": 1}
    assert named(result, "billed_though_dropped") == [label(RUN, 0, 0), label(RUN, 0, 1)]
    assert result.wrong_fields == {}


def test_a_request_without_the_answer_expected_may_be_billed_once_at_most(tmp_path: Path) -> None:
    """No answer, or another one: billed and not billed are both possible, twice is not."""
    requests = [Request(A, 0), Request(A, 0), Request(A, 502), Request(A, ended=None), Request(A, 502)]
    events = (api(0, 0), api(0, 3), api(0, 4), api(0, 4))
    result = reconcile(write_run(tmp_path, {0: requests}, [Delivery(events)]), late_after=0.0)
    assert classes(result) == {"unknown_billed": 2, "unknown_unbilled": 2, "duplicated_new_id": 1}
    assert result.answers == {0: 3, 502: 2}
    assert result.examples["unknown_billed"][1].ended_at is None
    assert result.latency == {}


def test_an_ai_request_lacks_one_of_its_events(tmp_path: Path) -> None:
    """EVT-9: each of the three has its slot; a wrong field is named; two requests where a response is due are two."""
    ok, lacking, wrong = chat(0, 0), chat(0, 1)[:2], chat(0, 2)
    swapped = Event(0, 2, type="kong.llm_request", subject="bob", data=(("type", "response"), ("provider", "azure")))
    result = reconcile(write_run(tmp_path, {0: [Request(C)] * 3}, [Delivery((*ok, *lacking, *wrong[:2], swapped))]))
    assert classes(result) == {"billed_once": 1, "missing": 1, "wrong": 1}
    assert result.wrong_fields == {"data.provider": 1}
    assert result.events.missing == 1
    assert (Mismatch("data.provider", "openai", "azure"),) in [
        arrival.wrong for arrival in result.examples["wrong"][0].arrivals
    ]


def test_an_event_of_a_type_that_is_not_expected_is_wrong(tmp_path: Path) -> None:
    """EVT-10: an llm_request event for a plain request."""
    llm = Event(0, 0, type="kong.llm_request")
    result = reconcile(write_run(tmp_path, {0: [Request(A)]}, [Delivery((api(0, 0), llm))]))
    assert classes(result) == {"wrong": 1}
    assert result.wrong_fields == {"type": 1}
    assert result.events.unexpected == 1
    assert result.examples["wrong"][0].arrivals[1].wrong == (
        Mismatch("type", "kong.api_request", "kong.llm_request"),
    )


def test_an_id_that_another_event_has_used_is_not_billed(tmp_path: Path) -> None:
    """EVT-3: the endpoint discards the second event with an id, so the money of its request is lost."""
    events = (api(0, 0, id="same"), *(api(0, n, id="same", verdict="duplicate") for n in (1, 2, 2)))
    requests = [Request(A), Request(A, started=5.0, ended=6.0), Request(A)]
    result = reconcile(write_run(tmp_path, {0: requests}, [Delivery(events)]))
    assert classes(result) == {"billed_once": 1, "missing": 2}
    assert result.examples["missing"][0].arrivals[0].verdict == "duplicate"
    assert (result.events.before_start, result.events.delivered_again) == (0, 1)


def test_strangers_are_counted_and_shown(tmp_path: Path) -> None:
    """Another run's events, events without a number, and numbers that no worker gave out."""
    events = (api(0, 0), api(0, 7), api(9, 0), api(0, 0, run="ffffffff"))
    directory = write_run(tmp_path, {0: [Request(A)]}, [Delivery(events)])
    result = reconcile(directory)
    assert classes(result) == {"billed_once": 1}
    strangers = result.strangers
    assert (strangers.other_run, strangers.unnumbered, strangers.not_in_ledger) == (1, 0, 2)
    assert [example["number"] for example in strangers.examples] == [
        label("ffffffff", 0, 0),
        label(RUN, 0, 7),
        label(RUN, 9, 0),
    ]
    assert not result.right


def test_events_without_a_number_bill_for_nothing_when_they_are_accepted(tmp_path: Path) -> None:
    def result(name: str, *events: Event) -> Reconciliation:
        return reconcile(write_run(tmp_path / name, {0: [Request(A)]}, [Delivery((api(0, 0), *events))]))

    accepted, again, refused = (
        api(0, 0, numbered=False, verdict=verdict) for verdict in ("accepted", "duplicate", "refused")
    )
    charged = result("charged", accepted, again, refused)
    assert (charged.strangers.unnumbered, charged.strangers.unnumbered_accepted) == (3, 1)
    assert charged.strangers.in_words() == "3 without a number (1 accepted)"
    assert not charged.right
    assert result("not charged", again, refused).right
    neutral = result("another run's", api(0, 0, run="ffffffff"))
    assert neutral.right and neutral.strangers.in_words() == "1 of another run"


def test_events_with_a_number_that_no_run_gives_out_bill_for_nothing_when_they_are_accepted(tmp_path: Path) -> None:
    """The gateway has spoilt it: nobody can say for which request it bills, but it bills."""

    def result(name: str, *numbers: Any, verdict: str = "accepted") -> Reconciliation:
        events = (api(0, 0), *(api(0, 1, number=number, verdict=verdict) for number in numbers))
        return reconcile(write_run(tmp_path / name, {0: [Request(A)]}, [Delivery(events)]))

    spoilt = result("spoilt", label(RUN, 0, 1)[:-1], "ffffffff-1", 7, label(RUN, 0, 0).upper() + " ")
    assert (spoilt.strangers.malformed, spoilt.strangers.malformed_accepted, spoilt.strangers.other_run) == (4, 4, 0)
    assert not spoilt.right and spoilt.strangers.unrecorded == 0
    assert spoilt.strangers.in_words() == "4 with a malformed number (4 accepted)"
    assert [example["number"] for example in spoilt.strangers.examples][1] == "ffffffff-1"
    assert result("refused", "ffffffff-1", verdict="refused").right
    assert result("of another run", label("ffffffff", 0, 1)).right


def test_late_is_later_than_the_bound(tmp_path: Path) -> None:
    """Exactly at the bound is not late; a long way behind is."""
    deliveries = [Delivery((api(0, 0),), at=1.5), Delivery((api(0, 1),), at=2.0)]
    directory = write_run(tmp_path, {0: [Request(A)] * 2}, deliveries)
    assert classes(reconcile(directory, late_after=0.5)) == {"billed_once": 1, "late": 1}
    assert classes(reconcile(directory)) == {"billed_once": 2}


def test_an_arrival_before_the_request_is_flagged(tmp_path: Path) -> None:
    """Clocks that differ show as events that come before their request; before its end is no fault."""
    requests = [Request(A, started=1.0, ended=9.0), Request(A, started=5.0, ended=9.0)]
    result = reconcile(write_run(tmp_path, {0: requests}, [Delivery((api(0, 0), api(0, 1)), at=2.0)]))
    assert classes(result) == {"billed_once": 2}
    assert result.events.before_start == 1
    assert named(result, "before_start") == [label(RUN, 0, 1)]
    assert result.latency["min"] == pytest.approx(-7.0)


def test_an_empty_run(tmp_path: Path) -> None:
    """No request and no event: nothing is wrong, and nothing is said to have been measured."""
    result = reconcile(write_run(tmp_path, {0: []}), late_after=1.0)
    assert (result.requests, classes(result), result.latency) == (0, {}, {})
    assert result.right
    json.dumps(result.to_json(), allow_nan=False)


def test_the_result_is_json(tmp_path: Path) -> None:
    """All of it, without a NaN, and the histogram in HdrHistogram's encoding."""
    from hdrh.histogram import HdrHistogram

    deliveries = [Delivery((api(0, 0), *chat(0, 1)[:1]), at=1.25), Delivery((api(0, 0),), status=503)]
    requests = [Request(A), Request(C), Request(A, 0, ended=None)]
    result = reconcile(write_run(tmp_path, {0: requests}, deliveries), late_after=0.1)
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["classes"] == result.classes
    histogram = HdrHistogram.decode(data["billing_latency_histogram"])
    assert histogram.get_total_count() == 2
    assert histogram.get_max_value() == pytest.approx(250_000, rel=0.001)
    assert data["timeline"]["requests"] == [3, 0]
    assert data["timeline"]["due"] == [0, 4]
    assert data["timeline"]["backlog"] == [0, 2]
    assert data["deliveries"]["sizes"] == [[1, 1], [2, 1]]


def test_only_the_first_hundred_of_a_kind_are_named(tmp_path: Path) -> None:
    """All are counted; the lowest numbers are named."""
    result = reconcile(write_run(tmp_path, {0: [Request(A)] * 150, 1: [Request(A)]}))
    assert result.classes["missing"] == 151
    assert named(result, "missing") == [label(RUN, 0, n) for n in range(100)]


def test_a_field_that_was_not_watched_is_refused(tmp_path: Path) -> None:
    """A check that cannot be made is an error, not a pass."""
    write_run(tmp_path, {0: [Request(A)]})
    events = (ExpectedEvent("kong.api_request", "alice", (("data.route_name", "r"),)),)
    Expectations([Expectation("a", events), DROPPED]).write(tmp_path)
    with pytest.raises(MatchingError, match=r"data\.route_name was not watched"):
        reconcile(tmp_path)


def test_an_expectation_out_of_the_table_is_refused(tmp_path: Path) -> None:
    """The table must be the one that the load used."""
    write_run(tmp_path, {2: [Request(0), Request(2)]})
    Expectations([ALICE]).write(tmp_path)
    with pytest.raises(ValueError, match="worker 2 expects number 2; the table of the run has 1"):
        reconcile(tmp_path)


def test_ledger_and_arrivals_of_two_runs_are_refused(tmp_path: Path) -> None:
    """Nothing would match, which is a mistake and not a loss."""
    write_run(tmp_path, {0: [Request(0)]})
    other = bytearray((tmp_path / "ledger-0.bin").read_bytes())
    other[8:16] = b"ffffffff"
    (tmp_path / "ledger-0.bin").write_bytes(other)
    with pytest.raises(ReconciliationError, match=f"run ffffffff, the arrivals are of run {RUN}"):
        reconcile(tmp_path)


def test_true_is_not_one(tmp_path: Path) -> None:
    """Values are compared as JSON has them, also where an equal one was seen before."""
    table = Expectations([Expectation("a", (ExpectedEvent("t", "s", (("data.flag", 1),)),))])
    events = tuple(
        Event(0, n, type="t", subject="s", data=(("flag", value),)) for n, value in enumerate([1, True, 1.0])
    )
    result = reconcile(write_run(tmp_path, {0: [Request(0)] * 3}, [Delivery(events)], table))
    assert classes(result) == {"billed_once": 2, "wrong": 1}
    assert named(result, "wrong") == [label(RUN, 0, 1)]
