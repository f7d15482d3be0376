"""The metering plugin's configuration: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.documents import InvalidDocument, Problem, pointer_text
from plugin_emulator.metering_and_billing.config import (
    GATEWAY_VERSIONS,
    AttributeSource,
    MeteringConfig,
    SubjectSource,
    is_http_url,
    load_config,
    validate_config,
)
from plugin_emulator.metering_and_billing.plugin_entity import validate_plugin
from plugin_emulator.queue.settings import QueueSettings

ENDPOINT = "https://us.api.konghq.com/v3/openmeter/events"
REQUIRED = {"ingest_endpoint": ENDPOINT, "api_token": "spat_secret"}


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def refused(extra: dict[str, Any], gateway: str = "3.16") -> Problem:
    return only(validate_config({**REQUIRED, **extra}, gateway))


# --------------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize("gateway", GATEWAY_VERSIONS)
def test_cfg_3_what_is_not_given_has_the_gateways_default(gateway: str) -> None:
    config = load_config(REQUIRED, gateway)
    assert config == MeteringConfig(
        ingest_endpoint=ENDPOINT,
        api_token="spat_secret",
        meter_api_requests=True,
        meter_ai_token_usage=True,
        ssl_verify=True,
        timeout=10_000,
        keepalive=60_000,
        subject=SubjectSource("consumer", None),
        attributes=(),
        queue=QueueSettings(),
        allow_status_codes=None,
    )


def test_cfg_4_queue_defaults_are_those_of_the_gateways_queue() -> None:
    queue = load_config(REQUIRED).queue
    assert (queue.max_batch_size, queue.max_coalescing_delay, queue.max_entries, queue.max_bytes) == (
        1,
        1,
        10_000,
        None,
    )
    assert (queue.initial_retry_delay, queue.max_retry_time, queue.max_retry_delay) == (0.01, 60, 60)
    assert (queue.concurrency_limit, queue.failure_threshold, queue.breaker_cooldown) == (1, 0, 60)


def test_every_given_field_reaches_the_typed_configuration() -> None:
    config = load_config(
        {
            **REQUIRED,
            "meter_api_requests": False,
            "meter_ai_token_usage": False,
            "ssl_verify": False,
            "timeout": 250,
            "keepalive": 1500.5,
            "subject": {"look_up_value_in": "query", "field": "customer"},
            "attributes": [{"source": "header", "look_up_value_in": "x-dept", "event_property_name": "department"}],
            "queue": {
                "max_batch_size": 7,
                "max_coalescing_delay": 0.5,
                "max_entries": 11,
                "max_bytes": 1000,
                "initial_retry_delay": 0.2,
                "max_retry_time": -1,
                "max_retry_delay": 3,
                "concurrency_limit": -1,
                "failure_threshold": 4,
                "breaker_cooldown": 9,
            },
            "allow_status_codes": ["200-299", "404"],
        }
    )
    assert config == MeteringConfig(
        ENDPOINT,
        "spat_secret",
        False,
        False,
        False,
        250,
        1500.5,
        SubjectSource("query", "customer"),
        (AttributeSource("header", "x-dept", "department"),),
        QueueSettings(
            max_batch_size=7,
            max_coalescing_delay=0.5,
            max_entries=11,
            max_bytes=1000,
            initial_retry_delay=0.2,
            max_retry_time=-1,
            max_retry_delay=3,
            concurrency_limit=-1,
            failure_threshold=4,
            breaker_cooldown=9,
        ),
        ((200, 299), (404, 404)),
    )


def test_null_stands_for_the_default_wherever_a_field_is_optional() -> None:
    nulls = {
        "timeout": None,
        "subject": {"field": None, "look_up_value_in": None},
        "queue": {"max_bytes": None, "max_entries": None},
        "attributes": None,
        "allow_status_codes": None,
    }
    assert load_config({**REQUIRED, **nulls}) == load_config(REQUIRED)


def test_a_whole_number_written_with_a_point_is_an_integer() -> None:
    queue = load_config({**REQUIRED, "queue": {"max_batch_size": 5.0}}).queue
    assert queue.max_batch_size == 5
    assert isinstance(queue.max_batch_size, int)


@pytest.mark.parametrize("place", ["header", "query"])
def test_cfg_5_a_subject_place_without_field_is_accepted_as_the_gateway_does(place: str) -> None:
    assert load_config({**REQUIRED, "subject": {"look_up_value_in": place}}).subject == SubjectSource(place, None)  # type: ignore[arg-type]


def test_cfg_1_a_vault_reference_may_stand_for_token_and_endpoint() -> None:
    config = load_config({"ingest_endpoint": "{vault://env/endpoint}", "api_token": "{vault://hcv/kong/token}"})
    assert (config.ingest_endpoint, config.api_token) == ("{vault://env/endpoint}", "{vault://hcv/kong/token}")


def test_the_token_is_in_no_repr() -> None:
    assert "spat_secret" not in repr(load_config(REQUIRED))


# --------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("missing", ["ingest_endpoint", "api_token"])
@pytest.mark.parametrize("null", [False, True])
def test_cfg_1_token_and_endpoint_are_required(missing: str, null: bool) -> None:
    config: dict[str, Any] = {name: value for name, value in REQUIRED.items() if name != missing}
    if null:
        config[missing] = None
    problem = only(validate_config(config, "3.16"))
    assert (problem.pointer, problem.message) == ((missing,), "required field is missing")


@pytest.mark.parametrize(
    "url",
    [
        "us.api.konghq.com/v3",
        "/v3/openmeter/events",
        "ftp://host/x",
        "http://",
        "http:///x",
        "http://host:99999/x",
        "http://[::1/x",
        "http://a b/",
        "http://host/\n",
        "{vault://env}",
    ],
)
def test_cfg_1_an_endpoint_that_is_no_absolute_http_url_is_refused(url: str) -> None:
    assert refused({"ingest_endpoint": url}).pointer == ("ingest_endpoint",)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8088", "https://u:p@host/a%20b?q=1#f", "http://[::1]:8/x", "HTTP://Host/x"]
)
def test_dlv_7_odd_but_legal_endpoints_are_accepted(url: str) -> None:
    assert is_http_url(url)
    assert load_config({**REQUIRED, "ingest_endpoint": url}).ingest_endpoint == url


@pytest.mark.parametrize(
    ("config", "pointer", "hint"),
    [
        ({"meter_api_request": True}, "/meter_api_request", "meter_api_requests"),
        ({"queue": {"max_batchsize": 5}}, "/queue/max_batchsize", "max_batch_size"),
        ({"subject": {"feild": "x"}}, "/subject/feild", "field"),
        (
            {
                "attributes": [
                    {"source": "query", "look_up_value_in": "a", "event_property_name": "b", "look_up_values_in": 1}
                ]
            },
            "/attributes/0/look_up_values_in",
            "look_up_value_in",
        ),
    ],
)
def test_cfg_2_an_unknown_field_is_refused_at_any_depth_with_the_nearest_name(
    config: dict[str, Any], pointer: str, hint: str
) -> None:
    problem = refused(config)
    assert pointer_text(problem.pointer) == pointer
    assert problem.hint == f"did you mean {hint!r}?"


def test_cfg_2_an_unknown_field_is_refused_even_when_it_is_null() -> None:
    assert refused({"nope": None}).message == "unknown field 'nope'"


@pytest.mark.parametrize("gateway", ["3.14", "3.15"])
@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"allow_status_codes": ["200-299"]}, ("allow_status_codes",)),
        ({"queue": {"failure_threshold": 1}}, ("queue", "failure_threshold")),
        ({"queue": {"breaker_cooldown": 1}}, ("queue", "breaker_cooldown")),
    ],
)
def test_cfg_7_a_newer_field_is_refused_with_the_version_that_has_it(
    gateway: str, config: dict[str, Any], pointer: tuple[str, ...]
) -> None:
    problem = refused(config, gateway)
    assert problem.pointer == pointer
    assert gateway in problem.message
    assert "3.16" in str(problem.hint)
    assert validate_config({**REQUIRED, **config}, "3.16") == []


def test_cfg_8_each_name_from_before_the_release_is_refused_with_todays() -> None:
    problems = validate_config(
        {
            "auth_token": "x",
            "http_endpoint": ENDPOINT,
            "enable_api_requests": True,
            "enable_ai_llm": False,
            "subject": {"in": "consumer"},
            "attributes": [{"in": "header", "field": "x-a", "key": "a"}],
        },
        "3.14",
    )
    assert {pointer_text(problem.pointer): problem.hint for problem in problems} == {
        "/auth_token": "write 'api_token' instead",
        "/http_endpoint": "write 'ingest_endpoint' instead",
        "/enable_api_requests": "write 'meter_api_requests' instead",
        "/enable_ai_llm": "write 'meter_ai_token_usage' instead",
        "/subject/in": "write 'look_up_value_in' instead",
        "/attributes/0/in": "write 'source' instead",
        "/attributes/0/field": "write 'look_up_value_in' instead",
        "/attributes/0/key": "write 'event_property_name' instead",
    }


@pytest.mark.parametrize("missing", ["source", "look_up_value_in", "event_property_name"])
def test_cfg_6_an_attribute_needs_all_three_of_its_fields(missing: str) -> None:
    attribute = {"source": "header", "look_up_value_in": "x-a", "event_property_name": "a"}
    del attribute[missing]
    assert refused({"attributes": [attribute]}).pointer == ("attributes", 0, missing)


@pytest.mark.parametrize(
    "config",
    [
        {"timeout": True},
        {"timeout": "10000"},
        {"keepalive": math.nan},
        {"timeout": math.inf},
        {"timeout": 10**400},
        {"ssl_verify": "yes"},
        {"ssl_verify": 1},
        {"meter_api_requests": 0},
        {"subject": "consumer"},
        {"subject": {"look_up_value_in": "path"}},
        {"subject": {"field": 5}},
        {"attributes": {}},
        {"attributes": [None]},
        {"queue": []},
        {"queue": {"max_batch_size": 0}},
        {"queue": {"max_batch_size": 1_000_001}},
        {"queue": {"max_batch_size": 1.5}},
        {"queue": {"max_batch_size": "10"}},
        {"queue": {"max_batch_size": True}},
        {"queue": {"max_coalescing_delay": -0.1}},
        {"queue": {"max_coalescing_delay": 3600.5}},
        {"queue": {"max_entries": 0}},
        {"queue": {"max_bytes": 1.5}},
        {"queue": {"initial_retry_delay": 0.0009}},
        {"queue": {"max_retry_delay": 1_000_000.5}},
        {"queue": {"concurrency_limit": 0}},
        {"queue": {"concurrency_limit": 2}},
        {"queue": {"failure_threshold": -1}},
        {"queue": {"breaker_cooldown": 1_000_001}},
        {"allow_status_codes": "200-299"},
        {"allow_status_codes": [200]},
        {"api_token": ""},
        {"api_token": 5},
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused_where_it_stands(config: dict[str, Any]) -> None:
    pointer: list[str | int] = []
    value: Any = config
    while isinstance(value, (dict, list)) and value:
        key: str | int = next(iter(value)) if isinstance(value, dict) else 0
        pointer.append(key)
        value = value[key]
    problem = refused(config)
    assert problem.pointer == tuple(pointer)
    assert problem.hint


@pytest.mark.parametrize(
    "text", ["299-200", "99-200", "200-600", "200-", "2xx", " 200-299", "200-299\n", "200 - 299", "٢٠٠"]
)
def test_a_status_range_that_is_none_is_refused(text: str) -> None:
    assert refused({"allow_status_codes": ["200-299", text]}).pointer == ("allow_status_codes", 1)


@pytest.mark.parametrize("config", [None, [], "x", 5, True])
def test_a_configuration_that_is_no_object_is_refused(config: Any) -> None:
    assert only(validate_config(config, "3.16")).pointer == ()


def test_an_unquoted_vault_reference_is_recognised() -> None:
    problem = refused({"api_token": {"vault://env/token": None}})
    assert problem.hint == 'put the reference in quotes: "{vault://backend/key}"'


def test_all_problems_are_reported_at_once_in_the_order_of_the_document() -> None:
    problems = validate_config({"zzz": 1, "timeout": "x", **REQUIRED, "queue": {"max_entries": 0, "yyy": 1}}, "3.16")
    assert [pointer_text(problem.pointer) for problem in problems] == [
        "/zzz",
        "/timeout",
        "/queue/max_entries",
        "/queue/yyy",
    ]


def test_no_message_quotes_a_value() -> None:
    secret = "tok-4711"
    config = {
        "ingest_endpoint": secret,
        "api_token": [secret],
        "timeout": secret,
        "subject": {"look_up_value_in": secret, "field": {secret: secret}},
        "queue": {"concurrency_limit": secret, "max_bytes": secret},
        "allow_status_codes": [secret],
    }
    with pytest.raises(InvalidDocument) as error:
        load_config(config)
    assert len(error.value.problems) == 8
    assert secret not in str(error.value)


def test_an_unknown_gateway_version_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"3\.13"):
        validate_config(REQUIRED, "3.13")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [
        "ingest_endpoint",
        "api_token",
        "timeout",
        "keepalive",
        "ssl_verify",
        "subject",
        "attributes",
        "queue",
        "allow_status_codes",
        "meter_api_requests",
        "nope",
        "auth_token",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_NAMES, _JSON), st.sampled_from(GATEWAY_VERSIONS))
def test_whatever_the_input_a_configuration_is_refused_with_hints_or_loads(
    config: dict[str, Any], gateway: str
) -> None:
    problems = validate_config(config, gateway)
    if problems:
        assert all(problem.hint for problem in problems)
        with pytest.raises(InvalidDocument):
            load_config(config, gateway)
    else:
        assert load_config(config, gateway).api_token == config["api_token"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 10**6),
    st.floats(0, 3600),
    st.integers(1, 10**6),
    st.floats(0.001, 10**6),
    st.floats(-1e9, 1e9),
    st.sampled_from([-1, 1]),
)
def test_any_queue_within_the_published_bounds_is_taken_as_it_is(
    batch: int, delay: float, entries: int, retry: float, retry_time: float, limit: int
) -> None:
    queue = {
        "max_batch_size": batch,
        "max_coalescing_delay": delay,
        "max_entries": entries,
        "initial_retry_delay": retry,
        "max_retry_time": retry_time,
        "concurrency_limit": limit,
    }
    assert load_config({**REQUIRED, "queue": queue}).queue == QueueSettings(**queue)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- the plugin entity


def entity(**extra: Any) -> dict[str, Any]:
    return {"name": "metering-and-billing", "config": dict(REQUIRED), **extra}


def test_cfg_10_a_plugin_entity_with_every_field_is_accepted() -> None:
    full = entity(
        id="7a267194-6123-5ee0-a1c9-4c1559eb0d95",
        enabled=False,
        instance_name="billing-1",
        tags=["team-a"],
        protocols=["grpc", "tls_passthrough", "ws"],
        condition='http.method == "GET"',
        ordering={"before": {"access": ["key-auth"]}},
        service="example-service",
        route={"name": "example-route"},
        consumer={"id": "b32379d9-3d28-5683-a79c-72139be6e34f"},
    )
    assert validate_plugin(full, "3.14") == []


def test_cfg_10_a_condition_of_1024_characters_is_accepted_and_one_more_is_not() -> None:
    for gateway in GATEWAY_VERSIONS:
        longest = 'http.host == "' + "é" * 1009 + '"'
        assert validate_plugin(entity(condition=longest), gateway) == []
        (problem,) = validate_plugin(entity(condition=longest + " "), gateway)
        assert (problem.pointer, problem.message) == (("condition",), "has 1025 characters, more than 1024")


@pytest.mark.parametrize(
    ("condition", "gateway"),
    [('http.path ^= "/v1"', "3.16"), ('http.path.startsWith("/v1")', "3.14"), ("http.path ==", "3.15"), ("", "3.15")],
)
def test_cnd_5_a_condition_that_is_none_in_the_versions_language_is_a_problem_of_the_entity(
    condition: str, gateway: str
) -> None:
    problem = only(validate_plugin(entity(condition=condition), gateway))
    assert (problem.pointer, bool(problem.hint)) == (("condition",), True)


@pytest.mark.parametrize(
    ("extra", "pointer"),
    [
        ({"name": "metering"}, "/name"),
        ({"enabled": "yes"}, "/enabled"),
        ({"protocols": ["smtp"]}, "/protocols/0"),
        ({"tags": ["a,b"]}, "/tags/0"),
        ({"instance_name": "a b"}, "/instance_name"),
        ({"id": "1"}, "/id"),
        ({"service": 5}, "/service"),
        ({"service": {}}, "/service"),
        ({"route": {"nam": "x"}}, "/route/nam"),
        ({"consumer_group": "gold"}, "/consumer_group"),
        ({"enabeld": True}, "/enabeld"),
        ({"config": None}, "/config"),
        ({"config": {**REQUIRED, "timeout": "x"}}, "/config/timeout"),
        ({"ordering": {"during": {}}}, "/ordering/during"),
    ],
)
def test_a_wrong_plugin_entity_is_refused_where_it_is_wrong(extra: dict[str, Any], pointer: str) -> None:
    problem = only(validate_plugin(entity(**extra), "3.16"))
    assert pointer_text(problem.pointer) == pointer
    assert problem.hint


def test_cfg_9_a_consumer_group_is_named_as_no_scope_of_the_plugin() -> None:
    assert "consumer groups" in only(validate_plugin(entity(consumer_group="gold"), "3.16")).message
