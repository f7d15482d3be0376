"""What the ingest process prints: that it is ready, a line for each request, a summary."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from harness.capture.record import CapturedRequest
from harness.ingest.lanes import Counts
from harness.ingest.messages import Receipt, Verdict

_COLOURS = {"accepted": "green", "duplicate": "cyan", "invalid": "bold red", "refused": "yellow"}
_NAMED = 3  # most different subjects or types named in one line
_WIDEST = 60  # characters shown of a value that came from outside


class IngestConsole:
    """Prints JSON lines or text; a reader who leaves does not disturb the endpoint."""

    def __init__(self, console: Console, as_json: bool = False, quiet: bool = False) -> None:
        self._console = console
        self._json = as_json
        self._quiet = quiet

    def ready(self, host: str, port: int, control_port: int | None, capture: Path) -> None:
        """Say that requests are taken."""
        document = {"ready": True, "host": host, "port": port, "control_port": control_port, "capture": str(capture)}
        text = Text(f"ingest listening on http://{host}:{port}, any path ending in /events, capture in {capture}")
        if control_port is not None:
            text.append(f", control on http://127.0.0.1:{control_port}")
        self._print(document, text)

    def request(self, record: CapturedRequest, receipt: Receipt) -> None:
        """Print one received request."""
        if self._quiet:
            return
        if self._json:
            self._print(_document(record, receipt), Text())
        else:
            self._print({}, _line(record, receipt))

    def summary(self, counts: Counts) -> None:
        """Print the totals."""
        text = (
            f"{counts.requests} requests, {counts.events} events: {counts.accepted} accepted, "
            f"{counts.duplicate} duplicates, {counts.invalid} invalid, {counts.refused} refused"
        )
        self._print({"summary": dataclasses.asdict(counts)}, Text(text))

    def _print(self, document: dict[str, Any], text: Text) -> None:
        try:
            if self._json:
                self._console.file.write(orjson.dumps(document).decode() + "\n")
            else:
                self._console.print(text, soft_wrap=True)
            self._console.file.flush()
        except OSError:  # nobody reads any more: go on without
            self._quiet = True
            self._console = Console(file=open(os.devnull, "w", encoding="utf-8"), highlight=False)  # noqa: SIM115, PTH123
            sys.stdout = self._console.file


def _document(record: CapturedRequest, receipt: Receipt) -> dict[str, Any]:
    events = [
        {**_identity(event), "verdict": verdict.verdict, "findings": [_finding(item) for item in verdict.findings]}
        for event, verdict in zip(receipt.events, receipt.verdicts, strict=True)
    ]
    return {
        "n": record.n,
        "lane": record.lane,
        "status": record.status,
        "fault": record.fault,
        "findings": [_finding(item) for item in receipt.findings],
        "events": events,
    }


def _identity(event: Any) -> dict[str, Any]:
    if not isinstance(event, dict):
        return {"id": None, "source": None, "subject": None, "type": None}
    return {name: event.get(name) for name in ("id", "source", "subject", "type")}


def _finding(finding: Any) -> dict[str, str]:
    return {"rule": finding.rule, "pointer": finding.pointer, "message": finding.message}


def _line(record: CapturedRequest, receipt: Receipt) -> Text:
    text = Text(f"#{record.n} ")
    if record.lane:
        text.append(f"[{_shown(record.lane)}] ")
    status = "no answer" if record.status is None else str(record.status)
    text.append(status, "green" if record.status is not None and record.status < 300 else "yellow")
    if record.fault is not None:
        text.append(f" ({record.fault})", "yellow")
    if len(receipt.events) != 1:
        text.append(f" {len(receipt.events)} events")
    for member in ("subject", "type"):
        values = [_identity(event)[member] for event in receipt.events]
        names = _several(["-" if value is None else str(value) for value in values])
        if names:
            text.append(f"  {names}")
    for outcome, count in Counter(verdict.verdict for verdict in receipt.verdicts).items():
        text.append(f"  {outcome}" + (f" ×{count}" if count > 1 else ""), _COLOURS[outcome])
    findings = [*receipt.findings, *_all_findings(receipt.verdicts)]
    if findings:
        first = findings[0]
        place = f" {first.pointer}" if first.pointer else ""
        more = f" (+{len(findings) - 1} more)" if len(findings) > 1 else ""
        text.append(_shown(f"  {first.rule}{place}: {first.message}", 200) + more, "red")
    return text


def _all_findings(verdicts: Any) -> list[Any]:
    return [finding for verdict in verdicts if isinstance(verdict, Verdict) for finding in verdict.findings]


def _several(values: list[str]) -> str:
    counted = Counter(values)
    parts = [_shown(value) + (f" ×{n}" if n > 1 else "") for value, n in counted.most_common(_NAMED)]
    return ", ".join(parts) + (" …" if len(counted) > _NAMED else "")


def _shown(value: str, width: int = _WIDEST) -> str:
    """Return ``value`` fit for a terminal: on one line, without control characters, not too long."""
    clean = "".join(character if character.isprintable() else "�" for character in value[: width + 1])
    return clean if len(clean) <= width else clean[: width - 1] + "…"
