"""Scripts with curl are read back: those the formats write, the vendor's, and others like them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from curl_stand_in import CONFIG, SCOPES, VENDOR_ADMIN, VENDOR_BODY, VENDOR_KONNECT, metering, script
from hypothesis import given, settings
from plugin_entities import any_text, entities_of_any_text

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import MixedText, PluginEntity, Reference
from harness.plugin_config.formats.curl_script import read
from harness.plugin_config.plugin_kinds import plugin_kind
from harness.plugin_config.reading import parse_config
from harness.plugin_config.secrets import with_secrets_marked
from harness.plugin_config.validation import entity_of, validate
from plugin_emulator.documents import InvalidDocument

UUID = "7fca84d6-7d37-4a74-a7b0-93e576089a41"
BODY = '{"name": "metering-and-billing", "config": {}}'
URL = "http://localhost:8001/plugins"

each_form = pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])


def plugin(text: str) -> FoundPlugin:
    (found,) = read(text, "script.sh").plugins
    return found


def refusal(text: str) -> str:
    with pytest.raises(InvalidDocument) as refused:
        read(text, "script.sh")
    (problem,) = refused.value.problems
    return str(problem)


def read_back(text: str) -> list[PluginEntity]:
    """Return the entities of a script, their references marked as secret or not."""
    kind = plugin_kind("metering-and-billing")
    assert kind is not None
    entities = [entity_of(found) for found in read(text, "script.sh").plugins]
    return [replace(entity, config=with_secrets_marked(entity.config, kind)) for entity in entities]


@each_form
@pytest.mark.parametrize("api", ["admin-api", "konnect-api"])
def test_gen_1_what_the_formats_write_is_read_back(api: str, as_documented: bool) -> None:
    entities = [
        *[metering(scope=scope) for scope in SCOPES],
        metering(scope={"service": "orders", "consumer": UUID}, enabled=False, instance_name="m", tags=("a", "b")),
        metering(scope={"route": None, "consumer": None}, protocols=("http",), condition="true", id=UUID),
        metering(ordering={"after": {"access": ["key-auth"]}}, config={"attributes": [{"source": Reference("A")}]}),
    ]
    entities[-1] = replace(entities[-1], config={"attributes": [{"source": Reference("A", secret=False)}]})
    text = script(api, entities, as_documented=as_documented)
    assert read_back(text) == entities
    assert read(text, "script.sh").format == api


@pytest.mark.parametrize("api", ["admin-api", "konnect-api"])
@each_form
@settings(max_examples=15, deadline=None, derandomize=True)
@given(entities=entities_of_any_text, name=any_text.filter(bool))
def test_gen_1_any_text_in_any_field_is_read_back(
    api: str, as_documented: bool, entities: list[PluginEntity], name: str
) -> None:
    if api == "admin-api":
        entities = [replace(entity, scope={**entity.scope, "consumer": name}) for entity in entities if entity.scope]
        entities = [entity for entity in entities if len(entity.scope) == 2] or [metering()]
    entities = [replace(entity, config={**entity.config, "api_token": Reference("T_1")}) for entity in entities]
    assert read_back(script(api, entities, as_documented=as_documented)) == entities


@pytest.mark.parametrize(
    ("text", "scope", "line"),
    [
        (VENDOR_ADMIN.format(path="") + VENDOR_BODY, {}, 9),
        (VENDOR_ADMIN.format(path="/services/{serviceName|Id}") + VENDOR_BODY, {"service": None}, 9),
        (VENDOR_ADMIN.format(path="/routes/{routeName|Id}") + VENDOR_BODY, {"route": None}, 9),
        (VENDOR_KONNECT.format(path="") + VENDOR_BODY, {}, 10),
        (VENDOR_KONNECT.format(path="/consumers/{consumerId}") + VENDOR_BODY, {"consumer": None}, 10),
        (
            VENDOR_ADMIN.format(path="/consumers/alice%40example.com") + VENDOR_BODY,
            {"consumer": "alice@example.com"},
            9,
        ),
        (VENDOR_ADMIN.format(path=f"/services/{UUID}") + VENDOR_BODY, {"service": UUID}, 9),
    ],
)
def test_gen_5_the_vendors_blocks_are_read_with_lines(text: str, scope: dict[str, str | None], line: int) -> None:
    file = parse_config(text, "block.sh")
    (checked,) = validate(file, "3.16")
    assert checked.problems == ()
    assert checked.plugin.line(("config", "api_token")) == line
    assert entity_of(checked.plugin) == metering(
        scope=scope,
        config={**CONFIG, "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER")}},
    )


@each_form
def test_a_problem_in_a_script_points_at_its_line(as_documented: bool) -> None:
    text = script("admin-api", [metering(), metering(config={**CONFIG, "tiemout": 1})], as_documented=as_documented)
    lines = text.splitlines()
    problems = [problem for each in validate(parse_config(text, "s.sh"), "3.16") for problem in each.problems]
    assert [problem.pointer for problem in problems] == [("config", "tiemout")]
    assert lines[(problems[0].line or 0) - 1].strip() == '"tiemout": 1'


@pytest.mark.parametrize(
    "text",
    [
        f"curl {URL} -d '{BODY}'",
        f"curl -s {URL} -d'{BODY}'",
        f"curl -sSX POST -H 'a: /plugins' {URL} -d '{BODY}'",
        f"curl --url {URL}/ --json '{BODY}'",
        f"curl --request PUT {URL}/{UUID} --data-raw '{BODY}'",
        f"curl {URL} --data-binary @- <<'EOF'\n{BODY}\nEOF\n",
        f"curl {URL} -d @- <<-EOF\n\t{BODY}\n\tEOF\n",
        f"curl {URL} -d@- <<< '{BODY}'",
        f"cat <<X >/dev/null\ncurl {URL} -d '{{'\nX\ncurl {URL} -d @- <<EOF\n{BODY}\nEOF",
        f"if ! curl {URL} \\\n  -d '{BODY}' 2>&1; then exit 1; fi",
        f'answer=$(curl "{URL}" -d \'{BODY}\')\necho "$answer"',
        f"# it's a comment\nA=b /usr/bin/curl {URL} -d '{BODY}' | jq .",
        f"curl -X GET {URL}\ncurl http://localhost:8001/services -d name=x\ncurl {URL} -d '{BODY}'",
        f'curl {URL} -d "{{\\"name\\": \\"metering-and-billing\\", \\"config\\": {{}}}}"',
        f"curl $ADMIN/default/plugins -d '{BODY}'",
        f"curl '{URL}?x=y' -d '{BODY}' &",
    ],
)
def test_other_ways_to_call_curl_are_read(text: str) -> None:
    found = plugin(text)
    assert found.name == "metering-and-billing"
    assert found.data["config"] == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\"'$TOKEN'\"", Reference("TOKEN")),
        ('"\'"$TOKEN"\'"', Reference("TOKEN")),
        ('"\'"${TOKEN:?not set}"\'"', Reference("TOKEN")),
        ('"$TOKEN"', "$TOKEN"),
        ("'$json_token'", Reference("TOKEN")),
        ("\"Bearer '$TOKEN'\"", MixedText("Bearer ${TOKEN}")),
        ("\"'$token'\"", MixedText("${token}")),
        ("\"'$A$B'\"", MixedText("${A}${B}")),
        ("'$TIMEOUT'", MixedText("${TIMEOUT}")),
        ("\"'$(cat token)'\"", MixedText("${}")),
        ("\"'`cat token`'\"", MixedText("${}")),
        ("\"'${TOKEN:-spat_secret}'\"", MixedText("${}")),
        ("\"it'\\''s\"", "it's"),
    ],
)
def test_a_variable_is_a_reference_when_it_is_all_of_a_value(value: str, expected: object) -> None:
    found = plugin(f'curl {URL} -d \'{{"name": "m", "config": {{"field": {value}, "n": [1, "0"]}}}}\'')
    assert found.data["config"] == {"field": expected, "n": [1, "0"]}


def test_a_variable_in_a_here_document_is_a_reference_unless_its_end_is_quoted() -> None:
    body = '{"name": "m", "config": {"field": "$TOKEN", "text": "\\$A"}}'
    found = plugin(f"curl {URL} -d @- <<EOF\n{body}\nEOF")
    assert found.data["config"] == {"field": Reference("TOKEN"), "text": "$A"}
    quoted = plugin(f"curl {URL} -d @- <<'EOF'\n" + '{"name": "m", "config": {"field": "$TOKEN"}}' + "\nEOF")
    assert quoted.data["config"] == {"field": "$TOKEN"}


@pytest.mark.parametrize("field", ["condition", "instance_name", "id"])
def test_a_variable_outside_of_config_is_not_taken_for_a_value(field: str) -> None:
    found = plugin(f'curl {URL} -d \'{{"name": "m", "config": {{}}, "{field}": "\'$X\'"}}\'')
    assert found.data[field] == MixedText("${X}")
    with pytest.raises(ValueError, match=field):
        entity_of(found)


def test_the_scope_of_the_url_wins_over_the_bodys_and_other_scopes_are_kept() -> None:
    body = '{"name": "m", "config": {}, "service": {"name": "x"}, "consumer": {"username": "alice"}}'
    found = plugin(f"\ncurl http://localhost:8001/services/orders/plugins -d '{body}'")
    assert found.data["service"] == {"name": "orders"}
    assert found.data["consumer"] == {"username": "alice"}
    assert found.line(("service", "name")) == 2


def test_a_consumer_group_is_kept_for_the_check_to_refuse() -> None:
    found = plugin(f"curl http://localhost:8001/consumer_groups/gold/plugins -d '{BODY}'")
    assert found.data["consumer_group"] == {"name": "gold"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "script.sh:1: no call of curl in it creates a plugin"),
        ("curl http://localhost:8001/services -d name=x\n", "script.sh:1: no call of curl in it creates a plugin"),
        (f"post() {{\n  curl {URL} -d @-\n}}\n", "script.sh:1: no call of curl in it creates a plugin"),
        (f"true\ncurl {URL} -d 'name", "script.sh:2: is no shell script: a single quote is not ended"),
        (f'curl {URL} -d \\\n"name', "script.sh:2: is no shell script: a double quote is not ended"),
        (f"curl {URL} -d @- <<EOF\n{BODY}\n", "script.sh:1: is no shell script: a here-document is not ended"),
        ("true\necho $(curl", "script.sh:2: is no shell script: $( has no ) that ends it"),
        ("echo `curl", "script.sh:1: is no shell script: a backquote is not ended"),
        ("echo ${curl", "script.sh:1: is no shell script: ${ has no } that ends it"),
        ("$(" * 5000, "script.sh:1: is no shell script: is nested too deeply"),
        (f"\ncurl {URL} -d @body.json", "script.sh:2: takes its data from elsewhere (give the file that holds"),
        (f"cat body.json | curl {URL} -d @-", "script.sh:1: takes its data from elsewhere"),
        (f"curl {URL} -d name=metering-and-billing -d config.x=y", "script.sh:1: sends a form (write the plugin as"),
        (f"curl {URL} -F name=metering-and-billing", "script.sh:1: sends a form"),
        (f"curl -X PATCH {URL}/{UUID} -d '{BODY}'", "script.sh:1: changes a part of a plugin"),
        (f"curl {URL} -d name=m", "script.sh:1: is not JSON: expecting value"),
        (f"curl {URL} -d '\n{{\n\"name\": 'm'}}'", "script.sh:3: is not JSON: expecting value"),
        (f'curl {URL} -d @- <<EOF\n{{\n\n"name": m}}\nEOF', "script.sh:4: is not JSON: expecting value"),
        (f"curl {URL} -d '[]'", "script.sh:1: the data is no plugin (write an object with name and config)"),
        (f'curl {URL} -d "$BODY"', "script.sh:1: the data is known only when it runs"),
        (f'\ncurl {URL} -d "$(cat body.json)"', "script.sh:2: the data is known only when it runs"),
        (f"curl {URL} -d '{{\n\"'$KEY'\": 1}}'", "script.sh:2: a variable stands in a key (write keys out)"),
        (f'curl {URL} -d \'{{"a": 1,\n"a": 2}}\'', "script.sh:2: /a: key 'a' is given twice"),
    ],
    ids=lambda value: value[:30],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_message_quotes_no_value() -> None:
    for data in ("'{\"config\": spat_secret}'", "token=spat_secret", '"spat_secret $(', "'spat_secret"):
        assert "secret" not in refusal(f"curl {URL} -d {data}")


def test_a_script_of_a_megabyte_is_read() -> None:
    long = ("é\\'$`" + "x" * 95) * 10_000
    for as_documented, size in ((False, len(long)), (True, 100_000)):
        text = script("admin-api", metering(config={"field": long[:size]}), as_documented=as_documented)
        assert plugin(text).data["config"] == {"field": long[:size]}
