"""Lives put together from facts, whatever happens to events and batches, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.journal.explanation import Outcome, explain_life
from harness.journal.lives import Lives
from harness.journal.wording import clock
from plugin_emulator.journal import (
    Configured,
    Ended,
    Fact,
    Instance,
    Lost,
    Metered,
    Named,
    NotBuilt,
    PassedOver,
    Sending,
    Started,
    Stopped,
    SubjectReading,
    Tried,
)

QUEUE = {"max_batch_size": 3, "max_coalescing_delay": 1.0, "max_entries": 5, "max_bytes": None}
INSTANCE = Instance("p", "metering-and-billing", ("log",), {"ingest_endpoint": "http://i/events", "queue": QUEUE})
SUBJECT = SubjectReading("header", "x-tenant-id", "acme")


class Model:
    """A gateway with one queue that is driven at random and knows where each of its events is."""

    def __init__(self) -> None:
        self.at = 0.0
        self.waiting: list[str] = []
        self.sending: dict[int, list[str]] = {}
        self.tries: dict[int, int] = {}
        self.state: dict[str, str] = {}
        self.batches = 0

    def facts(self, step: str, number: int) -> Iterator[Fact]:
        self.at += 1.0
        if step == "request":
            made = [f"e{self.at:.0f}-{index}" for index in range(number % 4)]
            yield Ended(self.at, f"r{self.at:.0f}", self.at - 0.5, "GET", "/", 200, instances=("p",))
            drop = None if made else "DRP-1"
            events = tuple((event, "kong.api_request") for event in made)
            yield Metered(self.at, f"r{self.at:.0f}", "p", SUBJECT, (), events, drop, drop and "no subject")
            self.waiting += made
            self.state |= dict.fromkeys(made, "waiting")
        elif step == "batch" and self.waiting:
            self.batches += 1
            taken, self.waiting = self.waiting[: number % 3 + 1], self.waiting[number % 3 + 1 :]
            self.sending[self.batches] = taken
            self.state |= dict.fromkeys(taken, "sending")
            yield Sending(self.at, "p", self.batches, tuple(taken))
        elif step == "overflow" and self.waiting:
            lost = self.waiting.pop(0)
            self.state[lost] = "lost"
            yield Lost(self.at, "p", (lost,), "CAP-1", "overflow")
        elif step in ("answer", "refusal", "give up") and self.sending:
            batch = list(self.sending)[number % len(self.sending)]
            self.tries[batch] = self.tries.get(batch, 0) + 1
            status = 202 if step == "answer" else 503
            yield Tried(self.at, "p", batch, self.tries[batch], 0.1, status == 202, status, f"answered {status}")
            if step != "refusal":
                gone = self.sending.pop(batch)
                self.state |= dict.fromkeys(gone, "delivered" if step == "answer" else "lost")
                if step == "give up":
                    yield Lost(self.at, "p", tuple(gone), "RET-2", "given up", batch)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["request", "request", "batch", "overflow", "answer", "refusal", "give up"]),
        st.integers(0, 11),
    ),
    max_size=60,
)
OUTCOMES = {
    "waiting": Outcome.UNDER_WAY,
    "sending": Outcome.UNDER_WAY,
    "delivered": Outcome.BILLED,
    "lost": Outcome.LOST,
}


@given(STEPS)
def test_each_request_has_the_outcome_that_its_events_have_and_a_cause_of_one_line(
    steps: list[tuple[str, int]],
) -> None:
    model, lives, unbilled = Model(), Lives(), Lives(unbilled_only=True)
    for each in (lives, unbilled):
        each.tell(Configured(0.0, (INSTANCE,)))
    for step, number in steps:
        for fact in model.facts(step, number):
            lives.tell(fact)
            unbilled.tell(fact)
    outcomes = {}
    for life in lives.requests.values():
        explanation = explain_life(life, lives.queues, lives.now)
        expected = {OUTCOMES[model.state[event.id]] for event in life.events} or {Outcome.NOT_BILLED}
        assert explanation.outcome is min(expected, key=[Outcome.LOST, Outcome.UNDER_WAY, *Outcome].index)
        assert "\n" not in explanation.line
        assert [step.at for step in explanation.steps] == sorted(step.at for step in explanation.steps)
        outcomes[life.id] = explanation.outcome
    queue = lives.queue("p")
    assert queue.waiting == len(model.waiting)
    assert {number: batch.size for number, batch in queue.under_way.items()} == {
        number: len(events) for number, events in model.sending.items()
    }
    assert (queue.delivered, queue.lost) == tuple(
        list(model.state.values()).count(end) for end in ("delivered", "lost")
    )
    assert set(unbilled.requests) == {id_ for id_, outcome in outcomes.items() if outcome is not Outcome.BILLED}


@given(STEPS, st.integers(1, 5))
def test_no_more_requests_are_kept_than_asked_for_and_the_queue_is_still_right(
    steps: list[tuple[str, int]], keep: int
) -> None:
    model, lives = Model(), Lives(keep=keep)
    for step, number in steps:
        for fact in model.facts(step, number):
            lives.tell(fact)
    assert len(lives.requests) <= keep
    assert lives.queue("p").waiting == len(model.waiting)


def test_a_batch_that_is_retried_for_hours_keeps_its_first_and_its_latest_tries() -> None:
    lives = Lives()
    lives.tell(Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)))
    lives.tell(Sending(1.0, "p", 1, ("e",)))
    for number in range(1, 10_001):
        lives.tell(Tried(1.0 + number, "p", 1, number, 0.1, ok=False, problem="cannot be reached"))
    explanation = explain_life(lives.requests["r"], lives.queues, lives.now)
    texts = [step.text for step in explanation.steps]
    assert "try 1: cannot be reached (took 100 ms)" in texts
    assert "9,979 more tries" in texts
    assert "try 10000: cannot be reached (took 100 ms)" in texts
    assert len(texts) < 40


def test_what_was_queued_in_a_gateway_that_was_killed_is_lost_when_the_next_one_starts() -> None:
    lives = Lives()
    for fact in (Started(0.0, "3.16.0"), Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)), Started(2.0, "3.16.0")):
        lives.tell(fact)
    explanation = explain_life(lives.requests["r"], lives.queues, lives.now)
    assert (explanation.outcome, explanation.rule) == (Outcome.LOST, "LIF-1")
    assert lives.queue("p").waiting == 0


def test_a_gateway_that_has_stopped_has_empty_queues() -> None:
    lives = Lives()
    for fact in (Started(0.0, "3.16.0"), Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)), Stopped(2.0, 1)):
        lives.tell(fact)
    assert not lives.running
    assert lives.queue("p").waiting == 0


def instance(url: str, **settings: object) -> Instance:
    return Instance("p", "metering-and-billing", ("log",), {"ingest_endpoint": url, "queue": QUEUE, **settings})


def test_each_try_is_told_with_the_endpoint_that_it_went_to_and_a_change_between_them_is_a_step() -> None:
    lives = Lives()
    for fact in (
        Configured(0.0, (instance("http://old/events"), ACCESS)),
        Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)),
        Sending(1.0, "p", 1, ("e",)),
        Tried(1.5, "p", 1, 1, 0.5, ok=False, status=503, problem="answered 503"),
        Configured(2.5, (instance("http://new/events"),)),
        Tried(3.0, "p", 1, 2, 1.0, ok=False, status=503, problem="answered 503"),  # began before
        Tried(4.0, "p", 1, 3, 0.5, ok=False, status=500, problem="answered 500"),
    ):
        lives.tell(fact)
        if isinstance(fact, Tried) and fact.number == 2:
            assert (
                "the ingest endpoint http://old/events answered 503"
                in explain_life(lives.requests["r"], lives.queues, 3.0).line
            )
    explanation = explain_life(lives.requests["r"], lives.queues, lives.now)
    assert explanation.line == (
        "under way: try 3 failed and another one follows: the ingest endpoint http://new/events answered 500 [RET-6]"
    )
    assert [step.text for step in explanation.steps[-5:]] == [
        "batch 1 of 1 event leaves for the ingest endpoint http://old/events, after 0 ms in the queue",
        "try 1: answered 503 (took 500 ms)",
        "configuration changed: metering-and-billing plugin p: ingest_endpoint is 'http://new/events' now",
        "try 2: answered 503 (took 1.0 s)",
        "try 3 to the ingest endpoint http://new/events: answered 500 (took 500 ms)",
    ]


def test_a_change_of_another_instance_or_of_none_is_no_step() -> None:
    lives = Lives()
    for fact in (
        Configured(0.0, (instance("http://i"), ACCESS)),
        Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)),
        Configured(2.0, (instance("http://i"),)),
    ):
        lives.tell(fact)
    assert not any("configuration" in step.text for step in explain_life(lives.requests["r"], {}, 2.0).steps)
    lives.tell(Configured(3.0, ()))
    steps = explain_life(lives.requests["r"], {}, 3.0).steps
    assert steps[-1].text == "configuration changed: metering-and-billing plugin p is removed"


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ([], "the event is in the queue for 1.0 s: it leaves when max_batch_size 3 events are there (1 is) or "
        "max_coalescing_delay 1 s is over [BAT-4]"),
        (
            [Sending(1.0, "p", 1, ("o",))],
            "the event is in the queue for 1.0 s, behind a batch that is being sent for 1.0 s [BAT-7]",
        ),
        (
            [Metered(1.0, "o", "p", SUBJECT, (), (("o1", "t"), ("o2", "t")))],
            "the event is in the queue for 1.0 s: max_batch_size 3 events are there, the next batch leaves at once "
            "[BAT-3]",
        ),
        (
            [
                Started(1.0, "3.16.0", continued=True),
                Metered(1.0, "o", "p", SUBJECT, (), (("o1", "t"), ("o2", "t"))),
            ],
            "the event is in the queue for 1.0 s, behind what was queued before the journal begins (at least 3 wait) "
            "[BAT-7]",
        ),
    ],
)  # fmt: skip
def test_a_batch_that_is_full_is_not_said_to_wait_for_more(facts: list[Fact], cause: str) -> None:
    lives = Lives()
    first = facts[:1] if facts and isinstance(facts[0], Started) else []
    for fact in (
        *first,
        Configured(1.0, (INSTANCE,)),
        *facts[len(first) :],
        Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)),
    ):
        lives.tell(fact)
    assert explain_life(lives.requests["r"], lives.queues, 2.0).line == f"under way: {cause}"


def test_what_should_have_happened_long_ago_is_overdue_and_contradicts_no_setting() -> None:
    lives = Lives()
    for fact in (
        Configured(0.0, (instance("http://i/events", timeout=10_000.0),)),
        Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)),
    ):
        lives.tell(fact)
    assert "overdue" not in explain_life(lives.requests["r"], lives.queues, 2.5, 1.0).line
    line = explain_life(lives.requests["r"], lives.queues, 300.0, 1.0).line
    asks = "the journal's last line is from {}; does the gateway still run?"
    assert f"overdue since {clock(2.0)}: {asks.format(clock(1.0))} [BAT-4]" in line
    lives.tell(Sending(2.0, "p", 1, ("e",)))
    assert explain_life(lives.requests["r"], lives.queues, 300.0, 2.0).line == (
        "under way: its batch is being sent to the ingest endpoint http://i/events; "
        f"overdue since {clock(12.0)}: {asks.format(clock(2.0))}"
    )
    lives.tell(Tried(3.0, "p", 1, 1, 1.0, ok=False, status=503, problem="answered 503"))
    assert "overdue" not in explain_life(lives.requests["r"], lives.queues, 60.0, 3.0).line
    line = explain_life(lives.requests["r"], lives.queues, 300.0, 3.0).line
    assert f"overdue since {clock(73.0)}" in line


ROUTE = Named("r1", "orders")
ACCESS = Instance("a", "amberflo", ("access",), {"batch_size": 10, "interval": 1.0})


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ([Ended(1.0, "r", 0.9, "GET", "/", 200)], "not billed: no metering plugin is configured [FLT-1]"),
        (
            [Configured(0.0, (INSTANCE,)), Ended(1.0, "r", 0.9, "GET", "/", 200, instances=("p",))],
            "under way: the request is answered and about to be metered",
        ),
        (
            [Configured(0.0, (ACCESS,)), Ended(1.0, "r", 0.9, "GET", "/", 401, route=ROUTE, instances=("a",))],
            "not billed: the gateway answered 401 itself before the turn of amberflo plugin a [AMB-5]",
        ),
        (
            [Configured(0.0, (ACCESS,)), Metered(1.0, "r", "a", SUBJECT, (), (("e", "calls"),))],
            "under way: the event is in the queue for 0 ms: it leaves when batchSize 10 records are there (1 is) or "
            "at the next tick of intervalSeconds 1 [AMB-6]",
        ),
        (
            [Ended(1.0, "r", 0.9, "GET", "/", 200, instances=("p",)), NotBuilt(1.0, "r", "p", "TypeError")],
            "not billed: the plugin has a defect: it could not build an event of the request (TypeError)",
        ),
        (
            [
                Ended(1.0, "r", 0.9, "GET", "/", 401, instances=("p",)),
                Metered(1.0, "r", "p", SubjectReading("consumer"), rule="DRP-1", reason="no authenticated Consumer"),
            ],
            "not billed: no authenticated Consumer: the gateway answered 401 itself [DRP-1]",
        ),
        (
            [
                Ended(1.0, "r", 0.9, "GET", "/", 200, 200, instances=("p",)),
                Metered(1.0, "r", "p", SubjectReading("consumer"), rule="DRP-1", reason="no authenticated Consumer"),
            ],
            "not billed: no authenticated Consumer: no authentication plugin ran for the request [DRP-1]",
        ),
        (
            [
                Configured(0.0, (ACCESS,)),
                Metered(1.0, "r", "a", SUBJECT, (), (("e", "calls"),)),
                Sending(1.0, "a", 1, ("e",)),
                Tried(1.0, "a", 1, 1, 0.0, ok=False, problem="is empty or no http(s) URL"),
            ],
            "under way: try 1 failed and another one follows: the ingest endpoint of amberflo plugin a is empty or "
            "no http(s) URL: an emulated amberflo plugin sends nothing without --plugin-option amberflo.endpoint=URL "
            "[RET-6]",
        ),
        (
            [
                Configured(0.0, (Instance("p", "m", ("log",), {"ingest_endpoint": "https://eu.api.konghq.com/v3"}),)),
                Metered(1.0, "r", "p", SUBJECT, (), (("e", "t"),)),
                Sending(1.0, "p", 1, ("e",)),
                Tried(1.5, "p", 1, 1, 0.5, ok=False, status=401, problem="answered 401"),
                Lost(1.5, "p", ("e",), "RET-2", "given up after max_retry_time", 1),
            ],
            "lost: given up after max_retry_time, 1 try: the ingest endpoint https://eu.api.konghq.com/v3 answered "
            "401: region eu does not know the token, which is of another region or organisation, or expired [RET-2]",
        ),
    ],
)
def test_one_line_for_what_the_mysteries_do_not_show(facts: list[Fact], line: str) -> None:
    lives = Lives()
    for fact in facts:
        lives.tell(fact)
    assert explain_life(lives.requests["r"], lives.queues, lives.now).line == line


def test_of_two_plugins_the_one_that_lost_an_event_decides() -> None:
    lives = Lives()
    for fact in (
        Configured(0.0, (INSTANCE, ACCESS)),
        Metered(1.0, "r", "a", SUBJECT, (), (("e1", "calls"),)),
        Sending(1.0, "a", 1, ("e1",)),
        Tried(1.1, "a", 1, 1, 0.1, ok=True, status=200),
        Ended(2.0, "r", 0.9, "GET", "/", 200, instances=("p", "a")),
        Metered(2.0, "r", "p", SUBJECT, (), (("e2", "kong.api_request"),)),
    ):
        lives.tell(fact)
    assert explain_life(lives.requests["r"], lives.queues, 2.0).outcome is Outcome.UNDER_WAY
    lives.tell(Lost(3.0, "p", ("e2",), "CAP-1", "the oldest had to go"))
    explanation = explain_life(lives.requests["r"], lives.queues, 3.0)
    assert explanation.line == "lost: metering-and-billing plugin p: the oldest had to go (max_entries 5) [CAP-1]"
    assert [(each.plugin, each.outcome) for each in explanation.plugins] == [
        ("metering-and-billing plugin p", "lost"),
        ("amberflo plugin a", "billed"),
    ]


def two_plugins(*facts: Fact) -> tuple[Lives, Lives]:
    """Lives, and those of what is not billed, of a request that metering-and-billing has delivered."""
    both = Lives(), Lives(unbilled_only=True)
    for lives in both:
        for fact in (
            Configured(0.0, (INSTANCE, ACCESS)),
            *facts,
            Metered(2.0, "r", "p", SUBJECT, (), (("e", "kong.api_request"),)),
            Sending(2.0, "p", 1, ("e",)),
            Tried(2.1, "p", 1, 1, 0.1, ok=True, status=202),
        ):
            lives.tell(fact)
    return both


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            (
                Metered(1.0, "r", "a", SubjectReading("header", "x"), rule="AMB-1", reason="no header 'x'"),
                Ended(2.0, "r", 0.9, "GET", "/", 200, instances=("p", "a")),
            ),
            "not billed: amberflo plugin a: no header 'x' [AMB-1]",
        ),
        (
            (Ended(2.0, "r", 0.9, "GET", "/", 401, instances=("p", "a")),),
            "not billed: the gateway answered 401 itself before the turn of amberflo plugin a [AMB-5]",
        ),
        (
            (
                Ended(
                    2.0,
                    "r",
                    0.9,
                    "GET",
                    "/",
                    200,
                    instances=("p",),
                    passed_over=(PassedOver("amberflo", "FLT-6", "the condition is false", "a"),),
                ),
            ),
            "not billed: amberflo plugin a: the condition is false [FLT-6]",
        ),
    ],
)
def test_a_request_that_one_of_two_plugins_did_not_bill_is_not_billed(facts: tuple[Fact, ...], line: str) -> None:
    lives, unbilled = two_plugins(*facts)
    explanation = explain_life(lives.requests["r"], lives.queues, 2.1)
    assert explanation.line == line
    assert [each.outcome for each in explanation.plugins] == [Outcome.NOT_BILLED, Outcome.BILLED]
    assert list(unbilled.requests) == ["r"]


@pytest.mark.parametrize("rule", ["FLT-1", "FLT-3", "FLT-7"])
def test_a_plugin_that_is_not_for_a_request_does_not_count(rule: str) -> None:
    passed_over = (PassedOver("amberflo", rule, "no plugin's scope fits the request", "a"),)
    lives, unbilled = two_plugins(
        Ended(2.0, "r", 0.9, "GET", "/", 200, instances=("p",), passed_over=passed_over),
    )
    explanation = explain_life(lives.requests["r"], lives.queues, 2.1)
    assert explanation.line.startswith("billed: metering-and-billing plugin p: to 'acme'")
    assert not unbilled.requests
