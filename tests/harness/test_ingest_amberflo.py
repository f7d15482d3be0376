"""What the endpoint decides in the place of Amberflo's, request by request: no network, no file."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.ingest.amberflo.api import AMBERFLO
from harness.ingest.amberflo.quick_yes import quick_records
from harness.ingest.amberflo.record_schema import RecordSchema
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.faults import Fault
from harness.ingest.messages import IngestRequest, Receipt
from plugin_emulator.amberflo.config import load_config
from plugin_emulator.amberflo.meter_record import RecordMaker
from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import AccessRequest, Request

KEY = "amberflo-test-key"
RECORD: dict[str, Any] = {
    "uniqueId": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    "meterApiName": "api-calls",
    "customerId": "alice",
    "meterValue": 1,
    "meterTimeInMillis": 1767229261001,
    "dimensions": {"method": "GET"},
}
ABSENT = object()
DEMANDED, PROMISED = RecordSchema(strict=False), RecordSchema()


def request(
    body: Any,
    key: str | None = KEY,
    content_type: str | None = "application/json",
    method: str = "POST",
    path: str = "/ingest",
    headers: tuple[tuple[str, str], ...] = (),
) -> IngestRequest:
    given_headers = [("X-Api-Key", key), ("Content-Type", content_type)]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = tuple((name, value) for name, value in given_headers if value is not None)
    return IngestRequest(method, path, (*sent, *headers), data)


def core(**choices: Any) -> IngestCore:
    return IngestCore(IngestSettings(tokens=frozenset({KEY}), api=AMBERFLO, **choices))


def status(receipt: Receipt) -> int:
    assert receipt.answer is not None
    return receipt.answer.status


def kinds(receipt: Receipt) -> list[str]:
    return [verdict.verdict for verdict in receipt.verdicts]


def named(receipt: Receipt) -> list[tuple[str, str]]:
    """Rule and pointer of every finding on an entry."""
    return [(finding.rule, finding.pointer) for verdict in receipt.verdicts for finding in verdict.findings]


def changed(member: str, value: Any) -> dict[str, Any]:
    record = copy.deepcopy(RECORD) | {member: value}
    if value is ABSENT:
        del record[member]
    return record


def another() -> dict[str, Any]:
    return RECORD | {"uniqueId": "00000000-0000-4000-8000-000000000001"}


@pytest.mark.parametrize("path", ["/ingest", "/ingest/", "/lane/a/ingest", "/ingest?schemaDetection=AUTO"])
@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_an_array_of_records_is_answered_200(path: str, content_type: str) -> None:
    receipt = core().receive(request([RECORD, another()], path=path, content_type=content_type))
    assert status(receipt) == 200
    assert receipt.answer is not None and receipt.answer.body == b"2 records were ingested"
    assert kinds(receipt) == ["accepted", "accepted"]
    assert receipt.findings == ()


def test_an_empty_array_is_taken() -> None:
    assert status(core().receive(request([]))) == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"key": None}, 401),
        ({"key": ""}, 401),
        ({"key": None, "headers": (("Authorization", f"Bearer {KEY}"),)}, 401),
        ({"headers": (("x-api-key", KEY),)}, 401),
        ({"key": "other"}, 403),
        ({"key": f"{KEY}x"}, 403),
        ({"content_type": None}, 415),
        ({"content_type": "application/cloudevents-batch+json"}, 415),
        ({"content_type": "application/json; charset=latin-1"}, 415),
        ({"headers": (("Content-Encoding", "gzip"),)}, 415),
        ({"path": "/v3/openmeter/events"}, 404),
        ({"method": "PUT"}, 405),
    ],
)
def test_a_request_that_breaks_amb_8_is_refused_with_its_status_and_a_finding(
    changes: dict[str, Any], expected: int
) -> None:
    receipt = core().receive(request([RECORD], **changes))
    assert receipt.answer is not None and receipt.answer.status == expected
    assert json.loads(receipt.answer.body)["message"]
    assert [finding.rule for finding in receipt.findings] == ["AMB-8"]
    assert kinds(receipt) == ["refused"]


def test_any_key_is_taken_when_none_is_configured_but_one_is_needed() -> None:
    endpoint = IngestCore(IngestSettings(api=AMBERFLO))
    assert status(endpoint.receive(request([RECORD], key="whatever"))) == 200
    assert status(endpoint.receive(request([RECORD], key=None))) == 401


BAD_MEMBERS = [
    *((member, ABSENT, "AMB-1" if member == "customerId" else "AMB-2") for member in [*RECORD][:5]),
    ("uniqueId", "", "AMB-2"),
    ("uniqueId", "not-a-uuid", "AMB-2"),
    ("uniqueId", RECORD["uniqueId"] + "\n", "AMB-2"),
    ("uniqueId", None, "AMB-2"),
    ("meterApiName", "", "AMB-2"),
    ("customerId", "", "AMB-1"),
    ("customerId", 7, "AMB-1"),
    ("meterValue", "1", "AMB-2"),
    ("meterValue", True, "AMB-2"),
    ("meterValue", 2, "AMB-2"),  # each request would count twice
    ("meterValue", 0, "AMB-2"),
    ("meterValue", -1, "AMB-2"),
    ("meterValue", 1.5, "AMB-2"),
    ("meterTimeInMillis", "1767229261001", "AMB-2"),
    ("meterTimeInMillis", 1767229261001.5, "AMB-2"),
    ("meterTimeInMillis", 1767229261, "AMB-2"),  # seconds
    ("meterTimeInMillis", 1767229261001000, "AMB-2"),  # microseconds
    ("dimensions", {}, "AMB-2"),
    ("dimensions", None, "AMB-2"),
    ("dimensions", ["GET"], "AMB-2"),
    ("customerName", "Alice", "AMB-2"),
]


@pytest.mark.parametrize(("member", "value", "rule"), BAD_MEMBERS)
def test_a_bad_member_is_named_with_its_rule_in_verdict_and_answer(member: str, value: Any, rule: str) -> None:
    receipt = core().receive(request([another(), changed(member, value)]))
    assert status(receipt) == 400
    assert kinds(receipt) == ["refused", "invalid"]
    assert named(receipt) == [(rule, f"/1/{member}")]
    assert receipt.answer is not None
    (error,) = json.loads(receipt.answer.body)["errors"]
    assert error.startswith(f"/1/{member}: ")


def test_amb_2_a_value_of_one_is_one_however_it_is_written() -> None:
    receipt = core().receive(request([changed("meterValue", 1.0)]))
    assert (status(receipt), kinds(receipt), named(receipt)) == (200, ["accepted"], [])


def test_lenient_takes_any_value_and_reports_one_that_the_plugin_never_sends() -> None:
    receipt = core(lenient=True).receive(request([RECORD, another() | {"meterValue": 2.5}]))
    assert (status(receipt), kinds(receipt)) == (200, ["accepted", "accepted"])
    assert named(receipt) == [("AMB-2", "/1/meterValue")]


def test_a_dimension_that_is_no_string_is_named() -> None:
    receipt = core().receive(request([changed("dimensions", {"a/b": 7, "ok": ""})]))
    assert named(receipt) == [("AMB-3", "/0/dimensions/a~1b")]


def test_lenient_takes_what_the_documents_of_the_api_allow_and_reports_what_the_plugin_never_sends() -> None:
    least = {"customerId": "alice", "meterTimeInMillis": 1767229261}
    receipt = core(lenient=True).receive(request([least, changed("uniqueId", "my-id")]))
    assert status(receipt) == 200
    assert named(receipt) == [
        ("AMB-2", "/0/meterApiName"),
        ("AMB-2", "/0/meterTimeInMillis"),
        ("AMB-2", "/0/meterValue"),
        ("AMB-2", "/0/uniqueId"),
        ("AMB-2", "/1/uniqueId"),
    ]
    refused = core(lenient=True).receive(request([RECORD, changed("customerId", "")]))
    assert (status(refused), kinds(refused)) == (400, ["refused", "invalid"])


def test_a_single_record_in_the_place_of_an_array_is_refused_and_lenient_reports_it() -> None:
    receipt = core().receive(request(RECORD))
    assert (status(receipt), kinds(receipt)) == (400, ["refused"])
    assert [(finding.rule, finding.pointer) for finding in receipt.findings] == [("AMB-8", "")]
    taken = core(lenient=True).receive(request(RECORD))
    assert (status(taken), kinds(taken), named(taken)) == (200, ["accepted"], [("AMB-8", "")])


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", orjson.dumps(RECORD) + b"\n" + orjson.dumps(RECORD)])
@pytest.mark.parametrize("lenient", [False, True])
def test_a_body_that_is_not_one_json_document_is_400(body: bytes, lenient: bool) -> None:
    receipt = core(lenient=lenient).receive(request(body))
    assert status(receipt) == 400
    assert receipt.findings[0].rule == "AMB-8" and receipt.findings[0].message.startswith("is not JSON")


def test_a_record_is_known_again_by_its_unique_id() -> None:
    endpoint = core()
    assert kinds(endpoint.receive(request([RECORD, another()]))) == ["accepted", "accepted"]
    assert kinds(endpoint.receive(request([RECORD | {"customerId": "bob"}]))) == ["duplicate"]


def test_records_without_an_id_are_never_duplicates() -> None:
    endpoint = core(lenient=True)
    nameless = changed("uniqueId", ABSENT)
    assert kinds(endpoint.receive(request([nameless, nameless]))) == ["accepted", "accepted"]
    assert kinds(endpoint.receive(request([nameless]))) == ["accepted"]


def test_the_placeholder_customer_is_accepted_with_a_finding() -> None:
    receipt = core().receive(request([RECORD, another() | {"customerId": "unknown"}]))
    assert kinds(receipt) == ["accepted", "accepted"]
    assert named(receipt) == [("AMB-1", "/1/customerId")]


@pytest.mark.parametrize(
    ("fault", "expected", "verdict"),
    [
        (Fault(status=503), 503, "refused"),
        (Fault(status=302), 302, "refused"),
        (Fault(status=204), 204, "accepted"),
        (Fault(drop_answer=True), None, "accepted"),
        (Fault(hang=1.0), None, "refused"),
        (Fault(reset="after"), None, "refused"),
    ],
)
def test_faults_do_what_they_do_to_events(fault: Fault, expected: int | None, verdict: str) -> None:
    endpoint = core()
    receipt = endpoint.receive(request([RECORD]), fault)
    assert (receipt.answer.status if receipt.answer else None, kinds(receipt)) == (expected, [verdict])
    again = kinds(endpoint.receive(request([RECORD])))
    assert again == ["duplicate" if verdict == "accepted" else "accepted"]


def test_no_answer_and_no_repr_shows_the_key() -> None:
    endpoint = core()
    for key in (KEY, f"{KEY}-wrong"):
        assert KEY not in str(endpoint.receive(request([{}], key=key)))
    assert KEY not in repr(endpoint.settings)


members = st.sampled_from([*RECORD, "customerName", "UniqueId"])
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([1, 1.0, 10**11, 10**11 - 1, 10**14, 10**14 - 1, 2**63, -(2**63) - 1, 2**64, 1e12, 1e300, 1.5]),
    st.sampled_from(["", "x", "unknown", "é", "\x00"]),
    st.sampled_from([RECORD["uniqueId"].upper(), RECORD["uniqueId"] + "\n", RECORD["uniqueId"][:-1] + "٣"]),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.none() | st.integers(), max_size=2),
)


@st.composite
def mutated_records(draw: st.DrawFn) -> dict[str, Any]:
    """A record with a few members changed or gone."""
    record = copy.deepcopy(RECORD)
    for member, value in draw(st.lists(st.tuples(members, values), max_size=2)):
        record[member] = value
    for member in draw(st.sets(members, max_size=1)):
        record.pop(member, None)
    return record


bodies = st.lists(mutated_records(), max_size=3) | mutated_records() | values


def is_valid(schema: RecordSchema, body: bytes) -> bool:
    """What the JSON parser and ``jsonschema`` alone say."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    thorough: Draft202012Validator = schema._thorough
    return isinstance(data, list) and all(not list(thorough.iter_errors(record)) for record in data)


@given(bodies)
@settings(max_examples=600, deadline=None)
def test_a_quick_yes_is_a_yes_of_jsonschema(body: Any) -> None:
    sent = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    if quick_records(sent) is not None:
        assert is_valid(PROMISED, sent)


@st.composite
def nearly_uuids(draw: st.DrawFn) -> str:
    """A UUID with two of its characters swapped, and perhaps another in the place of one."""
    text = list(str(draw(st.uuids())))
    one, other = draw(st.tuples(st.integers(0, 35), st.integers(0, 35)))
    text[one], text[other] = text[other], text[one]
    if draw(st.booleans()):
        text[one] = draw(st.sampled_from("gG-_ é0A"))
    return "".join(text)


@given(st.lists(nearly_uuids() | st.uuids().map(str), max_size=3))
@settings(max_examples=500, deadline=None)
def test_the_quick_yes_and_jsonschema_know_the_same_ids(ids: list[str]) -> None:
    sent = json.dumps([RECORD | {"uniqueId": text} for text in ids]).encode()
    assert (quick_records(sent) is not None) == is_valid(PROMISED, sent)


PIECES = st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\n", b'"', b",", b"}", b"]", b"1e999", b"01", b"-"])


@given(st.integers(0, 1000), st.integers(0, 3), PIECES | st.binary(max_size=2))
@settings(max_examples=600, deadline=None)
def test_bytes_put_anywhere_into_a_body_make_the_yes_no_wider(at: int, cut: int, piece: bytes) -> None:
    sent = json.dumps([RECORD, another()]).encode()
    at %= len(sent) + 1
    sent = sent[:at] + piece + sent[at + cut :]
    if quick_records(sent) is not None:
        assert is_valid(PROMISED, sent)


@given(mutated_records())
@settings(max_examples=400, deadline=None)
def test_both_validators_and_the_two_schemas_agree(record: dict[str, Any]) -> None:
    """The native validator says what ``jsonschema`` says, and what is promised is also what is demanded."""
    for schema in (DEMANDED, PROMISED):
        thorough = not list(schema._thorough.iter_errors(record))
        assert thorough == (schema.findings(record) == ())
        assert thorough or not schema.all_valid([record])
    if PROMISED.findings(record) == ():
        assert DEMANDED.findings(record) == ()


@given(st.lists(bodies, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_an_endpoint_decides_the_same_with_and_without_the_quick_yes(sent: list[Any], lenient: bool) -> None:
    quick, slow = (core(lenient=lenient, thorough=thorough) for thorough in (False, True))
    for body in [[RECORD], *sent, [RECORD, another()]]:
        given_request = request(json.dumps(body).encode())
        one, other = quick.receive(given_request), slow.receive(given_request)
        assert (one.answer, list(one.verdicts), one.findings) == (other.answer, list(other.verdicts), other.findings)
        assert list(one.events) == list(other.events)
        assert list(one.keys) == list(other.keys)


@given(st.binary(max_size=60) | bodies.map(lambda body: json.dumps(body).encode()))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_the_endpoint_crash(body: bytes) -> None:
    receipt = core().receive(request(body))
    assert status(receipt) in (200, 400)
    assert len(receipt.verdicts) == len(receipt.events)


headers = st.lists(
    st.tuples(st.sampled_from(["x-consumer-username", "x-region", "X-Region"]), st.text("ab /é\t", max_size=5)),
    max_size=4,
)


@given(headers, st.sampled_from(["GET", ""]), st.sampled_from(["example.com", ""]))
@settings(max_examples=150, deadline=None)
def test_every_record_that_the_emulated_plugin_makes_gets_a_quick_yes(
    pairs: list[tuple[str, str]], method: str, host: str
) -> None:
    config = load_config(
        {
            "apiKey": "k",
            "meterApiName": "api-calls",
            "customerHeader": "x-consumer-username",
            "methodDimension": "method",
            "hostDimension": "host",
            "dimensionHeaders": {"region": "x-region"},
        }
    )
    maker = RecordMaker(config, id_source(1))
    access = AccessRequest(Request(method=method, path="/", headers=pairs, started_at=0.0, host=host))
    entry = maker.entry(access, 1767229261.0)
    if isinstance(entry, bytes):
        assert quick_records(b"[" + entry + b"]") is not None
