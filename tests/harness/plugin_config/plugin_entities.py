"""Plugin entities of any text in any place, sound or not."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.plugin_config.entity import PluginEntity

any_text = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30),
    st.sampled_from(
        [
            "'; exit 9 #", '"; exit 9 #', "$(exit 9)", "`exit 9`", "${HOME}", "$AUTH_TOKEN", "\\", "\\\\", '\\"',
            "\\n", "\r\n", "😀",
            "BODY", "\nBODY\nexit 9\n", "HEADER", "%s%d", "@file", "\x7f", "\x01\x02", "\u2028", "\ufeff",
            "no", "1e3", "007", "0x10", " 12 ", "+5", "nan", "-n", "-", "{a,b}", "[1-3]", "*", "~", "!x", "a\n", "\n",
        ]
    ),
)  # fmt: skip
any_value = st.recursive(
    any_text | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(any_text, inside, max_size=3),
    max_leaves=8,
)
entities_of_any_text = st.lists(
    st.builds(
        PluginEntity,
        name=any_text,
        config=st.dictionaries(any_text, any_value, max_size=4),
        scope=st.dictionaries(
            st.sampled_from(["service", "route", "consumer"]),
            any_text.filter(lambda text: text not in ("", ".", "..")),
            max_size=1,
        ),
        enabled=st.booleans(),
        instance_name=st.none() | any_text,
        tags=st.lists(any_text, max_size=2).map(tuple),
        protocols=st.sampled_from([("grpc", "grpcs", "http", "https"), ("http",), ()]),
        condition=st.none() | any_text,
        ordering=st.none() | st.dictionaries(any_text, any_value, max_size=2),
        id=st.none() | st.uuids().map(str),
    ),
    min_size=8,
    max_size=8,
)
