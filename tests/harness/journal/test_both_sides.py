"""One request told from both sides, by a gateway's journal and an ingest endpoint's capture: joined, and compared."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mystery import Mystery, ingest

from harness.capture.life import Delivery
from harness.capture.record import CapturedRequest, Relayed
from harness.capture.store import CaptureWriter
from harness.capture.verdict import Finding, Verdict
from harness.cli.main import main
from harness.journal.both_sides import Account, Investigation, investigate
from harness.journal.file import encode
from harness.journal.joining import attempts_of
from harness.journal.wording import clock
from plugin_emulator.journal import (
    AttributeReading,
    Configured,
    Ended,
    Fact,
    Instance,
    Lost,
    Metered,
    Named,
    Sending,
    Started,
    SubjectReading,
    Tried,
)

URL = "http://127.0.0.1:8088/v3/openmeter/events"
QUEUE = {"max_batch_size": 1, "max_coalescing_delay": 1.0, "max_entries": 100, "max_bytes": None}
SETTINGS = {"ingest_endpoint": URL, "queue": QUEUE}
BEGINNING: tuple[Fact, ...] = (
    Started(1.0, "3.16.0"),
    Configured(1.0, (Instance("p", "metering-and-billing", ("log",), SETTINGS, instance_name="billing"),)),
    Ended(10.0, "r-1", 9.9, "GET", "/orders", 200, 200, Named("1", "orders"), instances=("p",)),
    Metered(10.0, "r-1", "p", SubjectReading("header", "x-tenant-id", "acme"), (), (("e-1", "kong.api_request"),)),
    Sending(10.1, "p", 1, ("e-1",)),
)
NO_ANSWER = "closed the connection without an answer"


def tried(number: int, at: float, status: int | None, problem: str = "", took: float = 0.1) -> Tried:
    ok = status is not None and status < 300
    return Tried(at, "p", 1, number, took, ok, status, problem or ("" if ok else f"answered {status}"))


def came(at: float, verdict: Any = "accepted", status: int | None = 202, **members: Any) -> CapturedRequest:
    event = {"specversion": "1.0", "id": "e-1", "source": "k", "type": "t", "subject": "acme", "data": {"r": "r-1"}}
    body = json.dumps(event)
    fixed: dict[str, Any] = {"n": 1, "lane": "", "arrived_at": at, "monotonic": at, "connection": "c"}
    fixed |= {"method": "POST", "path": "/events", "headers": [], "size": len(body), "status": status}
    return CapturedRequest(**{**fixed, "verdicts": (Verdict(verdict),), "body": body, **members})


class Told:
    """A journal and a capture, written as told."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.jsonl"
        self.capture = folder / "ingest.capture"

    def __call__(self, facts: tuple[Fact, ...], *requests: CapturedRequest, key: str = "r-1") -> Account:
        self.journal.write_bytes(b"".join(encode(fact) + b"\n" for fact in facts))
        self.capture.unlink(missing_ok=True)
        with CaptureWriter(self.capture) as writer:
            for number, request in enumerate(requests, 1):
                writer.append(msgspec.structs.replace(request, n=number))
        (account,) = investigate(self.capture, self.journal, key).accounts
        return account


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str]) -> Verb:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*arguments])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def joined(account: Account) -> list[tuple[int | None, int | None]]:
    """The gateway's number of each try of the only event, and the endpoint's of the request."""
    (event,) = account.events
    return [(each.tried and each.tried.number, each.delivery and each.delivery.n) for each in event.attempts]


def test_a_batch_whose_first_answer_was_lost_is_joined_and_its_duplicate_explained(tmp_path: Path) -> None:
    """A gateway and an endpoint at work: the endpoint accepts the batch, drops the answer, and gets it again."""

    async def main() -> tuple[str, Investigation]:
        async with (
            ingest(tmp_path, faults="[{drop_answer: true}, 202]") as endpoint,
            Mystery("header-misspelt", tmp_path, endpoint.port) as mystery,
        ):
            (request,) = await mystery.send([{"path": "/orders", "headers": {"x-tenant-id": "acme"}}])
            end = time.monotonic() + 10
            while True:
                await asyncio.sleep(0.02)
                found = investigate(endpoint.capture, mystery.journal, request, time.time())
                if time.monotonic() > end or (found.accounts and "delivered at try" in found.accounts[0].line):
                    return request, found

    request, found = asyncio.run(main())
    (account,) = found.accounts
    assert account.request == request
    assert joined(account) == [(1, 1), (2, 2)]
    assert account.line.startswith("billed: to 'acme'; delivered at try 2 ")
    why = (
        f"the gateway took try 1 for failed ({NO_ANSWER}), the ingest endpoint had accepted the event with request "
        "#1: that is where the duplicate comes from"
    )
    assert account.line.endswith(f"; 1 delivery more is a duplicate: {why} [DLV-2]")
    assert account.disagreements == (why,)
    steps = [(step.side, step.text.split(" (took")[0]) for step in account.steps]
    assert steps[-4:] == [
        ("ingest endpoint", "request #1 (try 1): no answer [drop_answer]; event 1 of 1 accepted"),
        ("gateway", f"try 1: {NO_ANSWER}"),
        ("ingest endpoint", "request #2 (try 2): answered 202; event 1 of 1 duplicate"),
        ("gateway", "try 2: answered 202: delivered"),
    ]
    assert ("gateway", "Route 'orders' of Service 'orders'") in steps
    # an event's id, and a value it carries, lead to the same account
    (event,) = account.events
    assert event.id is not None
    again = investigate(tmp_path / "ingest.capture", tmp_path / "journal.jsonl", event.id, time.time())
    assert again.accounts == found.accounts
    by_value = investigate(tmp_path / "ingest.capture", tmp_path / "journal.jsonl", "acme", time.time())
    assert by_value.accounts == found.accounts


def test_where_both_sides_agree_the_line_is_the_gateways(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 202)), came(10.15))
    assert account.line == "billed: to 'acme'; delivered 200 ms after the answer"
    assert (joined(account), account.disagreements) == ([(1, 1)], ())


def test_a_try_that_never_reached_the_endpoint_has_no_request_there_and_disagrees_with_nothing(told: Told) -> None:
    facts = (*BEGINNING, tried(1, 10.11, None, "cannot be reached"), tried(2, 10.3, 503), tried(3, 10.5, 202))
    account = told(facts, came(10.25, "refused", 503), came(10.45))
    assert joined(account) == [(1, None), (2, 1), (3, 2)]
    assert account.disagreements == ()


def test_tries_that_follow_each_other_at_once_are_told_apart_by_their_answers(told: Told) -> None:
    facts = (*BEGINNING, tried(1, 10.101, None, "x", 0), tried(2, 10.102, 503, took=0), tried(3, 10.103, 202, took=0))
    account = told(facts, came(10.103, "refused", 503), came(10.104))
    assert joined(account) == [(1, None), (2, 1), (3, 2)]


def test_where_the_clocks_differ_tries_and_requests_are_joined_by_their_answers(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 503), tried(2, 10.4, 202)), came(70.0, "refused", 503), came(70.2))
    assert joined(account) == [(1, 1), (2, 2)]
    assert account.disagreements[1] == (
        "request #2 came 59.8 s outside of try 2: the clocks differ, or it is another delivery"
    )
    texts = [step.text for step in account.steps]
    assert texts.index("request #2 (try 2): answered 202; event 1 of 1 accepted") < len(texts) - 1


def test_an_event_that_the_endpoint_has_although_the_gateway_gave_it_up_is_billed(told: Told) -> None:
    lost = Lost(10.3, "p", ("e-1",), "RET-2", "max_retry_time is over", 1)
    account = told((*BEGINNING, tried(1, 10.2, None, NO_ANSWER), lost), came(10.15, status=None, fault="drop_answer"))
    assert account.line == (
        "billed: to 'acme'; the ingest endpoint accepted the event with request #1, which the gateway does not know: "
        f"to it the event is lost, max_retry_time is over, 1 try: the ingest endpoint {URL} {NO_ANSWER} [DLV-2]"
    )


def test_an_event_that_the_gateway_delivered_and_the_capture_does_not_have_is_disputed(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 202)))
    assert account.line == (
        f"disputed: the gateway delivered it to the ingest endpoint {URL} with try 1, the capture does not have it: "
        "another ingest endpoint, or another capture file?"
    )


def test_an_event_that_the_gateway_took_for_delivered_and_the_endpoint_refused_is_lost(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 202)), came(10.15, "refused", 202, fault="202"))
    assert account.line == (
        "lost: the gateway took try 1 for delivered (answered 202), at the ingest endpoint the event is refused; the "
        "ingest endpoint's fault script had it so (202)"
    )


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (
            came(10.15, status=400, verdicts=(Verdict("invalid", (Finding("EVT-1", "/0/subject", "is empty"),)),)),
            "answered 400; the event is invalid: EVT-1 /0/subject: is empty [RET-6]",
        ),
        (came(10.15, "refused", 400), "answered 400; another event of its batch is invalid [RET-6]"),
        (
            came(10.15, "refused", 400, fault="400"),
            "answered 400; the ingest endpoint's fault script had it so (400) [RET-6]",
        ),
    ],
)
def test_the_endpoint_says_why_it_does_not_take_an_event(told: Told, request_: CapturedRequest, why: str) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 400)), request_)
    assert account.line == f"under way: try 1 failed and another one follows: the ingest endpoint {URL} {why}"


def test_an_answer_that_is_not_the_endpoints_is_named(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 502), tried(2, 10.4, 202)), came(10.15), came(10.35, "duplicate"))
    assert "something between the two answered" in account.disagreements[0]
    assert "that is where the duplicate comes from" in account.disagreements[0]


def test_a_delivery_that_is_none_of_the_gateways_tries_is_named(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 202)), came(10.15), came(500.0, "duplicate"))
    assert joined(account) == [(1, 1), (None, 2)]
    assert account.disagreements == ("request #2 is none of the gateway's tries: a replay, or another gateway?",)
    assert account.outcome == "billed"


@pytest.mark.parametrize(
    ("tries", "requests", "pairs", "line"),
    [
        ((), [came(10.15, status=202)], [(None, 1, 1)], "waits for the answer to it (try 1)"),
        (
            (tried(1, 10.2, 503),),
            [came(10.15, "refused", 503), came(10.25, "refused", 503)],
            [(1, 1, None), (None, 2, 2)],
            "try 1 failed and another one follows",
        ),
        (
            (tried(1, 10.2, None, "cannot be reached"),),
            [came(10.25, status=202)],
            [(1, None, None), (None, 1, 2)],
            "accepted the event with request #1, and the gateway waits for the answer to it (try 2)",
        ),
        (
            (tried(1, 10.2, 503),),
            [came(10.15, "refused", 503), came(10.25, "refused", 503), came(10.28)],
            [(1, 1, None), (None, 2, 2), (None, 3, 3)],
            "accepted the event with request #3, and the gateway waits for the answer to it (try 3)",
        ),
    ],
)
def test_a_request_that_comes_after_the_last_try_told_is_a_try_under_way(
    told: Told, tries: tuple[Tried, ...], requests: list[CapturedRequest], pairs: list[Any], line: str
) -> None:
    account = told((*BEGINNING, *tries), *requests)
    (event,) = account.events
    assert [
        (each.tried and each.tried.number, each.delivery and each.delivery.n, each.untold) for each in event.attempts
    ] == pairs
    assert account.disagreements == ()
    assert line in account.line
    last = pairs[-1]
    assert any(step.text.startswith(f"request #{last[1]} (try {last[2]}, under way)") for step in account.steps)


def test_a_request_that_comes_before_the_line_of_its_batch_is_a_try_under_way(told: Told) -> None:
    account = told(BEGINNING[:4], came(10.02))
    assert account.disagreements == ()
    assert "(try 1)" in account.line


def test_where_no_try_can_be_under_way_a_request_more_is_none_of_the_gateways(told: Told) -> None:
    lost = Lost(10.2, "p", ("e-1",), "RET-2", "max_retry_time is over", 1)
    account = told((*BEGINNING, tried(1, 10.2, 503), lost), came(10.15, "refused", 503), came(10.6))
    assert account.disagreements == ("request #2 is none of the gateway's tries: a replay, or another gateway?",)
    stopped = Lost(10.6, "p", ("e-1",), "LIF-2", "the gateway was stopped", 1)
    account = told((*BEGINNING, tried(1, 10.2, 503), stopped), came(10.15, "refused", 503), came(10.5))
    assert account.disagreements == ()
    account = told((*BEGINNING, tried(1, 10.2, 503), stopped), came(10.15, "refused", 503), came(15.0))
    assert len(account.disagreements) == 1


def test_an_answer_that_is_held_back_is_not_told_as_given(told: Told) -> None:
    held = came(10.15, fault="delay")
    account = told(BEGINNING, held)
    assert account.line == (
        "billed: to 'acme'; the ingest endpoint accepted the event with request #1, and the gateway waits for the "
        "answer to it (try 1), which is held back by its fault script"
    )
    assert "request #1 (try 1, under way): the answer 202 is held back [delay]; event 1 of 1 accepted" in [
        step.text for step in account.steps
    ]
    account = told((*BEGINNING, tried(1, 12.15, 202, took=2.05)), held)
    assert "request #1 (try 1): the answer 202 was held back for 2.0 s [delay]; event 1 of 1 accepted" in [
        step.text for step in account.steps
    ]
    account = told((*BEGINNING, tried(1, 11.1, None, "gave no answer within 1000 ms", took=1.0)), held)
    assert "request #1 (try 1): the answer 202 was held back [delay]; event 1 of 1 accepted" in [
        step.text for step in account.steps
    ]


def test_a_request_without_an_event_whose_id_the_capture_has_all_the_same_is_disputed(told: Told) -> None:
    dropped = Metered(10.0, "r-1", "p", SubjectReading("header", "x"), rule="DRP-1", reason="no header 'x'")
    account = told((*BEGINNING[:3], dropped), came(10.15))
    assert account.line == (
        "disputed: no header 'x'; but the capture has an event that carries its id: another metering plugin, or "
        "another gateway? [DRP-1]"
    )
    assert [event.id for event in account.events] == ["e-1"]


def test_a_dropped_request_is_explained_by_the_journal_alone(told: Told) -> None:
    dropped = Metered(10.0, "r-1", "p", SubjectReading("header", "x"), rule="DRP-1", reason="no header 'x'")
    account = told((*BEGINNING[:3], dropped))
    assert (account.line, account.events) == ("not billed: no header 'x' [DRP-1]", ())


def test_an_event_that_only_the_capture_has_is_explained_by_it_and_the_journals_silence_named(told: Told) -> None:
    relayed = Relayed("us.example", 0.25, 202)
    account = told(BEGINNING[:2], came(10.15, relayed=relayed), key="e-1")
    assert account.line == "billed: accepted with delivery 1 of 1 delivery"
    assert account.request is None
    assert account.disagreements == ("the journal knows nothing of it: another gateway, or another journal?",)
    assert [step.text for step in account.steps] == [
        "request #1: answered 202, relayed to us.example: which answered 202 after 250 ms; event 1 of 1 accepted"
    ]
    invalid = came(10.15, status=400, verdicts=(Verdict("invalid", (Finding("EVT-1", "", "is no object"),)),))
    assert told(BEGINNING[:2], invalid, key="e-1").line == "not billed: invalid: EVT-1: is no object [EVT-1]"


def test_a_meter_record_is_joined_by_its_unique_id(told: Told) -> None:
    record = {
        "uniqueId": "e-1",
        "meterApiName": "calls",
        "customerId": "acme",
        "meterValue": 1,
        "meterTimeInMillis": 1,
    }
    account = told((*BEGINNING, tried(1, 10.2, 200)), came(10.15, status=200, body=json.dumps([record])))
    assert (joined(account), account.disagreements) == ([(1, 1)], ())
    # to that client any status below 400 is success
    failed = Tried(10.2, "p", 1, 1, 0.1, ok=True, status=300)
    account = told((*BEGINNING, failed), came(10.15, "refused", 300, body=json.dumps([record]), fault="300"))
    assert account.line.startswith(
        "lost: the gateway took try 1 for delivered (answered 300), at the ingest endpoint"
    )


INVALID = (Verdict("invalid", (Finding("EVT-1", "", "is no object"),)),)


def test_an_event_that_the_real_endpoint_took_is_billed_whatever_the_fake_one_thinks_of_it(told: Told) -> None:
    request = came(10.15, verdicts=INVALID, relayed=Relayed("us.example", 0.25, 202))
    account = told((*BEGINNING, tried(1, 10.2, 202)), request)
    assert account.line == "billed: to 'acme'; delivered 200 ms after the answer"
    assert account.disagreements == (
        "us.example took the event of request #1, which by the rules of the fake ingest endpoint is invalid",
    )
    alone = told(BEGINNING[:2], request, key="e-1")
    assert alone.line.startswith("disputed: taken by us.example, which answered 202: invalid (EVT-1")


def test_a_relay_without_an_answer_is_told(told: Told) -> None:
    request = came(10.15, "refused", 502, relayed=Relayed("us.example", 0.25, failure="connection refused"))
    account = told((*BEGINNING, tried(1, 10.2, 502)), request)
    assert account.line.endswith(
        "answered 502; it was passed on to us.example without an answer (connection refused) [RET-6]"
    )
    alone = told(BEGINNING[:2], request, key="e-1")
    assert alone.line.startswith("disputed: not known to be billed: 1 delivery, the last one passed on")


def test_a_value_that_the_journal_left_out_is_not_shown_from_the_capture(told: Told, verb: Verb) -> None:
    subject = SubjectReading("header", "authorization", "[redacted]")
    key = AttributeReading("key", "header", "x-api-key", "[redacted]")
    facts = (*BEGINNING[:3], Metered(10.0, "r-1", "p", subject, (key,), (("e-1", "t"),)), BEGINNING[4])
    data = {"key": "k1", "tenant": "acme", "again": "for Bearer SEKRET-12345"}
    event = {"id": "e-1", "source": "k", "type": "t", "subject": "Bearer SEKRET-12345", "data": data}
    account = told((*facts, tried(1, 10.2, 202)), came(10.15, body=json.dumps(event)))
    (told_event,) = account.events
    assert told_event.entry["data"] == {"key": "[redacted]", "tenant": "acme", "again": "for [redacted]"}
    files = ["--capture", str(told.capture), "--journal", str(told.journal)]
    for arguments in (["explain", "r-1"], ["explain", "r-1", "--json"], ["capture", "explain", "e-1"]):
        code, out, _ = verb(*arguments, *files)
        assert code == 0
        assert "[redacted]" in out
        assert "SEKRET" not in out
        assert '"k1"' not in out


def test_a_503_that_the_capture_does_not_have_may_be_due_to_its_limit(told: Told) -> None:
    account = told((*BEGINNING, tried(1, 10.2, 503)))
    assert account.line.endswith(
        "answered 503; the capture does not have the request: at its limit (--capture-limit) the ingest endpoint "
        "answers 503 [RET-6]"
    )


def test_one_side_alone_is_enough(told: Told) -> None:
    told((*BEGINNING, tried(1, 10.2, 202)), came(10.15))
    (gateways,) = investigate(None, told.journal, "e-1").accounts
    assert gateways.line == "billed: to 'acme'; delivered 200 ms after the answer"
    assert (gateways.request, joined(gateways)) == ("r-1", [(1, None)])
    (endpoints,) = investigate(told.capture, None, "e-1").accounts
    assert (endpoints.line, endpoints.disagreements) == ("billed: accepted with delivery 1 of 1 delivery", ())
    assert investigate(told.capture, told.journal, "nobody").accounts == ()


def test_with_several_events_the_worst_decides_and_a_batch_at_the_endpoint_is_told_once(told: Told) -> None:
    two = SubjectReading("header", "x-tenant-id", "acme")
    events = (("e-1", "t"), ("e-2", "t"))
    facts = (*BEGINNING[:3], Metered(10.0, "r-1", "p", two, (), events), Sending(10.1, "p", 1, ("e-1", "e-2")))
    both = [{"specversion": "1.0", "id": id_, "source": "k", "type": "t", "subject": "acme"} for id_, _ in events]
    verdicts = (Verdict("accepted"), Verdict("refused"))
    account = told((*facts, tried(1, 10.2, 202)), came(10.15, verdicts=verdicts, body=json.dumps(both)))
    assert [event.outcome for event in account.events] == ["billed", "lost"]
    assert account.outcome == "lost"
    endpoint = [step.text for step in account.steps if step.side == "ingest endpoint"]
    assert endpoint == ["request #1 (try 1): answered 202; event 1 of 2 accepted, event 2 of 2 refused"]


def test_hundreds_of_tries_are_all_joined(told: Told) -> None:
    failed = [tried(number, 10.1 + number, 503) for number in range(1, 301)]
    requests = [came(10.05 + number, "refused", 503) for number in range(1, 301)]
    account = told((*BEGINNING, *failed), *requests)
    assert joined(account) == [(number, number) for number in range(1, 301)]


SENT = st.lists(
    st.tuples(
        st.sampled_from(["unreachable", "answered", "answer lost", "between"]),
        st.sampled_from([202, 400, 503]),
        st.floats(0.001, 5),  # how long the try takes
        st.floats(0, 1),  # when in it the request arrives
        st.floats(0.01, 60),  # the wait after it
    ),
    max_size=30,
)


@given(SENT)
def test_whatever_happens_on_the_way_each_try_is_joined_with_its_own_request(
    sent: list[tuple[str, int, float, float, float]],
) -> None:
    """A try does not reach the endpoint, or its answer is lost, or something between the two gives another answer."""
    at, tries, deliveries, truth = 10.0, [], [], []
    for number, (what, status, took, arrives, wait) in enumerate(sent, 1):
        answer = {"unreachable": None, "answered": status, "answer lost": None, "between": 502}[what]
        tries.append(tried(number, at + took, answer, took=took))
        if what == "unreachable":
            truth.append((number, None))
        else:
            n = len(deliveries) + 1
            deliveries.append(Delivery(n, "", n, at + arrives * took, None, 1, 0, status, None, "refused"))
            truth.append((number, n))
        at += took + wait
    attempts = attempts_of(tries, deliveries)
    assert [(each.tried and each.tried.number, each.delivery and each.delivery.n) for each in attempts] == truth


def test_both_verbs_print_the_same_account(told: Told, verb: Verb) -> None:
    account = told(
        (*BEGINNING, tried(1, 10.2, None, NO_ANSWER), tried(2, 10.4, 202)), came(10.15), came(10.35, "duplicate")
    )
    files = ["--capture", str(told.capture), "--journal", str(told.journal)]
    code, out, _ = verb("capture", "explain", "r-1", *files)
    assert (code, out.splitlines()[0]) == (0, account.line)
    assert "  ! the gateway took try 1 for failed" in out
    assert '  captured: {"specversion":"1.0","id":"e-1"' in out
    assert verb("explain", "r-1", *files) == verb("explain", "--last", *files) == (0, out, "")
    code, out, _ = verb("capture", "explain", "e-1", *files, "--json")
    document = json.loads(out)
    assert (code, document["key"], document["accounts"][0]["line"]) == (0, "e-1", account.line)
    assert msgspec.convert(document, Investigation) == investigate(told.capture, told.journal, "e-1", time.time())


@pytest.mark.parametrize("arguments", [("explain",), ("capture", "explain")])
def test_an_id_is_found_as_it_is_pasted(told: Told, verb: Verb, arguments: tuple[str, ...]) -> None:
    id_ = "4ac3b7d0aa11ffee4ac3b7d0aa11ffee"
    told((*BEGINNING[:2], Ended(10.0, id_, 9.9, "GET", "/orders", 200)), key=id_)
    files = ["--capture", str(told.capture), "--journal", str(told.journal)]
    for pasted in (f" {id_}\n", f"X-Kong-Request-Id: {id_}", f"< x-kong-request-id:{id_}\r\n", id_.upper()):
        for some in (files, files[2:]) if arguments == ("explain",) else (files,):
            code, out, _ = verb(*arguments, pasted, *some)
            assert (code, out.splitlines()[0]) == (0, "not billed: no metering plugin is configured [FLT-1]")
    assert "'9ac3'" in "".join(verb(*arguments, " 9ac3 ", *files)[1:])


def test_an_id_that_only_the_capture_is_asked_for_is_found_as_pasted_and_leads_to_the_journal(
    told: Told, verb: Verb
) -> None:
    told((*BEGINNING, tried(1, 10.2, 202)), came(10.15))
    assert verb("capture", "explain", " E-1 ", "--capture", str(told.capture))[0] == 1  # not hexadecimal: as it is
    assert verb("capture", "explain", " e-1 ", "--capture", str(told.capture))[0] == 0
    code, out, _ = verb("capture", "explain", "4ac3b7", "--capture", str(told.capture))
    assert (code, out.count("\n")) == (1, 1)
    assert "give it with --journal" in out


def test_what_neither_side_knows_may_have_been_in_the_part_of_the_journal_that_is_given_up(
    told: Told, verb: Verb
) -> None:
    told((Started(5.0, "3.16.0", continued=True), *BEGINNING[1:]))
    files = ["--capture", str(told.capture), "--journal", str(told.journal)]
    for arguments in (("explain",), ("capture", "explain")):
        said = "".join(verb(*arguments, "nobody", *files)[1:])
        assert f": what was before {clock(5.0)} is no longer in it" in said


def test_what_neither_side_knows_ends_with_1_and_a_file_that_is_not_there_with_2(told: Told, verb: Verb) -> None:
    told(BEGINNING)
    files = ["--capture", str(told.capture), "--journal", str(told.journal)]
    code, out, _ = verb("capture", "explain", "nobody", *files)
    assert (code, out.count("\n")) == (1, 1)
    assert "nothing is known of 'nobody'" in out
    assert verb("capture", "explain", "nobody", *files, "--json")[:2] == (1, '{"key":"nobody","accounts":[]}\n')
    assert verb("explain", "nobody", *files)[0] == 2
    for sides in (files, files[:2]):  # bytes that are no text are in no event
        assert "'?x'" in verb("capture", "explain", "\udcffx", *sides)[1]
    assert "'?x'" in verb("explain", "\udcffx", *files)[2]
    for missing in ("journal", "capture"):
        other = [part if part != str(getattr(told, missing)) else "none" for part in files]
        code, _, err = verb("capture", "explain", "r-1", *other)
        assert (code, err.count("\n")) == (2, 1)
        assert "none: cannot be read" in err
    assert verb("explain", "--not-billed", *files)[0] == 2
