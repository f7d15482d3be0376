"""What the ingest process prints: that it is ready, a line for each request, a summary."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import orjson
from rich.console import Console
from rich.text import Text

from harness.capture.record import CapturedRequest
from harness.ingest.apis import five_aspects, identity
from harness.ingest.five_aspects import FiveAspects, rfc_3339
from harness.ingest.lanes import Counts
from harness.ingest.messages import Receipt, Verdict

_COLOURS = {"accepted": "green", "duplicate": "cyan", "invalid": "bold red", "refused": "yellow"}
_NAMED = 3  # most different subjects or types named in one line
_NO_ASPECTS = FiveAspects(None, None, None, None, {})
_WIDEST_WHERE = 400
_WIDEST = 60  # characters shown of a value that came from outside


@dataclasses.dataclass(frozen=True)
class StandsIn:
    """What the ready line says of standing in: the ``hosts``, the proxy's port if any, the certificate to trust."""

    hosts: tuple[str, ...]
    proxy_port: int | None
    ca: str


class IngestConsole:
    """Prints JSON lines or text; a reader who leaves does not disturb the endpoint."""

    def __init__(self, console: Console, as_json: bool = False, quiet: bool = False, aspects: bool = False) -> None:
        """``aspects`` adds a line for each entry with its five aspects."""
        self._console = console
        self._json = as_json
        self._quiet = quiet
        self._aspects = aspects

    def ready(
        self,
        host: str,
        port: int,
        control_port: int | None,
        capture: Path,
        suffix: str,
        stands_in: StandsIn | None = None,
        relay: str | None = None,
    ) -> None:
        """Say that requests are taken, whose path ends in ``suffix``, for whose hosts, and who answers."""
        document: dict[str, Any] = {
            "ready": True,
            "host": host,
            "port": port,
            "control_port": control_port,
            "capture": str(capture),
        }
        text = Text(f"ingest listening on http://{host}:{port}, any path ending in {suffix}, capture in {capture}")
        if control_port is not None:
            text.append(f", control on http://127.0.0.1:{control_port}")
        if relay is not None:
            document["relay"] = relay
            text.append(f"\nrequests are passed on to {relay}, redirects are not followed")
        if stands_in is not None:
            document |= dataclasses.asdict(stands_in)
            text.append(f"\nTLS on that port for {', '.join(stands_in.hosts)}; clients have to trust {stands_in.ca}")
            if stands_in.proxy_port is not None:
                text.append(f"\nproxy for these hosts: HTTPS_PROXY=http://{host}:{stands_in.proxy_port}")
        self._print(document, text)

    def request(self, record: CapturedRequest, receipt: Receipt) -> None:
        """Print one received request."""
        if self._quiet:
            return
        if self._json:
            self._print(_document(record, receipt), Text())
        else:
            text = _line(record, receipt)
            if self._aspects:
                for entry in receipt.events:
                    text.append("\n   ").append(_five(entry))
            self._print({}, text)

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
        {
            **identity(event),
            "aspects": None if (aspects := five_aspects(event)) is None else aspects.document(),
            "verdict": verdict.verdict,
            "findings": [_finding(item) for item in verdict.findings],
        }
        for event, verdict in zip(receipt.events, receipt.verdicts, strict=True)
    ]
    return {
        "request": receipt.place,
        "n": record.n,
        "lane": record.lane,
        "status": record.status,
        "fault": record.fault,
        "relayed": None if record.relayed is None else msgspec.to_builtins(record.relayed),
        "findings": [_finding(item) for item in receipt.findings],
        "events": events,
    }


def _finding(finding: Any) -> dict[str, str]:
    return {"rule": finding.rule, "pointer": finding.pointer, "message": finding.message}


def _line(record: CapturedRequest, receipt: Receipt) -> Text:
    text = Text(f"#{receipt.place} ")
    if record.lane:
        text.append(f"[{_shown(record.lane)}] ")
    status = "no answer" if record.status is None else str(record.status)
    text.append(status, "green" if record.status is not None and record.status < 300 else "yellow")
    if record.fault is not None:
        text.append(f" ({record.fault})", "yellow")
    if record.relayed is not None:
        text.append(f" {_shown(record.relayed.words(), 200)}", "dim" if record.relayed.failure is None else "red")
    if len(receipt.events) != 1:
        text.append(f" {len(receipt.events)} events")
    aspects = [five_aspects(entry) or _NO_ASPECTS for entry in receipt.events]
    for values in ([each.whom for each in aspects], [each.what for each in aspects]):
        names = _several(["-" if value is None else value for value in values])
        if names:
            text.append(f"  {names}")
    amount = sum(each.how_much or 0 for each in aspects)
    if aspects and amount != len(aspects) and None not in [each.how_much for each in aspects]:
        text.append(f"  {amount} in all")
    for outcome, count in Counter(verdict.verdict for verdict in receipt.verdicts).items():
        text.append(f"  {outcome}" + (f" ×{count}" if count > 1 else ""), _COLOURS[outcome])
    findings = [*receipt.findings, *_all_findings(receipt.verdicts)]
    if findings:
        first = findings[0]
        place = f" {first.pointer}" if first.pointer else ""
        more = f" (+{len(findings) - 1} more)" if len(findings) > 1 else ""
        text.append(_shown(f"  {first.rule}{place}: {first.message}", 200) + more, "red")
    return text


def _five(entry: Any) -> Text:
    """Return the five aspects of an entry as a line."""
    aspects = five_aspects(entry)
    if aspects is None:
        return Text("neither event nor record", "red")
    where = ", ".join(f"{name}={value}" for name, value in aspects.where.items())
    told = {
        "what": aspects.what,
        "whom": aspects.whom,
        "when": None if aspects.when is None else rfc_3339(aspects.when),
        "how much": aspects.how_much,
        "where": where or None,
    }
    line = Text()
    for name, value in told.items():
        line.append(f" {name} ", "dim").append("-" if value is None else _shown(str(value), _WIDEST_WHERE))
    return line


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
