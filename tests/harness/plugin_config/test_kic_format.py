"""Kong Ingress Controller: manifests that are applied as they stand, and commands that keep the token secret."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kubectl_stand_in import commands_of, run
from ruamel.yaml import YAML
from state_file_entities import ENDPOINT, TEXTS, VALUES, metering

import harness.plugin_config
from harness.plugin_config.entity import SCOPE_KINDS, PluginEntity, Reference
from harness.plugin_config.formats import kubernetes
from harness.plugin_config.formats.format import CannotExpress, RenderOptions
from harness.plugin_config.formats.kic import FORMAT
from harness.plugin_config.formats.kubernetes_names import is_object_name
from harness.plugin_config.validation import entity_of

OPTIONS = RenderOptions(gateway="3.16")
DOCUMENTED = replace(OPTIONS, as_documented=True)
FROM = replace(OPTIONS, secret_form="from")
LITERAL = replace(OPTIONS, literal_secrets=True)
ENVIRON = {"AUTH_TOKEN": "spat_1", "SUBJECT_HEADER": "x-tenant-id"}
SHELLS = ("bash", "dash")
#: A shell is too slow to look for the smallest example with.
UNSHRUNK = (Phase.explicit, Phase.generate)
AMBERFLO = PluginEntity(
    "amberflo",
    {"apiKey": Reference("AMBERFLO_API_KEY"), "meterApiName": "api-calls", "customerHeader": "x-customer-id"},
    {"service": "orders"},
)
#: Tokens that would break out of one quotation or another.
ODD_TOKENS = [
    *(
        'a"b',
        "a\\b",
        'a\\"',
        "a'b",
        "$(id)",
        "`id`",
        "$AUTH_TOKEN",
        "${x}",
        "%s%n",
        "-n",
        "a\nb\n",
        "\t\r",
        "\x01\x1f",
    ),
    *("é日本😀", "\\u0041", "&|;<>", "*", "~", "  a  ", "!!", "#", "\x7f", "null", "{}"),
]
#: What an environment variable can hold.
TOKENS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)

_SCHEMAS = Path(harness.plugin_config.__file__).parent / "schemas" / "kubernetes"
_SCHEMA_OF = {"KongPlugin": "kong-plugin.json", "KongClusterPlugin": "kong-cluster-plugin.json"}


def rendered(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> str:
    (file,) = FORMAT.render(entities, options)
    assert file.name == "kong-plugin.yaml"
    return file.text


def parsed(text: str) -> list[Any]:
    """Return the documents, as YAML 1.1 and 1.2 alike have them; each KongPlugin is one that its CRD allows."""
    documents = list(yaml.safe_load_all(text))
    assert repr(list(YAML(typ="safe", pure=True).load_all(text))) == repr(documents)
    for document in documents:
        if document["kind"] in _SCHEMA_OF:
            schema = json.loads((_SCHEMAS / _SCHEMA_OF[document["kind"]]).read_text())
            jsonschema.Draft202012Validator(schema).validate(document)
    return documents


def plugin_of(text: str) -> Any:
    (plugin,) = [document for document in parsed(text) if document["kind"] in _SCHEMA_OF]
    return plugin


def with_patches(plugin: Any, value: Callable[[str, str], Any]) -> Any:
    """Return a KongPlugin's config after its patches, each ``value(Secret, key)`` added as RFC 6902 says."""
    config = plugin["config"]
    for patch in plugin.get("configPatches", ()):
        source = patch["valueFrom"]["secretKeyRef"]
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in patch["path"].split("/")[1:]]
        owner = config
        for part in way:
            owner = owner[int(part)] if isinstance(owner, list) else owner[part]
        if isinstance(owner, list):
            owner.insert(int(last), value(source["name"], source["key"]))
        else:
            owner[last] = value(source["name"], source["key"])
    return config


def documented_plugin(kind: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "configuration.konghq.com/v1",
        "kind": kind,
        "metadata": {
            "name": "metering-and-billing",
            "namespace": "kong",
            "annotations": {"kubernetes.io/ingress.class": "kong", "konghq.com/tags": ""},
            **metadata,
        },
        "config": {
            "ingest_endpoint": ENDPOINT,
            "api_token": "spat_1",
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": "header", "field": "x-tenant-id"},
        },
        "plugin": "metering-and-billing",
    }


# --------------------------------------------------------------------------------------------- as documented

ANNOTATE = ("annotate", "-n", "kong")
PLUGINS = "konghq.com/plugins=metering-and-billing"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("scope", "annotated"),
    [
        ({}, []),
        ({"service": None}, [(*ANNOTATE, "service", "SERVICE_NAME", PLUGINS)]),
        ({"route": None}, [(*ANNOTATE, "httproute", PLUGINS), (*ANNOTATE, "ingress", PLUGINS)]),
        ({"consumer": None}, [(*ANNOTATE, "kongconsumer", "CONSUMER_NAME", PLUGINS)]),
    ],
)
def test_gen_5_the_vendors_four_scripts_do_what_they_do_on_its_pages(
    scope: dict[str, None], annotated: list[tuple[str, ...]], shell: str
) -> None:
    (file,) = FORMAT.render([metering(scope=scope)], DOCUMENTED)
    assert file.name == "kong-plugin.sh"
    result = run(file.text, ENVIRON, shell)
    assert (result.code, result.messages) == (0, "")
    (applied,) = result.of("apply", "-f", "-")
    assert applied.given is not None
    expected = documented_plugin("KongPlugin")
    if not scope:
        expected = documented_plugin("KongClusterPlugin", labels={"global": "true"})
    assert yaml.safe_load(applied.given) == expected
    assert sorted(call.arguments for call in result.of("annotate")) == annotated


def test_the_documented_script_has_the_vendors_words() -> None:
    (file,) = FORMAT.render([metering(scope={"service": None})], DOCUMENTED)
    assert 'echo "\napiVersion: configuration.konghq.com/v1\nkind: KongPlugin\n' in file.text
    assert "\n  api_token: '$AUTH_TOKEN'\n" in file.text
    assert file.text.endswith(
        'plugin: metering-and-billing\n" | kubectl apply -f -\n'
        "kubectl annotate -n kong service SERVICE_NAME konghq.com/plugins=metering-and-billing\n"
    )


def test_the_documented_script_stops_when_a_variable_is_not_set() -> None:
    (file,) = FORMAT.render([metering()], DOCUMENTED)
    for shell in SHELLS:
        result = run(file.text, {"AUTH_TOKEN": "spat_1"}, shell)
        assert result.code != 0
        assert result.messages == "SUBJECT_HEADER is not set\n"
        assert not result.calls


@settings(max_examples=25, deadline=None, derandomize=True, phases=UNSHRUNK)
@given(config=st.dictionaries(TEXTS, VALUES, max_size=4), ingress_class=TEXTS, shell=st.sampled_from(SHELLS))
def test_gen_2_no_value_breaks_out_of_the_documented_script(
    config: dict[str, Any], ingress_class: str, shell: str
) -> None:
    entity = PluginEntity("metering-and-billing", {**config, "token": Reference("AUTH_TOKEN")}, tags=("VARIABLE_X",))
    (file,) = FORMAT.render([entity], replace(DOCUMENTED, ingress_class=ingress_class))
    result = run(file.text, ENVIRON, shell)
    assert (result.code, result.messages) == (0, "")
    (applied,) = result.calls
    assert applied.given is not None
    document = yaml.safe_load(applied.given)
    assert document["config"] == {**config, "token": "spat_1"}
    annotations = {"kubernetes.io/ingress.class": ingress_class, "konghq.com/tags": "VARIABLE_X"}
    assert document["metadata"]["annotations"] == annotations


def test_several_documented_plugins_have_names_of_their_own() -> None:
    (file,) = FORMAT.render([metering(), metering(scope={"service": "orders"})], DOCUMENTED)
    result = run(file.text, ENVIRON)
    names = {yaml.safe_load(call.given or "")["metadata"]["name"] for call in result.of("apply")}
    assert names == {"metering-and-billing", "metering-and-billing-2"}
    (annotated,) = result.of("annotate")
    assert annotated.arguments[-1] == "konghq.com/plugins=metering-and-billing-2"


# --------------------------------------------------------------------------------------------- the manifest


def test_a_global_plugin_is_a_cluster_plugin_with_the_label_that_makes_it_run() -> None:
    plugin = plugin_of(rendered(metering()))
    expected = documented_plugin("KongClusterPlugin", labels={"global": "true"})
    del expected["config"]["api_token"], expected["config"]["subject"]["field"]
    expected["configPatches"] = [
        {"path": path, "valueFrom": {"secretKeyRef": {"namespace": "kong", "name": name, "key": key}}}
        for path, name, key in (
            ("/api_token", "metering-and-billing-auth-token", "auth_token"),
            ("/subject/field", "metering-and-billing-subject-header", "subject_header"),
        )
    ]
    assert plugin == expected


def test_a_limited_plugin_is_in_the_namespace_of_what_it_is_attached_to() -> None:
    options = replace(OPTIONS, namespace="shop", ingress_class="edge")
    plugin = plugin_of(rendered(metering(scope={"service": "orders"}, tags=("a", "b")), options=options))
    assert plugin["kind"] == "KongPlugin"
    assert plugin["metadata"] == {
        "name": "metering-and-billing-orders",
        "namespace": "shop",
        "annotations": {"kubernetes.io/ingress.class": "edge", "konghq.com/tags": "a,b"},
    }
    source = plugin["configPatches"][0]["valueFrom"]["secretKeyRef"]
    assert source == {"name": "metering-and-billing-orders-auth-token", "key": "auth_token"}


def test_what_stands_beside_config_has_the_crds_names() -> None:
    entity = metering(
        enabled=False,
        instance_name="Meter_1",
        protocols=("http", "https"),
        ordering={"before": {"access": ["rate-limiting"]}},
    )
    plugin = plugin_of(rendered(entity))
    assert plugin["metadata"]["name"] == "meter-1"
    assert {name: plugin[name] for name in ("disabled", "instance_name", "protocols", "ordering")} == {
        "disabled": True,
        "instance_name": "Meter_1",
        "protocols": ["http", "https"],
        "ordering": {"before": {"access": ["rate-limiting"]}},
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(config=st.dictionaries(TEXTS, VALUES, max_size=4), ingress_class=TEXTS)
def test_gen_1_parsing_the_manifest_gives_the_configuration(config: dict[str, Any], ingress_class: str) -> None:
    entity = PluginEntity("metering-and-billing", {**config, "api_token": "{vault://env/token}"}, {"route": "r"})
    text = rendered(entity, options=replace(OPTIONS, ingress_class=ingress_class))
    plugin = plugin_of(text)
    assert repr(plugin["config"]) == repr(entity.config)
    assert plugin["metadata"]["annotations"]["kubernetes.io/ingress.class"] == ingress_class
    assert rendered(entity, options=replace(OPTIONS, ingress_class=ingress_class)) == text


VARIABLES = st.builds(Reference, st.sampled_from(["AUTH_TOKEN", "API_TOKEN", "VARIABLE_X"]), st.booleans())
WITH_REFERENCES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | TEXTS | VARIABLES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def filled(value: Any, environ: dict[str, str]) -> Any:
    if isinstance(value, Reference):
        return environ[value.name]
    if isinstance(value, dict):
        return {name: filled(part, environ) for name, part in value.items()}
    return [filled(part, environ) for part in value] if isinstance(value, list) else value


@settings(max_examples=30, deadline=None, derandomize=True, phases=UNSHRUNK)
@given(
    config=st.dictionaries(TEXTS, WITH_REFERENCES, max_size=4),
    tokens=st.tuples(TOKENS, TOKENS, TOKENS),
    whole=st.booleans(),
)
def test_gen_1_manifest_and_secrets_together_give_the_configuration(
    config: dict[str, Any], tokens: tuple[str, str, str], whole: bool
) -> None:
    entity = PluginEntity("metering-and-billing", config)
    text = rendered(entity, options=FROM if whole else OPTIONS)
    environ = dict(zip(("AUTH_TOKEN", "API_TOKEN", "VARIABLE_X"), tokens, strict=True))
    result = run(commands_of(text), environ)
    assert (result.code, result.messages) == (0, "")
    made = result.made_secrets()
    plugin = plugin_of(text)
    if "configFrom" in plugin:
        source = plugin["configFrom"]["secretKeyRef"]
        found = json.loads(made[f"{source['name']}/{source['key']}"])
    else:
        found = with_patches(plugin, lambda name, key: json.loads(made[f"{name}/{key}"]))
    assert found == filled(config, environ)


def test_gen_3_the_text_of_a_manifest_holds_no_more_than_the_variables_name() -> None:
    plugin = plugin_of(rendered(metering()))
    assert "api_token" not in plugin["config"]
    assert plugin["config"]["subject"] == {"look_up_value_in": "header"}


@pytest.mark.parametrize("options", [OPTIONS, FROM, replace(LITERAL, secret_form="from"), LITERAL])
@pytest.mark.parametrize("token", [Reference("AUTH_TOKEN"), "spat_1", "{vault://env/token}"])
def test_config_patches_and_config_from_are_never_used_together(options: RenderOptions, token: Any) -> None:
    entity = metering()
    plugin = plugin_of(rendered(replace(entity, config={**entity.config, "api_token": token}), options=options))
    assert ("config" in plugin) != ("configFrom" in plugin)
    assert not {"configFrom", "configPatches"} <= plugin.keys()


def test_a_plugin_without_anything_to_fill_in_is_a_plain_manifest() -> None:
    config = {"ingest_endpoint": ENDPOINT, "api_token": "{vault://env/token}"}
    for options in (OPTIONS, FROM):
        text = rendered(PluginEntity("metering-and-billing", config), options=options)
        assert text.startswith("apiVersion: configuration.konghq.com/v1\nkind: KongClusterPlugin\n")
        assert plugin_of(text)["config"] == config


@pytest.mark.parametrize("token", ["spat_1", *ODD_TOKENS])
def test_a_literal_token_is_written_into_a_secret_of_its_own(token: str) -> None:
    entity = PluginEntity("metering-and-billing", {"ingest_endpoint": ENDPOINT, "api_token": token})
    text = rendered(entity, options=LITERAL)
    secret, plugin = parsed(text)
    assert secret["kind"] == "Secret"
    assert secret["metadata"]["labels"] == {"konghq.com/secret": "true"}
    assert json.loads(secret["stringData"]["api_token"]) == token
    source = plugin["configPatches"][0]["valueFrom"]["secretKeyRef"]
    assert source == {"namespace": "kong", "name": secret["metadata"]["name"], "key": "api_token"}
    whole, _ = parsed(rendered(entity, options=replace(LITERAL, secret_form="from")))
    assert json.loads(whole["stringData"]["config"]) == entity.config
    (found,) = kubernetes.read(text, "f.yaml").plugins
    assert entity_of(found) == entity


def test_a_long_value_is_carried_whole() -> None:
    long = "ab: 'c'\n" * 131072
    entity = PluginEntity("metering-and-billing", {"field": long, "api_token": Reference("AUTH_TOKEN")})
    assert yaml.load(rendered(entity), yaml.CSafeLoader)["config"] == {"field": long}
    result = run(commands_of(rendered(entity, options=FROM)), ENVIRON)
    (value,) = result.made_secrets().values()
    assert json.loads(value) == {"field": long, "api_token": "spat_1"}


# --------------------------------------------------------------------------------------------- the commands


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("options", [OPTIONS, FROM])
def test_the_token_is_in_no_process_argument(options: RenderOptions, shell: str) -> None:
    token = "spat_'\"$x`\\"
    result = run(commands_of(rendered(metering(), options=options)), {**ENVIRON, "AUTH_TOKEN": token}, shell)
    assert (result.code, result.messages) == (0, "")
    assert result.made_secrets()
    assert not [word for call in result.calls for word in call.arguments if "spat_" in word]
    # Only programs that are started have arguments for others to see; the rest is built into the shell.
    started = set(re.findall(r"\b(awk|kubectl|cat|sed|jq|env|tee|base64)\b", commands_of(rendered(metering()))))
    assert started == {"awk", "kubectl"}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("token", ODD_TOKENS)
def test_a_secret_holds_its_token_as_a_json_string(token: str, shell: str) -> None:
    text = rendered(PluginEntity("metering-and-billing", {"api_token": Reference("AUTH_TOKEN")}))
    result = run(commands_of(text), {"AUTH_TOKEN": token}, shell)
    assert (result.code, result.messages) == (0, "")
    (value,) = result.made_secrets().values()
    assert value.startswith('"')
    assert json.loads(value) == token


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("options", [OPTIONS, FROM])
def test_nothing_is_made_of_a_variable_that_is_not_set(options: RenderOptions, shell: str) -> None:
    result = run(commands_of(rendered(metering(), options=options)), {"SUBJECT_HEADER": "x"}, shell)
    assert "AUTH_TOKEN is not set" in result.messages
    assert "metering-and-billing-auth-token/auth_token" not in result.made_secrets()
    assert "metering-and-billing-config/config" not in result.made_secrets()


def test_a_variable_need_not_be_exported() -> None:
    text = rendered(PluginEntity("metering-and-billing", {"api_token": Reference("AUTH_TOKEN")}))
    result = run(f"AUTH_TOKEN=spat_1\n{commands_of(text)}", {})
    assert list(result.made_secrets().values()) == ['"spat_1"']


def test_a_trace_of_the_shell_does_not_show_the_token() -> None:
    result = run(f"set -x\n{commands_of(rendered(metering()))}", {**ENVIRON, "AUTH_TOKEN": "spat_1"}, "bash")
    assert "json_string AUTH_TOKEN" in result.messages
    assert "spat_1" not in result.messages


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_itself_makes_a_labelled_secret_of_the_commands() -> None:
    text = commands_of(rendered(PluginEntity("metering-and-billing", {"api_token": Reference("AUTH_TOKEN")})))
    script = text.replace("kubectl apply -f -", "cat")
    token = "sp\"at\\$(id)'\n"
    result = subprocess.run(
        ["sh", "-c", script], env={"AUTH_TOKEN": token, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    secret = yaml.safe_load(result.stdout)
    assert secret["metadata"]["labels"] == {"konghq.com/secret": "true"}
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == (
        "metering-and-billing-auth-token",
        "kong",
    )
    assert json.loads(base64.b64decode(secret["data"]["auth_token"])) == token


def test_amberflos_key_is_kept_out_of_its_plugin_too() -> None:
    text = rendered(AMBERFLO)
    result = run(commands_of(text), {"AMBERFLO_API_KEY": "key_1"})
    assert result.made_secrets() == {"amberflo-orders-amberflo-api-key/amberflo_api_key": '"key_1"'}
    (annotated,) = result.of("annotate")
    assert annotated.arguments == (*ANNOTATE, "service", "orders", "konghq.com/plugins=amberflo-orders")


@pytest.mark.parametrize(
    ("scope", "route_kind", "annotated"),
    [
        ({"service": "orders"}, None, ["service orders"]),
        ({"service": None}, None, ["service SERVICE_NAME"]),
        ({"route": "r"}, None, ["httproute r", "ingress r"]),
        ({"route": "r"}, "httproute", ["httproute r"]),
        ({"route": None}, "ingress", ["ingress INGRESS_NAME"]),
        ({"consumer": "alice"}, None, ["kongconsumer alice"]),
        ({"service": "orders", "consumer": "alice"}, None, ["kongconsumer alice", "service orders"]),
        ({"route": "r", "consumer": None}, "httproute", ["httproute r", "kongconsumer CONSUMER_NAME"]),
    ],
)
def test_the_targets_are_annotated(scope: dict[str, Any], route_kind: str | None, annotated: list[str]) -> None:
    text = rendered(metering(scope=scope, instance_name="meter"), options=replace(OPTIONS, route_kind=route_kind))
    calls = run(commands_of(text), ENVIRON).of("annotate")
    assert sorted(" ".join(call.arguments[3:5]) for call in calls) == annotated
    assert {call.arguments[5] for call in calls} == {"konghq.com/plugins=meter"}


def test_plugins_of_one_object_go_into_one_annotation() -> None:
    result = run(commands_of(rendered(metering(scope={"service": "orders"}), AMBERFLO)), {})
    (annotated,) = result.of("annotate")
    assert annotated.arguments[-1] == "konghq.com/plugins=metering-and-billing-orders,amberflo-orders"


def test_targets_that_are_yet_to_be_filled_in_may_be_different_ones() -> None:
    commands = commands_of(rendered(metering(scope={"service": None}), replace(AMBERFLO, scope={"service": None})))
    annotations = [line.split("=")[-1] for line in commands.splitlines() if line.startswith("kubectl annotate ")]
    assert annotations == ["metering-and-billing", "amberflo"]


# --------------------------------------------------------------------------------------------- ExtensionRef

FILTER = {"group": "configuration.konghq.com", "kind": "KongPlugin", "name": "metering-and-billing-r"}


def test_an_extension_ref_filter_is_put_into_the_route() -> None:
    text = rendered(metering(scope={"route": "r"}), options=replace(OPTIONS, extension_ref=True))
    result = run(commands_of(text), ENVIRON)
    assert not result.of("annotate")
    (patched,) = result.of("patch")
    assert patched.arguments[1:5] == ("-n", "kong", "httproute", "r")
    test, add = json.loads(patched.arguments[-1])
    assert test == {"op": "test", "path": "/spec/rules/0/filters", "value": None}
    assert add["value"] == [{"type": "ExtensionRef", "extensionRef": FILTER}]
    assert '\n# - {"type": "ExtensionRef", ' in text


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("filters", [None, [{"type": "URLRewrite"}]])
def test_kubectl_itself_adds_the_filter_but_replaces_no_others(filters: list[Any] | None, tmp_path: Path) -> None:
    text = rendered(metering(scope={"route": "r"}), options=replace(OPTIONS, extension_ref=True))
    (command,) = [line for line in commands_of(text).splitlines() if line.startswith("kubectl patch ")]
    rule = {"backendRefs": []} if filters is None else {"filters": filters}
    route = tmp_path / "route.yaml"
    head = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"}}
    route.write_text(json.dumps({**head, "spec": {"rules": [rule]}}))
    words = shlex.split(command)
    local = ["kubectl", "patch", "--local", "-f", str(route), *words[words.index("--type=json") :], "-o", "yaml"]
    result = subprocess.run(local, capture_output=True, check=False)
    assert (result.returncode == 0) == (filters is None)
    if filters is None:
        patched = yaml.safe_load(result.stdout)
        assert patched["spec"]["rules"][0]["filters"] == [{"type": "ExtensionRef", "extensionRef": FILTER}]


@pytest.mark.parametrize(
    ("scope", "route_kind", "field"),
    [
        ({}, None, "scope"),
        ({"service": "orders"}, None, "scope"),
        ({"route": "r", "consumer": "alice"}, None, "scope"),
        ({"route": "r"}, "ingress", "route_kind"),
    ],
)
def test_an_extension_ref_is_refused_where_there_is_none(
    scope: dict[str, str], route_kind: str | None, field: str
) -> None:
    options = replace(OPTIONS, extension_ref=True, route_kind=route_kind)
    with pytest.raises(CannotExpress) as refusal:
        FORMAT.render([metering(scope=scope)], options)
    assert refusal.value.field == field


# --------------------------------------------------------------------------------------------- refusals and names

UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"condition": 'http.method == "GET"'}, "condition", "has no field"),
        ({"id": UUID}, "id", "gives ids itself"),
        ({"protocols": ("http", "ws", "tls_passthrough")}, "protocols", "ws, tls_passthrough"),
        ({"tags": ("a,b",)}, "tags", "commas"),
        ({"tags": (" a",)}, "tags", "commas"),
        ({"scope": {"service": UUID}}, "scope", "is an id"),
        ({"scope": {"service": "Orders"}}, "scope", "no name of a Kubernetes object"),
        ({"scope": {"service": "a.b"}}, "scope", "no name of a Kubernetes object"),
        ({"scope": {"service": "x" * 64}}, "scope", "no name of a Kubernetes object"),
        ({"scope": {"consumer": "alice; id"}}, "scope", "no name of a Kubernetes object"),
        ({"scope": {"route": "r\n"}}, "scope", "no name of a Kubernetes object"),
        ({"scope": {"service": "a", "route": "b"}}, "scope", "no combination of service and route"),
        ({"scope": {"service": "a", "route": "b", "consumer": "c"}}, "scope", "no combination"),
        ({"config": {"subject": {"field": "\ud800"}}}, "config.subject.field", "surrogate"),
    ],
)
@pytest.mark.parametrize("options", [OPTIONS, FROM, DOCUMENTED])
def test_what_a_kong_plugin_cannot_say_is_refused_by_name(
    fields: dict[str, Any], field: str, word: str, options: RenderOptions
) -> None:
    with pytest.raises(CannotExpress, match=word) as refusal:
        FORMAT.render([metering(), metering(**fields)], options)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"kic cannot express {field}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("namespace", ["", "Kong", "a.b", "kong; id", "-kong"])
def test_a_namespace_that_is_none_is_refused(namespace: str) -> None:
    with pytest.raises(CannotExpress) as refusal:
        FORMAT.render([metering()], replace(OPTIONS, namespace=namespace))
    assert refusal.value.field == "namespace"


def test_the_limits_name_what_is_refused() -> None:
    assert {limit.field for limit in FORMAT.limits} == {"condition", "id", "protocols", "scope"}


_SCOPE_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(min_size=1, max_size=80),
            st.dictionaries(st.sampled_from(SCOPE_KINDS), _SCOPE_NAMES, max_size=1),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_object_has_a_name_of_its_own_that_kubernetes_takes(
    given_names: list[tuple[str | None, dict[str, str]]],
) -> None:
    secret = {"api_token": Reference("AUTH_TOKEN")}
    # A lone surrogate is refused elsewhere.
    entities = [
        PluginEntity(
            "metering-and-billing", secret, scope, instance_name=name and name.encode(errors="ignore").decode()
        )
        for name, scope in given_names
    ]
    plugins = parsed(rendered(*entities))
    names = [plugin["metadata"]["name"] for plugin in plugins]
    sources = [plugin["configPatches"][0]["valueFrom"]["secretKeyRef"]["name"] for plugin in plugins]
    assert len(set(names)) == len(set(sources)) == len(entities)
    assert all(is_object_name(name) for name in names + sources)
