"""mitmproxy's content view of a batch."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from mitmproxy import contentviews, http
from mitmproxy.flow import Flow

from harness.capture.verdict import ACCEPTED, Verdict
from harness.ingest.api import Judge
from harness.mitmproxy_addon.batch_note import read_note
from harness.mitmproxy_addon.event_table import event_rows, table

_CLOUD_EVENTS = ("application/cloudevents+json", "application/cloudevents-batch+json")


class EventsView(contentviews.View):
    """Shows a batch as a table of events with the verdicts it got; a batch that got none is judged by itself."""

    name: ClassVar[str] = "Usage events"

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def __call__(
        self,
        data: bytes,
        *,
        content_type: str | None = None,
        flow: Flow | None = None,
        http_message: http.Message | None = None,
        **unknown_metadata: Any,
    ) -> contentviews.TViewResult:
        """Return title and lines of the table."""
        note = read_note(flow)
        judgement = self.judge.judge(data)
        if note is not None and len(note.verdicts) == len(judgement.entries):
            verdicts, findings = list(note.verdicts), note.findings
        else:
            verdicts, findings = _verdicts(judgement), judgement.body_errors
        counted = Counter(verdict.verdict for verdict in verdicts)
        title = ", ".join(f"{counted[outcome]} {outcome}" for outcome in sorted(counted)) or "no events"
        if note is not None:
            title = f"#{note.n} {note.ending}: {title}"
        lines: Any = table(event_rows(judgement.entries, verdicts), findings)
        return f"Usage events, {title}", lines

    def render_priority(
        self,
        data: bytes,
        *,
        content_type: str | None = None,
        flow: Flow | None = None,
        http_message: http.Message | None = None,
        **unknown_metadata: Any,
    ) -> float:
        """Return 2, above mitmproxy's own views, for a request that is a batch."""
        if not data or isinstance(http_message, http.Response):
            return 0
        return 2 if content_type in _CLOUD_EVENTS or read_note(flow) is not None else 0


def _verdicts(judgement: Any) -> list[Verdict]:
    return [
        Verdict("invalid", judgement.errors[index])
        if index in judgement.errors
        else Verdict("accepted", remarks)
        if (remarks := judgement.remarks.get(index))
        else ACCEPTED
        for index in range(len(judgement.entries))
    ]
