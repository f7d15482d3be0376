"""The Pulumi format: a program that asks for what is filled in, run here against stand-ins for Pulumi's packages."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from any_text import json_data, keys, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats.format import CannotExpress, RenderOptions
from harness.plugin_config.formats.pulumi import FORMAT
from harness.plugin_config.formats.python_text import Code, NotInPython, call, string

OPTIONS = RenderOptions("3.16")
UUID = "5f9fd312-a987-4628-b4c5-bb4f4fddd5f7"
CONFIG: dict[str, Any] = {
    "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
    "api_token": Reference("AUTH_TOKEN"),
    "meter_api_requests": True,
    "meter_ai_token_usage": False,
    "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
    "queue": {"initial_retry_delay": 0.01},
}
AMBERFLO = PluginEntity("amberflo", {"apiKey": Reference("AMBERFLO_API_KEY"), "dimensionHeaders": {"a b": "x_y"}})


@dataclass(frozen=True)
class Setting:
    """What ``config.require`` returns here."""

    key: str
    secret: bool


@dataclass(frozen=True)
class Made:
    """A resource or provider as its class was called."""

    kind: str
    name: str
    arguments: dict[str, Any]


def metering(config: Mapping[str, Any] = CONFIG, **fields: Any) -> PluginEntity:
    return PluginEntity("metering-and-billing", dict(config), **fields)


def program(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> str:
    (file,) = FORMAT.render(entities, options)
    assert file.name == "__main__.py"
    return file.text


def run(text: str) -> list[Made]:
    """Run a program and return what it made, in order, the provider first."""
    made: list[Made] = []

    class Config:
        def require(self, key: str) -> Setting:
            return Setting(key, secret=False)

        def require_secret(self, key: str) -> Setting:
            return Setting(key, secret=True)

    class Konnect(types.ModuleType):
        def __getattr__(self, kind: str) -> Any:
            def make(resource_name: str, **arguments: Any) -> Made:
                made.append(Made(kind, resource_name, arguments))
                return made[-1]

            return make

    pulumi = types.ModuleType("pulumi")
    pulumi.Config = Config  # type: ignore[attr-defined]
    pulumi.ResourceOptions = lambda **options: options  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pulumi", pulumi)
        patch.setitem(sys.modules, "pulumi_konnect", Konnect("pulumi_konnect"))
        exec(compile(text, "__main__.py", "exec"), {"__name__": "__main__"})
    return made


def resource(entity: PluginEntity, options: RenderOptions = OPTIONS) -> Made:
    _, made = run(program(entity, options=options))
    return made


# ------------------------------------------------------------------------------------------------- what arrives


def test_the_plugin_arrives_with_snake_case_keys_and_settings_in_place_of_references() -> None:
    """Pulumi's registry has the keys of typed inputs in snake case for Python."""
    provider, made = run(program(metering(scope={"service": None})))
    assert (made.kind, made.name) == ("GatewayPluginMeteringAndBilling", "my_metering_and_billing")
    assert made.arguments == {
        "enabled": True,
        "config": {
            "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
            "api_token": Setting("authToken", secret=True),
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": "header", "field": Setting("subjectHeader", secret=False)},
            "queue": {"initial_retry_delay": 0.01},
        },
        "tags": [],
        "control_plane_id": Setting("controlPlaneId", secret=False),
        "service": {"id": Setting("serviceId", secret=False)},
        "opts": {"provider": provider},
    }


@pytest.mark.parametrize("region", ["", "evil.example.com/", "us.", "me:pw@evil.example.com/"])
def test_a_region_that_would_send_the_token_elsewhere_is_refused(region: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        program(metering(), options=RenderOptions("3.16", region=region))
    assert refused.value.field == "region"


def test_the_provider_has_its_token_from_a_secret_and_the_region_in_its_url() -> None:
    provider = run(program(metering(), options=RenderOptions("3.16", region="eu")))[0]
    assert provider == Made(
        "Provider",
        "konnect",
        {
            "personal_access_token": Setting("konnectToken", secret=True),
            "server_url": "https://eu.api.konghq.com/",
        },
    )


def test_a_plugin_that_is_not_bundled_is_a_custom_plugin_whose_keys_stay_as_they_are() -> None:
    made = resource(AMBERFLO)
    assert (made.kind, made.name, made.arguments["name"]) == ("GatewayCustomPlugin", "my_amberflo", "amberflo")
    assert made.arguments["config"] == {
        "apiKey": Setting("amberfloApiKey", secret=True),
        "dimensionHeaders": {"a b": "x_y"},
    }


def test_every_other_field_of_the_entity_arrives() -> None:
    arguments = resource(
        metering(
            enabled=False,
            tags=("a", "b"),
            instance_name="billing",
            protocols=("http",),
            condition='http.path ^= "/v1"',
            ordering={"before": {"access": ["rate-limiting"]}, "after": {"access": []}},
            id=UUID,
        )
    ).arguments
    assert {name: arguments[name] for name in arguments if name not in ("config", "control_plane_id", "opts")} == {
        "enabled": False,
        "tags": ["a", "b"],
        "instance_name": "billing",
        "protocols": ["http"],
        "condition": 'http.path ^= "/v1"',
        "ordering": {"before": {"accesses": ["rate-limiting"]}, "after": {"accesses": []}},
        "gateway_plugin_metering_and_billing_id": UUID,
    }


def test_a_control_plane_that_is_given_stands_there_as_its_id() -> None:
    assert resource(metering(), RenderOptions("3.16", control_plane=UUID)).arguments["control_plane_id"] == UUID


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("orders", "ordersServiceId"),
        ("orders-v1.eu", "ordersV1EuServiceId"),
        ("ORDERS API", "ordersApiServiceId"),
        ("myOrders", "myOrdersServiceId"),
        (None, "serviceId"),
    ],
)
def test_a_scope_by_name_is_a_setting_that_holds_the_id(target: str | None, key: str) -> None:
    service = resource(metering(scope={"service": target})).arguments["service"]
    assert service == {"id": Setting(key, secret=False)}


def test_a_scope_by_id_and_a_combined_one() -> None:
    arguments = resource(metering(scope={"route": UUID, "consumer": "alice"})).arguments
    assert arguments["route"] == {"id": UUID}
    assert arguments["consumer"] == {"id": Setting("aliceConsumerId", secret=False)}


def test_several_entities_have_names_of_their_own() -> None:
    made = run(program(metering(), metering(), AMBERFLO))
    assert [each.name for each in made] == [
        "konnect",
        "my_metering_and_billing",
        "my_metering_and_billing_2",
        "my_amberflo",
    ]


def test_comments_say_which_settings_the_program_needs() -> None:
    text = program(metering(scope={"service": "a.b"}))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Before the first run:",
        "#   pulumi package add terraform-provider kong/konnect",
        "#   pulumi config set --secret konnectToken  # KONNECT_TOKEN",
        "#   pulumi config set --secret authToken  # AUTH_TOKEN",
        "#   pulumi config set subjectHeader  # SUBJECT_HEADER",
        "#   pulumi config set controlPlaneId  # CONTROL_PLANE_ID",
        '#   pulumi config set aBServiceId  # id of the service "a.b"',
    ]


# ------------------------------------------------------------------------------------------------------ any value


@given(text=texts, name=keys, headers=st.dictionaries(keys, texts, max_size=3))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_any_text_arrives(text: str, name: str, headers: dict[str, str]) -> None:
    """GEN-1, GEN-2, GEN-4: in config, tags, condition, for both plugins; the same bytes each time."""
    entities = (
        metering({"api_token": text, "subject": {"field": text}}, tags=(text,), condition=text, instance_name=text),
        PluginEntity("amberflo", {"apiKey": text, "dimensionHeaders": headers, "replacements": {name: text}}),
    )
    rendered = program(*entities)
    _, first, second = run(rendered)
    assert first.arguments["config"] == entities[0].config
    assert first.arguments["tags"] == [text]
    assert (first.arguments["condition"], first.arguments["instance_name"]) == (text, text)
    assert second.arguments["config"] == entities[1].config
    assert program(*entities) == rendered


@given(json_data)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_any_data_is_a_python_literal(value: Any) -> None:
    """Also without running anything: the value alone is a literal, equal in value and in type."""
    (expression,) = ast.parse("\n".join(call("f", [value], []))).body
    assert isinstance(expression, ast.Expr) and isinstance(expression.value, ast.Call)
    read = ast.literal_eval(expression.value.args[0])
    assert read == value
    assert repr(read) == repr(value)


@given(texts)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_a_string_stays_on_its_line_and_shows_what_is_in_it(text: str) -> None:
    written = string(text)
    assert ast.literal_eval(written) == text
    assert len(written.splitlines()) == 1
    assert not {"\u202e", "\u200b", "\ufeff", "\0", "\x1b"} & set(written)


def test_ruff_has_nothing_to_reformat() -> None:
    text = program(
        metering(
            scope={"service": None, "consumer": "alice"},
            tags=("a",),
            condition='"\'"',
            ordering={"before": {"access": []}},
        ),
        metering({**CONFIG, "attributes": [{"source": "it's", "look_up_value_in": '"'}], "queue": {}}),
        AMBERFLO,
    )
    for command in (["format", "--diff"], ["check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "-"],
            input=text,
            capture_output=True,
            encoding="utf-8",
        )
        assert ran.returncode == 0, ran.stdout


# -------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"config": {"timeout": 2**53 + 1}}, "config.timeout", "more than 53 bits"),
        ({"config": {"subject": {"field": "\ud800"}}}, "config.subject.field", "half a surrogate pair"),
        ({"tags": ("a", "\udfff")}, "tags.1", "half a surrogate pair"),
        ({"scope": {"service": "日本"}}, "scope.service", "does not become the name of a setting"),
        ({"scope": {"route": "a\nb"}}, "scope.route", "does not become the name of a setting"),
        ({"scope": {"route": "..."}}, "scope.route", "does not become the name of a setting"),
    ],
)
def test_what_pulumi_cannot_carry_is_refused_with_its_field(fields: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(CannotExpress, match=reason) as refused:
        program(PluginEntity("metering-and-billing", **{"config": CONFIG, **fields}))
    assert refused.value.field == place


@pytest.mark.parametrize(("field", "value"), [("condition", "true"), ("id", UUID)])
def test_what_a_custom_plugin_does_not_have_is_refused(field: str, value: str) -> None:
    with pytest.raises(CannotExpress, match=f"has no {field}"):
        program(PluginEntity("amberflo", AMBERFLO.config, **{field: value}))  # type: ignore[arg-type]


def test_two_names_that_would_share_a_setting_are_refused() -> None:
    with pytest.raises(CannotExpress, match="would share the setting aBServiceId"):
        program(metering(scope={"service": "a.b"}), metering(scope={"service": "a-b"}))
    with pytest.raises(CannotExpress, match="KEY_1 and KEY1 would share the setting key1") as refused:
        program(metering({"api_token": Reference("KEY_1"), "subject": {"field": Reference("KEY1")}}))
    assert refused.value.field == "config.subject.field"


def test_a_setting_is_secret_for_all_when_it_is_for_one() -> None:
    """The stack's setting is told to be set as a secret, though only one of its uses is."""
    text = program(metering({"api_token": Reference("KEY"), "subject": {"field": Reference("KEY", secret=False)}}))
    assert [line for line in text.splitlines() if "# KEY" in line] == ["#   pulumi config set --secret key  # KEY"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object()])
def test_what_is_no_json_data_is_refused(value: Any) -> None:
    with pytest.raises(NotInPython) as refused:
        call("f", [], [("config", {"a": [value]})])
    assert refused.value.pointer == ("config", "a", 0)


def test_code_is_written_as_it_is() -> None:
    assert call("f", [Code("x")], [("y", {"z": Code("w()")})]) == [
        "f(",
        "    x,",
        "    y={",
        '        "z": w(),',
        "    },",
        ")",
    ]
