"""The Terraform format: the vendor's blocks, variables in place of secrets, and names of other resources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
from any_text import keys, texts
from hcl2.utils import SerializationOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from terraform_binary import formatting_differences, needs_terraform

from harness.plugin_config.entity import MixedText, PluginEntity, Reference
from harness.plugin_config.formats.format import CannotExpress, RenderOptions
from harness.plugin_config.formats.terraform import FORMAT

OPTIONS = RenderOptions("3.16")
DOCUMENTED = RenderOptions("3.16", as_documented=True)
UUID = "5f9fd312-a987-4628-b4c5-bb4f4fddd5f7"
TYPE = "konnect_gateway_plugin_metering_and_billing"
CONFIG: dict[str, Any] = {
    "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
    "api_token": Reference("AUTH_TOKEN"),
    "meter_api_requests": True,
    "meter_ai_token_usage": False,
    "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
}
AMBERFLO = PluginEntity(
    "amberflo",
    {"apiKey": Reference("AMBERFLO_API_KEY"), "meterApiName": "calls", "customerHeader": "x-consumer-username"},
)
#: python-hcl2 tells text ('"a"') from expressions ('${var.a}') as long as it is asked for source text ...
SOURCE = SerializationOptions(with_comments=False, explicit_blocks=False)
#: ... and resolves the escapes of text when it is asked for values.
VALUES = SerializationOptions(
    strip_string_quotes=True,
    preserve_heredocs=False,
    preserve_scientific_notation=False,
    with_comments=False,
    explicit_blocks=False,
)


def metering(config: Mapping[str, Any] = CONFIG, **fields: Any) -> PluginEntity:
    return PluginEntity("metering-and-billing", dict(config), **fields)


def text_of(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> str:
    (file,) = FORMAT.render(entities, options)
    assert file.name == "main.tf"
    return file.text


def source_of(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> dict[str, Any]:
    data: dict[str, Any] = hcl2.loads(text_of(*entities, options=options), serialization_options=SOURCE)
    return data


def resources_of(*entities: PluginEntity, options: RenderOptions = OPTIONS) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the resources by type and name, without quotes around either."""
    return {
        (kind.strip('"'), name.strip('"')): body
        for resource in source_of(*entities, options=options)["resource"]
        for kind, named in resource.items()
        for name, body in named.items()
    }


def resource_of(entity: PluginEntity, options: RenderOptions = OPTIONS) -> dict[str, Any]:
    (body,) = resources_of(entity, options=options).values()
    return body


# -------------------------------------------------------------------------------------------- the vendor's blocks


@pytest.mark.parametrize("scope", [None, "service", "route", "consumer"])
def test_the_documented_blocks_are_reproduced(scope: str | None) -> None:
    """GEN-5: what the vendor's page has for the four scopes, equal as data, expressions as expressions."""
    resource: dict[str, Any] = {
        "enabled": True,
        "config": {
            "ingest_endpoint": '"https://us.api.konghq.com/v3/openmeter/events"',
            "api_token": "${var.auth_token}",
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": '"header"', "field": "${var.subject_header}"},
        },
        "tags": [],
        "control_plane_id": "${konnect_gateway_control_plane.my_konnect_cp.id}",
    }
    if scope:
        resource[scope] = {"id": f"${{konnect_gateway_{scope}.my_{scope}.id}}"}
    assert source_of(metering(scope={scope: None} if scope else {}), options=DOCUMENTED) == {
        "terraform": [{"required_providers": [{"konnect": {"source": '"kong/konnect"'}}]}],
        "provider": [
            {
                '"konnect"': {
                    "personal_access_token": '"$KONNECT_TOKEN"',
                    "server_url": '"https://us.api.konghq.com/"',
                }
            }
        ],
        "resource": [{f'"{TYPE}"': {'"my_metering_and_billing"': resource}}],
        "variable": [{'"subject_header"': {"type": "string"}}],
    }


def test_as_documented_there_are_no_comments() -> None:
    assert "#" not in text_of(metering(scope={"service": "orders"}), options=DOCUMENTED)


# ------------------------------------------------------------------------------------------------------ variables


def test_every_variable_is_declared_and_those_that_are_secret_are_sensitive() -> None:
    """The provider itself marks no field as sensitive: without it, a plan would print the token."""
    assert source_of(metering(), AMBERFLO)["variable"] == [
        {'"konnect_token"': {"type": "string", "sensitive": True}},
        {'"auth_token"': {"type": "string", "sensitive": True}},
        {'"subject_header"': {"type": "string"}},
        {'"amberflo_api_key"': {"type": "string", "sensitive": True}},
    ]


def test_the_token_of_konnect_is_a_variable_and_the_region_is_in_the_url() -> None:
    (provider,) = source_of(metering(), options=RenderOptions("3.16", region="eu"))["provider"]
    assert provider['"konnect"'] == {
        "personal_access_token": "${var.konnect_token}",
        "server_url": '"https://eu.api.konghq.com/"',
    }


def test_a_variable_used_twice_is_declared_once_and_sensitive_if_secret_anywhere() -> None:
    config = {**CONFIG, "subject": {"field": Reference("AUTH_TOKEN", secret=False)}}
    variables = source_of(metering(config), metering(config))["variable"]
    assert [list(variable) for variable in variables] == [['"konnect_token"'], ['"auth_token"']]
    assert variables[1]['"auth_token"']["sensitive"] is True


def test_a_name_that_terraform_keeps_for_itself_is_refused() -> None:
    with pytest.raises(CannotExpress, match="no variable named version") as refused:
        text_of(metering({**CONFIG, "api_token": Reference("VERSION")}))
    assert refused.value.field == "config.api_token"


# --------------------------------------------------------------------------------------------- control plane, scope


def test_a_control_plane_that_is_given_stands_there_as_its_id() -> None:
    body = resource_of(metering(), RenderOptions("3.16", control_plane=UUID))
    assert body["control_plane_id"] == f'"{UUID}"'


@pytest.mark.parametrize(
    ("target", "written"),
    [
        (UUID, f'"{UUID}"'),
        ("orders", "${konnect_gateway_service.orders.id}"),
        ("orders-v1", "${konnect_gateway_service.orders-v1.id}"),
        ("orders.v1 eu", "${konnect_gateway_service.orders_v1_eu.id}"),
        ("1st", "${konnect_gateway_service._1st.id}"),
        (None, "${konnect_gateway_service.my_service.id}"),
    ],
)
def test_a_scope_is_an_id_or_the_resource_of_that_name(target: str | None, written: str) -> None:
    assert resource_of(metering(scope={"service": target}))["service"] == {"id": written}


def test_every_part_of_a_combined_scope_is_written() -> None:
    body = resource_of(metering(scope={"service": "orders", "route": "get", "consumer": "alice"}))
    assert {kind: body[kind]["id"] for kind in ("service", "route", "consumer")} == {
        "service": "${konnect_gateway_service.orders.id}",
        "route": "${konnect_gateway_route.get.id}",
        "consumer": "${konnect_gateway_consumer.alice.id}",
    }


def test_comments_say_which_resources_are_taken_for_granted() -> None:
    text = text_of(metering(scope={"route": "a.b"}), metering(scope={"consumer": "alice"}))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# konnect_gateway_control_plane.my_konnect_cp is the control plane.",
        '# konnect_gateway_route.a_b is the Route named "a.b".',
        '# konnect_gateway_consumer.alice is the Consumer named "alice".',
    ]


def test_two_names_that_become_one_identifier_are_refused() -> None:
    with pytest.raises(CannotExpress, match=r'"a.b" and "a_b" both become konnect_gateway_service.a_b') as refused:
        text_of(metering(scope={"service": "a.b"}), metering(scope={"service": "a_b"}))
    assert refused.value.field == "scope.service"


def test_one_name_may_be_a_service_and_a_route() -> None:
    resources = resources_of(metering(scope={"service": "a.b"}), metering(scope={"route": "a_b"}))
    assert len(resources) == 2


@pytest.mark.parametrize("name", ["日本", "a\nb", 'a"b', "${x}", "...", "é", "a#b", ""])
def test_a_name_that_does_not_plainly_become_an_identifier_is_refused(name: str) -> None:
    with pytest.raises(CannotExpress, match="does not become the name of a Terraform resource"):
        text_of(metering(scope={"service": name}))


# --------------------------------------------------------------------------------------------------- other fields


def test_every_other_field_of_the_entity_is_written() -> None:
    body = resource_of(
        metering(
            enabled=False,
            tags=("a", "b"),
            instance_name="billing",
            protocols=("http", "https"),
            condition='http.path ^= "/v1"',
            ordering={"before": {"access": ["rate-limiting"]}},
            id=UUID,
        )
    )
    del body["config"], body["control_plane_id"]
    assert body == {
        "enabled": False,
        "tags": ['"a"', '"b"'],
        "instance_name": '"billing"',
        "protocols": ['"http"', '"https"'],
        "condition": '"http.path ^= \\"/v1\\""',
        "ordering": {"before": {"access": ['"rate-limiting"']}},
        "id": f'"{UUID}"',
    }


def test_a_plugin_that_is_not_bundled_is_a_custom_plugin() -> None:
    resources = resources_of(AMBERFLO)
    body = resources["konnect_gateway_custom_plugin", "my_amberflo"]
    assert body["name"] == '"amberflo"'
    assert body["config"] == {
        "apiKey": "${var.amberflo_api_key}",
        "meterApiName": '"calls"',
        "customerHeader": '"x-consumer-username"',
    }


@pytest.mark.parametrize(("field", "value"), [("condition", "true"), ("id", UUID)])
def test_what_a_custom_plugin_does_not_have_is_refused(field: str, value: str) -> None:
    entity = PluginEntity("amberflo", AMBERFLO.config, **{field: value})  # type: ignore[arg-type]
    with pytest.raises(CannotExpress, match=f"has no {field}") as refused:
        text_of(entity)
    assert refused.value.field == field
    assert field in [limit.field for limit in FORMAT.limits]


def test_several_entities_have_names_of_their_own() -> None:
    assert list(resources_of(metering(), metering(), AMBERFLO)) == [
        (TYPE, "my_metering_and_billing"),
        (TYPE, "my_metering_and_billing_2"),
        ("konnect_gateway_custom_plugin", "my_amberflo"),
    ]


# ------------------------------------------------------------------------------------------------------ any value


@given(text=texts, name=keys, headers=st.dictionaries(keys, texts, max_size=3))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_text_is_read_back(text: str, name: str, headers: dict[str, str]) -> None:
    """GEN-1, GEN-2, GEN-4: in config, tags, condition, for both plugins; the same bytes each time."""
    entities = (
        metering({"api_token": text, "subject": {"field": text}}, tags=(text,), condition=text, instance_name=text),
        PluginEntity("amberflo", {"apiKey": text, "dimensionHeaders": headers, "replacements": {name: text}}),
    )
    rendered = text_of(*entities)
    first, second = (
        body
        for resource in hcl2.loads(rendered, serialization_options=VALUES)["resource"]
        for named in resource.values()
        for body in named.values()
    )
    assert first["config"] == entities[0].config
    assert (first["tags"], first["condition"], first["instance_name"]) == ([text], text, text)
    assert second["config"] == entities[1].config
    assert text_of(*entities) == rendered


@needs_terraform
def test_terraform_fmt_has_nothing_to_change(tmp_path: Path) -> None:
    wide = metering(
        {**CONFIG, "attributes": [{"source": "header", "look_up_value_in": "x"}], "allow_status_codes": ["200-299"]},
        scope={"service": None, "consumer": "alice"},
        tags=("a",),
        condition="${",
    )
    text = text_of(wide, metering(), AMBERFLO)
    assert formatting_differences(text, tmp_path) == ""
    assert formatting_differences(text_of(wide, options=DOCUMENTED), tmp_path) == ""


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"config": {"subject": {"field": "e\u0301"}}}, "config.subject.field"),
        ({"tags": ("a", "\ud800")}, "tags.1"),
        ({"condition": "\u212b"}, "condition"),
    ],
)
def test_text_that_terraform_would_change_is_refused_with_its_field(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        text_of(PluginEntity("metering-and-billing", **{"config": CONFIG, **fields}))
    assert refused.value.field == place


@pytest.mark.parametrize("region", ["e\u0301", "", "evil.example.com/", "us.", "u s", "me:pw@evil.example.com/"])
def test_a_region_that_would_send_the_token_elsewhere_is_refused(region: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        text_of(metering(), options=RenderOptions("3.16", region=region))
    assert refused.value.field == "region"


def test_text_put_together_for_another_tool_is_refused() -> None:
    with pytest.raises(CannotExpress) as refused:
        text_of(metering({**CONFIG, "ingest_endpoint": MixedText('https://${{ env "DECK_HOST" }}/')}))
    assert refused.value.field == "config.ingest_endpoint"
