"""decK: the state file written is the vendor's, carries any value, and is read back as the same entities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from state_file_entities import DOCUMENTED, ENDPOINT, OPTIONS, TEXTS, VALUES, metering, parsed

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats import state_file
from harness.plugin_config.formats.deck import FORMAT
from harness.plugin_config.formats.format import CannotExpress
from harness.plugin_config.validation import entity_of
from plugin_emulator.documents import Document
from plugin_emulator.gateway.references import render_environment
from plugin_emulator.gateway.state_file import load_state

ENVIRON = {"DECK_AUTH_TOKEN": "spat_1", "DECK_SUBJECT_HEADER": "x-tenant-id"}


def rendered(*entities: PluginEntity) -> str:
    (file,) = FORMAT.render(entities, OPTIONS)
    assert file.name == "kong.yaml"
    return file.text


def applied(text: str, environ: dict[str, str]) -> Any:
    """Return the data of a state file as decK sees it: filled in first, then parsed."""
    return parsed(render_environment(text, environ).text)


@pytest.mark.parametrize(
    ("scope", "written"),
    [
        ({}, {}),
        ({"service": None}, {"service": "serviceName|Id"}),
        ({"route": None}, {"route": "routeName|Id"}),
        ({"consumer": None}, {"consumer": "consumerName|Id"}),
    ],
)
def test_gen_5_the_vendors_four_blocks_are_reproduced(scope: dict[str, None], written: dict[str, str]) -> None:
    (file,) = FORMAT.render([metering(scope=scope)], DOCUMENTED)
    assert yaml.safe_load(file.text) == {
        "_format_version": "3.0",
        "plugins": [
            {
                "name": "metering-and-billing",
                **written,
                "config": {
                    "ingest_endpoint": ENDPOINT,
                    "api_token": '${{ env "DECK_AUTH_TOKEN" }}',
                    "meter_api_requests": True,
                    "meter_ai_token_usage": False,
                    "subject": {"look_up_value_in": "header", "field": '${{ env "DECK_SUBJECT_HEADER" }}'},
                },
            }
        ],
    }


def test_the_file_is_written_in_the_vendors_layout() -> None:
    assert rendered(metering(scope={"service": "orders"})) == (
        "_format_version: '3.0'\n"
        "plugins:\n"
        "- name: metering-and-billing\n"
        "  service: orders\n"
        "  config:\n"
        "    ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events\n"
        "    api_token: '${{ env \"DECK_AUTH_TOKEN\" }}'\n"
        "    meter_api_requests: true\n"
        "    meter_ai_token_usage: false\n"
        "    subject:\n"
        "      look_up_value_in: header\n"
        "      field: '${{ env \"DECK_SUBJECT_HEADER\" }}'\n"
    )


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS)
def test_gen_1_any_config_is_what_decks_parser_sees(config: dict[str, Any], target: str) -> None:
    entity = PluginEntity("metering-and-billing", config, {"service": target}, condition=target, tags=(target,))
    (item,) = applied(rendered(entity), {})["plugins"]
    assert repr(item["config"]) == repr(config)
    assert (item["service"], item["condition"], item["tags"]) == (target, target, [target])


WORDS = '123 007 1e3 no on null ~ true 2026-01-01 1:30 .inf - # #a [a] {a} " "a" \\ !x &x *x | > %x @x `x` é😀'
ODD_VALUES = [*WORDS.split(), "", " a ", "- a", "? x", "a: b", "a #b", "{a: b}"]


@pytest.mark.parametrize("value", ODD_VALUES)
def test_whatever_deck_fills_in_stays_text(value: str) -> None:
    (item,) = applied(rendered(metering()), {"DECK_AUTH_TOKEN": value, "DECK_SUBJECT_HEADER": value})["plugins"]
    assert item["config"]["api_token"] == item["config"]["subject"]["field"] == value


def test_a_value_that_looks_like_a_template_is_not_filled_in() -> None:
    text = '${{ env "DECK_AUTH_TOKEN" }}'
    entity = metering(config={"api_token": text, text: [text]}, condition=text, scope={"route": text})
    (item,) = applied(rendered(entity), ENVIRON)["plugins"]
    assert item == {
        "name": "metering-and-billing",
        "route": text,
        "condition": text,
        "config": {"api_token": text, text: [text]},
    }


FULL = metering(
    scope={"service": "orders", "route": "no", "consumer": "9b0a1f6e-0000-4000-8000-000000000001"},
    enabled=False,
    instance_name="metering-1",
    tags=("billing", "007"),
    protocols=("http", "https"),
    condition='http.path ^= "/v1"',
    ordering={"before": {"access": ["key-auth"]}},
    id="11111111-2222-4333-8444-555555555555",
)


def test_every_field_of_an_entity_is_written_under_its_name() -> None:
    (item,) = parsed(rendered(FULL))["plugins"]
    config = item.pop("config")
    assert config["subject"]["look_up_value_in"] == "header"
    assert item == {
        "name": "metering-and-billing",
        "id": "11111111-2222-4333-8444-555555555555",
        "instance_name": "metering-1",
        "service": "orders",
        "route": "no",
        "consumer": "9b0a1f6e-0000-4000-8000-000000000001",
        "enabled": False,
        "protocols": ["http", "https"],
        "tags": ["billing", "007"],
        "condition": 'http.path ^= "/v1"',
        "ordering": {"before": {"access": ["key-auth"]}},
    }


AMBERFLO = PluginEntity("amberflo", {"apiKey": Reference("AMBERFLO_KEY"), "meterApiName": "calls"}, {"route": "r"})


def test_what_was_written_is_read_back_as_the_same_entities() -> None:
    entities = [FULL, metering(), metering(scope={"service": None}), AMBERFLO]
    found = state_file.read(rendered(*entities), "kong.yaml")
    assert found.format == "deck"
    assert [entity_of(plugin) for plugin in found.plugins] == entities


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_gen_1_any_config_is_read_back(config: dict[str, Any]) -> None:
    entity = PluginEntity("metering-and-billing", config)
    (plugin,) = state_file.read(rendered(entity), "kong.yaml").plugins
    assert repr(entity_of(plugin).config) == repr(config)


def test_gen_4_the_same_entities_give_the_same_bytes() -> None:
    assert rendered(FULL, AMBERFLO) == rendered(FULL, AMBERFLO)


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (metering(config={"subject": {"field": "\ud800"}}), "config.subject.field"),
        (metering(condition="\ud800"), "condition"),
        (metering(tags=("a", "\ud800")), "tags.1"),
        (metering(scope={"service": "\ud800"}), "service"),
    ],
)
def test_text_that_yaml_cannot_hold_is_refused_by_the_fields_name(entity: PluginEntity, field: str) -> None:
    with pytest.raises(CannotExpress, match=r"^deck cannot express") as refusal:
        FORMAT.render([metering(), entity], OPTIONS)
    assert refusal.value.field == field


def test_the_emulated_gateway_runs_a_global_plugin_from_the_file() -> None:
    document = render_environment(rendered(metering()), ENVIRON).parse("kong.yaml")
    (plugin,) = load_state(document, environ={}, gateway="3.14").plugins
    assert plugin.config.api_token == "spat_1"  # type: ignore[union-attr]
    assert plugin.config.subject.field == "x-tenant-id"  # type: ignore[union-attr]


def test_the_emulated_gateway_runs_a_plugin_on_a_service_a_route_and_a_consumer_of_the_same_file() -> None:
    scope = {"service": "orders", "route": "no", "consumer": "alice"}
    entity = replace(FULL, scope=scope, condition=None, ordering=None)  # neither is emulated
    document = render_environment(rendered(entity), ENVIRON).parse("kong.yaml")
    owners = {
        "services": [{"name": "orders", "url": "http://127.0.0.1:1"}],
        "routes": [{"name": "no", "paths": ["/"], "service": "orders"}],
        "consumers": [{"username": "alice"}],
    }
    whole = Document({**document.data, **owners}, document.lines)
    (plugin,) = load_state(whole, environ={}, gateway="3.14").plugins
    assert plugin.service is not None and plugin.service.name == "orders"
    assert plugin.route is not None and plugin.route.name == "no"
    assert plugin.consumer is not None and plugin.consumer.username == "alice"
    assert (plugin.enabled, plugin.instance_name, plugin.tags) == (False, "metering-1", ("billing", "007"))
