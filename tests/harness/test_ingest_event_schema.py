"""The quick validator, the thorough one and the CloudEvents SDK agree."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.cloudevents import formats
from harness.ingest.cloudevents.event_schema import EventSchema
from harness.ingest.cloudevents.sdk_opinion import complaints

STRICT = EventSchema()
API_ONLY = EventSchema(strict=False)
EXTENDED = EventSchema(extensions=True)

EVENT: dict[str, Any] = {
    "id": "1",
    "source": "kong",
    "specversion": "1.0",
    "type": "kong.api_request",
    "subject": "a",
}
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "x", "1.0", "kong.api_request", "kong.llm_request", "application/json", 1.0, 2.5])
    | st.text(max_size=5)
)
names = st.sampled_from(
    ["id", "source", "specversion", "type", "subject", "time", "data", "dataschema", "datacontenttype", "ext", "Ext"]
)
fields = st.sampled_from(["upstream_status", "route_name", "tokens", "model", "type", "tenant"])
data = st.dictionaries(fields, scalars, max_size=4)
changes = st.dictionaries(names, scalars | data, max_size=3)


def thorough(schema: EventSchema, event: Any) -> bool:
    return not list(schema._thorough.iter_errors(event))


@given(changes, st.sets(names, max_size=2))
@settings(max_examples=400, deadline=None)
def test_the_quick_validator_and_jsonschema_give_the_same_verdict(change: dict[str, Any], gone: set[str]) -> None:
    event = {name: value for name, value in (EVENT | change).items() if name not in gone}
    for schema in (STRICT, API_ONLY, EXTENDED):
        assert schema.all_valid([event]) == thorough(schema, event) == (schema.findings(event) == ())


@given(st.text("ab1:/?#[]@!$&'()*+,;=%-._~ A2F|\\<é", max_size=12))
@settings(max_examples=600, deadline=None)
def test_both_validators_know_the_same_uri_references(text: str) -> None:
    for kind, check in (("uri", formats.is_uri), ("uri-reference", formats.is_uri_reference)):
        native = jsonschema_rs.Draft202012Validator({"format": kind}, validate_formats=True)
        assert native.is_valid(text) == check(text), (kind, text)


def two_digits(highest: int) -> st.SearchStrategy[str]:
    return st.integers(0, highest).map("{:02}".format)


date_times = st.tuples(
    st.sampled_from(["2024", "2023", "0000", "9999", "1900"]),
    st.just("-"),
    two_digits(13),
    st.just("-"),
    two_digits(32),
    st.sampled_from("Tt "),
    two_digits(24),
    st.just(":"),
    two_digits(60),
    st.just(":"),
    st.sampled_from(["00", "59", "60", "61"]),
    st.sampled_from(["", ".", ".5", ".123456789"]),
    st.sampled_from(["", "Z", "z", "+05:30", "-00:00", "+24:00", "-23:60", "+0100"]),
).map("".join)


@given(date_times)
@settings(max_examples=500, deadline=None)
def test_what_the_quick_validator_takes_as_a_date_time_is_one(text: str) -> None:
    native = jsonschema_rs.Draft202012Validator(formats.NATIVE_DATE_TIME, validate_formats=True)
    if native.is_valid(text):
        assert formats.is_date_time(text)
    elif formats.is_date_time(text):
        assert text[17:19] == "60"  # a leap second in another zone: the thorough validator decides
    assert (formats.instant(text) is not None) == formats.is_date_time(text)


@given(
    st.sampled_from(["2026-01-01T01:01:01Z", "2024-12-31t23:59:59.25+05:30"]),
    st.integers(0, 30),
    st.integers(0, 2),
    st.text(st.characters(max_codepoint=0x7F) | st.sampled_from("٣０"), max_size=2),
)
@settings(max_examples=1000, deadline=None)
def test_no_character_put_into_a_date_time_makes_the_validators_differ(
    text: str, at: int, cut: int, piece: str
) -> None:
    changed = text[:at] + piece + text[at + cut :]
    assert STRICT.all_valid([EVENT | {"time": changed}]) == formats.is_date_time(changed) or changed[17:19] == "60"
    assert (STRICT.findings(EVENT | {"time": changed}) == ()) == formats.is_date_time(changed)


@pytest.mark.parametrize("text", ["2026-01-01T01:01:0/Z", ",026-01-01T01:01:01Z", "2026-01-0-T01:01:01Z"])
def test_a_time_with_something_else_for_a_digit_is_none(text: str) -> None:
    (finding,) = STRICT.findings(EVENT | {"time": text})
    assert (finding.rule, finding.pointer) == ("EVT-4", "/time")


@given(st.datetimes(timezones=st.timezones()))
@settings(max_examples=100, deadline=None)
def test_an_instant_is_read_as_python_reads_it(moment: datetime.datetime) -> None:
    utc = moment.astimezone(datetime.UTC) if 1 < moment.year < 9999 else moment.replace(tzinfo=datetime.UTC)
    assert formats.instant(utc.isoformat()) == utc


@pytest.mark.parametrize("text", ["http://[::1]:80/", "http://[v1.a:b]/", "http://u:p@h:1/%20?x#y", "a:b"])
def test_unusual_uris_are_uris(text: str) -> None:
    assert formats.is_uri(text)


@pytest.mark.parametrize("text", ["http://[::1", "http://[zz]/", "http://h:x/", "a b", "http://[::1]x/", "%zz", "é"])
def test_broken_uris_are_none(text: str) -> None:
    assert not formats.is_uri_reference(text)


@pytest.mark.parametrize("member", ["id", "source", "specversion", "type"])
def test_the_sdk_fills_nothing_in(member: str) -> None:
    event = {name: value for name, value in EVENT.items() if name != member}
    before = copy.deepcopy(event)
    assert [name for name, _ in complaints(event)] == [member]
    assert event == before


def test_the_sdk_accepts_an_event_and_leaves_it_as_it_is() -> None:
    event = EVENT | {"time": "2026-01-01T00:00:00Z", "datacontenttype": None, "data": {"a": "b"}}
    before = copy.deepcopy(event)
    assert complaints(event) == []
    assert event == before


def test_the_sdk_refuses_an_extension_with_a_bad_name_and_a_time_that_is_none() -> None:
    assert [name for name, _ in complaints(EVENT | {"Bad-Name": "x"})] == ["Bad-Name"]
    assert [name for name, _ in complaints(EVENT | {"time": "today"})] == ["time"]
    assert "time" in [name for name, _ in complaints(EVENT | {"time": 7})]
