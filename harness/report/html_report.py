"""The run as one HTML page: it needs no server, no network and no second file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from harness.conformance.outcome import WORST_FIRST, Event, Tally, Verdict
from harness.conformance.rules import Rule
from harness.report.evidence import GROUPS, counted, subject_form_words
from harness.report.html_evidence import scenario_section, scenario_target
from harness.report.html_page import as_text, asset, facts, page_style, policy_hash
from harness.report.implementation import Implementation, default_implementation

_ASSETS = Path(__file__).with_name("assets")


class HtmlReport:
    """Gathers the stream; ``text`` gives the page once the run is over.

    ``implementation`` is who made the target (default: what is known of it), ``date`` what the report bears.
    """

    def __init__(self, implementation: Implementation | None = None, date: datetime | None = None) -> None:
        self._tally = Tally()
        self._implementation = implementation
        self._date = date or datetime.now(UTC)

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self._tally.take(event)

    def text(self) -> str:
        """Return the page."""
        tally = self._tally
        started, finished = tally.started, tally.finished
        assert started is not None and finished is not None
        style, script = page_style() + asset(_ASSETS / "report.css"), asset(_ASSETS / "report.js")
        scenarios = sorted(tally.scenarios, key=lambda one: WORST_FIRST.index(one.verdict))
        return Template(asset(_ASSETS / "report.html")).substitute(
            title=as_text(f"Metering conformance: {started.target} as {started.profile}"),
            style=style,
            style_hash=policy_hash(style),
            script=script,
            script_hash=policy_hash(script),
            outcome="pass" if tally.good else "fail",
            outcome_words="passed" if tally.good else "failed",
            summary=as_text(_summary(tally)),
            facts=self._facts(),
            verdict_choices="".join(_verdict_choices(tally)),
            group_choices="".join(
                f'<option value="{as_text(group)}">{as_text(group)} {as_text(GROUPS.get(group, ""))}</option>'
                for group in dict.fromkeys(rule.group for rule in tally.rules.values())
            ),
            rules="".join(_rule_groups(tally)),
            scenarios="".join(scenario_section(scenario, tally) for scenario in scenarios),
            footer=as_text(f"kong-metering {started.version}"),
        )

    def _facts(self) -> str:
        started = self._tally.started
        assert started is not None
        made_by = self._implementation or default_implementation(started.target, started.version)
        told = {
            "Target": started.target,
            "Profile": started.profile,
            "Date": self._date.isoformat(timespec="seconds"),
            "Form of Consumers' names": subject_form_words(self._tally),
            "Implementation": " ".join(filter(None, (made_by.project, made_by.version))),
            "Organization": made_by.organization or "",
            "URL": made_by.url or "",
            "Contact": ", ".join(made_by.contact),
        }
        return facts(told)


def _summary(tally: Tally) -> str:
    started, finished = tally.started, tally.finished
    assert started is not None and finished is not None
    counts = [f"{tally.count(one)} {one.value}" for one in Verdict if tally.count(one) or one is Verdict.PASS]
    covered = sum(tally.verdict(rule) not in (Verdict.NOT_COVERED, Verdict.SKIP) for rule in tally.rules)
    words = f"{counted(len(tally.scenarios), 'scenario')} in {finished.seconds:.1f} s: {', '.join(counts)}."
    words += f" Rules covered: {covered} of {len(tally.rules)}."
    if started.strict:
        words += " Strict: findings are failures."
    if finished.aborted:
        words += f" The run could not be completed: {finished.aborted}"
    return words


def _verdict_choices(tally: Tally) -> Iterator[str]:
    for verdict in WORST_FIRST:
        rules = sum(tally.verdict(rule) is verdict for rule in tally.rules)
        if rules or tally.count(verdict):
            figures = f"{rules}/{tally.count(verdict)}"
            box = f'<input type="checkbox" name="verdict" value="{verdict.value}">'
            yield f'<label>{box} <span class="{_class(verdict)}">{verdict.value}</span> {figures}</label>\n'


def _rule_groups(tally: Tally) -> Iterator[str]:
    for group in dict.fromkeys(rule.group for rule in tally.rules.values()):
        title = f"{group} {GROUPS.get(group, '')}".strip()
        yield f'<tbody><tr class="group"><th colspan="5" scope="rowgroup">{as_text(title)}</th></tr>\n'
        for rule in tally.rules.values():
            if rule.group == group:
                yield _rule_row(rule, tally)
        yield "</tbody>\n"


def _rule_row(rule: Rule, tally: Tally) -> str:
    verdict = tally.verdict(rule.id)
    links = "".join(
        f'<li><a href="#{as_text(scenario_target(one.id))}">{as_text(one.id)}</a></li>'
        for one in tally.of_rule(rule.id)
    )
    return (
        f'<tr data-verdict="{verdict.value}" data-groups="{as_text(rule.group)}">'
        f'<th scope="row">{as_text(rule.id)}</th>'
        f'<td><span class="badge {_class(verdict)}">{verdict.value}</span></td><td>{as_text(rule.text)}</td>'
        f"<td>{as_text(', '.join(rule.provenance))}</td><td>{f'<ul>{links}</ul>' if links else ''}</td></tr>\n"
    )


def _class(verdict: Verdict) -> str:
    return verdict.value.replace(" ", "-")
