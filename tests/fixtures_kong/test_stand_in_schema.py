"""The stand-in's schema takes and refuses what the published schema of gateway 3.16 does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import NEEDED, StandIn

from plugin_emulator.metering_and_billing.config import config_schema, load_config, validate_config

SCHEMA = StandIn().schema
VALID_ATTRIBUTE = {"source": "header", "look_up_value_in": "x-d", "event_property_name": "department"}

CONFIGS: list[dict[str, Any]] = [
    NEEDED,
    {},
    {"api_token": "t"},
    {"ingest_endpoint": "http://h"},
    {**NEEDED, "api_token": ""},
    {**NEEDED, "api_token": 5},
    {**NEEDED, "api_token": "{vault://env/token}", "ingest_endpoint": "{vault://env/endpoint}"},
    *({**NEEDED, "ingest_endpoint": url} for url in ("h", "/events", "ftp://h/", "http://", "http://h:0/", "")),
    *(
        {**NEEDED, "ingest_endpoint": url}
        for url in ("http://h:99999/", "http://h/a b", "http://[::1", "http://h:x/")
    ),
    *(
        {**NEEDED, "ingest_endpoint": url}
        for url in ("http://h", "HTTPS://h:1/", "http://[::1]:8/?x=%20", "http://u@h")
    ),
    *({**NEEDED, name: 1} for name in ("auth_token", "http_endpoint", "enable_api_requests", "enable_ai_llm", "x")),
    *({**NEEDED, name: value} for name in ("meter_api_requests", "ssl_verify") for value in (True, False, "true", 1)),
    *({**NEEDED, name: value} for name in ("timeout", "keepalive") for value in (1, 0.5, "1", True)),
    *({**NEEDED, "subject": value} for value in ({}, {"field": ""}, {"field": "id"}, "consumer", {"in": "header"})),
    *({**NEEDED, "subject": {"look_up_value_in": value}} for value in ("application", "header", "query", "path")),
    {**NEEDED, "attributes": []},
    {**NEEDED, "attributes": [VALID_ATTRIBUTE]},
    {**NEEDED, "attributes": VALID_ATTRIBUTE},
    {**NEEDED, "attributes": [{**VALID_ATTRIBUTE, "source": "path"}]},
    {**NEEDED, "attributes": [{**VALID_ATTRIBUTE, "key": "x"}]},
    *(
        {**NEEDED, "attributes": [{**VALID_ATTRIBUTE, name: value}]}
        for name in VALID_ATTRIBUTE
        for value in ("", None)
    ),
    *({**NEEDED, "allow_status_codes": codes} for codes in ([], ["200-299"], ["404"], ["299-200"], ["2xx"], [200])),
    *({**NEEDED, "allow_status_codes": codes} for codes in (["99-200"], ["200-600"], ["200-299", ""], "200-299")),
    *({**NEEDED, "queue": {"max_batch_size": value}} for value in (0, 1, 5.0, 1.5, 1_000_000, 1_000_001, "1")),
    *({**NEEDED, "queue": {"max_coalescing_delay": value}} for value in (-1, 0, 3600, 3601)),
    *({**NEEDED, "queue": {"concurrency_limit": value}} for value in (-1, 0, 1, 2)),
    *({**NEEDED, "queue": {"failure_threshold": value}} for value in (-1, 0, 3, 1.5)),
    *({**NEEDED, "queue": {"breaker_cooldown": value}} for value in (-1, 0, 0.5)),
    {**NEEDED, "queue": {"initial_retry_delay": 0}},
    {**NEEDED, "queue": {"max_retry_time": -1, "max_bytes": 5}},
    {**NEEDED, "queue": {"name": "x"}},
    {**NEEDED, "queue": None, "subject": None, "attributes": None, "timeout": None},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_is_taken_where_the_published_schema_takes_it(config: dict[str, Any]) -> None:
    assert SCHEMA.accepts(config) == (not validate_config(config, "3.16"))


_NUMBERS = st.sampled_from([-1, 0, 0.001, 0.5, 1, 2.0, 60, 3601, 1_000_001, "1", None, True])
_BOOLEANS = st.sampled_from([True, False, None, "yes", 0])
_NAMES = st.sampled_from(["", "x-tenant-id", None, 7])
_QUEUE_FIELDS = config_schema("3.16").definition["properties"]["queue"]["properties"]
ANY_CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "ingest_endpoint": st.sampled_from(["http://h/e", "{vault://env/x}", "h", "", None, 1]),
        "api_token": st.sampled_from(["t", "{vault://env/x}", "", None, 1]),
        "meter_api_requests": _BOOLEANS,
        "meter_ai_token_usage": _BOOLEANS,
        "ssl_verify": _BOOLEANS,
        "timeout": _NUMBERS,
        "keepalive": _NUMBERS,
        "subject": st.fixed_dictionaries(
            {}, optional={"look_up_value_in": st.sampled_from(["consumer", "query", "path", None]), "field": _NAMES}
        ),
        "allow_status_codes": st.lists(st.sampled_from(["200-299", "404", "99", "300-200", "", 200]), max_size=2),
        "queue": st.fixed_dictionaries({}, optional=dict.fromkeys(_QUEUE_FIELDS, _NUMBERS)),
    },
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(config=ANY_CONFIG, needed=st.booleans())
def test_any_configuration_is_taken_or_refused_as_by_the_published_schema(
    config: dict[str, Any], needed: bool
) -> None:
    config = {**NEEDED, **config} if needed else config
    assert SCHEMA.accepts(config) == (not validate_config(config, "3.16"))


def test_the_defaults_are_the_published_ones() -> None:
    filled, typed = SCHEMA.filled(NEEDED), load_config(NEEDED, "3.16")
    for name in ("meter_api_requests", "meter_ai_token_usage", "ssl_verify", "timeout", "keepalive"):
        assert filled[name] == getattr(typed, name), name
    assert filled["subject"]["look_up_value_in"] == typed.subject.look_up_value_in
    for name in _QUEUE_FIELDS:
        assert filled["queue"][name] == getattr(typed.queue, name), name


def test_every_published_field_is_there_and_no_other() -> None:
    published = config_schema("3.16").definition["properties"]
    filled = SCHEMA.filled(NEEDED)
    assert set(filled) == set(published)
    assert set(filled["queue"]) == set(_QUEUE_FIELDS)


def test_token_and_endpoint_may_be_vault_references_and_the_token_is_encrypted() -> None:
    fields = {name: field for entry in SCHEMA.config["fields"].values() for name, field in entry.items()}
    assert [name for name, field in fields.items() if field["referenceable"]] == ["ingest_endpoint", "api_token"]
    assert [name for name, field in fields.items() if field["encrypted"]] == ["api_token"]


def test_the_plugin_is_called_as_kongs_and_has_no_consumer_group_scope() -> None:
    assert SCHEMA.name == "metering-and-billing"
    assert set(SCHEMA.fields) == {"consumer_group", "protocols", "config"}
    assert SCHEMA.fields["consumer_group"]["reference"] == "consumer_groups"


@pytest.mark.parametrize("url", ["http://user:s3cr3t@", "ftp://user:s3cr3t@h", "http://user:s3cr3t@h:0", "s3cr3t"])
def test_a_refused_endpoint_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"config\.ingest_endpoint: is not an absolute") as refused:
        SCHEMA.filled({**NEEDED, "ingest_endpoint": url})
    assert "s3cr3t" not in str(refused.value)
