"""Amberflo's configuration in every format and scope: what is written is read back as the same entity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats.format import RenderOptions
from harness.plugin_config.formats.registry import FORMAT_NAMES, output_format
from harness.plugin_config.reading import parse_config
from harness.plugin_config.validation import entity_of, validate
from plugin_emulator.amberflo.config import load_config

#: Every field of the plugin, none at its default.
FULL: dict[str, Any] = {
    "apiKey": Reference("AMBERFLO_KEY"),
    "meterApiName": "kong-api-calls",
    "customerHeader": "x-consumer-username",
    "intervalSeconds": 5,
    "batchSize": 50,
    "debug": True,
    "methodDimension": "method",
    "hostDimension": "host",
    "routeDimension": "route",
    "serviceDimension": "service",
    "dimensionHeaders": {"project": "x-project", "a b": "x-a"},
    "replacements": {"/": "-", "_": ""},
}
SCOPES: tuple[dict[str, str | None], ...] = ({}, {"service": "orders"}, {"route": "r"}, {"consumer": "alice"})
#: Formats that hold the plugin itself and can be read; the others refer to one of these, or are programs.
READABLE = ("deck", "admin-api", "konnect-api", "kic", "kong-operator", "terraform", "dbless")


def options(name: str) -> RenderOptions:
    return RenderOptions("3.16", literal_secrets=name == "dbless")


def written(name: str, config: dict[str, Any], scope: dict[str, str | None]) -> str:
    """Return the text of a format; a DB-less file has no references for this plugin, so that its key stands in it."""
    given = {**config, "apiKey": "key_1"} if name == "dbless" else config
    (file,) = output_format(name).render([PluginEntity("amberflo", given, scope)], options(name))
    return file.text


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: next(iter(scope), "global"))
@pytest.mark.parametrize("name", READABLE)
def test_gen_1_every_field_is_read_back_and_taken_by_the_plugin(name: str, scope: dict[str, str | None]) -> None:
    text = written(name, FULL, scope)
    file = parse_config(text, "main.tf" if name == "terraform" else "file")
    (plugin,) = file.plugins
    entity = entity_of(plugin)
    # A KongPlugin is attached by an annotation of what it is for, which its file has as a command.
    assert (entity.name, entity.scope) == ("amberflo", {} if name == "kic" else scope)
    key = entity.config["apiKey"]
    assert {**entity.config, "apiKey": FULL["apiKey"]} == FULL
    assert key == "key_1" if name == "dbless" else isinstance(key, Reference)
    assert [each.problems for each in validate(file, "3.16")] == [()]
    load_config({**entity.config, "apiKey": "key_1"})


def test_the_formats_that_are_not_read_back_hold_no_config_or_are_programs() -> None:
    assert set(FORMAT_NAMES) - set(READABLE) == {"pulumi", "kongctl", "kong-conf"}


TEXTS = st.sampled_from(
    ["${HOME}", "%{ if }", "'; exit 9", "a\nb", "x: y", "#", "{{ x }}", "\\", '"', "no", "1e3", "é"]
)


@pytest.mark.parametrize("name", READABLE)
@given(dimension=TEXTS, header=TEXTS, old=TEXTS, new=TEXTS)
@settings(max_examples=12, derandomize=True, deadline=None)
def test_gen_2_names_of_dimensions_and_replacements_stay_what_they_are(
    name: str, dimension: str, header: str, old: str, new: str
) -> None:
    config = {**FULL, "meterApiName": header, "dimensionHeaders": {dimension: header}, "replacements": {old: new}}
    file = parse_config(written(name, config, {}), "main.tf" if name == "terraform" else "file")
    read = entity_of(file.plugins[0]).config
    fields = ("meterApiName", "dimensionHeaders", "replacements")
    assert {field: read[field] for field in fields} == {field: config[field] for field in fields}
