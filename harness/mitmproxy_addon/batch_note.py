"""What was decided about a batch, kept with its flow: it is shown, saved and forgotten as the flow is."""

from __future__ import annotations

import msgspec
from mitmproxy import http

from harness.capture.verdict import Finding, Outcome, Verdict

_KEY = "metering"

#: Markers of mitmproxy's, for the worst that can be said of a batch.
INVALID_MARK, DUPLICATE_MARK, RETRIED_MARK = ":red_circle:", ":large_orange_diamond:", ":arrows_counterclockwise:"


class BatchNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """One captured request: ``n`` in its ``lane``, and what CapturedRequest says of it under the same names.

    ``tries`` are the numbers of the earlier requests with the same body, the oldest first, and how each ended.
    """

    n: int
    lane: str
    arrived_at: float
    status: int | None = None
    fault: str | None = None
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    tries: tuple[tuple[int, str], ...] = ()

    def count(self, outcome: Outcome) -> int:
        """Return how many entries have the verdict ``outcome``."""
        return sum(verdict.verdict == outcome for verdict in self.verdicts)

    @property
    def ending(self) -> str:
        """How the request ended, for its client."""
        return ending(self.status, self.fault)

    @property
    def mark(self) -> str:
        """The marker of the flow; "" for a batch with nothing to say of it."""
        if self.findings or self.count("invalid"):
            return INVALID_MARK
        if self.count("duplicate"):
            return DUPLICATE_MARK
        return RETRIED_MARK if self.tries else ""

    @property
    def comment(self) -> str:
        """What is out of the ordinary, in a line; "" when nothing is."""
        parts = []
        invalid, duplicates = self.count("invalid"), self.count("duplicate")
        if invalid:
            parts.append(f"{invalid} of {len(self.verdicts)} invalid")
        if duplicates:
            parts.append(f"{duplicates} of {len(self.verdicts)} duplicate")
        if self.tries:
            number, how = self.tries[-1]
            parts.append(f"try {len(self.tries) + 1} of this batch, before in #{number} ({how})")
        if self.fault is not None:
            parts.append(f"fault: {self.fault}")
        found = [*self.findings]
        for verdict in self.verdicts:
            found += verdict.findings if verdict.verdict == "invalid" else ()
        parts += [f"{finding.rule} {finding.pointer}: {finding.message}" for finding in found[:1]]
        return "; ".join(parts)


def ending(status: int | None, fault: str | None) -> str:
    """Return how a request ended, for its client: the status, or why there was none."""
    if status is not None:
        return str(status)
    return "no answer" if fault is None else f"no answer: {fault}"


def write_note(flow: http.HTTPFlow, note: BatchNote) -> None:
    """Keep ``note`` with the flow, and mark and comment the flow by it."""
    flow.metadata[_KEY] = msgspec.json.encode(note).decode()
    flow.marked = note.mark
    flow.comment = note.comment


def read_note(flow: object) -> BatchNote | None:
    """Return the note of ``flow``, also of one read from a file; None when it has none that can be read."""
    text = flow.metadata.get(_KEY) if isinstance(flow, http.HTTPFlow) else None
    try:
        return msgspec.json.decode(text, type=BatchNote) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None
