"""What, whom, when, how much and where: of a meter record, of a usage event, and of what is neither."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.apis import five_aspects, identity
from harness.ingest.five_aspects import FiveAspects

RECORD: dict[str, Any] = {
    "uniqueId": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    "meterApiName": "api-calls",
    "customerId": "alice",
    "meterValue": 1.5,
    "meterTimeInMillis": 1767229261001,
    "dimensions": {"method": "GET", "region": "eu"},
}
API: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "kong",
    "type": "kong.api_request",
    "subject": "alice",
    "time": "2026-01-01T02:01:01.001+01:00",
    "data": {"request_method": "GET", "response_http_status": 200},
}
LLM: dict[str, Any] = API | {"type": "kong.llm_request", "data": {"tokens": 12, "type": "request", "model": "gpt-4o"}}
MOMENT = datetime(2026, 1, 1, 1, 1, 1, 1000, UTC)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (RECORD, FiveAspects("api-calls", "alice", MOMENT, 1.5, {"method": "GET", "region": "eu"})),
        (
            API,
            FiveAspects(
                "kong.api_request", "alice", MOMENT, 1, {"request_method": "GET", "response_http_status": 200}
            ),
        ),
        (LLM, FiveAspects("kong.llm_request", "alice", MOMENT, 12, {"type": "request", "model": "gpt-4o"})),
        ({"customerId": "alice"}, FiveAspects(None, "alice", None, None, {})),
        ({"subject": "alice"}, FiveAspects(None, "alice", None, 1, {})),
        (LLM | {"data": {"tokens": "12"}, "time": "yesterday"}, FiveAspects(LLM["type"], "alice", None, None, {})),
        (RECORD | {"meterTimeInMillis": 10**18, "meterValue": True, "dimensions": {"a": None}},
         FiveAspects("api-calls", "alice", None, None, {})),
        ({"something": "else"}, None),
        (7, None),
    ],
)  # fmt: skip
def test_an_entry_of_either_kind_is_read_the_same_way(entry: Any, expected: FiveAspects | None) -> None:
    assert five_aspects(entry) == expected


def test_as_json_the_time_is_rfc_3339() -> None:
    aspects = five_aspects(RECORD)
    assert aspects is not None
    assert aspects.document() == {
        "what": "api-calls",
        "whom": "alice",
        "when": "2026-01-01T01:01:01.001Z",
        "how_much": 1.5,
        "where": {"method": "GET", "region": "eu"},
    }


def test_each_kind_of_entry_is_told_by_its_own_members() -> None:
    assert identity(API) == {"id": "1", "source": "kong", "subject": "alice", "type": "kong.api_request"}
    assert identity(RECORD) == {name: RECORD[name] for name in ("uniqueId", "meterApiName", "customerId")}
    assert identity([]) == {"id": None, "source": None, "subject": None, "type": None}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "2026-01-01T00:00:00Z", "kong.llm_request", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["tokens", "a"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*RECORD, *API, "other"]), anything, max_size=5) | anything)
@settings(max_examples=400, deadline=None)
def test_whatever_arrives_can_be_shown(entry: Any) -> None:
    """Right or wrong, an entry has aspects that JSON can write, or none at all."""
    aspects = five_aspects(entry)
    if aspects is not None:
        assert orjson.loads(orjson.dumps(aspects.document())).keys() == {"what", "whom", "when", "how_much", "where"}
