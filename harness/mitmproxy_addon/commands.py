"""What the addon's commands do. Mistakes of the user's are mitmproxy's CommandError, one line each."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from mitmproxy import exceptions, http
from mitmproxy.types import Data

from harness.capture.store import CaptureError
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lane, Lanes
from harness.mitmproxy_addon.batch_note import BatchNote
from harness.mitmproxy_addon.batches import KeptFlows
from harness.mitmproxy_addon.event_table import COLUMNS, entry_id, event_rows
from plugin_emulator.documents import InvalidDocument

MOST_TIMES = 10_000
_WORDS: dict[str, Any] = {"hang": {"hang": True}, "drop_answer": {"drop_answer": True}, "reset": {"reset": "before"}}


def set_fault(lanes: Lanes, step: str, times: int, name: str) -> str:
    """Set ``step`` for the next ``times`` requests of a lane, over what its script says of them; say so."""
    lane = _lane(lanes, name)
    if not 1 <= times <= MOST_TIMES:
        raise exceptions.CommandError(f"TIMES is a number from 1 to {MOST_TIMES}")
    try:
        document = _WORDS.get(step) or yaml.safe_load(step)
        (fault,) = FaultScript.parse([document]).steps
    except yaml.YAMLError:
        raise exceptions.CommandError(f"{step}: neither a status nor a step of a fault script") from None
    except InvalidDocument as error:
        raise exceptions.CommandError("; ".join(str(problem) for problem in error.problems)) from None
    to_come = range(lane.arrived + 1, lane.arrived + times + 1)
    single = {number: found for number, found in lane.script.single.items() if number > lane.arrived}
    lane.script = dataclasses.replace(lane.script, single={**single, **dict.fromkeys(to_come, fault)})
    return f"requests {to_come[0]} to {to_come[-1]} get: {step}"


def clear_faults(lanes: Lanes, name: str) -> str:
    """Remove a lane's faults; say so."""
    _lane(lanes, name).script = FaultScript()
    return "no faults"


def list_events(kept: KeptFlows) -> Data:
    """Return a table of the kept batches' events; the newest batch first, in it invalid events."""
    lines = [["request", "answer", *COLUMNS]]
    for flow, note in reversed(list(kept.batches())):
        rows = event_rows(_entries(flow), note.verdicts)
        lines += [[f"#{note.n}", note.ending, *row.cells] for row in rows]
    return cast(Data, lines)


def explain(kept: KeptFlows, wanted: str) -> Data:
    """Return the tries of an entry and what was found in it."""
    lines: list[list[str]] = []
    for flow, note in kept.batches():
        for entry, verdict in zip(_entries(flow), note.verdicts, strict=False):
            if entry_id(entry) != wanted:
                continue
            lines.append([f"#{note.n}", _clock(note), f"{verdict.verdict}, answer {note.ending}"])
            lines += [["", finding.rule, f"{finding.pointer}: {finding.message}"] for finding in verdict.findings]
            lines += [["", finding.rule, f"the request: {finding.message}"] for finding in note.findings]
    if not lines:
        raise exceptions.CommandError(f"{wanted}: in none of the {len(kept)} flows that are kept (metering_keep)")
    return cast(Data, lines)


def export(lanes: Lanes, path: Path) -> str:
    """Write the captured requests of all lanes to the new file ``path``; say how many."""
    count = 0
    try:
        with path.open("xb") as file:
            for lane in filter(None, map(lanes.get, lanes.names())):
                for index in range(len(lane.places)):
                    file.write(lanes.line(lane, index) + b"\n")
                    count += 1
    except CaptureError as error:
        raise exceptions.CommandError(str(error)) from None
    except OSError as error:
        raise exceptions.CommandError(f"{path}: {error.strerror}") from None
    return f"{count} requests in {path}"


def _lane(lanes: Lanes, name: str) -> Lane:
    lane = lanes.get(name)
    if lane is None:
        raise exceptions.CommandError(f"there is no lane {name!r}")
    return lane


def _entries(flow: http.HTTPFlow) -> list[Any]:
    try:
        data = msgspec.json.decode(flow.request.raw_content or b"")
    except msgspec.DecodeError:
        return []
    return data if isinstance(data, list) else [data]


def _clock(note: BatchNote) -> str:
    return time.strftime("%H:%M:%S", time.localtime(note.arrived_at)) + f".{int(note.arrived_at % 1 * 1000):03}"
