"""What the ingest endpoint decides, request by request: no network, no file."""

from __future__ import annotations

import copy
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.cloudevents.api import BATCH, EITHER, SINGLE, V1
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.faults import Fault
from harness.ingest.messages import IngestRequest, Receipt

TOKEN = "kpat-test-token"
API: dict[str, Any] = {
    "specversion": "1.0",
    "id": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    "source": "kong",
    "type": "kong.api_request",
    "subject": "alice",
    "time": "2026-01-01T01:01:01.001Z",
    "datacontenttype": "application/json",
    "data": {"request_method": "GET", "response_http_status": 200, "upstream_status": 200, "tenant": "acme"},
}
LLM: dict[str, Any] = {
    "specversion": "1.0",
    "id": "llm-1",
    "source": "/gateways/1",
    "type": "kong.llm_request",
    "subject": "alice",
    "data": {"type": "request", "tokens": 12, "model": "gpt-4o"},
}
ABSENT = object()


def request(
    body: Any,
    content_type: str | None = EITHER,
    authorization: str | None = f"Bearer {TOKEN}",
    method: str = "POST",
    path: str = "/v3/openmeter/events",
    headers: tuple[tuple[str, str], ...] = (),
) -> IngestRequest:
    given_headers = [("Authorization", authorization), ("Content-Type", content_type)]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = tuple((name, value) for name, value in given_headers if value is not None)
    return IngestRequest(method, path, (*sent, *headers), data)


def core(**choices: Any) -> IngestCore:
    return IngestCore(IngestSettings(tokens=frozenset({TOKEN}), **choices))


def status(receipt: Receipt) -> int:
    assert receipt.answer is not None
    return receipt.answer.status


def problem(receipt: Receipt) -> dict[str, Any]:
    assert receipt.answer is not None
    assert ("Content-Type", "application/problem+json") in receipt.answer.headers
    document = json.loads(receipt.answer.body)
    assert isinstance(document, dict)
    assert document["status"] == receipt.answer.status
    assert document["instance"].startswith("kong:trace:")
    assert document["title"] and document["detail"] and document["type"]
    return document


def changed(event: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(event)
    *parents, last = pointer.split("/")[1:]
    target = result
    for parent in parents:
        target = target[parent]
    if value is ABSENT:
        del target[last]
    else:
        target[last] = value
    return result


def kinds(receipt: Receipt) -> list[str]:
    return [verdict.verdict for verdict in receipt.verdicts]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (SINGLE, API),
        (BATCH, [API, LLM]),
        (BATCH, []),
        (EITHER, API),
        (EITHER, [LLM]),
        ("Application/CloudEvents+JSON", API),
        ("application/json; charset=utf-8", API),
        ('application/json;charset="UTF-8"', API),
        ("application/json; profile=x; charset=utf8;", API),
    ],
)
def test_a_well_formed_delivery_is_answered_202_with_an_empty_body(content_type: str, body: Any) -> None:
    receipt = core().receive(request(body, content_type))
    assert status(receipt) == 202
    assert receipt.answer is not None and receipt.answer.body == b""
    assert kinds(receipt) == ["accepted"] * (len(body) if isinstance(body, list) else 1)
    assert receipt.findings == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"authorization": None}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"headers": (("Authorization", f"Bearer {TOKEN}"),)}, 401),
        ({"authorization": "Bearer other"}, 403),
        ({"authorization": f"Bearer {TOKEN}x"}, 403),
        ({"authorization": "Bearer \xff"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
        ({"content_type": "application/json; charset=latin-1"}, 415),
        ({"content_type": "application/json; nonsense"}, 415),
        ({"headers": (("Content-Encoding", "gzip"),)}, 415),
        ({"headers": (("Content-Type", SINGLE),)}, 415),
        ({"path": "/v3/openmeter"}, 404),
        ({"path": "/v3/openmeter/events/"}, 404),
        ({"method": "PUT"}, 405),
        ({"method": "GET"}, 405),
    ],
)
def test_a_request_that_breaks_dlv_1_is_refused_with_its_status_and_a_finding(
    changes: dict[str, Any], expected: int
) -> None:
    receipt = core().receive(request(API, **changes))
    assert problem(receipt)["status"] == expected
    assert [finding.rule for finding in receipt.findings] == ["DLV-1"]
    assert kinds(receipt) == ["refused"]


def test_a_query_after_the_path_and_a_lower_case_scheme_are_fine() -> None:
    assert status(core().receive(request(API, authorization=f"bearer {TOKEN}", path="/a/events?x=/y"))) == 202


def test_405_names_the_method_that_is_allowed() -> None:
    answer = core().receive(request(API, method="GET")).answer
    assert answer is not None and ("Allow", "POST") in answer.headers


def test_without_a_configured_token_any_bearer_is_taken_but_one_is_needed() -> None:
    endpoint = IngestCore()
    assert status(endpoint.receive(request(API, authorization="Bearer whatever"))) == 202
    assert status(endpoint.receive(request(API, authorization=None))) == 401


@pytest.mark.parametrize(("content_type", "body"), [(SINGLE, [API]), (BATCH, API)])
def test_a_body_of_another_shape_than_announced_is_400(content_type: str, body: Any) -> None:
    receipt = core().receive(request(body, content_type))
    assert [item["field"] for item in problem(receipt)["invalid_parameters"]] == ["body"]
    assert [finding.rule for finding in receipt.findings] == ["DLV-1"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"id": NaN}', b"[" * 5000, b'"\\ud800"', b"[1,]"])
def test_a_body_that_is_not_json_is_400(body: bytes) -> None:
    receipt = core().receive(request(body))
    assert problem(receipt)["invalid_parameters"][0]["reason"].startswith("is not JSON")
    assert receipt.events == ()


BAD_MEMBERS: list[tuple[dict[str, Any], str, Any, str, str, str]] = [
    # event, pointer, value, rule, field, constraint
    *((API, f"/{name}", ABSENT, "EVT-1", name, "required") for name in ("id", "source", "specversion", "subject")),
    (API, "/type", ABSENT, "EVT-1", "type", "required"),
    (API, "/id", "", "EVT-1", "id", "invalid"),
    (API, "/id", 7, "EVT-1", "id", "is_string"),
    (API, "/id", None, "EVT-1", "id", "is_string"),
    (API, "/subject", "", "DRP-2", "subject", "invalid"),
    (API, "/subject", None, "DRP-2", "subject", "is_string"),
    (API, "/source", "", "EVT-5", "source", "invalid"),
    (API, "/source", "two words", "EVT-5", "source", "matches_regex"),
    (API, "/source", "1:2", "EVT-5", "source", "matches_regex"),
    (API, "/specversion", "0.3", "EVT-1", "specversion", "invalid"),
    (API, "/type", "kong.request", "EVT-2", "type", "invalid"),
    (API, "/datacontenttype", "text/plain", "EVT-1", "datacontenttype", "invalid"),
    (API, "/dataschema", "relative/path", "EVT-1", "dataschema", "matches_regex"),
    (API, "/time", "2026-01-01 01:01:01Z", "EVT-4", "time", "is_date_time"),
    (API, "/time", "2026-01-01T01:01:01", "EVT-4", "time", "is_date_time"),
    (API, "/time", "2026-02-30T01:01:01Z", "EVT-4", "time", "is_date_time"),
    (API, "/time", 1767229261, "EVT-4", "time", "is_string"),
    (API, "/traceparent", "00-1", "EVT-1", "traceparent", "unknown_property"),
    (API, "/data", [], "EVT-6", "data", "is_object"),
    (API, "/data/upstream_status", "200", "EVT-6", "data.upstream_status", "is_integer"),
    (API, "/data/upstream_status", None, "EVT-6", "data.upstream_status", "is_integer"),
    (API, "/data/upstream_status", True, "EVT-6", "data.upstream_status", "is_integer"),
    (API, "/data/route_name", "", "EVT-6", "data.route_name", "invalid"),
    (API, "/data/route_name", None, "EVT-6", "data.route_name", "is_string"),
    (API, "/data/tenant", 7, "ATR-1", "data.tenant", "is_string"),
    (LLM, "/data/tokens", "12", "EVT-6", "data.tokens", "is_integer"),
    (LLM, "/data/model", "", "EVT-6", "data.model", "invalid"),
]


@pytest.mark.parametrize(("event", "pointer", "value", "rule", "field", "constraint"), BAD_MEMBERS)
def test_a_bad_member_is_named_in_verdict_and_answer(
    event: dict[str, Any], pointer: str, value: Any, rule: str, field: str, constraint: str
) -> None:
    bad = changed(event, pointer, value)
    receipt = core().receive(request([API | {"id": "good"}, bad], BATCH))
    assert [item["field"] for item in problem(receipt)["invalid_parameters"]] == [f"[1].{field}"]
    assert problem(receipt)["invalid_parameters"][0]["rule"] == constraint
    assert kinds(receipt) == ["refused", "invalid"]
    (finding,) = receipt.verdicts[1].findings
    assert (finding.rule, finding.pointer) == (rule, f"/1{pointer}")
    single = core().receive(request(bad, SINGLE))
    assert [item["field"] for item in problem(single)["invalid_parameters"]] == [field]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/datacontenttype", None),
        ("/datacontenttype", ABSENT),
        ("/time", None),
        ("/time", "2016-12-31T23:59:60Z"),
        ("/time", "2017-01-01T05:29:60+05:30"),
        ("/time", "0000-01-01T00:00:00Z"),
        ("/time", "2026-01-01t01:01:01.123456789-00:00"),
        ("/data", None),
        ("/data", ABSENT),
        ("/data", {}),
        ("/dataschema", "https://example.com/schema"),
        ("/dataschema", None),
        ("/source", "urn:kong:gateway"),
        ("/source", "//host:1/p?q#f"),
        ("/data/tenant", ""),
        ("/data/upstream_status", 200.0),
    ],
)
def test_what_the_api_allows_is_accepted(pointer: str, value: Any) -> None:
    assert status(core(thorough=True).receive(request(changed(API, pointer, value)))) == 202


def test_every_bad_event_and_field_of_a_batch_is_named() -> None:
    body = [{}, API, 7, changed(changed(API, "/id", ""), "/data/route_name", None)]
    receipt = core().receive(request(body, BATCH))
    fields = [item["field"] for item in problem(receipt)["invalid_parameters"]]
    assert fields == [
        *(f"[0].{name}" for name in ("id", "source", "specversion", "subject", "type")),
        "[2]",
        "[3].data.route_name",
        "[3].id",
    ]
    assert kinds(receipt) == ["invalid", "refused", "invalid", "invalid"]


def test_a_second_delivery_of_an_event_is_a_duplicate_and_answered_202() -> None:
    endpoint = core()
    assert kinds(endpoint.receive(request([API, LLM], BATCH))) == ["accepted", "accepted"]
    again = endpoint.receive(request([LLM, API | {"id": "new"}, API], BATCH))
    assert status(again) == 202
    assert kinds(again) == ["duplicate", "accepted", "duplicate"]


def test_an_id_twice_in_one_batch_is_accepted_once() -> None:
    assert kinds(core().receive(request([API, API], BATCH))) == ["accepted", "duplicate"]


def test_the_same_id_from_another_source_is_another_event() -> None:
    assert kinds(core().receive(request([API, API | {"source": "b"}], BATCH))) == ["accepted", "accepted"]


def test_events_of_a_refused_request_are_new_when_they_come_again() -> None:
    endpoint = core()
    assert kinds(endpoint.receive(request([API, {}], BATCH))) == ["refused", "invalid"]
    assert kinds(endpoint.receive(request(API), Fault(status=503))) == ["refused"]
    assert kinds(endpoint.receive(request(API, authorization=None))) == ["refused"]
    assert kinds(endpoint.receive(request(API))) == ["accepted"]


def test_forgotten_events_are_new_again_and_older_ones_are_not() -> None:
    endpoint = core()
    endpoint.receive(request(LLM))
    endpoint.forget(endpoint.receive(request([API, LLM], BATCH)))
    assert kinds(endpoint.receive(request([API, LLM], BATCH))) == ["accepted", "duplicate"]


def test_the_memory_for_duplicates_is_bounded_and_keeps_the_latest() -> None:
    endpoint = core(remembered=10)
    for number in range(100):
        endpoint.receive(request(API | {"id": str(number)}))
    assert len(endpoint._seen) <= 20
    latest = [API | {"id": str(number)} for number in range(90, 100)]
    assert kinds(endpoint.receive(request(latest, BATCH))) == ["duplicate"] * 10
    assert kinds(endpoint.receive(request(API | {"id": "0"}))) == ["accepted"]


def test_the_placeholder_subject_is_accepted_with_a_finding() -> None:
    receipt = core().receive(request([API, LLM | {"subject": "unknown"}], BATCH))
    assert kinds(receipt) == ["accepted", "accepted"]
    assert [(item.rule, item.pointer) for item in receipt.verdicts[1].findings] == [("DRP-1", "/1/subject")]


def test_lenient_accepts_what_the_api_accepts_and_reports_the_rest() -> None:
    odd = API | {"type": "kong.other", "id": "2"}
    wrong = changed(API, "/data/upstream_status", "502, 200")
    receipt = core(lenient=True).receive(request([odd, wrong], BATCH))
    assert kinds(receipt) == ["accepted", "accepted"]
    assert [item.rule for verdict in receipt.verdicts for item in verdict.findings] == ["EVT-2", "EVT-6"]
    refused = core(lenient=True).receive(request([odd, {}], BATCH))
    assert kinds(refused) == ["refused", "invalid"]


def test_the_older_api_answers_204_takes_extensions_and_compares_the_content_type_exactly() -> None:
    endpoint = core(api=V1)
    assert status(endpoint.receive(request(API | {"traceparent": "00-1"}))) == 204
    assert status(endpoint.receive(request(API, "application/json; charset=utf-8"))) == 400
    assert status(endpoint.receive(request([], EITHER))) == 400
    bad_name = endpoint.receive(request(API | {"Trace-Parent": "00-1"}))
    assert [item["field"] for item in problem(bad_name)["invalid_parameters"]] == ["Trace-Parent"]


@pytest.mark.parametrize("code", [200, 204])
def test_a_scripted_success_replaces_only_the_success_status(code: int) -> None:
    endpoint = core()
    assert status(endpoint.receive(request(API), Fault(status=code))) == code
    assert status(endpoint.receive(request({}), Fault(status=code))) == 400


def test_a_scripted_redirect_points_back_and_accepts_nothing() -> None:
    receipt = core().receive(request(API, path="/lane/a/events"), Fault(status=307))
    assert receipt.answer is not None and ("Location", "/lane/a/events") in receipt.answer.headers
    assert kinds(receipt) == ["refused"]


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault(drop_answer=True), "accepted"),
        (Fault(hang=1.0), "refused"),
        (Fault(reset="after"), "refused"),
    ],
)
def test_a_fault_without_an_answer_says_what_became_of_the_events(fault: Fault, verdict: str) -> None:
    receipt = core().receive(request(API), fault)
    assert receipt.answer is None
    assert kinds(receipt) == [verdict]


def test_no_repr_shows_the_token() -> None:
    endpoint = core()
    assert TOKEN not in repr(endpoint.settings) + repr(endpoint)
    assert TOKEN not in str(endpoint.receive(request({}, authorization=f"Bearer {TOKEN}x")))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
text = st.text(string.printable + "äß€😀", min_size=1, max_size=20)
valid_events = st.fixed_dictionaries(
    {
        "id": text,
        "source": st.from_regex(r"[a-z][a-z0-9/._~-]{0,20}", fullmatch=True),
        "specversion": st.just("1.0"),
        "type": st.sampled_from(["kong.api_request", "kong.llm_request"]),
        "subject": text,
    },
    optional={
        "time": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
        "datacontenttype": st.sampled_from(["application/json", None]),
        "data": st.none() | st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.text(max_size=10)),
    },
)


@given(json_values)
@settings(max_examples=150, deadline=None)
def test_no_json_body_makes_the_endpoint_crash(body: Any) -> None:
    for content_type in (SINGLE, BATCH, EITHER):
        receipt = core(thorough=True).receive(request(body, content_type))
        assert status(receipt) in (202, 400)
        assert len(receipt.verdicts) == len(receipt.events)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_the_endpoint_crash(body: bytes) -> None:
    assert status(core().receive(request(body))) in (202, 400)


@given(st.lists(valid_events, max_size=5))
@settings(max_examples=100, deadline=None)
def test_valid_events_are_accepted_and_delivered_again_they_are_duplicates(events: list[dict[str, Any]]) -> None:
    endpoint = core(thorough=True)
    first = endpoint.receive(request(events, BATCH))
    assert status(first) == 202
    assert first.count("accepted") == len({(event["source"], event["id"]) for event in events})
    again = endpoint.receive(request(events, BATCH))
    assert kinds(again) == ["duplicate"] * len(events)


@given(
    valid_events,
    st.sampled_from(["id", "source", "specversion", "type", "subject"]),
    st.sampled_from([ABSENT, None, "", 7, True, [], {}]),
)
@settings(max_examples=100, deadline=None)
def test_an_event_with_any_required_member_spoilt_is_refused_by_name(
    event: dict[str, Any], member: str, value: Any
) -> None:
    receipt = core().receive(request(changed(event, f"/{member}", value)))
    assert [item["field"] for item in problem(receipt)["invalid_parameters"]] == [member]
