"""The run as GitHub-flavoured Markdown: for a step summary, a comment, a wiki page.

What stands in a value is shown and never takes effect: no pipe ends a cell, no backtick a code block, no tag is one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

from harness.conformance.matching import Difference
from harness.conformance.outcome import WORST_FIRST, Event, Failure, ScenarioFinished, Tally, Verdict
from harness.conformance.rules import Rule
from harness.report.evidence import (
    GROUPS,
    SHOWN,
    counted,
    indented,
    requests_concerned,
    rules_concerned,
    subject_form_words,
    visible,
)

#: What GitHub takes of one step's summary, in bytes, with some room.
STEP_SUMMARY_LIMIT = 1_000_000
#: Characters of one event or timeline that are worth showing.
BLOCK_LIMIT = 20_000

_MARKS = {
    Verdict.PASS: "✅",
    Verdict.FAIL: "❌",
    Verdict.ERROR: "💥",
    Verdict.FINDING: "🔎",
    Verdict.SKIP: "⏭️",
    Verdict.NOT_COVERED: "⬜",
}
#: Markup, what GitHub makes a link or an emoji of, and what would begin a list.
_SPECIAL = re.compile(r"[\\`*_\[\]#|~<>&@$]|:(?=\S)|^[-+=]")
#: With more rules than these, their ids are enough.
FEW_RULES = 20


def prose(text: str) -> str:
    """Return ``text`` as it can stand in a paragraph or a table's cell: on one line, and nothing of it is markup."""
    return _escaped(" ".join(visible(text).split()))


def code(text: str) -> str:
    """Return ``text`` as code in a paragraph or a table's cell."""
    return f"<code>{_escaped(visible(text)).replace(chr(10), '<br>')}</code>"


def block(language: str, text: str) -> str:
    """Return ``text`` as a code block whose fence is longer than any in it, cut when it is very long."""
    shown = visible(text)
    if len(shown) > BLOCK_LIMIT:
        shown = f"{shown[:BLOCK_LIMIT]}\n… {len(shown) - BLOCK_LIMIT:,} characters more"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", text)


class MarkdownReport:
    """Gathers the stream; ``text`` gives the page once the run is over."""

    def __init__(self) -> None:
        self._tally = Tally()

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self._tally.take(event)

    def text(self, limit: int | None = None) -> str:
        """Return the page, of at most ``limit`` bytes: evidence that has no room is counted instead."""
        tally = self._tally
        parts = [*_head(tally), *_groups(tally), *_open_rules(tally)]
        shown = [scenario for verdict in SHOWN for scenario in tally.scenarios if scenario.verdict is verdict]
        if shown:
            parts.append("### Evidence")
        room = None if limit is None else limit - sum(len(part.encode()) + 2 for part in parts) - 200
        for number, scenario in enumerate(shown):
            evidence = "\n\n".join(_evidence(scenario, tally))
            if room is not None:
                room -= len(evidence.encode()) + 2
                if room < 0:
                    parts.append(f"… and {len(shown) - number} scenarios more, for which there is no room here.")
                    break
            parts.append(evidence)
        return "\n\n".join(parts) + "\n"


def _head(tally: Tally) -> Iterator[str]:
    started, finished = tally.started, tally.finished
    assert started is not None and finished is not None
    counts = ", ".join(
        f"{tally.count(verdict)} {verdict.value}"
        for verdict in Verdict
        if tally.count(verdict) or verdict is Verdict.PASS
    )
    mark = _MARKS[Verdict.PASS if tally.good else Verdict.FAIL]
    yield f"## {mark} Metering conformance: {prose(started.target)} as {prose(started.profile)}"
    strict = " Strict: findings are failures." if started.strict else ""
    yield f"**{counted(len(tally.scenarios), 'scenario')} in {finished.seconds:.1f} s: {counts}.**{strict}"
    yield f"Form of Consumers' names: {prose(subject_form_words(tally))}."
    if finished.aborted:
        yield f"The run could not be completed: {prose(finished.aborted)}"


def _groups(tally: Tally) -> Iterator[str]:
    columns = [verdict for verdict in reversed(WORST_FIRST) if _having(tally, verdict)]
    columns.sort(key=lambda verdict: verdict is not Verdict.PASS)
    head = ["Group", "Rules", *(f"{_MARKS[verdict]} {verdict.value}" for verdict in columns)]
    lines = [_row(head), _row([":--", *["--:"] * (len(head) - 1)])]
    for group in dict.fromkeys(rule.group for rule in tally.rules.values()):
        rules = [rule for rule in tally.rules.values() if rule.group == group]
        verdicts = [tally.verdict(rule.id) for rule in rules]
        figures = [str(verdicts.count(verdict) or "") for verdict in columns]
        lines.append(_row([f"{prose(group)} {prose(GROUPS.get(group, ''))}".strip(), str(len(rules)), *figures]))
    yield "### Rules × verdicts"
    yield "\n".join(lines)


def _having(tally: Tally, verdict: Verdict) -> list[Rule]:
    return [rule for rule in tally.rules.values() if tally.verdict(rule.id) is verdict]


def _open_rules(tally: Tally) -> Iterator[str]:
    """Yield the rules that did not pass, in full; those that no scenario was run for stay folded."""
    told = [verdict for verdict in WORST_FIRST if verdict not in (Verdict.PASS, Verdict.NOT_COVERED)]
    rows = [(rule, verdict) for verdict in told for rule in _having(tally, verdict)]
    if rows:
        yield "\n".join(_rule_table(rows, tally))
    missing = _having(tally, Verdict.NOT_COVERED)
    if missing:
        untested = [(rule, Verdict.NOT_COVERED) for rule in missing]
        few = len(missing) <= FEW_RULES
        listed = "\n".join(_rule_table(untested, tally)) if few else ", ".join(rule.id for rule in missing)
        title = f"{counted(len(missing), 'rule')} not covered by this run"
        yield f"<details>\n<summary>{title}</summary>\n\n{listed}\n\n</details>"


def _rule_table(rows: Sequence[tuple[Rule, Verdict]], tally: Tally) -> Iterator[str]:
    yield _row(["Rule", "Verdict", "What it says", "From", "Scenarios"])
    yield _row([":--"] * 5)
    for rule, verdict in rows:
        scenarios = ", ".join(code(scenario.id) for scenario in tally.of_rule(rule.id))
        source = prose(", ".join(rule.provenance))
        yield _row([rule.id, f"{_MARKS[verdict]} {verdict.value}", prose(rule.text), source, scenarios])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _evidence(scenario: ScenarioFinished, tally: Tally) -> Iterator[str]:
    title = html.escape(f"{scenario.verdict.value.upper()} {visible(scenario.id)}")
    yield f"<details>\n<summary>{_MARKS[scenario.verdict]} {title}: {prose(scenario.title)}</summary>"
    if scenario.reason:
        yield f"Reason: {prose(scenario.reason)}"
    rules = rules_concerned(scenario, tally)
    if rules:
        yield "\n".join(f"- **{rule.id}** {prose(rule.text)}" for rule in rules)
    for failure in scenario.failures:
        yield from _failure(failure)
    requests = requests_concerned(scenario)
    if requests:
        yield "Sent:"
        yield block("sh", "\n".join(requests.values()))
        if not scenario.timeline:
            yield "Nothing arrived."
    if scenario.timeline:
        yield "Deliveries:"
        yield block("text", "\n".join(scenario.timeline))
    if scenario.prediction:
        yield "Not as the emulator predicts, which the verdict does not count:"
        yield _differences(scenario.prediction, "Predicted", "Seen")
    yield "Again:"
    yield block("sh", scenario.reproduce)
    yield "</details>"


def _failure(failure: Failure) -> Iterator[str]:
    yield f"✗ **{prose(failure.message)}**"
    if failure.differences:
        yield _differences(failure.differences, "Expected", "Received")
    for name, value in (("Expected", failure.expected), ("Received", failure.received)):
        if value is not None:
            yield f"{name}:"
            yield block(_language(value), indented(value))


def _differences(differences: Sequence[Difference], before: str, after: str) -> str:
    lines = [_row(["Field", before, after]), _row([":--"] * 3)]
    lines += [_row([code(one.field), code(one.expected), code(one.received)]) for one in differences]
    return "\n".join(lines)


def _language(value: Any) -> str:
    return "text" if isinstance(value, str) else "json"
