"""What a million captured events take: bytes, and seconds to find some of them."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureWriter
from harness.capture.verdict import ACCEPTED, DUPLICATE

EVENTS = 1_000_000
#: How many of them the writer writes; the others are copies of what it stored.
WRITTEN = EVENTS // 10
_HEADERS = [("Host", "127.0.0.1:8088"), ("Authorization", "Bearer [redacted]"), ("User-Agent", "kong/3.16")]
_WORDS = ["GET", "POST", "gpt-4o", "openai", "example-service", "example-route", "alice-key", "Mozilla/5.0 (X11)"]


def made(n: int, dice: random.Random) -> str:
    """Return an event of 1 KB with 22 fields of data, whose id, time, subject and numbers are like no other's."""
    data = {f"field_number_{place:02}": _WORDS[place % 8] + " of the request" for place in range(16)}
    numbers = {f"number_{place}": dice.randrange(4000) for place in range(5)}
    event = {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "source": "kong-gateway",
        "type": "kong.api_request",
        "subject": f"customer-{dice.randrange(1000)}",
        "time": f"2026-05-04T{n // 36000 % 24:02}:{n // 600 % 60:02}:{n // 10 % 60:02}.{dice.randrange(10**6):06}Z",
        "data": {**data, **numbers, "request_id": dice.randbytes(16).hex()},
    }
    return json.dumps(event)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", [1, 100])
def test_a_million_events_are_under_300_mb_and_filtered_in_a_second(tmp_path: Path, batch: int) -> None:
    path, dice = tmp_path / "capture", random.Random(7)
    texts = [made(n, dice) for n in range(20_000)]
    with CaptureWriter(path) as writer:
        for n in range(WRITTEN // batch):
            # Events made once, with ids of their own each time: making a million takes longer than storing them.
            some = [texts[(n * batch + place) % 20_000] for place in range(batch)]
            some = [f'{text[:30]}"{uuid.UUID(int=dice.getrandbits(128))}"{text[68:]}' for text in some]
            body = f"[{','.join(some)}]" if batch > 1 else some[0]
            verdicts = (DUPLICATE if n % 500 == 0 else ACCEPTED,) * batch
            writer.append(
                CapturedRequest(
                    n + 1, "", 1.7e9 + n, n * 1.0, f"c{n % 4}", "POST", "/v3/openmeter/events", _HEADERS, len(body),
                    "application/json", body, status=202, verdicts=verdicts,
                )
            )  # fmt: skip
    multiply(path, EVENTS // WRITTEN)
    assert path.stat().st_size < 300e6
    for filters in (["--subject", "customer-7"], ["--duplicate", "--limit", "1000"], ["--id", "none"]):
        took = min(listing(path, *filters) for _ in range(3))
        assert took < 1.0, filters


def multiply(path: Path, times: int) -> None:
    """Have each request so many times in a capture; each is compressed by itself, so a copy takes what it does."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        before = database.execute("SELECT count(*), max(n) FROM requests").fetchone()
        columns = "lane, arrived_at, status, fault, entries, verdict, outline, dictionary, content"
        for copy in range(1, times):
            database.execute(
                f"INSERT INTO requests (n, {columns}) SELECT n + ?, {columns} FROM requests WHERE place <= ?",
                (copy * before[1], before[0]),
            )
        database.commit()
        assert database.execute("SELECT sum(entries) FROM requests").fetchone() == (EVENTS,)


def listing(path: Path, *filters: str) -> float:
    """Return the seconds that the command took, the start of Python included."""
    command = [sys.executable, "-m", "harness.cli.main", "capture", "list", "--capture", str(path), *filters]
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - begin
