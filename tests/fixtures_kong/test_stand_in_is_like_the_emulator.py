"""The stand-in and the emulator make the same events of the same request, ids apart."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import NEEDED, StandIn

from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_and_billing.config import load_config
from plugin_emulator.metering_and_billing.pipeline import Pipeline

#: Few names, so that configuration and request meet; odd ones, so that they meet where it hurts.
HEADER_NAMES = st.sampled_from(["x-tenant-id", "X-Tenant-ID", "x_tenant_id", "x-department", "user-agent", "X-ü"])
PARAMETER_NAMES = st.sampled_from(["tenant", "Tenant", "a b", "ü", "x[]"])
PROPERTY_NAMES = st.sampled_from(["department", "tokens", "route_name", "request_method", "subject_type", "grün"])
VALUES = st.one_of(
    st.just("acme"), st.sampled_from(["", " ", "\tacme ", "a,b", "é€💩", '"\\/\x7f']), st.text(max_size=8)
)
NO_SURROGATES = st.characters(exclude_categories=["Cs"])
TEXT = st.text(NO_SURROGATES, max_size=8)
IDS = st.none() | st.sampled_from(["", "4d0e2a1c", "name-ß"])
SIZES = st.none() | st.integers(0, 2**40)


def objects(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(required, optional=optional)


ATTRIBUTES = st.lists(
    st.one_of(
        objects(
            {"source": st.just("header"), "look_up_value_in": HEADER_NAMES, "event_property_name": PROPERTY_NAMES}
        ),
        objects(
            {"source": st.just("query"), "look_up_value_in": PARAMETER_NAMES, "event_property_name": PROPERTY_NAMES}
        ),
    ),
    max_size=3,
)
#: Mostly what meters everything, since a request that is dropped tells little.
CONFIGS = objects(
    {"attributes": ATTRIBUTES},
    meter_api_requests=st.sampled_from([True, True, False]),
    meter_ai_token_usage=st.sampled_from([True, True, False]),
    subject=st.one_of(
        st.just({}),
        st.just({"field": "id"}),
        objects({}, field=st.sampled_from(["username", "custom_id", "id", "nothing"])),
        objects({"look_up_value_in": st.just("header")}, field=HEADER_NAMES),
        objects({"look_up_value_in": st.just("query")}, field=PARAMETER_NAMES),
        objects({"look_up_value_in": st.just("application")}, field=st.just("id")),
    ),
    allow_status_codes=st.sampled_from([None, None, [], ["200-299"], ["404", "500-503"], ["404-404", "200-204"]]),
)
PARAMETER_VALUES = st.sampled_from(["acme", "", "a+b", "a%20%2Bb", "%e9", "%E2%82%AC", "%E0%A0%80%"]) | TEXT
QUERIES = st.lists(
    st.one_of(
        st.builds(
            "{}={}".format, st.sampled_from(["tenant", "t%65nant", "a+b", "a%20b", "ü", "x[]"]), PARAMETER_VALUES
        ),
        st.text("abtent=%+2C0eEfF&?é", max_size=12),
    ),
    max_size=4,
).map("&".join)
AI = objects(
    {"plugin_name": st.sampled_from(["ai-proxy", "ai-proxy-advanced"])},
    plugin_id=IDS,
    provider=IDS,
    request_model=IDS,
    response_model=IDS,
    prompt_tokens=SIZES,
    completion_tokens=SIZES,
    cache_status=IDS,
    request_id=IDS,
)
EXCHANGES = objects(
    {
        "request": objects(
            {
                "method": st.sampled_from(["GET", "POST", "PURGE"]),
                "path": TEXT.map(lambda text: "/" + text.replace("?", "")),
                "headers": st.lists(st.tuples(HEADER_NAMES, VALUES), max_size=6),
                "started_at": st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000),
            },
            query=QUERIES,
            host=st.none() | st.sampled_from(["example.com", "::1"]),
            client_ip=st.none() | st.sampled_from(["10.0.0.1", "::1"]),
            size_bytes=SIZES,
        ),
        "response": objects(
            {"status": st.sampled_from([200, 204, 299, 300, 404, 499, 503]), "ended_at": st.just(4e9 + 1)},
            size_bytes=SIZES,
        ),
    },
    upstream_status=st.sampled_from([None, 200, "", "-", "200", "502, 200", "502, -", "502 : 503, 504"]),
    route=st.none() | objects({}, id=IDS, name=IDS),
    service=st.none() | objects({}, id=IDS, name=IDS, port=st.sampled_from([None, 80, 65535]), protocol=IDS),
    consumer=st.just({"id": "c-1", "username": "alice"})
    | st.none()
    | objects({}, id=IDS, username=IDS, custom_id=IDS),
    ai=st.none() | AI,
)


def without_ids(outcome: dict[str, Any]) -> tuple[list[dict[str, Any]], list[datetime], str | None]:
    """Return the events without what is random, their times, and the rule of the drop."""
    events, times = outcome["events"], []
    made_ids = {event.pop("id") for event in events}
    assert len(made_ids) == len(events)
    for event in events:
        times.append(datetime.fromisoformat(event.pop("time")))
        if event["data"].get("api_request_id") not in (None, "4d0e2a1c", "name-ß"):
            event["data"]["api_request_id"] = "of this request"
    return events, times, outcome["dropped"] and outcome["dropped"]["rule"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(config=CONFIGS, exchange=EXCHANGES)
def test_the_same_request_makes_the_same_events(config: dict[str, Any], exchange: dict[str, Any]) -> None:
    made = Pipeline(load_config({**NEEDED, **config}, "3.16"), "3.16").events(msgspec.convert(exchange, Exchange))
    drop = made.drop and {"rule": made.drop.rule, "reason": made.drop.reason}
    emulated = without_ids({"events": list(made.events), "dropped": drop})
    stood_in = without_ids(StandIn(config).outcome(exchange))
    assert stood_in[0] == emulated[0]
    assert stood_in[2] == emulated[2]
    # Kong counts milliseconds, the emulator microseconds, rounded up.
    for ours, theirs in zip(stood_in[1], emulated[1], strict=True):
        assert abs(ours - theirs) < timedelta(milliseconds=1)
