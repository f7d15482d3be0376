"""What a request costs the process that sends it: numbered and in a ledger, against locust's own FastHttpUser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from .measure import Comparison, compare, interleaved
from .processes import Child, child

#: Users that send; each has one request under way.
USERS = 8


def costs(number: int = 4_000, rounds: int = 9) -> list[Comparison]:
    """Compare the CPU of one request in the sending process, in microseconds."""
    with ExitStack() as stack:
        sink = stack.enter_context(child("loadtests.benchmarks.sink"))
        url = f"http://127.0.0.1:{sink.ready}"
        numbered, plain = (
            stack.enter_context(child("loadtests.benchmarks.user_load", kind, url)) for kind in ("numbered", "plain")
        )
        cases = {"numbered user, ledger": _case(numbered, number), "locust FastHttpUser": _case(plain, number)}
        figures = interleaved(cases, rounds)
    return [compare(figures, "numbered user, ledger", "locust FastHttpUser", 0.75)]


def _case(sender: Child, number: int) -> Callable[[], float]:
    def run() -> float:
        assert sender.process.stdin is not None
        assert sender.process.stdout is not None
        sender.process.stdin.write(f"{number}\n")
        sender.process.stdin.flush()
        return float(sender.process.stdout.readline())

    return run
