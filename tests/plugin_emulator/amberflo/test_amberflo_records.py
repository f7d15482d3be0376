"""From a request to its meter record (SPEC AMB-1…4)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.amberflo.config import AmberfloConfig, load_config
from plugin_emulator.amberflo.meter_record import MeterRecord, RecordMaker
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import AccessRequest, Request, Route, Service
from plugin_emulator.metering_plugin import Drop

REQUIRED = {"apiKey": "k", "meterApiName": "kong-api-calls", "customerHeader": "x-customer"}
HEADERS = [("Host", "api.test"), ("X-Customer", "acme")]


def request(headers: list[tuple[str, str]] | None = None, **more: Any) -> AccessRequest:
    given = {"method": "GET", "path": "/a/b", "started_at": 1.0, "host": "api.test", **more}
    names = {"route": Route(name="example-route"), "service": Service(name="example-service")}
    return AccessRequest(Request(headers=HEADERS if headers is None else headers, **given), **names)


def record(config: dict[str, Any], of: AccessRequest | None = None, now: float = 1.5) -> MeterRecord:
    made = RecordMaker(load_config(REQUIRED | config), id_source(1)).record(of or request(), now)
    assert not isinstance(made, Drop)
    return made


def dimensions(config: dict[str, Any], *headers: tuple[str, str]) -> dict[str, str] | None:
    return record(config, request([*HEADERS, *headers])).get("dimensions")


def test_amb2_a_record_has_six_members_and_no_more() -> None:
    made = record({"methodDimension": "method"}, now=1_700_000_000.1234)
    assert uuid.UUID(made.pop("uniqueId")).version == 4
    assert made == {
        "meterApiName": "kong-api-calls",
        "customerId": "acme",
        "meterValue": 1,
        "meterTimeInMillis": 1_700_000_000_123,
        "dimensions": {"method": "GET"},
    }
    assert type(made["meterTimeInMillis"]) is int


def test_amb2_without_dimensions_the_member_is_absent() -> None:
    assert "dimensions" not in record({})


def test_amb2_every_record_has_an_id_of_its_own() -> None:
    maker = RecordMaker(load_config(REQUIRED), id_source())
    made = [
        json.loads(entry) for entry in (maker.entry(request(), 1.0) for _ in range(100)) if isinstance(entry, bytes)
    ]
    assert len({one["uniqueId"] for one in made}) == 100


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "no header 'x-customer' in the request"),
        ([("x-customer", "")], "an empty header 'x-customer' in the request"),
        ([("x-customer", " \t")], "an empty header 'x-customer' in the request"),
        ([("x-customer", ""), ("x-customer", "acme")], "an empty header 'x-customer' in the request"),
    ],
)
def test_amb1_without_a_customer_there_is_no_record(headers: list[tuple[str, str]], reason: str) -> None:
    maker = RecordMaker(load_config(REQUIRED), id_source(1))
    assert maker.record(request(headers), 1.0) == Drop("AMB-1", reason)
    assert maker.entry(request(headers), 1.0) == Drop("AMB-1", reason)


@pytest.mark.parametrize(
    ("headers", "customer"),
    [
        ([("X-CUSTOMER", "acme")], "acme"),
        ([("x-customer", "  acme ")], "acme"),
        ([("x-customer", "acme"), ("x-customer", "beta")], "acme"),
        ([("x-customer", "a/b")], "a/b"),
        ([("x-customer", "Ünïcode ✓")], "Ünïcode ✓"),
    ],
)
def test_the_customer_is_the_first_value_of_the_header_as_it_is(
    headers: list[tuple[str, str]], customer: str
) -> None:
    assert record({}, request(headers))["customerId"] == customer


ALL_DIMENSIONS = {
    "methodDimension": "method",
    "hostDimension": "host",
    "routeDimension": "route",
    "serviceDimension": "service",
    "dimensionHeaders": {"region": "X-Region"},
}


def test_amb3_dimensions_by_name_and_in_order_of_their_names() -> None:
    made = dimensions(ALL_DIMENSIONS, ("x-region", "eu/west"))
    assert made is not None
    assert list(made.items()) == [
        ("host", "api.test"),
        ("method", "GET"),
        ("region", "eu:west"),
        ("route", "example-route"),
        ("service", "example-service"),
    ]


@pytest.mark.parametrize("headers", [[], [("x-region", "")], [("x-region", ""), ("x-region", "eu")]])
def test_amb3_a_header_without_a_value_makes_no_dimension(headers: list[tuple[str, str]]) -> None:
    assert dimensions({"dimensionHeaders": {"region": "x-region"}}, *headers) is None


def test_amb3_only_values_from_headers_are_transformed() -> None:
    letters = {"G": "g", "a": "A", "e": "E", "o": "O"}
    made = dimensions(ALL_DIMENSIONS | {"replacements": letters}, ("x-region", "aeGo"))
    assert made == {
        "method": "GET",
        "host": "api.test",
        "route": "example-route",
        "service": "example-service",
        "region": "AEgO",
    }


def test_a_route_or_service_without_a_name_gives_an_empty_dimension() -> None:
    nameless = AccessRequest(request().request, Route(id="1"), None)
    assert record({"routeDimension": "r", "serviceDimension": "s"}, nameless)["dimensions"] == {"r": "", "s": ""}


def test_of_two_dimensions_with_one_name_the_route_comes_last() -> None:
    one_name = {
        "dimensionHeaders": {"d": "x-region"},
        "methodDimension": "d",
        "hostDimension": "d",
        "serviceDimension": "d",
        "routeDimension": "d",
    }
    assert dimensions(one_name, ("x-region", "eu")) == {"d": "example-route"}


@pytest.mark.parametrize(
    ("replacements", "value", "expected"),
    [
        (None, "/v1/a", ":v1:a"),
        ({}, "/v1/a", "/v1/a"),
        ({"/": "_", ".": "-"}, "/v1.0", "_v1-0"),
        ({"ab": ""}, "abcab", "c"),
    ],
)
def test_amb4_replacements(replacements: dict[str, str] | None, value: str, expected: str) -> None:
    given_ones = {} if replacements is None else {"replacements": replacements}
    made = dimensions({"dimensionHeaders": {"path": "x-path"}} | given_ones, ("x-path", value))
    assert made == {"path": expected}


def test_defaults_and_a_key_that_no_repr_shows() -> None:
    config = load_config(REQUIRED | {"apiKey": "secret-of-the-test"})
    assert config == AmberfloConfig("secret-of-the-test", "kong-api-calls", "x-customer", 1, 10, False)
    assert config.replacements == (("/", ":"),)
    assert "secret-of-the-test" not in repr(config)
    assert isinstance(hash(config), int)


@pytest.mark.parametrize("wrong", [{"apiKey": ""}, {"batchSize": 0}, {"intervalSeconds": 0.5}, {"meter": "x"}])
def test_a_configuration_that_is_not_valid_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument):
        load_config(REQUIRED | wrong)


TEXT = st.text(max_size=12)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "methodDimension": st.sampled_from(["", "method", "meterTimeInMillis"]),
        "hostDimension": TEXT,
        "routeDimension": TEXT,
        "serviceDimension": TEXT,
        "dimensionHeaders": st.dictionaries(TEXT, st.sampled_from(["x-one", "X-Two"]), max_size=3),
        "replacements": st.dictionaries(st.text(min_size=1, max_size=2), TEXT, max_size=1),
    },
)
VALUES = st.one_of(TEXT, st.sampled_from(['","meterApiName":', '"meterTimeInMillis":1', "\ud800"]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CONFIGS, VALUES, VALUES, VALUES, st.lists(st.floats(0, 4e9), min_size=1, max_size=3))
def test_an_entry_is_its_record_serialised_whether_or_not_it_was_seen_before(
    config: dict[str, Any], customer: str, one: str, name: str, times: list[float]
) -> None:
    typed = load_config(REQUIRED | config)
    records, entries = RecordMaker(typed, id_source(5)), RecordMaker(typed, id_source(5))
    of = AccessRequest(
        Request("GET", "/", [("x-customer", customer), ("x-one", one), ("x-two", "2")], 0.0), Route(name=name), None
    )
    for now in times:
        made, entry = records.record(of, now), entries.entry(of, now)
        if isinstance(made, Drop):
            assert entry == made
        else:
            assert isinstance(entry, bytes)
            text = json.dumps(made, ensure_ascii=False).encode("utf-8", "replace")
            assert json.loads(entry) == json.loads(text)
