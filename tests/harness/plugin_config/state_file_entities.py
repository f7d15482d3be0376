"""Entities, values and parsers for the tests of the state-file formats."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats.format import RenderOptions

ENDPOINT = "https://us.api.konghq.com/v3/openmeter/events"
OPTIONS = RenderOptions(gateway="3.14")
DOCUMENTED = RenderOptions(gateway="3.14", as_documented=True)

_WORDS = r"""
~ null Null no No NO yes on off y n true FALSE = << nan inf Infinity e3 1e3x
1 -1 +1 007 0o7 0x1F 0b1 1_000 1e3 1E3 1. .5 1.5e+3 .inf -.INF .nan 1:30 190:20:30 2026-02-31 2026-02-03T04:05:06Z
- -- --- ... a: :a #a ? !a !!str &a *a %a @a `a` | > [a] {a} ' '' " it's \ \n a\
${{ $${{ $\{{ }} ${x} %{x} $(x) {vault://env/x} http://127.0.0.1:8888/a?b=c#d é 日本 😀
https://us.api.konghq.com/v3/openmeter/events
"""
#: Text that some YAML parser takes for something else, or that ends a quotation, a comment or a template.
ODD_TEXTS = [
    *_WORDS.split(),
    *("", " ", " a ", "a: b", "a #b", "- a", "? a", "{a: b}", "a, b", 'say "x"', "http://x: y", "https://x/ #y"),
    *("a\nb", "a\r\nb", "\n", "a\n", "\t", "a\tb", "\0", "\x07", "\x1b[0m", "\x7f", "\x85", "\u2028", "\u2029"),
    *("\ufeff", "\ufffe", "\uffff", "\U0010ffff", "e\u0301", "\u202e", "\xa0", "\u200b", '${{ env "DECK_X" }}'),
]
TEXTS = st.one_of(
    st.sampled_from(ODD_TEXTS), st.text(max_size=12), st.text(st.sampled_from("${}'\"\\\n: #-1eE.n\x85\0"))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def parsed(text: str) -> Any:
    """Parse YAML with PyYAML (YAML 1.1) and ruamel.yaml (1.2), which must agree to the type; return the data."""
    data = yaml.safe_load(text)
    by_yaml_1_2 = YAML(typ="safe", pure=True).load(text)
    assert repr(by_yaml_1_2) == repr(data)
    return data


def metering(**fields: Any) -> PluginEntity:
    """Return the vendor's example that takes the subject from a header, its variables yet to be filled in."""
    config = {
        "ingest_endpoint": ENDPOINT,
        "api_token": Reference("AUTH_TOKEN"),
        "meter_api_requests": True,
        "meter_ai_token_usage": False,
        "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
    }
    return PluginEntity(**{"name": "metering-and-billing", "config": config, **fields})
