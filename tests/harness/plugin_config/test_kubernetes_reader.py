"""Reading Kubernetes manifests: which plugins they hold, what runs them, and what is wrong in them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from state_file_entities import TEXTS, VALUES, metering

from harness.plugin_config.config_file import ConfigFile, FoundPlugin
from harness.plugin_config.entity import Reference
from harness.plugin_config.formats import kic
from harness.plugin_config.formats.format import RenderOptions
from harness.plugin_config.formats.kubernetes import read
from harness.plugin_config.reading import parse_config
from harness.plugin_config.validation import validate
from plugin_emulator.documents import InvalidDocument

SECRET = "spat_very_secret"

PLUGIN = """\
apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata:
  name: meter
  namespace: shop
  annotations:
    konghq.com/tags: a, b
plugin: metering-and-billing
instance_name: meter-1
disabled: true
protocols: [http, https]
ordering: {before: {access: [rate-limiting]}}
config:
  ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events
  meter_api_requests: true
"""
CLUSTER_PLUGIN = """\
apiVersion: configuration.konghq.com/v1
kind: KongClusterPlugin
metadata:
  name: meter
  labels: {global: 'true'}
plugin: metering-and-billing
config: {}
"""


def plugins(*documents: str) -> tuple[FoundPlugin, ...]:
    return read("---\n".join(documents), "f.yaml").plugins


def only(*documents: str) -> FoundPlugin:
    (plugin,) = plugins(*documents)
    return plugin


def annotated(kind: str, name: str, value: str = "meter", namespace: str = "shop") -> str:
    annotations = {"konghq.com/plugins": value}
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return yaml.safe_dump({"apiVersion": "v1", "kind": kind, "metadata": metadata}, sort_keys=False)


def secret(key: str, text: str, name: str = "s", encoded: bool = False, namespace: str = "shop") -> str:
    held = {"data": {key: base64.b64encode(text.encode()).decode()}} if encoded else {"stringData": {key: text}}
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    return yaml.safe_dump({**head, **held})


def problems(*documents: str) -> list[str]:
    with pytest.raises(InvalidDocument) as refusal:
        plugins(*documents)
    assert SECRET not in str(refusal.value)
    return str(refusal.value).split("\n")


def patched(path: str = "/api_token", name: str = "s", key: str = "api-token") -> str:
    source = {"secretKeyRef": {"name": name, "key": key}}
    return PLUGIN + yaml.safe_dump({"configPatches": [{"path": path, "valueFrom": source}]})


# --------------------------------------------------------------------------------------------- the plugin


def test_a_kong_plugin_is_read_as_the_gateways_entity_with_its_lines() -> None:
    plugin = only(PLUGIN)
    assert plugin.data == {
        "name": "metering-and-billing",
        "instance_name": "meter-1",
        "enabled": False,
        "protocols": ["http", "https"],
        "ordering": {"before": {"access": ["rate-limiting"]}},
        "tags": ["a", "b"],
        "config": {
            "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
            "meter_api_requests": True,
        },
    }
    lines = {(): 1, ("name",): 8, ("enabled",): 10, ("tags",): 7, ("config", "meter_api_requests"): 15}
    assert {pointer: plugin.line(pointer) for pointer in lines} == lines


def test_the_reader_is_found_by_what_is_in_the_file() -> None:
    for text in (PLUGIN, json.dumps(yaml.safe_load(PLUGIN))):
        found = parse_config(text, "f")
        assert (found.format, [plugin.name for plugin in found.plugins]) == ("kic", ["metering-and-billing"])


def test_objects_in_a_list_are_read_with_their_lines() -> None:
    items = "".join(
        f"- {document.strip()}\n".replace("\n", "\n  ").rstrip(" ") for document in (PLUGIN, CLUSTER_PLUGIN)
    )
    found = read(f"apiVersion: v1\nkind: List\nitems:\n{items}", "f.yaml").plugins
    assert [plugin.attached for plugin in found] == [False, True]
    assert found[0].line(("config", "meter_api_requests")) == 18
    assert found[1].line(()) == 19


def test_json_is_read_like_yaml() -> None:
    data = {**yaml.safe_load(PLUGIN), "config": {"a": "\U0001f600", "b": "2026-01-01"}}
    for text in (json.dumps(data), json.dumps(data, indent="\t"), json.dumps(data, indent=2)):
        assert only(text).data["config"] == data["config"]


def test_a_date_without_quotes_is_text() -> None:
    assert only(PLUGIN + "  since: 2026-01-01\n").data["config"]["since"] == "2026-01-01"  # type: ignore[index, call-overload]


def test_objects_of_other_kinds_are_passed_over() -> None:
    assert plugins("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "", PLUGIN)[0].name
    assert read("apiVersion: v1\nkind: ConfigMap\n", "f.yaml") == ConfigFile("f.yaml", "kic", ())


# --------------------------------------------------------------------------------------------- attachment

HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  rules:
  - backendRefs: []
  - filters:
    - type: URLRewrite
    - type: ExtensionRef
      extensionRef: {group: configuration.konghq.com, kind: KongPlugin, name: meter}
"""


def scopes(*documents: str) -> list[dict[str, Any]]:
    return [
        {kind: name["name"] for kind, name in plugin.data.items() if isinstance(name, dict) and "name" in name}
        for plugin in plugins(PLUGIN, *documents)
        if plugin.attached
    ]


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        ("Service", "service"),
        ("KongService", "service"),
        ("HTTPRoute", "route"),
        ("GRPCRoute", "route"),
        ("Ingress", "route"),
        ("KongRoute", "route"),
        ("KongConsumer", "consumer"),
        ("KongConsumerGroup", "consumer_group"),
    ],
)
def test_an_annotation_attaches_the_plugin(kind: str, scope: str) -> None:
    plugin = only(PLUGIN, annotated(kind, "x", "other, meter"))
    assert plugin.attached
    assert plugin.data[scope] == {"name": "x"}
    assert plugin.line((scope,)) == 23


def test_a_gateways_annotation_attaches_it_to_everything() -> None:
    assert scopes(annotated("Gateway", "kong")) == [{}]


def test_each_attachment_is_an_instance() -> None:
    assert scopes(annotated("Service", "a"), annotated("Ingress", "b")) == [{"service": "a"}, {"route": "b"}]


def test_consumers_are_combined_with_what_else_names_the_plugin() -> None:
    assert scopes(annotated("KongConsumer", "alice"), annotated("Service", "a"), annotated("HTTPRoute", "b")) == [
        {"service": "a", "consumer": "alice"},
        {"route": "b", "consumer": "alice"},
    ]


def test_an_extension_ref_filter_attaches_the_plugin() -> None:
    plugin = only(PLUGIN, HTTP_ROUTE)
    assert (plugin.data["route"], plugin.line(("route",))) == ({"name": "r"}, 25)


def test_a_plugin_that_nothing_names_is_attached_to_nothing() -> None:
    assert not only(PLUGIN).attached
    assert not only(PLUGIN, annotated("Service", "a", "other")).attached
    assert not only(PLUGIN, annotated("Service", "a", namespace="elsewhere")).attached
    assert not only(PLUGIN, annotated("Deployment", "a")).attached
    assert not only(PLUGIN, HTTP_ROUTE.replace("kind: KongPlugin", "kind: Other")).attached


def test_a_namespace_may_be_named_or_left_out() -> None:
    assert scopes(annotated("Service", "a", "shop:meter", namespace="elsewhere")) == [{"service": "a"}]
    assert scopes(annotated("Service", "a", namespace="")) == [{"service": "a"}]


def test_a_cluster_plugin_runs_only_with_its_label_or_where_it_is_named() -> None:
    without = CLUSTER_PLUGIN.replace("  labels: {global: 'true'}\n", "")
    assert only(CLUSTER_PLUGIN).attached
    assert not only(without).attached
    assert not only(CLUSTER_PLUGIN.replace("'true'", "'false'")).attached
    assert only(without, annotated("Service", "a")).data["service"] == {"name": "a"}
    both = plugins(CLUSTER_PLUGIN, annotated("Service", "a"))
    assert ["service" in plugin.data for plugin in both] == [False, True]


BINDING = """\
apiVersion: configuration.konghq.com/v1alpha1
kind: KongPluginBinding
metadata: {name: b, namespace: shop}
spec:
  pluginRef: {name: meter}
  targets:
    serviceRef: {group: configuration.konghq.com, kind: KongService, name: a}
    consumerRef: {name: alice}
  controlPlaneRef: {type: konnectNamespacedRef, konnectNamespacedRef: {name: cp}}
"""
GLOBAL_BINDING = "\n".join(
    line
    for line in BINDING.replace("  targets:", "  scope: GlobalInControlPlane").split("\n")
    if "Ref: {g" not in line
).replace("    consumerRef: {name: alice}\n", "")


def test_a_binding_attaches_the_plugin_to_all_of_its_targets_together() -> None:
    assert scopes(BINDING) == [{"service": "a", "consumer": "alice"}]
    assert scopes(BINDING, GLOBAL_BINDING) == [{"service": "a", "consumer": "alice"}, {}]
    assert scopes(BINDING.replace("{name: meter}", "{name: other}")) == []
    assert scopes(BINDING.replace("{name: meter}", "{name: meter, namespace: other}")) == []
    assert read(f"{PLUGIN}---\n{BINDING}", "f.yaml").format == "kong-operator"


def test_our_own_annotation_names_what_is_filled_in() -> None:
    note = '    kong-metering/filled-in: \'{"/api_token": "AUTH_TOKEN"}\'\n'
    plugin = only(PLUGIN.replace("plugin: ", f"{note}plugin: ", 1))
    assert plugin.data["config"]["api_token"] == Reference("AUTH_TOKEN")  # type: ignore[index, call-overload]
    broken = note.replace('"AUTH_TOKEN"', "1")
    assert (
        "is no JSON object from path to variable" in problems(PLUGIN.replace("plugin: ", f"{broken}plugin: ", 1))[0]
    )


# --------------------------------------------------------------------------------------------- Secrets


def test_a_value_of_a_secret_elsewhere_is_a_reference_with_the_patchs_line() -> None:
    plugin = only(patched())
    assert plugin.data["config"]["api_token"] == Reference("API_TOKEN")  # type: ignore[index, call-overload]
    assert plugin.line(("config", "api_token")) == 17
    subject = only(patched("/subject_field", key="1.x")).data["config"]["subject_field"]  # type: ignore[index, call-overload]
    assert subject == Reference("_1_X", secret=False)


@pytest.mark.parametrize("encoded", [False, True])
def test_a_value_of_a_secret_in_the_manifest_is_that_value(encoded: bool) -> None:
    plugin = only(patched(), secret("api-token", json.dumps(SECRET), encoded=encoded))
    assert plugin.data["config"]["api_token"] == SECRET  # type: ignore[index, call-overload]
    elsewhere = only(patched(), secret("api-token", json.dumps(SECRET), namespace="elsewhere"))
    assert elsewhere.data["config"]["api_token"] == Reference("API_TOKEN")  # type: ignore[index, call-overload]


WHOLE = PLUGIN[: PLUGIN.index("config:")] + "configFrom: {secretKeyRef: {name: s, key: config}}\n"


@pytest.mark.parametrize("text", [json.dumps({"api_token": SECRET}), f"api_token: {SECRET}\n"])
def test_config_from_a_secret_is_known_when_the_secret_is_there(text: str) -> None:
    assert only(WHOLE).data["config"] == Reference("S_CONFIG")
    plugin = only(WHOLE, secret("config", text))
    assert (plugin.data["config"], plugin.line(("config", "api_token"))) == ({"api_token": SECRET}, 13)
    assert not validate(read(WHOLE, "f.yaml"), "3.16")[0].problems


def test_patches_are_added_as_json_patches_are() -> None:
    text = PLUGIN + (
        "  list:\n"
        "  - a\n"
        "  - b\n"
        "configPatches:\n"
        "- {path: /list/0, valueFrom: {secretKeyRef: {name: s, key: x}}}\n"
        "- {path: /list/-, valueFrom: {secretKeyRef: {name: s, key: y}}}\n"
    )
    plugin = only(text)
    x, y = Reference("X", secret=False), Reference("Y", secret=False)
    assert plugin.data["config"]["list"] == [x, "a", "b", y]  # type: ignore[index, call-overload]
    assert [plugin.line(("config", "list", index)) for index in range(4)] == [20, 17, 18, 21]


@pytest.mark.parametrize(
    ("documents", "line", "word"),
    [
        (
            [patched(), secret("api-token", SECRET)],
            17,
            "is no JSON (a patch takes JSON: a string carries its own quotes)",
        ),
        ([patched(), secret("other", "1")], 17, "has no key 'api-token'"),
        ([patched("/subject/field")], 17, "config has no place /subject/field"),
        ([patched("/meter_api_requests/x")], 17, "config has no place"),
        ([WHOLE, secret("config", SECRET)], 13, "holds no configuration"),
        ([WHOLE, secret("config", f"{SECRET}: [")], 13, "holds no configuration"),
        ([WHOLE, secret("config", "").replace("stringData", "data").replace("''", "'?'")], 21, "no text in base64"),
    ],
)
def test_a_secret_that_does_not_fit_is_told_without_its_value(documents: list[str], line: int, word: str) -> None:
    (problem,) = problems(*documents)
    assert problem.startswith(f"f.yaml:{line}: /")
    assert word in problem


# --------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("plugin: metering-and-billing\n", ""), "f.yaml:1: /plugin: required field is missing"),
        (
            ("configuration.konghq.com/v1\n", "v1\n"),
            "f.yaml:1: /apiVersion: expected one of: configuration.konghq.com/v1",
        ),
        (("  name: meter\n", "  name: My_Meter\n"), "f.yaml:4: /metadata/name: is not in the form expected"),
        (
            ("tags: a, b", "tags: 1"),
            "f.yaml:7: /metadata/annotations/konghq.com~1tags: expected a string, got a number",
        ),
        (("disabled: true", "disabled: 'yes'"), "f.yaml:10: /disabled: expected a boolean, got a string"),
        (
            ("disabled: true", "enabled: false"),
            "f.yaml:10: /enabled: unknown field 'enabled' (did you mean 'disabled'?)",
        ),
        (("disabled: true", "condition: a"), "f.yaml:10: /condition: unknown field 'condition'"),
        (("[http, https]", "[http, wss]"), "f.yaml:11: /protocols/1: expected one of:"),
        (("before", "befor"), "f.yaml:12: /ordering/befor: unknown field 'befor' (did you mean 'before'?)"),
        (("config:\n", "config: []\nstatus:\n"), "f.yaml:13: /config: expected an object, got a list"),
    ],
)
def test_what_the_crd_does_not_allow_is_told_with_its_line(change: tuple[str, str], expected: str) -> None:
    assert change[0] in PLUGIN
    assert problems(PLUGIN.replace(*change))[0].startswith(expected)


def test_config_from_stands_alone() -> None:
    source = "configFrom: {secretKeyRef: {name: s, key: k}}\n"
    assert problems(PLUGIN + source) == ["f.yaml:13: /config: cannot stand beside configFrom (keep one of the two)"]
    patches = "configPatches: [{path: /a, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"
    assert problems(WHOLE + patches) == [
        "f.yaml:14: /configPatches: cannot stand beside configFrom (keep one of the two)"
    ]


def test_a_cluster_plugin_names_the_namespace_of_its_secret() -> None:
    text = CLUSTER_PLUGIN + "configPatches: [{path: a, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"
    path, namespace = problems(text)
    assert path.startswith("f.yaml:8: /configPatches/0/path: ")
    assert namespace.startswith(
        "f.yaml:8: /configPatches/0/valueFrom/secretKeyRef/namespace: required field is missing"
    )
    (label,) = problems(CLUSTER_PLUGIN.replace("'true'", "true"))
    assert label == "f.yaml:5: /metadata/labels/global: expected a string, got a boolean (put it in quotes)"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (("  targets:", "  scope: GlobalInControlPlane\n  targets:"), "/spec/targets"),
        (
            ("name: a}", "name: a}\n    routeRef: {group: networking.k8s.io, kind: Ingress, name: i}"),
            "/spec/targets/routeRef/kind",
        ),
        (("kind: KongService", "kind: Service"), "/spec/targets/serviceRef"),
        (("kind: KongService, ", ""), "/spec/targets/serviceRef/kind"),
        ((", konnectNamespacedRef: {name: cp}", ""), "/spec/controlPlaneRef/konnectNamespacedRef"),
        (("type: konnectNamespacedRef", "type: konnectID"), "/spec/controlPlaneRef/type"),
        (("{name: meter}", "{name: meter, kind: Plugin}"), "/spec/pluginRef/kind"),
        (("{name: alice}", "{name: alice}\n    consumerGroupRef: {name: g}"), "/spec/targets"),
    ],
)
def test_a_binding_that_its_crd_does_not_allow_is_told(change: tuple[str, str], pointer: str) -> None:
    assert change[0] in BINDING
    told = problems(PLUGIN, BINDING.replace(*change))
    assert any(f": {pointer}: " in problem for problem in told), told


def test_a_binding_needs_targets_or_the_whole_control_plane() -> None:
    text = GLOBAL_BINDING.replace("  scope: GlobalInControlPlane\n", "")
    (problem,) = problems(text)
    assert problem.startswith("f.yaml:4: /spec/targets: required field is missing (add targets, or write scope:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{PLUGIN}---\n- 1\n", "f.yaml:17: expected a Kubernetes object, got a list"),
        ("apiVersion: v1\nkin: Service\n", "f.yaml:1: /kind: is no Kubernetes object: it has no kind"),
        ("kind: List\nitems: [1]\n", "f.yaml:2: /items/0: expected a Kubernetes object, got a number"),
        ("kind: [", "f.yaml:1: is not valid YAML"),
        ('{"kind": "Service", "kind": "Service"}', "f.yaml:1: /kind: key 'kind' is given twice"),
        ("kind: a\nkind: b\n", "f.yaml:2: /kind: key 'kind' is given twice"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_line(text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


# --------------------------------------------------------------------------------------------- what we write


@settings(max_examples=60, deadline=None, derandomize=True)
@given(config=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_for_the_ingress_controller_is_read_back(config: dict[str, Any]) -> None:
    entity = metering(tags=("a",), enabled=False, protocols=("http", "tcp"), instance_name="meter")
    entity = replace(entity, config={**entity.config, **config})
    (file,) = kic.FORMAT.render([entity], RenderOptions("3.16"))
    plugin = only(file.text)
    assert plugin.attached
    assert plugin.data == {
        "name": "metering-and-billing",
        "config": entity.config,
        "tags": ["a"],
        "enabled": False,
        "protocols": ["http", "tcp"],
        "instance_name": "meter",
    }
