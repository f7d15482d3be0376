"""A writer that is killed with SIGKILL at any moment: what it had answered is in the capture."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

from harness.capture.store import CaptureReader, CaptureWriter
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest

KILLS = 50
_HEADERS = (("Authorization", "Bearer any"), ("Content-Type", "application/json"))


def answer_for_ever(path: Path, first: int, answered: int) -> None:
    """Take in requests of 1 to 100 events; write the id of each event to ``answered`` once its request has a 202."""
    with CaptureWriter(path) as capture:
        lanes = Lanes(capture, IngestSettings(), FaultScript())
        os.write(answered, b"ready\n")
        number = first
        while True:
            ids = [f"{number}-{position}" for position in range((number * 37) % 100 + 1)]
            envelope = {"specversion": "1.0", "source": "kong", "type": "kong.api_request", "subject": "alice"}
            body = json.dumps([{**envelope, "id": one} for one in ids]).encode()
            receipt = lanes.receive(lanes.arrive("/events"), IngestRequest("POST", "/events", _HEADERS, body))
            assert receipt.answer is not None and receipt.answer.status == 202
            os.write(answered, "".join(f"{one}\n" for one in ids).encode())
            number += 1


def killed_after(path: Path, first: int, seconds: float) -> list[str]:
    """Return the ids that a writer had answered when it was killed ``seconds`` after it began."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            answer_for_ever(path, first, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.readline() == b"ready\n"
        # Drained meanwhile by nobody: a pipe that is full holds the writer up, which is a moment like any other.
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = pipe.read().decode().splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def test_nothing_answered_202_is_lost_by_fifty_kills_at_random_moments(tmp_path: Path) -> None:
    """One file, opened again after each kill."""
    path = tmp_path / "capture"
    moments = random.Random(20260504)
    answered: list[str] = []
    for kill in range(KILLS):
        told = killed_after(path, kill * 1_000_000, moments.uniform(0.0, 0.03))
        answered += told
    requests = sum(1 for _ in CaptureReader(path).rows())
    assert requests >= len({one.partition("-")[0] for one in answered})
    stored = [event for event in CaptureReader(path).events() if event.verdict.verdict == "accepted"]
    ids = [event.event["id"] for event in stored]
    assert len(answered) > 1000
    assert set(answered) <= set(ids)
    assert len(set(ids)) == len(ids)
