"""The sections of a load's page: each a heading, a plot where there is one, and its numbers as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.plugin_config.sizing.quantities import duration_text
from harness.report.html_page import as_text
from loadtests.report import plots, words
from loadtests.report.recorded import RecordedReport

#: Requests of a class that are named in the page; report.json names more.
MOST_NAMED = 20
_MOST_ARRIVALS = 5
_STRANGERS = (
    "other_run",
    "unnumbered",
    "unnumbered_accepted",
    "malformed",
    "malformed_accepted",
    "not_in_ledger",
    "unrecorded",
)
_TONES = {"good": "pass", "notable": "finding", "bad": "fail"}


def limits(report: RecordedReport) -> str:
    """Return each limit, what was seen, and whether it was kept."""
    rows = [
        (
            badge("pass" if one["kept"] else "fail", "kept" if one["kept"] else "broken"),
            code(one["option"]),
            as_text(one["about"]),
            as_text(one["limit"]),
            as_text(one["seen"]),
        )
        for one in report.document["verdicts"]
    ]
    head = ["verdict", "option", "what is limited", "limit", "seen"]
    return section("limits", "Limits", table(head, rows, numbers=(3, 4), row_heads=False))


def figures(report: RecordedReport) -> str:
    """Return the main figures, requests by class, latency against its bound."""
    told = table(["", ""], [(as_text(name), as_text(said)) for name, said in words.figures(report)], head=False)
    classes = [
        (
            f'<span class="{_TONES[one.tone]}">{as_text(one.name)}</span>',
            f"{one.count:,}",
            f"{one.share * 100:.4g}%",
            as_text(one.meaning),
        )
        for one in words.classes(report)
    ]
    by_class = table(["class", "requests", "share", "meaning"], classes, numbers=(1, 2))
    bound = report.document["billing_latency_bound_seconds"]
    latencies = [
        (as_text(name), as_text(duration_text(value)), f"{value / bound * 100:,.0f}%" if bound else "–")
        for name, value in words.latencies(report)
    ]
    latencies.append(("bound of the queue settings", as_text(duration_text(bound)), ""))
    by_percentile = table(["billing latency", "", "of the bound"], latencies, numbers=(1, 2))
    both = f'<div class="beside"><div>{by_class}</div><div>{by_percentile}</div></div>'
    return section("figures", "Figures", told + both)


def over_time(report: RecordedReport) -> str:
    """Return the plots over time, what was disturbed, and all intervals as a table."""
    drawn = [
        plots.rate_plot(report),
        plots.lag_plot(report),
        plots.backlog_plot(report),
        plots.deliveries_plot(report),
    ]
    parts = [figure(plot.words, plot.svg()) for plot in drawn]
    disturbed = [
        (
            as_text(one.about),
            as_text(plots.span_words(one.began, one.ended)),
            as_text(duration_text(one.ended - one.began)),
        )
        for one in report.disturbances
    ]
    if disturbed:
        parts.insert(0, table(["disturbed on purpose", "when", "length"], disturbed))
    note = (
        "Latency is that of the events whose requests ended in the interval. The backlog is what was due and had not "
        "arrived; events that are lost stay in it."
    )
    parts.append(f'<p class="note">{note}</p>')
    return section("time", "Over time", "".join(parts) + folded("Figures by interval", _intervals(report)))


def distributions(report: RecordedReport) -> str:
    """Return the distribution of billing latencies and of batch sizes."""
    parts = []
    if report.histogram.get_total_count():
        latency = plots.latency_plot(report)
        parts.append(figure(latency.words, latency.svg()))
    if report.sizes:
        batches = plots.batches_plot(report)
        rows = [(as_text(plots.size_words(low, high)), f"{count:,}") for low, high, count in plots.batch_bins(report)]
        parts.append(figure(batches.words, batches.svg()))
        parts.append(folded("Batch sizes as a table", table(["batch", "POSTs"], rows, numbers=(1,))))
    posts = report.account["deliveries"]
    tables = []
    for title, counts in (
        ("POSTs answered", posts.get("by_status", {})),
        ("POSTs with a fault", posts.get("by_fault", {})),
    ):
        rows = [(as_text("no answer" if name == "0" else name), f"{count:,}") for name, count in counts.items()]
        if rows:
            tables.append(f"<div>{table([title, 'POSTs'], rows, numbers=(1,))}</div>")
    parts.append(f'<div class="beside">{"".join(tables)}</div>' if tables else "")
    return section("distributions", "Distributions", "".join(parts) or "<p>Nothing arrived.</p>")


def losses(report: RecordedReport) -> str:
    """Return lost events by the rule that allows them, predicted and seen."""
    told = report.document["losses"]
    rows = [tuple(map(as_text, row)) for row in words.losses(report)]
    head = ["rule", "why", "predicted", "the gateway says", "seen"]
    verdict = (
        badge("fail", f"{told['not_allowed']:,} not allowed") if told["not_allowed"] else badge("pass", "allowed")
    )
    lost = f"{verdict} " if told["lost"] else ""
    body = f"<p>{lost}{as_text(told['agreement'])}</p>{table(head, rows, numbers=(2, 3, 4))}"
    return section("losses", "Lost events", body)


def overhead(report: RecordedReport) -> str:
    """Return client latency while the ingest endpoint hung and while it did not; nothing when not measured."""
    rows = [tuple(map(as_text, row)) for row in words.overhead(report)]
    told = report.document["overhead"]
    if told is None:
        return ""
    about = (
        f"<p>Clients must not wait for the ingest endpoint (DLV-5). {told['pairs']} seconds in which it hung, each "
        f"beside the second after it; {told['requests']:,} requests; medians.</p>"
    )
    head = ["client latency", "ingest hangs", "ingest answers", "increase"]
    return section("overhead", "Overhead", about + table(head, rows, numbers=(1, 2, 3)))


def examples(report: RecordedReport) -> str:
    """Return requests by number, class by class, with the events that came for them."""
    parts = []
    for name, found in report.account["examples"].items():
        if found:
            count = report.account["classes"].get(name, len(found))
            title = f"{name.replace('_', ' ')}: {min(len(found), MOST_NAMED):,} of {count:,}"
            rows = [_example(report, one) for one in found[:MOST_NAMED]]
            head = ["request", "kind", "answer", "began", "events that came"]
            parts.append(folded(title, table(head, rows, numbers=(2, 3))))
    strangers = report.account["strangers"]
    counts = {name: strangers.get(name, 0) for name in _STRANGERS}
    if any(counts.values()):
        rows = [(as_text(name.replace("_", " ")), f"{count:,}") for name, count in counts.items() if count]
        parts.append(table(["events of no request of this run", "events"], rows, numbers=(1,)))
    note = '<p class="note">report.json names more of them, and ingest.capture has what arrived.</p>'
    return section("requests", "Requests by number", "".join(parts) + note) if parts else ""


def again(report: RecordedReport) -> str:
    """Return plan, surroundings and the command that runs it again."""
    target = report.document["surroundings"]["target"]
    more = "" if target == "emulator" else "<p>And the options that say where the gateway is.</p>"
    return section("again", "Run it again", f"<pre>{as_text(words.reproduce(report))}</pre>{more}")


def section(identifier: str, title: str, body: str) -> str:
    """Return a section of the page."""
    heading = f'<h2 id="{identifier}-heading">{as_text(title)}</h2>'
    return f'<section id="{identifier}" aria-labelledby="{identifier}-heading">{heading}{body}</section>\n'


def figure(caption: str, picture: str) -> str:
    """Return a plot with its name."""
    return f"<figure><figcaption>{as_text(caption)}</figcaption>{picture}</figure>\n"


def folded(title: str, body: str) -> str:
    """Return what shows when it is asked for."""
    return f'<details class="folded"><summary>{as_text(title)}</summary>{body}</details>\n'


def badge(style: str, text: str) -> str:
    """Return a word in a frame."""
    return f'<span class="badge {style}">{as_text(text)}</span>'


def code(text: str) -> str:
    """Return text as one types it."""
    return f"<code>{as_text(text)}</code>"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    head: bool = True,
    row_heads: bool = True,
) -> str:
    """Return a table of cells that are HTML already; the columns ``numbers`` are set to the right."""
    align = [' class="number"' if place in numbers else "" for place in range(len(columns))]
    names = "".join(
        f'<th scope="col"{style}>{as_text(name)}</th>' for name, style in zip(columns, align, strict=True)
    )
    body = []
    for row in rows:
        cells = [f"<td{style}>{cell}</td>" for cell, style in zip(row, align, strict=True)]
        if row_heads:
            cells[0] = f'<th scope="row">{row[0]}</th>'
        body.append(f"<tr>{''.join(cells)}</tr>\n")
    top = f"<thead><tr>{names}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{top}<tbody>{"".join(body)}</tbody></table></div>\n'


def _intervals(report: RecordedReport) -> str:
    names = ("requests", "due", "billed", "events", "deliveries", "retries", "refused", "backlog")
    lags = ("lag_p50", "lag_p99", "lag_max")
    head = ["from second", *names, *(name.replace("_", " ") for name in lags)]
    columns = [report.column(name) for name in (*names, *lags)]

    def rows() -> Iterator[list[str]]:
        for place, start in enumerate(report.starts):
            cells = [f"{start:.1f}"]
            for name, column in zip((*names, *lags), columns, strict=True):
                value = column[place]
                written = duration_text if name in lags else "{:,.0f}".format
                cells.append("" if value is None else as_text(written(value)))
            yield cells

    return table(head, rows(), numbers=range(1, len(head)))


def _example(report: RecordedReport, one: dict[str, Any]) -> tuple[str, ...]:
    began = one["started_at"] - report.document["began_at"]
    came = [_arrival(each) for each in one["arrivals"][:_MOST_ARRIVALS]]
    more = len(one["arrivals"]) - len(came) + one["more"]
    if more > 0:
        came.append(as_text(f"{more:,} more"))
    answer = "none" if one["status"] == 0 else str(one["status"])
    return (
        code(one["number"]),
        as_text(one["expectation"]),
        as_text(answer),
        as_text(f"{began:.3f} s"),
        f"<ul>{''.join(f'<li>{each}</li>' for each in came)}</ul>" if came else "none",
    )


def _arrival(event: dict[str, Any]) -> str:
    said = f"{event['type']} for {event['subject']}, {event['verdict']}, in POST {event['delivery']}"
    wrong = "; ".join(
        f"{each['path']}: expected {_value(each['expected'])}, seen {_value(each['seen'])}" for each in event["wrong"]
    )
    return as_text(said) + (f'; <span class="fail">{as_text(wrong)}</span>' if wrong else "")


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
