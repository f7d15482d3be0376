"""Text that is hard to quote, and data made of it."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

PIECES = (
    *(
        "$",
        "$$",
        "%",
        "%%",
        "{",
        "}",
        "${",
        "$${",
        "$$${",
        "%{",
        "%%{",
        "%%%{",
        "${{",
        "${var.x}",
        "%{ if true }",
        "~}",
    ),
    *(
        '"',
        "'",
        "`",
        '"""',
        "\\",
        "\\\\",
        "\\n",
        "\\u0024{",
        "\\${",
        "$(id)",
        "#",
        "//",
        "/*",
        "*/",
        "=",
        ":",
        ",",
        "[",
        "]",
    ),
    *("\n", "\r", "\r\n", "\t", "\0", "\x07", "\x1b", "\x7f", "\x85", "\xa0", "<<EOT", "<<-EOT\n", "EOT\n", " ", ""),
    *("\u2028", "\u2029", "\u202e", "\u200b", "\ufeff", "\ufdd0", "\ufdd1", "\ufffe", "\uffff", "\U0010ffff"),
    *("😀", "\U000e0041", "é", "日本", "no", "1e3", "~", "007", "2026-01-01", "null"),
)

#: Any text that Terraform can hold: in Unicode's normal form C.
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
).map(lambda text: unicodedata.normalize("NFC", text))
keys = st.one_of(texts, st.sampled_from(["for", "if", "in", "else", "null", "true", "a-b", "_", "-", "1", "a.b"]))
scalars = st.one_of(
    texts,
    st.booleans(),
    st.none(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
json_data = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=8,
)
