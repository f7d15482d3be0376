"""Configuration files as they come: odd encodings, odd shapes, large ones, and what is not to be read at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from state_file_entities import metering

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats.format import CannotExpress, RenderOptions
from harness.plugin_config.formats.registry import output_format
from harness.plugin_config.reading import parse_config, read_config_file
from harness.plugin_config.validation import entity_of, validate
from plugin_emulator.documents import InvalidDocument

SECRET = "spat_4f1d0c"
KONNECT = "https://us.api.konghq.com/v3/openmeter/events"
CONFIG = {"ingest_endpoint": KONNECT, "api_token": "{vault://env/auth-token}"}
STATE = yaml.safe_dump({"_format_version": "3.0", "plugins": [{"name": "metering-and-billing", "config": CONFIG}]})


def complaints(text: str, file: str = "kong.yaml") -> list[str]:
    """Return what is wrong in a file that cannot be read, or that the gateway refuses."""
    try:
        found = validate(parse_config(text, file), "3.16")
    except InvalidDocument as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for each in found for problem in each.problems]


def entities(text: str, file: str = "kong.yaml") -> list[PluginEntity]:
    assert complaints(text, file) == []
    return [entity_of(plugin) for plugin in parse_config(text, file).plugins]


@pytest.mark.parametrize(
    "text",
    [
        STATE,
        json.dumps({"name": "metering-and-billing", "config": CONFIG}),
        json.dumps(yaml.safe_load(STATE), indent="\t"),
    ],
    ids=["YAML", "JSON", "JSON with tabs"],
)
def test_a_byte_order_mark_and_line_breaks_of_windows_change_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kong.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (plugin,) = read_config_file(path).plugins
    assert plugin.data["config"] == CONFIG


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is of no format known"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not UTF-8 text (byte 0)"),
        (b"plugins: [\xff]", "is not UTF-8 text (byte 10)"),
    ],
)
def test_a_file_of_another_kind_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "kong.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidDocument) as refused:
        read_config_file(path)
    assert str(refused.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"plugins:\n- name: metering-and-billing\n  config: [{SECRET}", "kong.yaml:3: is not valid YAML"),
        (f'plugins:\n- config: {{api_token: "{SECRET}\\q"}}', "kong.yaml:2: is not valid YAML"),
        (f"plugins:\n- config:\n    api_token: !{SECRET} x", "kong.yaml:3: is not valid YAML"),
        (f"plugins:\n- config:\n    api_token: *{SECRET}", "kong.yaml:3: is not valid YAML"),
        (
            f"plugins:\n- config:\n    api_token: {SECRET}\n    api_token: b",
            "kong.yaml:4: /plugins/0/config/api_token",
        ),
        (f'{{"name": "a",\n "config": {{"api_token": "{SECRET}}}', "kong.yaml:2: is not JSON"),
        (f'{{"config": {{"api_token": "{SECRET}",\n"api_token": "b"}}}}', "kong.yaml:2: /config/api_token: key"),
        ('{"config": ' + '{"a": ' * 101 + f'"{SECRET}"' + "}" * 102, "kong.yaml: is nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_pointed_at_and_not_quoted(text: str, complaint: str) -> None:
    (told,) = complaints(text)
    assert told.startswith(complaint)
    assert SECRET not in told


def test_aliases_that_stand_for_more_than_anyone_can_mean_are_refused_at_once() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    (told,) = complaints("\n".join([*lines, "plugins: []"]))
    assert "its aliases (*) make it too large" in told


def test_an_alias_is_what_it_stands_for() -> None:
    text = f"_info: {{x: &shared {json.dumps(CONFIG)}}}\nplugins: [{{name: metering-and-billing, config: *shared}}]\n"
    (entity,) = entities(text)
    assert entity.config == CONFIG


def test_null_in_what_an_api_answers_is_nothing() -> None:
    answer: dict[str, Any] = {
        "name": "metering-and-billing",
        "service": {"id": "7b5d0b8e-2b1e-4b1c-9f8e-0a3b4c5d6e7f"},
        "route": None,
        "instance_name": None,
        "config": {**CONFIG, "queue": {"max_bytes": None, "max_entries": 5}, "attributes": None},
    }
    (entity,) = entities(json.dumps({"data": [answer], "next": None}))
    assert entity.scope == {"service": "7b5d0b8e-2b1e-4b1c-9f8e-0a3b4c5d6e7f"}
    assert entity.config == {**CONFIG, "queue": {"max_entries": 5}}


def test_a_scope_whose_name_is_null_goes_by_its_id() -> None:
    own = "7b5d0b8e-2b1e-4b1c-9f8e-0a3b4c5d6e7f"
    plugin = {"name": "metering-and-billing", "service": {"name": None, "id": own}, "config": CONFIG}
    (entity,) = entities(yaml.safe_dump({"plugins": [plugin]}))
    assert entity.scope == {"service": own}


@pytest.mark.parametrize(
    "holder",
    [
        {"plugins": [{"name": "metering-and-billing", "consumer_group": "gold", "config": CONFIG}]},
        {"consumer_groups": [{"name": "gold", "plugins": [{"name": "metering-and-billing", "config": CONFIG}]}]},
    ],
    ids=["beside", "inside"],
)
def test_cfg_9_a_consumer_group_is_no_scope(holder: dict[str, Any]) -> None:
    (told,) = complaints(yaml.safe_dump({"_format_version": "3.0", **holder}))
    assert "/consumer_group: consumer groups are no scope of this plugin" in told


@pytest.mark.parametrize("protocols", [("tcp", "tls", "udp", "http"), ("http",)])
@pytest.mark.parametrize("name", ["deck", "dbless", "admin-api", "konnect-api", "kic", "kong-operator", "terraform"])
def test_protocols_other_than_the_default_survive_every_format(name: str, protocols: tuple[str, ...]) -> None:
    """As many of them as the default has are no default either."""
    given = metering(protocols=protocols, config=CONFIG)
    (file,) = output_format(name).render([given], RenderOptions("3.16", namespace="shop"))
    (plugin,) = parse_config(file.text, file.name).plugins
    assert plugin.data["protocols"] == list(protocols)


ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop, annotations: {konghq.com/plugins: meter}}
spec:
  rules:
  - filters:
    - {type: ExtensionRef, extensionRef: {group: configuration.konghq.com, kind: KongPlugin, name: meter}}
"""
METER = """\
apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {name: meter, namespace: shop}
plugin: metering-and-billing
config: {subject: {}}
"""


def test_a_route_that_names_a_plugin_in_two_ways_runs_it_once() -> None:
    (plugin,) = parse_config(f"{METER}---\n{ROUTE}", "k8s.yaml").plugins
    assert plugin.data["route"] == {"name": "orders"}


def test_a_path_of_a_patch_is_unescaped_in_the_order_that_json_pointers_have() -> None:
    """``~01`` is ``~1``, no slash."""
    patch = "configPatches:\n- {path: /subject/a~01b, valueFrom: {secretKeyRef: {name: s, key: k}}}\n"
    (plugin,) = parse_config(f"{METER}{patch}---\n{ROUTE}", "k8s.yaml").plugins
    assert plugin.data["config"] == {"subject": {"a~1b": Reference("K", secret=False)}}


@pytest.mark.parametrize("name", ["a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 62, "a" * 64])
def test_a_name_longer_than_kubernetes_takes_is_refused(name: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        output_format("kic").render([metering(scope={"route": name})], RenderOptions("3.16"))
    assert refused.value.field == "scope"


def test_hundreds_of_bound_plugins_cost_little_more_than_reading_their_yaml() -> None:
    """Reading the manifest with the pure Python loader of PyYAML is the yardstick."""
    many = [metering(scope={"service": f"service-{number}"}) for number in range(700)]
    (file,) = output_format("kong-operator").render(many, RenderOptions("3.16", namespace="shop"))
    parse_config(file.text[: file.text.index("---")], file.name)  # what is imported once is not counted
    begun = time.process_time()
    for _ in yaml.load_all(file.text, yaml.SafeLoader):
        pass
    yardstick = time.process_time() - begun
    begun = time.process_time()
    assert len(parse_config(file.text, file.name).plugins) == 700
    assert time.process_time() - begun < yardstick
