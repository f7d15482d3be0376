"""The emulated queue does what Kong's own did, schedule by schedule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.resources import fixtures
from plugin_emulator.runtime.simulation import simulate_schedule

TRACES = [json.loads(line) for line in (Path(fixtures()) / "kong-queue" / "traces.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("number", range(len(TRACES)))
def test_the_queue_reproduces_a_trace_of_the_real_library(number: int) -> None:
    schedule, real = TRACES[number]["schedule"], TRACES[number]["trace"]
    ours = simulate_schedule(schedule)
    assert [one["entries"] for one in ours["tries"]] == [one["entries"] for one in real["tries"]]
    assert [one["status"] for one in ours["tries"]] == [one["status"] for one in real["tries"]]
    assert [one["t"] for one in ours["tries"]] == pytest.approx([one["t"] for one in real["tries"]], abs=1e-6)
    assert [one["id"] for one in ours["delivered"]] == [one["id"] for one in real["delivered"]]
    assert [one["t"] for one in ours["delivered"]] == pytest.approx([one["t"] for one in real["delivered"]], abs=1e-6)
    assert [(one["id"], plain(one)) for one in ours["lost"]] == [(one["id"], one["reason"]) for one in real["lost"]]


def plain(loss: dict[str, Any]) -> str:
    """The real library's log tells no overflow from the other."""
    return "overflow" if loss["reason"].startswith("overflow_") else str(loss["reason"])
