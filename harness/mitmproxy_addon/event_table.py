"""A batch as a table of its events, or meter records: the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.capture.verdict import Finding, Verdict
from harness.ingest.apis import five_aspects, identity
from harness.ingest.five_aspects import FiveAspects, rfc_3339

#: The order of the rows.
_ORDER: Mapping[str, int] = {"invalid": 0, "refused": 1, "duplicate": 2, "accepted": 3}
#: mitmproxy's name of the style that a verdict is shown in.
_STYLES: Mapping[str, str] = {"invalid": "error", "refused": "highlight", "duplicate": "highlight"}
_NOTHING = FiveAspects(None, None, None, None, {})
_WIDEST = 36  # characters of a column
_WIDEST_KEY = 100
COLUMNS = ("verdict", "time", "subject", "type", "key data", "id")

Line = list[tuple[str, str]]


@dataclass(frozen=True)
class EventRow:
    """One entry: ``cells`` as COLUMNS names them, fit to be shown, and what was found."""

    cells: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The entry's verdict."""
        return self.cells[0]


def event_rows(entries: Sequence[Any], verdicts: Sequence[Verdict]) -> list[EventRow]:
    """Return a row for each entry: invalid ones first, then refused, duplicate and accepted ones, each as sent."""
    rows = [_row(entry, verdict) for entry, verdict in zip(entries, verdicts, strict=False)]
    return sorted(rows, key=lambda row: _ORDER[row.verdict])


def table(rows: Sequence[EventRow], findings: Sequence[Finding] = ()) -> Iterator[Line]:
    """Yield the lines of the table in mitmproxy's styles; ``findings`` are those on the request as a whole."""
    for finding in findings:
        yield [("error", _told(finding))]
    widths = [max(len(cell) for cell in column) for column in zip(COLUMNS, *(row.cells for row in rows), strict=True)]
    yield [("header", _padded(COLUMNS, widths))]
    for row in rows:
        first, *others = row.cells
        yield [
            (_STYLES.get(row.verdict, "text"), first.ljust(widths[0])),
            ("text", "  " + _padded(others, widths[1:])),
        ]
        for finding in row.findings:
            yield [("error", f"  └ {_told(finding)}")]


def entry_id(entry: Any) -> str | None:
    """Return what tells an entry from others: an event's id, a record's uniqueId."""
    found = next(iter(identity(entry).values()), None)
    return found if isinstance(found, str) else None


def _row(entry: Any, verdict: Verdict) -> EventRow:
    aspects = five_aspects(entry) or _NOTHING
    parts = [] if aspects.how_much in (None, 1) else [f"×{aspects.how_much}"]
    parts += [f"{name}={value}" for name, value in aspects.where.items()]
    cells = (
        verdict.verdict,
        "-" if aspects.when is None else rfc_3339(aspects.when),
        shown(aspects.whom or "-"),
        shown(aspects.what or "-"),
        shown(" ".join(parts) or "-", _WIDEST_KEY),
        shown(entry_id(entry) or "-", _WIDEST_KEY),
    )
    return EventRow(cells, verdict.findings)


def shown(value: str, width: int = _WIDEST) -> str:
    """Return a value that came from outside fit for a table: on one line, nothing invisible, not too long."""
    clean = "".join(character if character.isprintable() else "�" for character in value[: width + 1])
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def _told(finding: Finding) -> str:
    place = f" {finding.pointer}" if finding.pointer else ""
    return shown(f"{finding.rule}{place}: {finding.message}", 400)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
