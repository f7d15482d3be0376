"""Lint rules of the Amberflo plugin: the record it makes, and the client that its instances share."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plugin_config.amberflo.lint import RULES
from harness.plugin_config.config_file import ConfigFile, FoundPlugin
from harness.plugin_config.entity import Reference
from harness.plugin_config.lint.finding import Finding, Severity
from harness.plugin_config.lint.linter import lint
from harness.plugin_config.lint.rule import LintContext
from plugin_emulator.gateway.key_auth import IDENTITY_HEADERS

SOUND: dict[str, Any] = {
    "apiKey": Reference("AMBERFLO_KEY"),
    "meterApiName": "m",
    "customerHeader": "x-consumer-username",
    "debug": False,
    "dimensionHeaders": {"project": "x-project"},
}
KEY_AUTH = FoundPlugin({"name": "key-auth"}, "f.yaml", {})


def amberflo(config: dict[str, Any] | None = None, service: str = "a", **entity: Any) -> FoundPlugin:
    """Return an instance whose ``config`` adds to one that lint has nothing to say about."""
    data: dict[str, Any] = {"name": "amberflo", "config": {**SOUND, **(config or {})}, "service": service, **entity}
    return FoundPlugin(data, "f.yaml", {})


def other(name: str, **entity: Any) -> FoundPlugin:
    return FoundPlugin({"name": name, **entity}, "f.yaml", {})


def found(*plugins: FoundPlugin, format_name: str = "deck") -> list[Finding]:
    return lint([ConfigFile("f.yaml", format_name, plugins)], LintContext("3.16"))


def rules(*plugins: FoundPlugin, format_name: str = "deck") -> list[str]:
    return [finding.rule for finding in found(*plugins, format_name=format_name)]


def test_a_sound_configuration_has_no_findings() -> None:
    assert found(amberflo(), KEY_AUTH) == []
    assert [rule.id for rule in RULES] == [
        "customer-header-not-set",
        "dimension-name-twice",
        "replacements-overlap",
        "client-shared",
        "debug-not-off",
    ]


@pytest.mark.parametrize(
    ("replacements", "overlap"),
    [
        ({"/": ":"}, False),
        ({"/": ":", "_": ":"}, False),
        ({"/": "-", "_": "-"}, False),
        ({"/": "-", "-": "_"}, True),
        ({"-": "_", "/": "-"}, True),
        ({"ab": "x", "a": "y"}, True),
        ({"ab": "x", "bc": "y"}, True),
        ({"/": "a", "ab": "x"}, True),
        ({"/": "", "ab": "x"}, True),
        ({"/": "", "b": "x"}, False),
        ({"": "-"}, False),
        ({"": "-", "ab": "x"}, True),
        ({"/": "", "": "-"}, True),
    ],
)
def test_amb_4_replacements_overlap_when_their_order_changes_the_result(
    replacements: dict[str, str], overlap: bool
) -> None:
    assert rules(amberflo({"replacements": replacements}), KEY_AUTH) == ["replacements-overlap"] * overlap
    assert rules(amberflo({"replacements": replacements, "dimensionHeaders": None}), KEY_AUTH) == []


@given(
    st.dictionaries(st.text("abc", max_size=3), st.text("abc", max_size=2), max_size=3),
    st.text("abc", max_size=8),
)
def test_amb_4_without_a_finding_the_order_of_replacements_does_not_matter(
    replacements: dict[str, str], value: str
) -> None:
    if rules(amberflo({"replacements": replacements}), KEY_AUTH):
        return
    results = set()
    for order in permutations(replacements.items()):
        result = value
        for old, new in order:
            result = result.replace(old, new)
        results.add(result)
    assert len(results) == 1


@pytest.mark.parametrize(
    ("first", "second", "severity"),
    [
        ({}, {}, None),
        ({}, {"batchSize": 10, "intervalSeconds": 1, "debug": False}, None),
        ({}, {"apiKey": Reference("OTHER")}, Severity.ERROR),
        ({}, {"batchSize": 50}, Severity.WARNING),
        ({"intervalSeconds": 2}, {}, Severity.WARNING),
        ({"meterApiName": "n"}, {"customerHeader": "x-b"}, None),
    ],
)
def test_amb_10_what_the_one_client_is_made_of_is_to_be_the_same_in_all_instances(
    first: dict[str, Any], second: dict[str, Any], severity: Severity | None
) -> None:
    findings = [each for each in found(amberflo(first), amberflo(second, "b")) if each.rule == "client-shared"]
    assert [each.severity for each in findings] == ([] if severity is None else [severity])
    assert not [
        each for each in found(amberflo(first), amberflo(second, "b", enabled=False)) if each.rule == "client-shared"
    ]


def test_amb_10_another_name_is_another_process_and_so_another_client() -> None:
    named = amberflo({"apiKey": Reference("OTHER"), "batchSize": 50}, "b", name="metering")
    assert rules(amberflo(), named, KEY_AUTH) == []
    again = amberflo({"batchSize": 20}, "c", name="metering")
    assert rules(amberflo(), named, again, KEY_AUTH) == ["client-shared"] * 2  # apiKey and batchSize


# --------------------------------------------------------------------------------- whom a record bills


@pytest.mark.parametrize(
    ("header", "severity"),
    [
        ("x-consumer-username", None),
        ("X-Consumer-Custom-ID", None),
        ("x-consumer-id", None),
        ("x-credential-identifier", None),
        ("x-consumer-groups", Severity.WARNING),
        ("x-anonymous-consumer", Severity.ERROR),
        ("x-consumer-name", Severity.ERROR),
        ("x-credential-username", Severity.ERROR),
        ("x-tenant-id", Severity.WARNING),
    ],
)
def test_amb_1_behind_key_auth_the_customer_is_in_a_header_that_it_sets(
    header: str, severity: Severity | None
) -> None:
    findings = found(amberflo({"customerHeader": header}), KEY_AUTH)
    assert [(each.rule, each.severity) for each in findings] == (
        [("customer-header-not-set", severity)] if severity else []
    )


def test_the_headers_that_key_auth_sets_are_those_of_the_emulated_one() -> None:
    quiet = {header for header in IDENTITY_HEADERS if not found(amberflo({"customerHeader": header}), KEY_AUTH)}
    assert quiet == IDENTITY_HEADERS - {"x-anonymous-consumer"}


def test_a_header_that_is_nearly_one_of_key_auths_is_corrected() -> None:
    (finding,) = found(amberflo({"customerHeader": "x-consumer-custom"}), KEY_AUTH)
    assert finding.fix == "write x-consumer-custom-id"


@pytest.mark.parametrize(
    "beside",
    [
        (),
        (other("openid-connect"),),
        (KEY_AUTH, other("request-transformer")),
        (KEY_AUTH, other("pre-function", service="a")),
        (other("acme-corp-auth"),),
    ],
)
def test_a_header_that_another_plugin_may_set_is_let_be(beside: tuple[FoundPlugin, ...]) -> None:
    assert rules(amberflo({"customerHeader": "x-tenant-id"}), *beside) == []


def test_a_plugin_of_another_service_sets_no_header_here() -> None:
    elsewhere = other("request-transformer", service="b")
    assert rules(amberflo({"customerHeader": "x-tenant-id"}), KEY_AUTH, elsewhere) == ["customer-header-not-set"]
    assert rules(amberflo(), other("key-auth", service="b")) == ["customer-header-not-set"]


def test_what_is_no_state_file_may_have_its_authentication_elsewhere() -> None:
    assert rules(amberflo(), format_name="json") == []
    assert rules(amberflo({"customerHeader": "x-tenant-id"}), KEY_AUTH, format_name="json") == []
    assert rules(amberflo({"customerHeader": "x-consumer-name"}), format_name="json") == ["customer-header-not-set"]


# --------------------------------------------------------------------------------- dimensions and debug


@pytest.mark.parametrize(
    ("config", "at"),
    [
        ({"methodDimension": "method", "routeDimension": "route"}, []),
        ({"methodDimension": "", "hostDimension": ""}, []),
        ({"methodDimension": "project"}, ["methodDimension"]),
        ({"hostDimension": "x", "routeDimension": "x"}, ["routeDimension"]),
        (
            {"methodDimension": "x", "serviceDimension": "x", "routeDimension": "x"},
            ["serviceDimension", "routeDimension"],
        ),
        ({"dimensionHeaders": Reference("HEADERS", secret=False), "methodDimension": "project"}, []),
    ],
)
def test_amb_3_two_dimensions_of_one_name_are_told_at_the_one_that_overwrites(
    config: dict[str, Any], at: list[str]
) -> None:
    findings = found(amberflo(config), KEY_AUTH)
    assert [(each.rule, each.pointer) for each in findings] == [
        ("dimension-name-twice", ("config", field)) for field in at
    ]


@pytest.mark.parametrize(
    ("debug", "severity"),
    [
        (False, None),
        (True, Severity.WARNING),
        (None, Severity.INFO),
        ("yes", None),
        (Reference("DEBUG", secret=False), None),
    ],
)
def test_amb_10_debug_is_to_be_written_as_false(debug: Any, severity: Severity | None) -> None:
    findings = found(amberflo({"debug": debug}), KEY_AUTH)
    assert [(each.rule, each.severity) for each in findings] == ([("debug-not-off", severity)] if severity else [])
