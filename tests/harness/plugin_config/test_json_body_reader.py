"""Bodies of the Admin API and Konnect are read strictly, with the line of every value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_entities import any_text, any_value

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import Reference
from harness.plugin_config.formats.json_body import read
from harness.plugin_config.formats.json_document import parse_json
from harness.plugin_config.reading import parse_config
from harness.plugin_config.validation import entity_of, validate
from plugin_emulator.documents import InvalidDocument, parse_document

PLUGIN = {
    "name": "metering-and-billing",
    "config": {"ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events", "api_token": "$AUTH_TOKEN"},
}
UUID = "7fca84d6-7d37-4a74-a7b0-93e576089a41"


def plugins(data: object, **layout: Any) -> tuple[FoundPlugin, ...]:
    file = read(json.dumps(data, **layout), "plugin.json")
    assert (file.file, file.format) == ("plugin.json", "admin-api")
    return file.plugins


def refusal(text: str) -> str:
    with pytest.raises(InvalidDocument) as refused:
        read(text, "plugin.json")
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "count"),
    [(PLUGIN, 1), ([PLUGIN, PLUGIN], 2), ({"data": [PLUGIN] * 3, "next": None, "offset": "x"}, 3), ([], 0)],
    ids=["one", "list", "answer", "none"],
)
def test_one_plugin_a_list_and_an_answer_of_the_api_are_read(body: object, count: int) -> None:
    found = plugins(body)
    assert [plugin.name for plugin in found] == ["metering-and-billing"] * count
    assert all(plugin.data["config"]["api_token"] == Reference("AUTH_TOKEN") for plugin in found)  # type: ignore[index,call-overload]


def test_what_an_api_answers_is_a_sound_plugin_whose_nulls_are_not_given() -> None:
    answer = {
        "data": [
            {
                **PLUGIN,
                "id": UUID,
                "created_at": 1795214280,
                "updated_at": 1795214280,
                "service": {"id": UUID},
                "route": None,
                "consumer": None,
                "instance_name": None,
                "ordering": None,
                "tags": None,
                "enabled": True,
                "protocols": ["grpc", "grpcs", "http", "https"],
                "config": {
                    **PLUGIN["config"],  # type: ignore[dict-item]
                    "subject": {"look_up_value_in": "consumer", "field": None},
                    "attributes": None,
                    "queue": {"max_bytes": None, "max_entries": 10000},
                },
            }
        ],
        "next": None,
    }
    file = parse_config(json.dumps(answer, indent="\t"), "answer.json")
    (checked,) = validate(file, "3.16")
    assert checked.problems == ()
    entity = entity_of(checked.plugin)
    assert entity.scope == {"service": UUID}
    assert entity.id == UUID
    assert entity.config == {
        "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
        "api_token": Reference("AUTH_TOKEN"),
        "subject": {"look_up_value_in": "consumer"},
        "queue": {"max_entries": 10000},
    }


@pytest.mark.parametrize(
    "text", ["$auth", "$AUTH_TOKEN ", "'$AUTH_TOKEN'", "${AUTH_TOKEN}", "$", "$1", "a$B", "$A\n"]
)
def test_only_text_that_is_a_variable_as_a_whole_is_a_reference(text: str) -> None:
    (plugin,) = plugins({"name": "m", "config": {"field": text}})
    assert plugin.data["config"] == {"field": text}


def test_a_variable_outside_of_config_and_scope_is_text() -> None:
    (plugin,) = plugins({"name": "m", "config": {}, "tags": ["$TAG"], "service": {"name": "$SERVICE"}})
    assert plugin.data["tags"] == ["$TAG"]
    assert plugin.data["service"] == {"name": Reference("SERVICE")}
    assert entity_of(plugin).scope == {"service": None}


def test_problems_point_at_the_line_also_with_tabs() -> None:
    text = '{\n\t"data": [\n\t\t{\n\t\t\t"name": "metering-and-billing",\n\t\t\t"config": {\n\t\t\t\t"nope":\n1}}]}'
    (checked,) = validate(read(text, "body.json"), "3.16")
    assert {str(problem.pointer[-1]): problem.line for problem in checked.problems} == {
        "nope": 6,
        "ingest_endpoint": 5,
        "api_token": 5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: metering-and-billing\nconfig: {}\n", "plugin.json:1: is not JSON: expecting value"),
        (
            '{"name": "m", config: {}}',
            "plugin.json:1: is not JSON: expecting property name enclosed in double quotes",
        ),
        ("{\"name\": 'm'}", "plugin.json:1: is not JSON: expecting value"),
        ('{\n"name": "m"\n"config": {}}', "plugin.json:3: is not JSON: expecting ',' delimiter"),
        ('{"name": "m",}', "plugin.json:1: is not JSON: "),
        ('{"name": "m"} # no', "plugin.json:1: is not JSON: extra data"),
        ('{"name": "a\nb"}', "plugin.json:1: is not JSON: invalid control character at"),
        ('{"name": "a\\qb"}', "plugin.json:1: is not JSON: invalid \\escape"),
        ('{"config": {"delay": NaN}}', "plugin.json: is not JSON: NaN is no number of JSON"),
        ('{"config": {"delay": -Infinity}}', "plugin.json: is not JSON: -Infinity is no number of JSON"),
        ('{"config": {"delay": ' + "9" * 5000 + "}}", "plugin.json: is not JSON: a number has too many digits"),
        ("[" * 500 + "]" * 500, "plugin.json: is nested too deeply"),
        ("[" * 50000 + "]" * 50000, "plugin.json: is nested too deeply"),
        (
            '{"name": "m",\n"config": {"a": 1,\n"b": 2, "\\u0061": 3}}',
            "plugin.json:3: /config/a: key 'a' is given twice (keep one)",
        ),
        ('{"name": "m",\n"config": {"a": "\\ud800"}}', "plugin.json:2: /config/a: holds half a surrogate pair"),
        ('{"name": "m",\n"config": {"\\udfff": 1}}', "plugin.json:2: /config: holds half a surrogate pair"),
        ("{}", "plugin.json:1: is no plugin, and no list of plugins (give an object"),
        ("1", "plugin.json:1: is no plugin, and no list of plugins"),
        ('{"data": {}}', "plugin.json:1: is no plugin, and no list of plugins"),
        ('[{"name": "m"},\n3]', "plugin.json:2: /1: is no plugin (write an object with name and config)"),
        ("", "plugin.json:1: is not JSON: expecting value"),
    ],
    ids=lambda value: value[:24],
)
def test_what_is_no_body_is_told_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_message_quotes_no_value() -> None:
    for text in ('{"config": {"api_token": "spat_secret" "x"}}', '{"config": {"api_token": spat_secret}}'):
        assert "secret" not in refusal(text)


bounded = settings(max_examples=60, deadline=None, derandomize=True)


@bounded
@given(st.dictionaries(any_text, any_value, max_size=5), st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_gen_1_any_data_is_read_as_json_has_it(config: dict[str, Any], indent: int | str | None, ascii: bool) -> None:
    config = {name: value for name, value in config.items() if "$AUTH_TOKEN" not in json.dumps(value)}
    (plugin,) = plugins({"name": "m", "config": config}, indent=indent, ensure_ascii=ascii)
    assert plugin.data == {"name": "m", "config": config}


plain_values = st.recursive(
    st.text("abc {}[],:", max_size=5) | st.integers() | st.booleans() | st.none(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text("abc/~", min_size=1), inside, max_size=3),
    max_leaves=10,
)


@bounded
@given(plain_values)
def test_lines_are_those_that_a_yaml_parser_finds(data: Any) -> None:
    text = json.dumps(data, indent=1)
    assert parse_json(text, "f").lines == parse_document(text).lines


def test_each_plugin_of_a_long_list_has_lines_of_its_own() -> None:
    found = plugins([{**PLUGIN, "tags": [str(number)]} for number in range(500)], indent=2)
    assert found[499].line(("tags", 0)) == 500 * 10 - 1
