"""State files read: every plugin wherever it stands, with its scope, its lines and its references."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from state_file_entities import TEXTS, VALUES

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import MixedText, Reference
from harness.plugin_config.formats.state_file import read
from harness.plugin_config.formats.yaml_text import yaml_text
from harness.plugin_config.validation import entity_of, validate
from plugin_emulator.documents import InvalidDocument

TUTORIAL = """
_format_version: "3.0"
plugins:
  - name: metering-and-billing
    service: example-service
    config:
      ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events
      api_token: "${{ env "DECK_AUTH_TOKEN" }}"
      meter_api_requests: true
      meter_ai_token_usage: false
      subject:
        look_up_value_in: consumer
"""


def plugins(text: str) -> tuple[FoundPlugin, ...]:
    return read(text, "kong.yaml").plugins


def token(written: str) -> object:
    (plugin,) = plugins(f"plugins:\n- name: metering-and-billing\n  config:\n    api_token: {written}\n")
    config = plugin.data["config"]
    assert isinstance(config, dict)
    return config["api_token"]


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidDocument) as refusal:
        read(text, "kong.yaml")
    return [str(problem) for problem in refusal.value.problems]


# ----------------------------------------------------------------------------------------- where plugins stand

EVERYWHERE = """\
_format_version: "3.0"
services:
- name: orders
  url: http://127.0.0.1:1
  routes:
  - name: list
    plugins:
    - name: a
  plugins:
  - name: b
routes:
- id: 9b0a1f6e-0000-4000-8000-000000000001
  plugins: [{name: c}]
consumers:
- username: alice
  keyauth_credentials: [{key: k}]
  plugins:
  - name: d
consumer_groups:
- name: gold
  plugins:
  - name: e
plugins:
- name: f
  route: list
  consumer: {username: alice}
upstreams:
- name: plugins
"""


def test_every_plugin_is_found_with_the_entity_it_stands_in_as_its_scope() -> None:
    assert [plugin.data for plugin in plugins(EVERYWHERE)] == [
        {"name": "a", "route": {"name": "list"}},
        {"name": "b", "service": {"name": "orders"}},
        {"name": "c", "route": {"id": "9b0a1f6e-0000-4000-8000-000000000001"}},
        {"name": "d", "consumer": {"username": "alice"}},
        {"name": "e", "consumer_group": {"name": "gold"}},
        {"name": "f", "route": "list", "consumer": {"username": "alice"}},
    ]


def test_each_plugin_has_the_lines_of_the_file() -> None:
    found = plugins(EVERYWHERE)
    assert [plugin.line() for plugin in found] == [8, 10, 13, 18, 22, 24]
    assert [plugin.file for plugin in found] == ["kong.yaml"] * 6
    assert found[0].line(("route", "name")) == 6
    assert found[2].line(("route", "id")) == 12
    assert found[5].line(("consumer", "username")) == 26
    assert found[5].line(("config", "nothing")) == 24


def test_a_plugin_inside_something_without_a_name_has_a_scope_that_is_yet_to_be_filled_in() -> None:
    (plugin,) = plugins("consumers: [{custom_id: '7', plugins: [{name: amberflo, config: {}}]}]")
    assert plugin.data["consumer"] == {"username": Reference("CONSUMER_NAME", secret=False)}
    assert entity_of(plugin).scope == {"consumer": None}


@pytest.mark.parametrize("kind", ["service", "route", "consumer"])
def test_a_placeholder_of_the_vendors_pages_is_a_scope_that_is_yet_to_be_filled_in(kind: str) -> None:
    (plugin,) = plugins(f"plugins: [{{name: amberflo, {kind}: {kind}Name|Id, config: {{}}}}]")
    assert entity_of(plugin).scope == {kind: None}


@pytest.mark.parametrize("text", ["", "# nothing\n", "_format_version: '3.0'\n", "plugins:\nservices: []\n"])
def test_a_file_without_plugins_has_none(text: str) -> None:
    assert plugins(text) == ()


@pytest.mark.parametrize(
    ("head", "format_name"),
    [
        ('_format_version: "3.0"', "deck"),
        ("_info: {}", "deck"),
        ("_transform: true", "dbless"),
        ("_ignore: []", "dbless"),
    ],
)
def test_a_file_is_decks_unless_a_member_says_that_kong_reads_it(head: str, format_name: str) -> None:
    assert read(f"{head}\nplugins: []\n", "kong.yaml").format == format_name


# ----------------------------------------------------------------------------------------- references


def test_the_vendors_tutorial_with_quotes_inside_quotes_is_read() -> None:
    (plugin,) = plugins(TUTORIAL)
    assert plugin.data["config"]["api_token"] == Reference("AUTH_TOKEN", secret=True)  # type: ignore[index,call-overload]
    assert plugin.line(("config", "api_token")) == 8
    (checked,) = validate(read(TUTORIAL, "kong.yaml"), "3.14")
    assert checked.problems == ()
    assert entity_of(plugin).scope == {"service": "example-service"}


@pytest.mark.parametrize(
    "template",
    [
        *(
            '${{ env "DECK_X" }}',
            "${{env `DECK_X`}}",
            "${{ env 'DECK_X' }}",
            '${{- env "DECK_X" -}}',
        ),
        *('${{ env "DECK_X" | toInt }}', '${{ env "DECK_X" | indent 8 | toBool }}', '${{ toFloat (env "DECK_X") }}'),
    ],
)
@pytest.mark.parametrize("quotes", ["{}", "'{}'", '"{}"', ">-\n      {}"])
def test_a_template_alone_is_a_reference_whatever_quotes_are_around_it(template: str, quotes: str) -> None:
    assert token(quotes.format(template)) == Reference("X", secret=True)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('Bearer ${{ env "DECK_X" }}', 'Bearer ${{ env "DECK_X" }}'),
        ('"${{ env "DECK_X" }}-${{ env "DECK_Y" }}"', '${{ env "DECK_X" }}-${{ env "DECK_Y" }}'),
        ('${{ env "DECK_lower" }}', '${{ env "DECK_lower" }}'),
        ('${{ env "DECK_" }}', '${{ env "DECK_" }}'),
    ],
)
def test_a_template_among_text_or_of_an_odd_variable_stays_as_written(written: str, text: str) -> None:
    assert token(written) == MixedText(text)


@pytest.mark.parametrize(
    "text", ["{vault://env/auth-token}", "spat_1", "deckTemplate0x", "deckTemplateZ0x", "${x}", "$${ {"]
)
def test_text_without_a_template_stays_text(text: str) -> None:
    assert token(f"'{text}' # ${{{{ env \"DECK_X\" }}}}") == text


def test_escaped_braces_are_text_and_no_template() -> None:
    assert token('"\\u0024{{ env \\"DECK_X\\" }}"') == '${{ env "DECK_X" }}'


def test_a_reference_is_a_secret_only_where_the_plugin_has_one() -> None:
    template = "${{ env `DECK_X` }}"
    text = f"""
plugins:
- {{name: metering-and-billing, service: {template}, config: {{api_token: {template}, ingest_endpoint: {template}}}}}
- {{name: amberflo, config: {{apiKey: {template}, api_token: {template}}}}}
- {{name: someones-own, config: {{api_token: {template}}}}}
"""
    secret, plain = Reference("X", secret=True), Reference("X", secret=False)
    assert [plugin.data for plugin in plugins(text)] == [
        {"name": "metering-and-billing", "service": plain, "config": {"api_token": secret, "ingest_endpoint": plain}},
        {"name": "amberflo", "config": {"apiKey": secret, "api_token": plain}},
        {"name": "someones-own", "config": {"api_token": plain}},
    ]


def test_lines_below_a_template_of_several_lines_are_those_of_the_file() -> None:
    text = 'plugins:\n- name: ${{\n    env\n    "DECK_X"\n  }}\n- name: b\n  config:\n    c: 1\n'
    first, second = plugins(text)
    assert first.data["name"] == Reference("X", secret=False)
    assert (first.line(), second.line(), second.line(("config", "c"))) == (2, 6, 8)
    assert problems(text + "  - x\n")[0].startswith("kong.yaml:9: ")


def test_a_template_comment_is_nothing() -> None:
    assert token("${{/* the token */}}spat_1") == "spat_1"


# ----------------------------------------------------------------------------------------- shared configurations

SHARED = """\
_plugin_configs:
  metered:
    api_token: ${{ env "DECK_X" }}
    subject: {look_up_value_in: header}
    meter_api_requests: true
plugins:
- name: metering-and-billing
  _config: metered
  config:
    meter_api_requests: false
    subject: {field: x-tenant}
- name: metering-and-billing
  _config: metered
- name: metering-and-billing
  _config: metered
  config:
"""


def test_a_shared_configuration_is_merged_in_and_the_plugins_own_members_win() -> None:
    secret = Reference("X", secret=True)
    whole = {"api_token": secret, "subject": {"look_up_value_in": "header"}, "meter_api_requests": True}
    assert [plugin.data for plugin in plugins(SHARED)] == [
        {
            "name": "metering-and-billing",
            "config": {"meter_api_requests": False, "subject": {"field": "x-tenant"}, "api_token": secret},
        },
        {"name": "metering-and-billing", "config": whole},
        {"name": "metering-and-billing", "config": whole},
    ]


def test_a_shared_member_has_the_line_where_it_is_written() -> None:
    first, second, _ = plugins(SHARED)
    assert (first.line(("config", "meter_api_requests")), first.line(("config", "api_token"))) == (10, 3)
    assert second.line(("config", "subject", "look_up_value_in")) == 4


def test_a_shared_configuration_that_is_not_there_is_a_problem() -> None:
    assert problems(SHARED.replace("_config: metered", "_config: metred", 1)) == [
        "kong.yaml:8: /plugins/0/_config: there is no shared configuration 'metred' (did you mean 'metered'?)"
    ]
    assert problems("plugins: [{name: a, _config: b}]") == [
        "kong.yaml:1: /plugins/0/_config: there is no shared configuration 'b' (add it to _plugin_configs)"
    ]


def test_yaml_anchors_and_merges_are_followed() -> None:
    text = "x: &base {api_token: t}\nplugins: [{name: a, config: {<<: *base, b: 1}}]"
    (plugin,) = plugins(text)
    assert plugin.data["config"] == {"api_token": "t", "b": 1}


# ----------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("- a", ["kong.yaml:1: expected an object, got a list (begin with _format_version: \"3.0\")"]),
        ("plugins: 3", ['kong.yaml:1: /plugins: expected a list, got a number (begin each item with "- ")']),
        (
            "services:\n- 1\n- name: a\n  plugins: {name: b}",
            [
                "kong.yaml:2: /services/0: expected an object, got a number (write an object)",
                'kong.yaml:4: /services/1/plugins: expected a list, got an object (begin each item with "- ")',
            ],
        ),
        (
            "a: ${{ upper }}\n\nb: ${{ env \"X\" }}\nc: ${{",
            [
                'kong.yaml:1: a ${{ … }} that is not understood (write ${{ env "DECK_NAME" }}, or toBool, toInt, '
                "toFloat of it)",
                "kong.yaml:3: environment variable 'X' does not begin with DECK_ (decK reads no other: rename it, "
                "e.g. to DECK_X)",
                'kong.yaml:4: a ${{ without its }} (write ${{ env "DECK_NAME" }})',
            ],
        ),
        ("plugins: []\nplugins: []", ["kong.yaml:2: /plugins: key 'plugins' is given twice (keep one)"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(text: str, lines: list[str]) -> None:
    assert problems(text) == lines


def test_a_mistake_near_a_template_shows_the_template_as_written() -> None:
    text = '${{ env "DECK_X" }}: 1\n${{ env "DECK_X" }}: 2\n'
    (line,) = problems(text)
    assert line.startswith('kong.yaml:2: /${{ env "DECK_X" }}: key \'${{ env "DECK_X" }}\' is given twice')


# ----------------------------------------------------------------------------------------- JSON, values, speed


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_read_as_json_is_with_its_lines(config: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    data = {"_format_version": "3.0", "plugins": [{"name": "a", "config": config, "id": "1"}]}
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    assume("${{" not in text)  # decK would fill it in
    (plugin,) = plugins(text)
    assert repr(plugin.data) == repr(data["plugins"][0])
    if indent is not None:
        last = text[: text.rindex('"id"')].count("\n") + 1
        assert plugin.line(("id",)) == last


def test_json_with_a_template_is_read_too() -> None:
    plugin = '{"name": "amberflo", "config": {"apiKey": "${{ env `DECK_KEY` }}", "n": 1E3}}'
    text = f'{{\n\t"plugins": [\n\t\t{plugin}\n\t]\n}}\n'
    (plugin,) = plugins(text)
    assert plugin.data["config"] == {"apiKey": Reference("KEY", secret=True), "n": 1000.0}
    assert plugin.line(("config", "apiKey")) == 3


def test_what_yaml_has_beyond_json_becomes_json_data() -> None:
    (plugin,) = plugins("plugins: [{name: a, config: {2026-01-02: 2026-01-02, 2: 2, yes: 3, ~: 4}}]")
    assert plugin.data["config"] == {"2026-01-02": "2026-01-02", "2": 2, "true": 3, "null": 4}


def test_a_file_of_a_thousand_plugins_is_read_in_well_under_a_second() -> None:
    plugin = {
        "name": "metering-and-billing",
        "config": {
            "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
            "api_token": "{vault://env/auth-token}",
            "subject": {"look_up_value_in": "header", "field": "x-tenant-id"},
            "attributes": [{"source": "header", "look_up_value_in": "x-a", "event_property_name": "a"}],
            "queue": {"max_batch_size": 100, "max_coalescing_delay": 1, "max_entries": 10000},
        },
    }
    text = yaml_text({"plugins": [{**plugin, "service": f"s{number}"} for number in range(1000)]})
    started = time.process_time()
    found = plugins(text)
    assert time.process_time() - started < 1.5  # about 0.3 s; the rest is for a busy machine
    assert len(found) == 1000
    assert found[-1].data["service"] == "s999"


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "${{" * 200_000,
        "a: ${{" + "- " * 100_000 + "}}",
        'a: ${{ env "DECK_X" ' + "| toInt " * 50_000 + "x }}",
        "a: ${{/*" + "*/ " * 100_000 + "x }}",
    ],
)
def test_templates_that_are_none_are_refused_without_delay(text: str) -> None:
    started = time.process_time()
    assert "${{" in problems(text)[0]
    assert time.process_time() - started < 1
