"""A load as GitHub-flavoured Markdown: for a step summary, a comment, a wiki page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.plugin_config.sizing.quantities import duration_text
from harness.report.markdown import block, code, prose
from loadtests.report import plots, words
from loadtests.report.comparison import Comparison
from loadtests.report.recorded import RecordedReport

#: Requests of a class that are named; report.json names more.
MOST_NAMED = 10
_MARKS = {"good": "✅", "notable": "🔎", "bad": "❌"}
_JUDGED = {"better": "✅ better", "worse": "❌ worse", "same": "same", "": ""}


def markdown(report: RecordedReport, comparison: Comparison | None = None) -> str:
    """Return the page, of some ten thousand bytes at most whatever the load was."""
    parts = [
        f"## {_mark(report.kept)} {prose(words.title(report))}",
        f"**{prose(words.headline(report))}**",
        _limits(report),
        _table(["", ""], ([prose(name), prose(said)] for name, said in words.figures(report))),
        _classes(report),
        _disturbances(report),
        *_losses(report),
        _overhead(report),
        *([] if comparison is None else _comparison(comparison)),
        *_named(report),
        *_again(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _mark(good: bool) -> str:
    return "✅" if good else "❌"


def _limits(report: RecordedReport) -> str:
    rows = (
        [_mark(one["kept"]), code(one["option"]), prose(one["about"]), prose(one["limit"]), prose(one["seen"])]
        for one in report.document["verdicts"]
    )
    return _table(["", "Limit", "What is limited", "At most", "Seen"], rows, numbers=(3, 4))


def _classes(report: RecordedReport) -> str:
    rows = (
        [_MARKS[one.tone], f"{one.count:,}", prose(one.name), prose(one.meaning)] for one in words.classes(report)
    )
    return _table(["", "Requests", "Class", "Meaning"], rows, numbers=(1,))


def _disturbances(report: RecordedReport) -> str:
    rows = [
        [prose(one.about), prose(plots.span_words(one.began, one.ended)), prose(duration_text(one.ended - one.began))]
        for one in report.disturbances
    ]
    return _table(["Disturbed on purpose", "When", "Length"], rows) if rows else ""


def _losses(report: RecordedReport) -> Iterator[str]:
    told = report.document["losses"]
    if told["lost"] or told["allowed"]:
        head = ["Rule", "Why", "Predicted", "The gateway says", "Seen"]
        yield _table(head, (map(prose, row) for row in words.losses(report)), numbers=(2, 3, 4))
        yield prose(told["agreement"])


def _overhead(report: RecordedReport) -> str:
    rows = [list(map(prose, row)) for row in words.overhead(report)]
    return _table(["Client latency", "Ingest hangs", "Answers", "Increase"], rows, numbers=(1, 2, 3)) if rows else ""


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield f"### Compared with earlier runs\n\n{prose(comparison.heading)}"
    rows = [
        [prose(one.name), prose(one.before), prose(one.now), prose(one.change), _JUDGED[one.judgement]]
        for one in comparison.changes()
    ]
    if rows:
        yield _table(["", "Before", "Now", "Change", ""], rows, numbers=(1, 2, 3))


def _named(report: RecordedReport) -> Iterator[str]:
    for one in words.classes(report):
        found = report.account["examples"].get(one.name.replace(" ", "_"), ())
        if one.tone == "bad" and found:
            numbers = ", ".join(code(each["number"]) for each in found[:MOST_NAMED])
            more = one.count - min(len(found), MOST_NAMED)
            yield f"{one.name}: {numbers}{f' and {more:,} more' if more > 0 else ''}"


def _again(report: RecordedReport) -> Iterator[str]:
    about = "; ".join(f"{name} {value}" for name, value in words.facts(report).items() if value)
    yield f"<details>\n<summary>Run it again</summary>\n\n{block('sh', words.reproduce(report))}\n\n</details>"
    yield prose(about)


def _table(head: Sequence[str], rows: Iterable[Iterable[str]], *, numbers: Sequence[int] = ()) -> str:
    rule = ["--:" if place in numbers else ":--" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
