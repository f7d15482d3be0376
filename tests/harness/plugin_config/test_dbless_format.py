"""Kong without a database: variables become vault references where the gateway looks them up, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_file_entities import DOCUMENTED, ENDPOINT, OPTIONS, TEXTS, VALUES, metering, parsed

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats import state_file
from harness.plugin_config.formats.dbless import FORMAT
from harness.plugin_config.formats.format import CannotExpress
from harness.plugin_config.validation import entity_of
from plugin_emulator.documents import Document, parse_document
from plugin_emulator.gateway.references import resolve_vault_reference
from plugin_emulator.gateway.state_file import load_state

CONFIG = {"ingest_endpoint": ENDPOINT, "api_token": Reference("AUTH_TOKEN")}


def rendered(*entities: PluginEntity) -> str:
    (file,) = FORMAT.render(entities, OPTIONS)
    assert file.name == "kong.yml"
    return file.text


def test_a_global_plugin_is_a_whole_file() -> None:
    assert rendered(metering(config=CONFIG)) == (
        "_format_version: '3.0'\n"
        "_transform: true\n"
        "plugins:\n"
        "- name: metering-and-billing\n"
        "  config:\n"
        "    ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events\n"
        "    api_token: '{vault://env/auth-token}'\n"
    )


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"[A-Z_][A-Z0-9_]*", fullmatch=True), TEXTS.filter(bool))
def test_a_variable_becomes_the_vault_reference_that_resolves_to_it(name: str, value: str) -> None:
    text = rendered(metering(config={"api_token": Reference(name), "ingest_endpoint": Reference(name, secret=False)}))
    config = parsed(text)["plugins"][0]["config"]
    assert resolve_vault_reference(config["api_token"], {name: value}) == value
    assert resolve_vault_reference(config["ingest_endpoint"], {name: value}) == value


def test_a_literal_vault_reference_is_passed_through() -> None:
    reference = "{vault://hcv/billing/token}"
    text = rendered(metering(config={"api_token": reference}))
    assert parsed(text)["plugins"][0]["config"]["api_token"] == reference


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (metering(), "config.subject.field"),
        (PluginEntity("amberflo", {"apiKey": Reference("KEY")}), "config.apiKey"),
        (
            PluginEntity("metering-and-billing", {"attributes": [{"source": Reference("S")}]}),
            "config.attributes.0.source",
        ),
        (PluginEntity("someones-own", {"api_token": Reference("T")}), "config.api_token"),
    ],
)
def test_a_variable_where_the_gateway_looks_up_none_is_refused_by_name(entity: PluginEntity, field: str) -> None:
    for options in (OPTIONS, DOCUMENTED):
        with pytest.raises(CannotExpress, match=r"^dbless cannot express .*: Kong looks up no variable") as refusal:
            FORMAT.render([entity], options)
        assert refusal.value.field == field


def test_text_that_yaml_cannot_hold_is_refused_by_the_fields_name() -> None:
    with pytest.raises(CannotExpress, match=r"^dbless cannot express config.api_token: "):
        FORMAT.render([metering(config={"api_token": "\ud800"})], OPTIONS)


@pytest.mark.parametrize(
    ("scope", "written"),
    [
        ({"service": "orders"}, {"service": "orders"}),
        ({"service": None}, {"service": "serviceName|Id"}),
        ({"route": "r", "consumer": "c"}, {"route": "r", "consumer": "c"}),
    ],
)
def test_a_plugin_with_a_scope_is_a_piece_of_a_file_and_a_comment_says_so(
    scope: dict[str, str | None], written: dict[str, str]
) -> None:
    text = rendered(metering(config=CONFIG, scope=scope))
    comment = text.splitlines()[0]
    assert comment.startswith("# ") and all(f"{kind}s" in comment for kind in scope)
    assert parsed(text)["plugins"][0].items() >= written.items()


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS)
def test_gen_1_any_config_is_what_a_yaml_parser_reads(config: dict[str, Any], target: str) -> None:
    entity = PluginEntity("metering-and-billing", config, {"consumer": target}, condition=target)
    text = rendered(entity)
    (item,) = parsed(text)["plugins"]
    assert repr(item["config"]) == repr(config)
    assert (item["consumer"], item["condition"]) == (target, target)
    (found,) = state_file.read(text, "kong.yml").plugins
    assert repr(entity_of(found).config) == repr(config)


def test_the_file_is_told_from_decks_when_it_is_read() -> None:
    assert state_file.read(rendered(metering(config=CONFIG)), "kong.yml").format == "dbless"


def test_gen_4_the_same_entities_give_the_same_bytes() -> None:
    entities = [metering(config=CONFIG, scope={kind: "x"}) for kind in ("route", "service", "consumer")]
    assert rendered(*entities) == rendered(*entities)


def test_the_emulated_gateway_runs_the_file_with_the_token_from_its_environment() -> None:
    document = parse_document(rendered(metering(config=CONFIG)), "kong.yml")
    state = load_state(document, environ={"AUTH_TOKEN": "spat_1"}, gateway="3.14")
    assert state.plugins[0].config.api_token == "spat_1"  # type: ignore[union-attr]
    assert state.warnings == ()


def test_the_emulated_gateway_runs_a_plugin_on_a_route_of_the_same_file() -> None:
    document = parse_document(rendered(metering(config=CONFIG, scope={"route": "r"})), "kong.yml")
    owners = {"services": [{"name": "s", "url": "http://127.0.0.1:1", "routes": [{"name": "r", "paths": ["/"]}]}]}
    whole = Document({**document.data, **owners}, document.lines)
    (plugin,) = load_state(whole, environ={"AUTH_TOKEN": "spat_1"}, gateway="3.14").plugins
    assert plugin.route is not None and plugin.route.name == "r"
