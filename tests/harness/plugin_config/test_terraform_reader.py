"""Terraform files read back: plugins, their scopes, references and lines, in both of Terraform's forms."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest
from any_text import json_data, keys, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from terraform_binary import needs_terraform, outputs

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import MixedText, PluginEntity, Reference
from harness.plugin_config.formats.format import RenderOptions
from harness.plugin_config.formats.hcl_text import Attribute, hcl_text
from harness.plugin_config.formats.hcl_tree import parse_hcl
from harness.plugin_config.formats.terraform import FORMAT
from harness.plugin_config.formats.terraform_file import read
from harness.plugin_config.validation import entity_of
from plugin_emulator.documents import InvalidDocument, Problem

UUID = "5f9fd312-a987-4628-b4c5-bb4f4fddd5f7"
FILE = """\
variable "auth_token" {
  type      = string
  sensitive = true
}

variable "endpoint" {}

resource "konnect_gateway_service" "orders" {
  name = "orders-v1"
}

resource "konnect_gateway_plugin_key_auth" "auth" {
  config = { key_names = ["apikey"] }
}

resource "konnect_gateway_plugin_metering_and_billing" "billing" {
  count   = 1
  enabled = true
  config = {
    ingest_endpoint = var.endpoint # comment
    api_token       = "${var.auth_token}"
    queue = {
      max_batch_size = 100,
      max_retry_time = 1.5
    }
    attributes = [
      { source = "header", look_up_value_in = "x-a", event_property_name = "a" },
      {
        source = "query"
      }
    ]
  }
  tags             = []
  control_plane_id = konnect_gateway_control_plane.cp.id
  service = {
    id = konnect_gateway_service.orders.id
  }
  depends_on = [konnect_gateway_service.orders]
}
"""


def found(text: str, file: str = "main.tf") -> FoundPlugin:
    (plugin,) = read(text, file).plugins
    return plugin


def config_of(body: str) -> Any:
    """Return the config of a plugin whose resource has ``config = {`` ``body`` ``}``."""
    text = 'resource "konnect_gateway_plugin_metering_and_billing" "a" {\n  config = {\n' + body + "\n  }\n}\n"
    return found(text).data["config"]


def value_of(expression: str) -> Any:
    return config_of(f"x = {expression}")["x"]


def problem_of(text: str, file: str = "main.tf") -> Problem:
    with pytest.raises(InvalidDocument) as refused:
        read(text, file)
    (problem,) = refused.value.problems
    return problem


# -------------------------------------------------------------------------------------------------- a whole file


def test_every_plugin_of_the_file_is_found_with_its_data() -> None:
    config_file = read(FILE, "main.tf")
    auth, billing = config_file.plugins
    assert config_file.format == "terraform"
    assert auth.data == {"name": "key-auth", "config": {"key_names": ["apikey"]}}
    assert billing.data == {
        "name": "metering-and-billing",
        "enabled": True,
        "config": {
            "ingest_endpoint": Reference("ENDPOINT", secret=False),
            "api_token": Reference("AUTH_TOKEN"),
            "queue": {"max_batch_size": 100, "max_retry_time": 1.5},
            "attributes": [
                {"source": "header", "look_up_value_in": "x-a", "event_property_name": "a"},
                {"source": "query"},
            ],
        },
        "tags": [],
        "service": {"name": "orders-v1"},
    }


def test_lines_point_at_the_values() -> None:
    """Each line, looked up in the file, holds the last part of the pointer."""
    billing = read(FILE, "main.tf").plugins[1]
    lines = FILE.splitlines()
    for pointer in (
        ("enabled",),
        ("config", "api_token"),
        ("config", "queue", "max_retry_time"),
        ("config", "attributes", 0, "event_property_name"),
        ("config", "attributes", 1, "source"),
        ("service",),
    ):
        line = billing.line(pointer)
        assert line is not None
        assert f"{pointer[-1]} " in lines[line - 1]
    assert billing.line(("service", "name")) == FILE[: FILE.index("id = konnect_gateway_service")].count("\n") + 1
    assert billing.line() == billing.line(("unknown",)) == FILE[: FILE.index('"billing"')].count("\n") + 1


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_endings_and_a_missing_last_one_do_not_matter(ending: str) -> None:
    text = FILE.replace("\n", ending).rstrip()
    assert [plugin.data for plugin in read(text, "main.tf").plugins] == [
        plugin.data for plugin in read(FILE, "main.tf").plugins
    ]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", 'variable "a" {}\n', "locals {\n  a = 1\n}\n"])
def test_a_file_without_plugins_has_none(text: str) -> None:
    assert read(text, "main.tf").plugins == ()


# ------------------------------------------------------------------------------------------------------ read back


@given(
    text=texts,
    name=keys,
    number=st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False)),
    scope=st.sampled_from([{}, {"service": "orders"}, {"route": UUID}, {"service": "a-b", "consumer": "alice"}]),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_what_the_format_writes_is_read_back(text: str, name: str, number: float, scope: dict[str, Any]) -> None:
    """Entities come back equal, references and scope included."""
    entities = [
        PluginEntity(
            "metering-and-billing",
            {"api_token": Reference("AUTH_TOKEN"), "subject": {"field": text}, "timeout": number, "attributes": []},
            scope,
            enabled=False,
            instance_name=text,
            tags=(text, "b"),
            protocols=("http",),
            condition=text,
            ordering={"before": {"access": [text]}},
            id=UUID,
        ),
        PluginEntity("amberflo", {"apiKey": Reference("API_KEY"), "dimensionHeaders": {name: text}}, scope),
    ]
    (file,) = FORMAT.render(entities, RenderOptions("3.16"))
    assert [entity_of(plugin) for plugin in read(file.text, file.name).plugins] == entities


@given(json_data)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_any_data_is_read_back(value: Any) -> None:
    text = 'resource "a" "b" {\n' + hcl_text([Attribute("value", value)]) + "}\n"
    (block,) = parse_hcl(text, "main.tf", frozenset(["resource"]))
    assert block.data == {"value": value}


# ---------------------------------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("var.auth_token", Reference("AUTH_TOKEN", secret=False)),
        ('"${var.auth_token}"', Reference("AUTH_TOKEN", secret=False)),
        ("(var.auth_token)", Reference("AUTH_TOKEN", secret=False)),
        ("sensitive(var.auth_token)", Reference("AUTH_TOKEN", secret=False)),
        ("var.auth-token", Reference("AUTH_TOKEN", secret=False)),
        ('sensitive("spat_x")', "spat_x"),
        ('toset(["a", "b"])', ["a", "b"]),
        ("local.token", MixedText("local.token")),
        ("var.tokens.billing", MixedText("var.tokens.billing")),
        ('var.tokens["a"]', MixedText('var.tokens["a"]')),
        ("random_password.x.result", MixedText("random_password.x.result")),
        ('var.a == "" ? "x" : var.a', MixedText('var.a == "" ? "x" : var.a')),
        ("var.a + 1", MixedText("var.a + 1")),
        ("!var.a", MixedText("!var.a")),
        ("-var.a", MixedText("-var.a")),
        ('file("token.txt")', MixedText('file("token.txt")')),
        ("jsonencode({ a = 1 })", MixedText("jsonencode({ a = 1 })")),
        ('[for x in var.y : "${x}"]', MixedText('[for x in var.y : "${x}"]')),
        ('{ for x in var.y : x => "$${"}', MixedText('{ for x in var.y : x => "$${"}')),
        ("{ (var.k) = 1 }", MixedText("{ (var.k) = 1 }")),
        ('"https://${var.host}/v3"', MixedText("https://${var.host}/v3")),
        ('"%{ if var.x }a%{ endif }"', MixedText("%{ if var.x }a%{ endif }")),
        ('"a$${b}${var.c}%%{"', MixedText("a$${b}${var.c}%%{")),
        ("var.list[*].id", MixedText("var.list[*].id")),
        ("1e400", MixedText("1e400")),
    ],
)
def test_a_variable_is_a_reference_and_any_other_expression_is_kept_as_written(expression: str, value: Any) -> None:
    assert value_of(expression) == value


#: Literals that Terraform and this reader must agree on.
LITERALS = {
    "plain": '"a b"',
    "blanks": '"  a  "',
    "escapes": r'"\n\r\t\"\\ \u00e9 \U0001F600 \\u0041 \\n"',
    "escaped template": '"$${a} %%{b} $$${c} $$$${d} %%%{e} $$ %% $ %"',
    "open template": '"$${ %%{"',
    "escape as code": r'"\u0024{a} $\u0024{b} %\u0025{c}"',
    "comments inside": '"# // /* */"',
    "decomposed": '"e\u0301"',
    "noncharacters": '"\ufdd0\ufdd1 $${"',
    "noncharacters as escapes": r'"\ufdd0\ufdd1 $${"',
    "negative": "-1.5",
    "exponent": "1.5e-3",
    "zeros": "007",
    "parentheses": "(\n1\n)",
    "null": "null",
    "list": '[\n1, # one\n"two",\n[],\n]',
    "object": '{ a = 1, "b c" : 2, "d" = { if = true, null = null } }',
    "heredoc": "<<EOT\na ${\"b\"}\n\"c\" \\n\nEOT\n".replace('${"b"}', "$${b} %%{c}"),
    "indented heredoc": "<<-EOT\n    a\n\n      b\n    EOT\n",
    "empty heredoc": "<<EOT\nEOT\n",
    "one interpolation": '"${"a"}"',
}  # fmt: skip


@needs_terraform
def test_literals_mean_what_they_mean_to_terraform(tmp_path_factory: pytest.TempPathFactory) -> None:
    text = "locals {\n" + "".join(f"  v{n} = {given}\n" for n, given in enumerate(LITERALS.values())) + "}\n"
    output = "".join(f'output "v{n}" {{\n  value = [local.v{n}]\n}}\n' for n in range(len(LITERALS)))
    evaluated = outputs(tmp_path_factory.mktemp("terraform"), text + output)
    (block,) = parse_hcl(text, "main.tf", frozenset(["locals"]))
    assert {name: block.data[f"v{n}"] for n, name in enumerate(LITERALS)} == {
        name: evaluated[f"v{n}"][0] for n, name in enumerate(LITERALS)
    }


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"$${a} %%{b} $$${c} $ %"', "${a} %{b} $${c} $ %"),
        ('"$${"', "${"),
        (r'"\u0024{a}\\n"', "${a}\\n"),
        ('"e\u0301"', "é"),
        ('"\ufdd0$${"', "\ufdd0${"),
        ("<<-EOT\n    a $${b}\n\n      c\n    EOT\n", "a ${b}\n\n  c\n"),
        ("<<EOT\nEOT\n", ""),
        ("<<EOT\na${var.b}\nEOT\n", MixedText("a${var.b}\n")),
        ("(\n  1\n)", 1),
        ("- 1", -1),
    ],
)
def test_literals_are_resolved(expression: str, value: Any) -> None:
    assert value_of(expression) == value


# ----------------------------------------------------------------------------------------------- secrets and scope


def test_a_reference_is_secret_where_the_field_is_or_its_variable_is_sensitive() -> None:
    text = textwrap.dedent("""\
        variable "hidden" {
          sensitive = true
        }
        variable "shown" {
          sensitive = false
        }
        resource "konnect_gateway_plugin_metering_and_billing" "a" {
          config = {
            api_token       = var.anything
            ingest_endpoint = var.hidden
            subject         = { field = var.shown }
          }
        }
        """)
    assert found(text).data["config"] == {
        "api_token": Reference("ANYTHING", secret=True),
        "ingest_endpoint": Reference("HIDDEN", secret=True),
        "subject": {"field": Reference("SHOWN", secret=False)},
    }


@pytest.mark.parametrize(
    ("identifier", "scope"),
    [
        ("konnect_gateway_service.orders.id", {"name": "orders"}),
        ("konnect_gateway_service.orders[0].id", {"name": "orders"}),
        ('konnect_gateway_service.orders["a.b"].id', {"name": "orders"}),
        ("data.konnect_gateway_service.orders.id", {"name": "orders"}),
        ('"${konnect_gateway_service.orders.id}"', {"name": "orders"}),
        (f'"{UUID}"', {"id": UUID}),
        ("var.service_id", {"id": Reference("SERVICE_ID", secret=False)}),
        ("local.service_id", {"id": MixedText("local.service_id")}),
        ("module.orders.id", {"id": MixedText("module.orders.id")}),
    ],
)
def test_a_scope_is_the_name_of_the_other_resource_or_the_id(identifier: str, scope: dict[str, Any]) -> None:
    text = f'resource "konnect_gateway_plugin_x" "a" {{\n  service = {{\n    id = {identifier}\n  }}\n}}\n'
    assert found(text).data["service"] == scope


def test_a_declared_consumer_is_known_by_its_username() -> None:
    text = (
        'resource "konnect_gateway_consumer" "a" {\n  username = "alice@example.com"\n}\n'
        'resource "konnect_gateway_plugin_x" "a" {\n  consumer = { id = konnect_gateway_consumer.a.id }\n}\n'
    )
    assert found(text).data["consumer"] == {"name": "alice@example.com"}


def test_what_is_terraforms_own_is_left_out_and_unknown_fields_are_kept() -> None:
    text = textwrap.dedent("""\
        resource "konnect_gateway_plugin_metering_and_billing" "a" {
          for_each         = toset(["a"])
          provider         = konnect.eu
          control_plane_id = var.cp
          depends_on       = [konnect_gateway_service.a]
          enable           = true
          config {
            api_token = "x"
            subject {
              field = "y"
            }
          }
          lifecycle {
            ignore_changes = [tags]
          }
        }
        """)
    plugin = found(text)
    assert plugin.data == {
        "name": "metering-and-billing",
        "enable": True,
        "config": {"api_token": "x", "subject": {"field": "y"}},
    }
    assert plugin.line(("config", "subject", "field")) == 10


# -------------------------------------------------------------------------------------------------- custom plugins


@pytest.mark.parametrize(
    "config",
    [
        '{\n    apiKey = "k"\n    batchSize = 5\n  }',
        'jsonencode({\n    apiKey = "k"\n    batchSize = 5\n  })',
        '"{\\"apiKey\\": \\"k\\", \\"batchSize\\": 5}"',
        '<<EOT\n{"apiKey": "k", "batchSize": 5}\nEOT\n',
    ],
)
def test_the_config_of_a_custom_plugin_is_an_object_or_json_text(config: str) -> None:
    plugin = found(f'resource "konnect_gateway_custom_plugin" "a" {{\n  name = "amberflo"\n  config = {config}\n}}\n')
    assert plugin.data == {"name": "amberflo", "config": {"apiKey": "k", "batchSize": 5}}
    assert plugin.line(("config", "batchSize")) in (3, 5)


def test_a_variable_in_a_custom_plugins_json_is_a_secret_where_the_plugin_has_one() -> None:
    text = (
        'resource "konnect_gateway_custom_plugin" "a" {\n  name = "metering"\n'
        "  config = jsonencode({ apiKey = var.key, meterApiName = var.meter })\n}\n"
    )
    assert found(text).data["config"] == {
        "apiKey": Reference("KEY", secret=True),
        "meterApiName": Reference("METER", secret=False),
    }


@pytest.mark.parametrize("config", ["var.config", "merge(local.a, { b = 1 })", '"not json"', '"[1]"'])
def test_a_config_known_only_to_terraform_does_not_stop_the_reader(config: str) -> None:
    plugin = found(f'resource "konnect_gateway_custom_plugin" "a" {{\n  name = "x"\n  config = {config}\n}}\n')
    assert not isinstance(plugin.data["config"], dict)


# ------------------------------------------------------------------------------------------------------ JSON form


def test_the_json_form_is_read_alike() -> None:
    text = json.dumps(
        {
            "variable": {"token": {"sensitive": True}},
            "resource": [
                {"konnect_gateway_service": {"orders": {"name": "orders-v1"}}},
                {
                    "konnect_gateway_plugin_metering_and_billing": {
                        "a": {
                            "//": "a comment",
                            "count": 1,
                            "config": {
                                "api_token": "${var.token}",
                                "ingest_endpoint": "https://${var.host}/",
                                "subject": {"field": "$${x} %%{y} 😀"},
                                "timeout": 1e3,
                            },
                            "service": {"id": "${konnect_gateway_service.orders.id}"},
                        },
                        "b": [{"config": {"api_token": "literal"}}],
                    }
                },
            ],
        },
        indent=2,
    )
    first, second = read(text, "main.tf.json").plugins
    assert first.data == {
        "name": "metering-and-billing",
        "config": {
            "api_token": Reference("TOKEN"),
            "ingest_endpoint": MixedText("https://${var.host}/"),
            "subject": {"field": "${x} %{y} 😀"},
            "timeout": 1000.0,
        },
        "service": {"name": "orders-v1"},
    }
    assert second.data["config"] == {"api_token": "literal"}


def test_the_json_form_has_lines() -> None:
    text = '{\n "resource": {\n  "konnect_gateway_plugin_x": {\n   "a": {\n    "enabled":\n true}}}}\n'
    plugin = found(text, "main.tf.json")
    assert (plugin.line(), plugin.line(("enabled",))) == (4, 5)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{\n"resource": }', 2, "is not valid JSON: Expecting value"),
        ('{"a": NaN}', None, "is not valid JSON: NaN is no number"),
        ('{\n"resource": {},\n"resource": {}}', 3, "key 'resource' is given twice"),
        ('{"resource": ' + "[" * 20_000 + "]" * 20_000 + "}", None, "is nested too deeply"),
    ],
)
def test_a_mistake_in_the_json_form_is_one_line(text: str, line: int | None, message: str) -> None:
    problem = problem_of(text, "main.tf.json")
    assert (problem.file, problem.line, problem.message) == ("main.tf.json", line, message)


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('resource "a" "b" {\n  x = "spat_secret\n}\n', 2),
        ('resource "a" "b" {\n  x = "spat_secret" "spat_secret"\n}\n', 2),
        ("a = 1\nb = = 1\n", 2),
        ("a = [\n", 1),
        ('resource "a" "b" {\n  spat_secret\n', 2),
        ("x = <<EOT\nspat_secret", 1),
        ("/* spat_secret", 1),
        ("\x00", 1),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place_and_quotes_nothing(text: str, line: int) -> None:
    problem = problem_of(text)
    assert (problem.file, problem.line) == ("main.tf", line)
    assert str(problem) == f"main.tf:{line}: cannot be read as HCL (`terraform validate` says what is wrong)"


def test_a_file_nested_too_deeply_is_one_line() -> None:
    text = 'resource "konnect_gateway_plugin_x" "a" {\n  config = ' + "[" * 3000 + "]" * 3000 + "\n}\n"
    assert str(problem_of(text)) == "main.tf: is nested too deeply"


@given(st.lists(st.one_of(texts, st.sampled_from([*FILE.splitlines(keepends=True)])), max_size=12).map("".join))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    try:
        read(text, "main.tf")
    except InvalidDocument as refused:
        assert refused.problems
