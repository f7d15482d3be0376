"""The highest rate that this machine sustains: a whole load test, against plain locust on an unmetered gateway.

Every case has the machine to itself for as long as it runs, so here the clock on the wall is what counts: all
processes together, gateway, upstream, ingest endpoint and locust.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.targets.emulator import EmulatorTarget
from harness.targets.fake_ingest import IngestPlace
from loadtests.gateway_state import gateway_state
from loadtests.plan import LoadPlan
from loadtests.reconciliation import reconcile
from loadtests.stage import Ground, run_stage

from .measure import Comparison, compare, interleaved
from .processes import Child, child
from .users import USERS

_PROFILE = "kong-3.16"
_LONGEST_DRAIN = 30.0


def costs(seconds: float = 8.0, rounds: int = 3) -> list[Comparison]:
    """Compare the time that passes between two requests, in microseconds; 1.25 is 0.8 of the peer's rate.

    Fails when a single request of the load test was not billed once.
    """
    plan = LoadPlan.from_json(
        {"rate": 0, "users": USERS, "duration": seconds, "weights": {"consumer": 1, "tenant": 0, "missing": 0}}
    )
    with _gateway() as metered, _gateway() as bare:
        bare.apply(gateway_state(plan, metered=False))
        with child("loadtests.benchmarks.user_load", "plain", bare.proxy_url) as plain:
            number = _warm_up(plain, seconds)
            cases = {
                "load test, metered, reconciled": lambda: _load_test(plan, metered),
                "FastHttpUser, unmetered": lambda: _plain(plain, number),
            }
            figures = interleaved(cases, rounds)
    return [compare(figures, "load test, metered, reconciled", "FastHttpUser, unmetered", 1.25, unit="µs")]


@contextmanager
def _gateway() -> Iterator[EmulatorTarget]:
    gateway = EmulatorTarget(_PROFILE)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def _load_test(plan: LoadPlan, gateway: EmulatorTarget) -> float:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        ground = Ground(gateway, IngestPlace(), "load", secrets.token_hex(8), _LONGEST_DRAIN)
        seen = run_stage(plan, directory, ground)
        found = reconcile(directory)
        if found.classes["billed_once"] != found.requests:
            raise RuntimeError(f"not every request was billed once: {found.classes}")
        return (seen.ended_at - seen.began_at) / found.requests * 1e6


def _warm_up(sender: Child, seconds: float) -> int:
    """Return about how many requests the sender makes in ``seconds``."""
    number = 4_000
    return max(number, int(seconds / (_plain(sender, number) / 1e6)))


def _plain(sender: Child, number: int) -> float:
    assert sender.process.stdin is not None
    assert sender.process.stdout is not None
    began = time.monotonic()
    sender.process.stdin.write(f"{number}\n")
    sender.process.stdin.flush()
    sender.process.stdout.readline()
    return (time.monotonic() - began) / number * 1e6
