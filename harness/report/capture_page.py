"""A capture as one HTML page that needs no second file: totals, a timeline of deliveries, what was wrong.

A row of the timeline is one batch with all its tries: requests of a lane with the same body.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from harness.capture.record import CapturedRequest, Relayed
from harness.report.evidence import visible
from harness.report.html_page import as_text, facts, page_style, policy_hash, titled
from harness.report.svg_scales import LinearScale

#: Batches that are drawn (those tried again first come first), and findings and subjects that are listed.
MOST_BATCHES, MOST_FINDINGS, MOST_SUBJECTS = 200, 200, 50
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 760, 128, 20, 8, 20
_BAD = ("invalid", "refused")
_STYLE = """\
.taken { fill: var(--pass); } .again { fill: none; stroke: var(--pass); stroke-width: 2; }
.unheard { fill: var(--pass); stroke: var(--fail); stroke-width: 2.5; }
.wrong { fill: var(--finding); } .refused { stroke: var(--fail); stroke-width: 2.5; fill: none; }
.tries { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 3; }
.legend { color: var(--quiet); } .legend span { margin-right: 1.25rem; display: inline-block; }
.legend svg { width: 14px; height: 14px; vertical-align: -2px; margin-right: .35rem; }
"""
#: The marks of the timeline around (0, 0), and what they say.
_MARKS = {
    "taken": ('<circle class="taken" r="5"/>', "accepted"),
    "again": ('<circle class="again" r="4.5"/>', "duplicate"),
    "unheard": ('<circle class="unheard" r="4.5"/>', "taken in, and the client got no answer"),
    "wrong": ('<path class="wrong" d="M0 -6L6 0L0 6L-6 0Z"/>', "answered with success, though an event is invalid"),
    "refused": ('<path class="refused" d="M-4 -4l8 8m0 -8l-8 8"/>', "not taken"),
}
_NEAR = 36  # a status is written beside its mark unless the next one is nearer


@dataclass(frozen=True, slots=True)
class Try:
    """One request: ``at`` in seconds since the epoch, place, lane, entries, status, fault, relay and verdicts."""

    at: float
    place: int
    lane: str
    entries: int
    status: int | None
    fault: str | None
    relayed: Relayed | None = None
    outcomes: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """The name of its mark."""
        if self.status is None and self.outcomes & {"accepted", "duplicate"}:
            return "unheard"
        if not self.succeeded:
            return "refused"
        if "invalid" in self.outcomes:
            return "wrong"
        return "again" if self.outcomes == {"duplicate"} else "taken"

    @property
    def succeeded(self) -> bool:
        """Whether it was answered with success."""
        return self.status is not None and 200 <= self.status < 300

    def words(self, start: float) -> str:
        """Return the try in words; times since ``start``."""
        answer = "no answer" if self.status is None else str(self.status)
        fault = f" ({self.fault})" if self.fault else ""
        relayed = f", {visible(self.relayed.words())}" if self.relayed is not None else ""
        return f"{self.at - start:.6g} s: request {self.place}, {self.entries} events, {answer}{fault}{relayed}"


@dataclass(slots=True)
class Relays:
    """The requests that a real endpoint answered alike: how many, their seconds, and the bytes of the answers."""

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    size: int = 0

    def add(self, relayed: Relayed) -> None:
        """Take in one request."""
        self.count += 1
        self.seconds += relayed.seconds
        self.longest = max(self.longest, relayed.seconds)
        self.size += relayed.size


@dataclass(slots=True)
class CaptureSummary:
    """What the page tells of a capture. Memory grows with the number of different batches."""

    requests: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    subjects: Counter[str] = field(default_factory=Counter)
    batches: dict[tuple[str, bytes], list[Try]] = field(default_factory=dict)
    findings: list[tuple[str, int | None, str]] = field(default_factory=list)
    relays: dict[tuple[str, int | None], Relays] = field(default_factory=dict)

    def add(self, place: int, request: CapturedRequest, subjects: Sequence[str | None]) -> None:
        """Take in the request at ``place`` with the subjects of its events."""
        self.requests += 1
        self.verdicts.update(verdict.verdict for verdict in request.verdicts)
        for subject, verdict in zip(subjects, request.verdicts, strict=False):
            if verdict.verdict == "accepted":
                self.subjects[subject if subject is not None else "(none)"] += 1
        key = (request.lane, hashlib.blake2b(request.body_bytes(), digest_size=16).digest())
        made = Try(
            request.arrived_at,
            place,
            request.lane,
            len(request.verdicts),
            request.status,
            request.fault,
            request.relayed,
            frozenset(verdict.verdict for verdict in request.verdicts),
        )
        if request.relayed is not None:
            self.relays.setdefault((request.relayed.host, request.relayed.status), Relays()).add(request.relayed)
        self.batches.setdefault(key, []).append(made)
        found = [(None, finding) for finding in request.findings]
        each = [(index, one) for index, verdict in enumerate(request.verdicts) for one in verdict.findings]
        for index, finding in (*found, *each):
            if len(self.findings) < MOST_FINDINGS:
                at = f" {finding.pointer}" if finding.pointer else ""
                name = f"{request.lane}#{place}"
                self.findings.append((name, index, f"{finding.rule}{at}: {finding.message}"))


def capture_page(summary: CaptureSummary, title: str) -> str:
    """Return the whole page."""
    style = page_style() + _STYLE
    counts = {name: f"{summary.verdicts[name]:,}" for name in ("accepted", "duplicate", *_BAD)}
    tried = sum(len(tries) > 1 for tries in summary.batches.values())
    told = {"requests": f"{summary.requests:,}", "events": f"{summary.verdicts.total():,}", **counts}
    told["batches tried more than once"] = f"{tried:,}"
    moments = [one.at for tries in summary.batches.values() for one in tries]
    told |= {"from": _clock(min(moments)), "to": _clock(max(moments))} if moments else {}
    policy = f"default-src 'none'; style-src '{policy_hash(style)}'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{as_text(title)}</title><style>{style}</style></head><body><main>"
        f"<h1>{as_text(title)}</h1>{facts(told)}"
        f"<h2>Deliveries</h2>{_timeline(summary.batches)}"
        f"{_relays(summary.relays)}"
        f"<h2>Findings</h2>{_findings(summary)}"
        f"<h2>Accepted events by subject</h2>{_subjects(summary.subjects)}"
        "</main></body></html>\n"
    )


def _timeline(batches: dict[tuple[str, bytes], list[Try]]) -> str:
    if not batches:
        return "<p>No request was captured.</p>"
    every = list(batches.values())
    shown = sorted(every, key=lambda tries: (len(tries) < 2 and tries[0].succeeded, tries[0].at))[:MOST_BATCHES]
    shown.sort(key=lambda tries: tries[0].at)
    start = min(tries[0].at for tries in shown)
    end = max(one.at for tries in shown for one in tries)
    axis = LinearScale(0.0, max(end - start, 1e-3) * 1.02, _LEFT, _WIDTH - _RIGHT)
    bottom = _TOP + len(shown) * _ROW
    drawn = []
    for at in axis.ticks():
        x = axis.place(at)
        drawn.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
        drawn.append(f'<text class="tick" x="{x}" y="{bottom + 14}" text-anchor="middle">{at:.6g} s</text>')
    for index, tries in enumerate(shown):
        y = _TOP + index * _ROW + _ROW / 2
        lane = f"{tries[0].lane} " if tries[0].lane else ""
        name = visible(f"{lane}#{tries[0].place}")[:20]
        drawn.append(f'<text class="label" x="0" y="{y + 4}">{as_text(name)}</text>')
        drawn += _batch(tries, start, axis, y)
    words = as_text(f"{len(every)} batches, {sum(map(len, every))} requests")
    picture = (
        f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {bottom + 24}" aria-label="{words}">'
        f"{''.join(drawn)}</svg>"
    )
    more = len(every) - len(shown)
    return (
        _legend(shown)
        + picture
        + (f'<p class="note">{more:,} batches more, delivered at once, are not drawn.</p>' if more else "")
    )


def _batch(tries: Sequence[Try], start: float, axis: LinearScale, y: float) -> Iterable[str]:
    """Yield the marks of a batch: its tries, a line through them, and the status of those that were not taken."""
    places = [axis.place(one.at - start) for one in tries]
    if len(tries) > 1:
        yield f'<line class="tries" x1="{places[0]}" y1="{y}" x2="{places[-1]}" y2="{y}"/>'
    for index, (one, x) in enumerate(zip(tries, places, strict=True)):
        shape = f'<g transform="translate({x} {y})">{_MARKS[one.mark][0]}</g>'
        yield titled(shape, one.words(start))
        room = (places[index + 1] if index + 1 < len(places) else _WIDTH) - x
        if one.mark == "refused" and room > _NEAR:
            yield f'<text class="tick" x="{x + 8}" y="{y + 4}">{one.status or "no answer"}</text>'


def _legend(shown: Iterable[Sequence[Try]]) -> str:
    there = {one.mark for tries in shown for one in tries}
    entries = [
        f'<span><svg viewBox="-7 -7 14 14" aria-hidden="true">{shape}</svg>{words}</span>'
        for name, (shape, words) in _MARKS.items()
        if name in there
    ]
    return f'<p class="legend">{"".join(entries)}</p>'


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def _relays(relays: dict[tuple[str, int | None], Relays]) -> str:
    if not relays:
        return ""
    rows = [
        (
            visible(host),
            "no answer" if status is None else str(status),
            f"{each.count:,}",
            f"{each.seconds / each.count * 1000:,.0f} ms",
            f"{each.longest * 1000:,.0f} ms",
            f"{each.size:,}",
        )
        for (host, status), each in sorted(relays.items(), key=lambda one: (one[0][0], one[0][1] or 1000))
    ]
    head = ("host", "answer", "requests", "mean time", "longest", "bytes answered")
    return f"<h2>Real endpoint</h2>{_table(head, rows)}"


def _findings(summary: CaptureSummary) -> str:
    if not summary.findings:
        return "<p>None.</p>"
    rows = [(name, "" if index is None else str(index + 1), words) for name, index, words in summary.findings]
    return _table(("request", "event", "finding"), rows)


def _subjects(subjects: Counter[str]) -> str:
    rows = [(subject, f"{count:,}") for subject, count in subjects.most_common(MOST_SUBJECTS)]
    more = len(subjects) - len(rows)
    note = f'<p class="note">{more:,} subjects more.</p>' if more > 0 else ""
    return (_table(("subject", "events"), rows) if rows else "<p>None.</p>") + note


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<th>{as_text(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{as_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
