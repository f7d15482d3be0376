"""``--predict``: what differs from the emulator, given the same traffic, is told beside the verdict by field."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_url_target import chosen, conformance, running_gateway

from harness.conformance.observation import Answer, Delivery, Observation
from harness.conformance.prediction import prediction_differences
from harness.report.json_report import SCHEMA_FILE

EVENT: dict[str, Any] = {
    "id": "1",
    "time": "2026-01-01T00:00:00Z",
    "type": "kong.api_request",
    "source": "kong-gateway",
    "subject": "alice",
    "data": {
        "route_id": str(uuid.UUID(int=1)),
        "response_http_status": 200,
        "response_size_bytes": 700,
        "latency_ms": 3,
    },
}


def observed(*events: dict[str, Any], statuses: tuple[int, ...] = (200,), refused: str | None = None) -> Observation:
    answers = [Answer("one", 0.0, 1.0, 1.0, status) for status in statuses]
    deliveries = [Delivery(1, 1.0, 202, "array", None, "", list(events), True)]
    return Observation(answers=answers, deliveries=deliveries, refused=refused)


def event(**change: Any) -> dict[str, Any]:
    data = {**EVENT["data"], **change.pop("data", {})}
    return {**EVENT, "id": str(uuid.uuid4()), **change, "data": data}


def told(seen: Observation, predicted: Observation) -> list[tuple[str, str, str]]:
    return [(one.field, one.expected, one.received) for one in prediction_differences(seen, predicted)]


def test_what_differs_of_necessity_is_no_difference() -> None:
    other = {"route_id": str(uuid.UUID(int=2)), "latency_ms": 77, "response_size_bytes": 702}
    assert told(observed(event(time="2026-02-02T00:00:00Z", data=other)), observed(event())) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"subject": "bob"}, ("subject", "alice", "bob")),
        ({"data": {"response_http_status": 500}}, ("data.response_http_status", "200", "500")),
        ({"data": {"response_http_status": "200"}}, ("data.response_http_status", "200", "200")),
        ({"data": {"response_size_bytes": 900}}, ("data.response_size_bytes", "700", "900")),
        ({"data": {"route_id": "none"}}, ("data.route_id", str(uuid.UUID(int=1)), "none")),
        ({"data": {"extra": None}}, ("data.extra", "nothing", "null")),
    ],
)
def test_a_field_that_differs_is_told_with_both_sides(
    change: dict[str, Any], difference: tuple[str, str, str]
) -> None:
    field, predicted, seen = difference
    expected = [(f"kong.api_request 1: {field}", predicted, seen)]
    assert told(observed(event(**change)), observed(event())) == expected


def test_missing_and_surplus_events_answers_and_refusals_are_told() -> None:
    assert told(observed(event()), observed(event(), event())) == [("number of kong.api_request", "2", "1")]
    assert told(observed(statuses=(200, 401)), observed(statuses=(200, 200))) == [
        ("answer 2 (one).status", "200", "401")
    ]
    assert told(observed(refused="no"), observed(event())) == [("configuration", "taken", "refused")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4), max_size=4))
def test_whatever_is_in_the_events_an_observation_does_not_differ_from_itself(data: list[dict[str, Any]]) -> None:
    events = [event(time=f"2026-01-01T00:00:0{number}Z", data=one) for number, one in enumerate(data)]
    assert told(observed(*events), observed(*events)) == []


@settings(max_examples=100, derandomize=True)
@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_two_subjects_differ_unless_they_are_the_same(one: str, other: str) -> None:
    assert (told(observed(event(subject=one)), observed(event(subject=other))) == []) is (one == other)


@pytest.fixture
def prefixing(tmp_path: Path) -> Iterator[list[str]]:
    """The options that lead to a gateway which names Consumers by their ids."""
    with running_gateway(tmp_path, "--echo-upstream", "--subject-form", "prefixed-id") as places:
        yield ["--proxy-url", places["proxy"], "--admin-url", places["admin"], "--predict"]


def reported(directory: Path) -> dict[str, Any]:
    report = json.loads((directory / "reports/conformance.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA_FILE.read_text()))
    (scenario,) = report["scenarios"]
    return dict(scenario)


def test_a_gateway_that_names_consumers_otherwise_is_told_of_in_terminal_and_report(
    prefixing: list[str], tmp_path: Path
) -> None:
    required = ["--subject-form", "username"]
    done = conformance(*prefixing, *required, *chosen("sub-1-consumer-username"), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "differs  kong.api_request 1: subject: predicted alice, seen consumer:" in done.stdout
    assert "kong.api_request 1: subject" in [one["field"] for one in reported(tmp_path)["prediction"]]
    page = (tmp_path / "reports/report.html").read_text()
    assert 'Predicted</th><th scope="col">Seen' in page and "not as predicted" in page


def test_the_emulator_beside_a_gateway_names_consumers_in_the_form_that_was_seen(
    prefixing: list[str], tmp_path: Path
) -> None:
    done = conformance(*prefixing, *chosen("sub-1-consumer-username"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert reported(tmp_path)["prediction"] == []
    assert reported(tmp_path)["subject_forms"] == ["prefixed-id"]
    assert "As the emulator predicts." in (tmp_path / "reports/report.html").read_text()
    assert "Form of Consumers' names: prefixed-id (required: auto)." in done.stdout
