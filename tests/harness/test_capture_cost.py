"""What capturing a batch costs, beside writing the same bytes to a file as a line of JSON."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path

import msgspec

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureWriter
from harness.capture.verdict import ACCEPTED

ROUNDS, REQUESTS = 5, 60


def test_capturing_a_batch_costs_at_most_three_times_a_line_of_json(tmp_path: Path) -> None:
    """Beside it, it compresses and makes the outline. CPU of this process, cases in turns, the median of ratios."""
    events = [
        {"specversion": "1.0", "id": f"id-{n}", "source": "k", "type": "t", "subject": "s", "data": {"x": "y" * 800}}
        for n in range(100)
    ]
    body = json.dumps(events)
    request = CapturedRequest(
        1, "", 1.0, 1.0, "c", "POST", "/events", [], len(body), None, body, verdicts=(ACCEPTED,) * 100
    )
    ratios = []
    line = os.open(tmp_path / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with CaptureWriter(tmp_path / "capture") as writer:
        for _ in range(ROUNDS + 1):
            start = time.process_time()
            for _ in range(REQUESTS):
                os.write(line, msgspec.json.encode(request) + b"\n")
            between = time.process_time()
            for _ in range(REQUESTS):
                writer.append(request, events)
            ratios.append((time.process_time() - between) / (between - start))
    os.close(line)
    assert statistics.median(ratios[1:]) < 3.0, ratios
