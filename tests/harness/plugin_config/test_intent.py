"""An intent, in a file or by options, becomes the plugin's own configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.intent_document import entity_of_intent
from plugin_emulator.documents import InvalidDocument, parse_document

TOKEN = Reference("AUTH_TOKEN")
KONNECT = "https://us.api.konghq.com/v3/openmeter/events"


def entity(**intent: Any) -> PluginEntity:
    return entity_of_intent(parse_document(yaml.safe_dump(intent)))[0]


def refusal(text: str) -> str:
    with pytest.raises(InvalidDocument) as refused:
        entity_of_intent(parse_document(text, "intent.yaml"))
    (problem,) = refused.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("ingest", "endpoint"),
    [
        ("konnect:us", KONNECT),
        ("konnect:eu", "https://eu.api.konghq.com/v3/openmeter/events"),
        ("openmeter:https://meter.example.com", "https://meter.example.com/api/v3/openmeter/events"),
        ("openmeter:http://127.0.0.1:8888/", "http://127.0.0.1:8888/api/v3/openmeter/events"),
        ("openmeter:https://meter.example.com/api/v1/events", "https://meter.example.com/api/v1/events"),
        ("http://127.0.0.1:8088/events", "http://127.0.0.1:8088/events"),
        ("vault:env/ingest-url", "{vault://env/ingest-url}"),
        ("env:INGEST_ENDPOINT", Reference("INGEST_ENDPOINT", secret=False)),
    ],
)
def test_the_ingest_endpoint_is_named_by_region_by_base_url_or_in_full(ingest: str, endpoint: object) -> None:
    assert entity(ingest=ingest).config == {"ingest_endpoint": endpoint, "api_token": TOKEN}


@pytest.mark.parametrize(
    ("subject", "config"),
    [
        ("consumer", {"look_up_value_in": "consumer"}),
        ("consumer:custom_id", {"look_up_value_in": "consumer", "field": "custom_id"}),
        ("application", {"look_up_value_in": "application"}),
        ("header:x-tenant-id", {"look_up_value_in": "header", "field": "x-tenant-id"}),
        ("query:tenant", {"look_up_value_in": "query", "field": "tenant"}),
        (
            "header:env:SUBJECT_HEADER",
            {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
        ),
    ],
)
def test_the_subject_is_named_by_its_source(subject: str, config: dict[str, object]) -> None:
    assert entity(ingest="konnect:us", subject=subject).config["subject"] == config


def test_every_word_of_an_intent_finds_its_field() -> None:
    meant = entity(
        ingest="konnect:us",
        token="vault:env/spat",
        meters=["api-requests"],
        subject="consumer",
        attributes={"department": "header:x-department", "plan": "query:plan"},
        batch=100,
        delay=0.5,
        status=["200-299"],
        scope=["service=orders", "consumer=alice"],
        enabled=False,
        instance_name="orders-metering",
        tags=["billing"],
        protocols=["http"],
        condition='http.method == "GET"',
        ordering={"after": {"access": ["key-auth"]}},
    )
    assert meant == PluginEntity(
        name="metering-and-billing",
        config={
            "ingest_endpoint": KONNECT,
            "api_token": "{vault://env/spat}",
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": "consumer"},
            "attributes": [
                {"source": "header", "look_up_value_in": "x-department", "event_property_name": "department"},
                {"source": "query", "look_up_value_in": "plan", "event_property_name": "plan"},
            ],
            "queue": {"max_batch_size": 100, "max_coalescing_delay": 0.5},
            "allow_status_codes": ["200-299"],
        },
        scope={"service": "orders", "consumer": "alice"},
        enabled=False,
        instance_name="orders-metering",
        tags=("billing",),
        protocols=("http",),
        condition='http.method == "GET"',
        ordering={"after": {"access": ["key-auth"]}},
    )


def test_the_plugins_own_fields_win_over_what_is_derived_and_leave_the_rest() -> None:
    config = entity(ingest="konnect:us", batch=100, config={"queue": {"max_entries": 5, "max_batch_size": 7}}).config
    assert config["queue"] == {"max_batch_size": 7, "max_entries": 5}


def test_amb_14_an_amberflo_intent_uses_the_same_words() -> None:
    meant = entity(
        plugin="amberflo",
        meter_name="kong-api-calls",
        attributes={"region": "header:x-region"},
        batch=20,
        delay=2.0,
        token="env:AMBERFLO_KEY",
        config={"methodDimension": "method"},
    )
    assert meant.name == "amberflo"
    assert meant.config == {
        "apiKey": Reference("AMBERFLO_KEY"),
        "meterApiName": "kong-api-calls",
        "customerHeader": "x-consumer-username",
        "batchSize": 20,
        "intervalSeconds": 2,
        "dimensionHeaders": {"region": "x-region"},
        "methodDimension": "method",
    }
    assert entity(plugin="amberflo", meter_name="m", subject="header:x-customer-id").config["customerHeader"] == (
        "x-customer-id"
    )
    assert entity(plugin="amberflo", plugin_name="metering", meter_name="m").name == "metering"


VENDOR_CONSUMER = {
    "ingest_endpoint": Reference("INGEST_ENDPOINT", secret=False),
    "api_token": TOKEN,
    "meter_api_requests": True,
    "meter_ai_token_usage": False,
    "subject": {"look_up_value_in": "consumer"},
}


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({}, VENDOR_CONSUMER),
        (
            {"meter_api_requests": False, "meter_ai_token_usage": True},
            {**VENDOR_CONSUMER, "meter_api_requests": False, "meter_ai_token_usage": True},
        ),
        (
            {"subject": {"look_up_value_in": "header", "field": "${subject-header}"}},
            {
                **VENDOR_CONSUMER,
                "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
            },
        ),
        (
            {
                "attributes": [
                    {"source": "header", "look_up_value_in": f"x-{name}", "event_property_name": name}
                    for name in ("department", "project")
                ]
            },
            {
                **VENDOR_CONSUMER,
                "attributes": [
                    {"source": "header", "look_up_value_in": f"x-{name}", "event_property_name": name}
                    for name in ("department", "project")
                ],
            },
        ),
    ],
    ids=["api requests", "AI tokens", "tenant header", "department"],
)
def test_gen_5_an_example_as_the_vendor_writes_it_is_an_intent(
    changes: dict[str, Any], config: dict[str, Any]
) -> None:
    example = {
        "title": "An example",
        "description": "What it shows.",
        "weight": 999,
        "requirements": ["A token"],
        "config": {
            "ingest_endpoint": "${ingest-endpoint}",
            "api_token": "${auth-token}",
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": "consumer"},
            **changes,
        },
        "variables": {
            "auth-token": {"value": "$AUTH_TOKEN", "description": "A token."},
            "ingest-endpoint": {"value": "$INGEST_ENDPOINT"},
            "subject-header": {"value": "$SUBJECT_HEADER"},
        },
        "tools": ["deck", "terraform"],
    }
    assert entity(**example).config == config


def test_a_dollar_name_that_no_variable_declares_is_text() -> None:
    config = {"ingest_endpoint": KONNECT, "subject": {"look_up_value_in": "header", "field": "${nobody}"}}
    assert entity(config=config).config["subject"] == {"look_up_value_in": "header", "field": "${nobody}"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject: consumer\n", "/ingest: where the events go is not said"),
        ("ingest: konnect:use\n", "intent.yaml:1: /ingest: Konnect has no region 'use' (did you mean 'us'?)"),
        ("ingest: nowhere\n", "intent.yaml:1: /ingest: is not an absolute http(s) URL"),
        ("ingest: konnect:us\nsubject: header\n", "intent.yaml:2: /subject: which header is not said"),
        ("ingest: konnect:us\nsubject: cookie:x\n", "intent.yaml:2: /subject: 'cookie' is no source of a value here"),
        (
            "ingest: konnect:us\nattributes:\n  a: path:b\n",
            "intent.yaml:3: /attributes/a: 'path' is no source of a value here",
        ),
        ("ingest: konnect:us\ntoken: env:no-name\n", "intent.yaml:2: /token: does not name an environment variable"),
        ("ingest: konnect:us\ntoken: vault:key\n", "intent.yaml:2: /token: does not name a vault's key"),
        ("ingest: konnect:us\nscope: group=x\n", "intent.yaml:2: /scope: 'group' is no scope of this plugin"),
        ("ingest: konnect:us\nscope: [service=a, service=b]\n", "intent.yaml:2: /scope: 'service' is given twice"),
        ("ingest: konnect:us\nmeter_name: m\n", "intent.yaml:2: /meter_name: is Amberflo's"),
        ("ingest: konnect:us\nsubjekt: consumer\n", "unknown field 'subjekt' (did you mean 'subject'?)"),
        ("ingest: konnect:us\nplugin: metring\n", "intent.yaml:2: /plugin: no metering plugin is called 'metring'"),
        ("plugin: amberflo\n", "/meter_name: which meter the requests count on is not said"),
        ("plugin: amberflo\nmeter_name: m\ningest: konnect:us\n", "intent.yaml:3: /ingest: Amberflo's ingest"),
        ("plugin: amberflo\nmeter_name: m\nstatus: ['200']\n", "intent.yaml:3: /status: Amberflo meters before"),
        ("plugin: amberflo\nmeter_name: m\nmeters: [ai-tokens]\n", "intent.yaml:3: /meters: Amberflo meters req"),
        ("plugin: amberflo\nmeter_name: m\nsubject: query:c\n", "intent.yaml:3: /subject: Amberflo takes the"),
        (
            "plugin: amberflo\nmeter_name: m\nattributes:\n  a: query:b\n",
            "intent.yaml:4: /attributes/a: Amberflo's dimensions come from headers only",
        ),
        (
            "config: {ingest_endpoint: 'https://${host}/v3'}\nvariables: {host: {value: $HOST}}\n",
            "intent.yaml:1: /config/ingest_endpoint: ${host} is only part of the value",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text: str, message: str) -> None:
    assert message in refusal(text)


def test_a_variable_that_is_not_declared_is_refused_where_others_are() -> None:
    declared = "variables: {subject-header: {value: $SUBJECT_HEADER}}\n"
    text = "ingest: konnect:us\nconfig: {subject: {look_up_value_in: header, field: '${subject-heder}'}}\n"
    assert refusal(text + declared) == (
        "intent.yaml:2: /config/subject/field: ${subject-heder} is not among the variables"
        " (did you mean ${subject-header}?)"
    )
    without = entity_of_intent(parse_document(text))[0].config["subject"]
    assert without == {"look_up_value_in": "header", "field": "${subject-heder}"}


def test_attributes_in_two_places_are_refused() -> None:
    attribute = "{source: header, look_up_value_in: x-a, event_property_name: a}"
    text = f"ingest: konnect:us\nattributes: {{b: header:x-b}}\nconfig: {{attributes: [{attribute}]}}\n"
    assert refusal(text).startswith("intent.yaml:2: /attributes: config has attributes too")


@pytest.mark.parametrize("name", ["env:AUTH_TOKEN", "env:DECK_AUTH_TOKEN", "env:auth_token"])
def test_a_variable_is_named_without_its_tools_prefix_and_in_any_case(name: str) -> None:
    assert entity(ingest="konnect:us", token=name).config["api_token"] == TOKEN


def test_global_stands_alone_as_a_scope() -> None:
    assert entity(ingest="konnect:us", scope="global").scope == {}
    assert "'global' is no scope of this plugin" in refusal("ingest: konnect:us\nscope: [global, service=a]\n")
