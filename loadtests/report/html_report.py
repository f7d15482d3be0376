"""A load as one HTML page: it needs no server, no network, no script and no second file."""

from __future__ import annotations

from pathlib import Path
from string import Template

from harness.plugin_config.sizing.quantities import duration_text, rate_text
from harness.report import html_page
from harness.report.html_page import as_text
from loadtests.report import html_sections as sections
from loadtests.report import words
from loadtests.report.comparison import Comparison
from loadtests.report.recorded import RecordedReport
from loadtests.report.sparkline import sparkline

_ASSETS = Path(__file__).with_name("assets")
_JUDGED = {"better": "pass", "worse": "fail", "same": "skip", "": "skip"}


def page(report: RecordedReport, comparison: Comparison | None = None) -> str:
    """Return the page; with a comparison, what changed since the last run is in it."""
    style = html_page.page_style() + html_page.asset(_ASSETS / "load.css")
    parts = [
        sections.limits(report),
        sections.figures(report),
        "" if comparison is None else _comparison(comparison),
        sections.over_time(report),
        sections.distributions(report),
        sections.losses(report),
        sections.overhead(report),
        sections.examples(report),
        sections.again(report),
    ]
    return Template(html_page.asset(_ASSETS / "load.html")).substitute(
        title=as_text(words.title(report)),
        style=style,
        style_hash=html_page.policy_hash(style),
        outcome="pass" if report.kept else "fail",
        outcome_words="limits kept" if report.kept else "limits broken",
        summary=as_text(words.headline(report)),
        facts=html_page.facts(words.facts(report)),
        sections="".join(parts),
        footer=as_text(f"kong-metering {report.document['surroundings']['harness_version']}"),
    )


def _comparison(comparison: Comparison) -> str:
    body = f"<p>{as_text(comparison.heading)}</p>"
    changes = comparison.changes()
    if changes:
        rows = [
            (
                as_text(one.name),
                as_text(one.before),
                as_text(one.now),
                as_text(one.change),
                f'<span class="{_JUDGED[one.judgement]}">{as_text(one.judgement)}</span>',
            )
            for one in changes
        ]
        body += _last_runs(comparison)
        body += sections.table(["measure", "before", "now", "change", "judged"], rows, numbers=(1, 2, 3))
    return sections.section("compared", "Compared with earlier runs", body)


def _last_runs(comparison: Comparison) -> str:
    runs = comparison.runs
    lines = [
        ("requests a second", sparkline("requests a second", [one.achieved for one in runs], rate_text)),
        (
            "billing latency p99",
            sparkline("billing latency p99", [one.billing_latency_seconds.get("p99") for one in runs], duration_text),
        ),
        ("events lost", sparkline("events lost", [float(one.lost) for one in runs], "{:,.0f}".format)),
    ]
    drawn = "".join(f"<figure><figcaption>{as_text(name)}</figcaption>{line}</figure>" for name, line in lines)
    rows = [
        (
            sections.code(one.run),
            as_text(one.at),
            sections.badge("pass" if one.kept else "fail", "kept" if one.kept else ", ".join(one.broken)),
            as_text(rate_text(one.achieved)),
            as_text(duration_text(p99)) if (p99 := one.billing_latency_seconds.get("p99")) is not None else "–",
            f"{one.lost:,}",
            f"{one.lost_not_allowed:,}",
        )
        for one in reversed(runs)
    ]
    head = ["run", "date", "limits", "requests a second", "billing latency p99", "events lost", "not allowed"]
    table = sections.table(head, rows, numbers=(3, 4, 5, 6))
    return f'<div class="sparks">{drawn}</div>{sections.folded(f"The last {len(runs)} runs", table)}'
