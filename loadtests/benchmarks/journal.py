"""What the journal costs the emulated gateway: the same requests with a journal, and without."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from .gateway import metered_gateway, proxied
from .measure import Comparison, compare, interleaved
from .processes import child

#: Bytes: small enough that a run begins many a new generation.
LIMIT = 5_000_000


def costs(number: int = 4_000, rounds: int = 11) -> list[Comparison]:
    """Compare the CPU of one metered request, in microseconds of the gateway's process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(child("loadtests.benchmarks.sink"))
        upstream = stack.enter_context(child("loadtests.benchmarks.sink"))
        places = (f"http://127.0.0.1:{upstream.ready}", f"http://127.0.0.1:{sink.ready}/events")
        without = stack.enter_context(metered_gateway(folder / "without.json", *places))
        journal = ["--journal", str(folder / "journal.jsonl"), "--journal-limit", str(LIMIT)]
        with_one = stack.enter_context(metered_gateway(folder / "with.json", *places, *journal))
        cases = {
            "gateway, with a journal": proxied(with_one, number),
            "gateway, without a journal": proxied(without, number),
        }
        figures = interleaved(cases, rounds)
    return [compare(figures, "gateway, with a journal", "gateway, without a journal", 1.5)]
