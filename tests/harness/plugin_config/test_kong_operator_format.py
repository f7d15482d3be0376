"""Kong Operator: a KongPlugin and the KongPluginBinding that says what it runs for."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubectl_stand_in import commands_of, run
from ruamel.yaml import YAML
from state_file_entities import TEXTS, VALUES, metering

import harness.plugin_config
from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats import kubernetes
from harness.plugin_config.formats.format import CannotExpress, RenderOptions
from harness.plugin_config.formats.kong_operator import FORMAT
from harness.plugin_config.validation import entity_of

OPTIONS = RenderOptions(gateway="3.16", control_plane="cp")
ENVIRON = {"AUTH_TOKEN": "spat_'\"$x`\\", "SUBJECT_HEADER": "x-tenant-id"}
GROUP = "configuration.konghq.com"
UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"

_SCHEMAS = Path(harness.plugin_config.__file__).parent / "schemas" / "kubernetes"
_SCHEMA_OF = {"KongPlugin": "kong-plugin.json", "KongPluginBinding": "kong-plugin-binding.json"}


def rendered(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> str:
    (file,) = FORMAT.render(entities, options)
    assert file.name == "kong-plugin-binding.yaml"
    return file.text


def parsed(text: str) -> list[Any]:
    """Return the documents, as YAML 1.1 and 1.2 alike have them; each is one that its CRD allows."""
    documents = list(yaml.safe_load_all(text))
    assert repr(list(YAML(typ="safe", pure=True).load_all(text))) == repr(documents)
    for document in documents:
        schema = json.loads((_SCHEMAS / _SCHEMA_OF[document["kind"]]).read_text())
        jsonschema.Draft202012Validator(schema).validate(document)
    return documents


def spec_of(scope: dict[str, str | None], **options: Any) -> Any:
    _, binding = parsed(rendered(metering(scope=scope, instance_name="meter"), options=replace(OPTIONS, **options)))
    assert binding["metadata"] == {"name": "meter", "namespace": options.get("namespace", "kong")}
    assert binding["spec"].pop("pluginRef") == {"kind": "KongPlugin", "name": "meter"}
    return binding["spec"]


CONTROL_PLANE = {"type": "konnectNamespacedRef", "konnectNamespacedRef": {"name": "cp"}}
SERVICE = {"group": GROUP, "kind": "KongService", "name": "orders"}
ROUTE = {"group": GROUP, "kind": "KongRoute", "name": "r"}


def test_a_global_plugin_is_bound_to_its_control_plane_without_targets() -> None:
    assert spec_of({}) == {"scope": "GlobalInControlPlane", "controlPlaneRef": CONTROL_PLANE}


@pytest.mark.parametrize(
    ("scope", "targets"),
    [
        ({"service": "orders"}, {"serviceRef": SERVICE}),
        ({"route": "r"}, {"routeRef": ROUTE}),
        ({"consumer": "alice"}, {"consumerRef": {"name": "alice"}}),
        ({"service": "orders", "route": "r"}, {"serviceRef": SERVICE, "routeRef": ROUTE}),
        ({"service": "orders", "consumer": "alice"}, {"serviceRef": SERVICE, "consumerRef": {"name": "alice"}}),
        ({"route": "r", "consumer": "alice"}, {"routeRef": ROUTE, "consumerRef": {"name": "alice"}}),
        (
            {"service": "orders", "route": "r", "consumer": "alice"},
            {"serviceRef": SERVICE, "routeRef": ROUTE, "consumerRef": {"name": "alice"}},
        ),
    ],
)
def test_every_combination_of_scopes_is_a_combination_of_targets(
    scope: dict[str, Any], targets: dict[str, Any]
) -> None:
    assert spec_of(scope) == {"scope": "OnlyTargets", "targets": targets, "controlPlaneRef": CONTROL_PLANE}


@pytest.mark.parametrize(
    ("route_kind", "kind", "group"),
    [("httproute", "HTTPRoute", "gateway.networking.k8s.io"), ("ingress", "Ingress", "networking.k8s.io")],
)
def test_a_service_beside_a_route_of_the_cluster_is_one_of_the_cluster_too(
    route_kind: str, kind: str, group: str
) -> None:
    targets = spec_of({"service": "orders", "route": "r"}, route_kind=route_kind)["targets"]
    assert targets == {
        "serviceRef": {"group": "core", "kind": "Service", "name": "orders"},
        "routeRef": {"group": group, "kind": kind, "name": "r"},
    }
    assert spec_of({"service": "orders"}, route_kind=route_kind)["targets"] == {"serviceRef": SERVICE}


def test_what_is_yet_to_be_filled_in_has_a_placeholder() -> None:
    spec = spec_of({"service": None, "route": None, "consumer": None}, control_plane=None)
    names = {target: reference["name"] for target, reference in spec["targets"].items()}
    assert names == {"serviceRef": "SERVICE_NAME", "routeRef": "ROUTE_NAME", "consumerRef": "CONSUMER_NAME"}
    assert spec["controlPlaneRef"]["konnectNamespacedRef"]["name"] == "CONTROL_PLANE_NAME"


def test_what_stands_beside_config_has_the_crds_names() -> None:
    entity = metering(enabled=False, instance_name="meter", protocols=("http",), tags=("a", "b"))
    plugin, _ = parsed(rendered(entity))
    assert plugin["kind"] == "KongPlugin"
    assert plugin["metadata"]["annotations"]["konghq.com/tags"] == "a,b"
    assert (plugin["disabled"], plugin["instance_name"], plugin["protocols"]) == (True, "meter", ["http"])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_gen_1_parsing_the_manifest_gives_the_configuration(config: dict[str, Any]) -> None:
    entity = PluginEntity("metering-and-billing", config)
    plugin, _ = parsed(rendered(entity))
    assert repr(plugin["config"]) == repr(config)
    assert rendered(entity) == rendered(entity)


# --------------------------------------------------------------------------------------------- what is filled in


def test_nothing_is_left_to_a_secret_since_the_operator_reads_config_alone() -> None:
    for form in ("patches", "from"):
        plugin, _ = parsed(rendered(metering(), options=replace(OPTIONS, secret_form=form)))
        assert not {"configFrom", "configPatches"} & plugin.keys()
        assert plugin["config"]["subject"] == {"look_up_value_in": "header"}
        assert "api_token" not in plugin["config"]


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_token_is_patched_into_config_and_is_in_no_process_argument(shell: str) -> None:
    result = run(commands_of(rendered(metering())), ENVIRON, shell)
    assert (result.code, result.messages) == (0, "")
    (patched,) = result.calls
    assert patched.arguments == (
        *("patch", "-n", "kong", "kongplugin", "metering-and-billing"),
        *("--type=json", "--patch-file=/dev/stdin"),
    )
    assert json.loads(patched.given or "") == [
        {"op": "add", "path": "/config/api_token", "value": ENVIRON["AUTH_TOKEN"]},
        {"op": "add", "path": "/config/subject/field", "value": "x-tenant-id"},
    ]


def test_nothing_is_patched_when_a_variable_is_not_set() -> None:
    result = run(commands_of(rendered(metering())), {"AUTH_TOKEN": "spat_1"})
    assert result.messages == "SUBJECT_HEADER is not set\n"
    assert not result.calls


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_itself_patches_the_plugin_into_what_was_meant(tmp_path: Path) -> None:
    config = {
        "a": [Reference("AUTH_TOKEN"), "b", {"c": Reference("SUBJECT_HEADER")}, Reference("AUTH_TOKEN")],
        "x/y~": Reference("SUBJECT_HEADER"),
    }
    text = rendered(PluginEntity("metering-and-billing", config))
    plugin, _ = parsed(text)
    file = tmp_path / "plugin.yaml"
    file.write_text(json.dumps(plugin))
    script = commands_of(text).replace(
        "kubectl patch -n kong kongplugin metering-and-billing",
        f"kubectl patch --local -o yaml -f {shlex.quote(str(file))}",
    )
    result = subprocess.run(
        ["sh", "-c", script], env={**ENVIRON, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    token, header = ENVIRON["AUTH_TOKEN"], "x-tenant-id"
    assert yaml.safe_load(result.stdout)["config"] == {"a": [token, "b", {"c": header}, token], "x/y~": header}


def test_a_plugin_with_a_vault_reference_is_a_plain_manifest() -> None:
    config = {"api_token": "{vault://env/token}"}
    text = rendered(PluginEntity("metering-and-billing", config))
    assert text.startswith("apiVersion: ")
    plugin, _ = parsed(text)
    assert plugin["config"] == config
    assert "annotations" not in plugin["metadata"]


VARIABLES = st.builds(Reference, st.sampled_from(["AUTH_TOKEN", "SUBJECT_HEADER"]), st.just(False))
WITH_REFERENCES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | TEXTS | VARIABLES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    config=st.dictionaries(TEXTS, WITH_REFERENCES, max_size=4),
    scope=st.dictionaries(st.sampled_from(["service", "route", "consumer"]), st.sampled_from(["a", "b-1", None])),
    tags=st.sampled_from([(), ("a", "b")]),
    enabled=st.booleans(),
)
def test_the_manifest_is_read_back_as_the_entities(
    config: dict[str, Any], scope: dict[str, str | None], tags: tuple[str, ...], enabled: bool
) -> None:
    entities = [
        PluginEntity(
            "metering-and-billing", {"api_token": Reference("AUTH_TOKEN"), **config}, scope, enabled, tags=tags
        ),
        PluginEntity("amberflo", {"apiKey": Reference("KEY")}, {"consumer": "alice"}, instance_name="flow"),
    ]
    found = kubernetes.read(rendered(*entities), "f.yaml")
    assert found.format == "kong-operator"
    assert [entity_of(plugin) for plugin in found.plugins] == entities


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"condition": 'http.method == "GET"'}, "condition", "has no field"),
        ({"id": UUID}, "id", "gives ids itself"),
        ({"ordering": {"before": {"access": ["rate-limiting"]}}}, "ordering", "not pass it on"),
        ({"protocols": ("wss",)}, "protocols", "wss"),
        ({"tags": ("a,b",)}, "tags", "commas"),
        ({"scope": {"route": UUID}}, "scope", "is an id"),
        ({"scope": {"consumer": "Alice"}}, "scope", "no name of a Kubernetes object"),
        ({"config": {"subject": {"field": "\ud800"}}}, "config.subject.field", "surrogate"),
    ],
)
def test_what_does_not_reach_konnect_is_refused_by_name(fields: dict[str, Any], field: str, word: str) -> None:
    with pytest.raises(CannotExpress, match=word) as refusal:
        FORMAT.render([metering(), metering(**fields)], OPTIONS)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"kong-operator cannot express {field}: ")


@pytest.mark.parametrize(
    ("option", "value"), [("control_plane", UUID), ("control_plane", "My plane"), ("namespace", "Kong")]
)
def test_names_of_the_deployment_are_names_of_objects(option: str, value: str) -> None:
    with pytest.raises(CannotExpress) as refusal:
        FORMAT.render([metering()], replace(OPTIONS, **{option: value}))
    assert refusal.value.field == option


def test_the_limits_name_what_is_refused() -> None:
    assert {limit.field for limit in FORMAT.limits} == {"condition", "id", "protocols", "ordering"}
