"""The Markdown report, read back with a Markdown parser that is not ours."""

from __future__ import annotations

import html
import re

from conformance_stream import SCENARIOS, feed, hostile, scenario, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.conformance.outcome import Failure, Verdict
from harness.report.evidence import visible
from harness.report.markdown import BLOCK_LIMIT, MarkdownReport, block, code, prose

PARSER = MarkdownIt("commonmark").enable("table")

TEXTS = st.text(max_size=60) | st.text(alphabet="`|\\<>&*_[]()~#!@\n\t -+=\"'$x1.:/", max_size=60)


def cells(markdown: str) -> list[list[list[Token]]]:
    """Return the inline tokens of each cell of each row of the one table in ``markdown``."""
    tokens = PARSER.parse(markdown)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    rows: list[list[list[Token]]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.children or [])
    return rows


def table(cell: str) -> str:
    return f"| {cell} | next |\n| :-- | :-- |\n| {cell} | {cell} |"


@given(TEXTS)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_text_stays_text_in_a_cell(text: str) -> None:
    """No pipe ends the cell, no character of it is markup, and it is shown as it is, blanks aside."""
    wanted = " ".join(visible(text).split())
    for row in cells(table(prose(text))):
        assert len(row) == 2
        assert all(token.type in ("text", "text_special") for token in row[0])
        assert "".join(token.content for token in row[0]) == wanted


@given(TEXTS)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_text_stays_code_in_a_cell(text: str) -> None:
    """All that a cell of code holds beside its text are its own tags and line breaks."""
    for row in cells(table(code(text))):
        assert len(row) == 2
        tags = [token.content for token in row[0] if token.type == "html_inline"]
        assert (tags[0], tags[-1], set(tags[1:-1]) <= {"<br>"}) == ("<code>", "</code>", True)
        shown = "".join("\n" if token.content == "<br>" else token.content for token in row[0][1:-1])
        assert shown.split() == visible(text).split()


@given(TEXTS)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_text_stays_in_its_code_block(text: str) -> None:
    (token,) = PARSER.parse(block("json", text))
    assert (token.type, token.info, token.content) == ("fence", "json", f"{visible(text)}\n")


def test_a_very_long_value_is_cut_and_says_by_how_much() -> None:
    (token,) = PARSER.parse(block("json", "x" * (BLOCK_LIMIT + 1234)))
    assert token.content.endswith("x\n… 1,234 characters more\n")


def test_the_page_has_summary_groups_rules_and_evidence() -> None:
    text = feed(MarkdownReport(), stream()).text()
    assert text.startswith("## ❌ Metering conformance: emulator as kong-3.16\n\n**4 scenarios in 1.5 s: 1 pass")
    assert "| Group | Rules | ✅ pass | ⬜ not covered | ⏭️ skip | 🔎 finding | ❌ fail |" in text
    assert "| DRP Drop | 4 | 1 | 1 |  | 1 | 1 |" in text
    assert re.search(r"^\| DRP-1 \| ❌ fail \| A request without a subject .* \| doc \| .*bad", text, re.MULTILINE)
    assert re.search(r"^\| DRP-2 \| 🔎 finding \| .* \| assumed \| ", text, re.MULTILINE)
    evidence = text.partition("### Evidence")[2]
    assert evidence.index("FAIL bad") < evidence.index("FINDING odd")
    assert "- **DRP-1** A request without a subject makes no event at all" in evidence
    assert "| <code>subject</code> | <code>absent</code> | <code>'unknown&#124;&#96;&#60;b&#62;'</code> |" in evidence
    assert "curl -i http://localhost:8000/two" in evidence
    assert "http://localhost:8000/one" not in evidence.partition("FINDING odd")[0]
    assert '"id": "e-1"' in evidence
    assert "kong-metering conformance --scenario bad" in evidence


def test_a_run_in_which_all_passes_has_no_evidence_and_says_so_in_one_line() -> None:
    text = feed(MarkdownReport(), stream(SCENARIOS[:1])).text()
    assert text.startswith("## ✅ ")
    assert "**1 scenario in 1.5 s: 1 pass.**" in text
    assert "Evidence" not in text


def test_hostile_values_make_no_tag_and_close_no_section() -> None:
    text = feed(MarkdownReport(), stream([hostile()])).text()
    written: list[str] = []
    for token in PARSER.parse(text):
        if token.type == "html_block":
            written += re.findall(r"<[^>]*>", token.content)
        written += [child.content for child in token.children or [] if child.type == "html_inline"]
        assert all(child.type not in ("link_open", "image", "code_inline") for child in token.children or [])
    assert set(written) <= {"<details>", "<summary>", "</summary>", "</details>", "<code>", "</code>", "<br>"}
    assert written.count("<details>") == written.count("</details>") == 2
    assert "broken out" in html.unescape(text)


def test_a_step_summary_keeps_to_its_limit_and_counts_what_it_leaves_out() -> None:
    many = [
        scenario(f"bad-{n}", Verdict.FAIL, "DRP-1", failures=(Failure(("DRP-1",), "é" * 2000),)) for n in range(50)
    ]
    whole, cut = (feed(MarkdownReport(), stream(many)).text(limit) for limit in (None, 60_000))
    assert len(whole.encode()) > 200_000
    assert len(cut.encode()) <= 60_000
    shown = cut.count("FAIL bad-")
    assert 5 < shown < 50
    assert f"… and {50 - shown} scenarios more" in cut
    assert cut.count("<details>") == cut.count("</details>")
