"""The number that each request of a run carries, so that its events can be told from all others.

A label is ``<run>-<worker>-<n>``: eight lower-case hex digits drawn for the run, the sending process and the count of
its requests. The gateway's plugin copies it from the request header to every event (ATR-1, ATR-3).
"""

from __future__ import annotations

import re
import secrets

#: The request header that carries the label.
NUMBER_HEADER = "X-Load-Number"
#: The member of an event's ``data`` to which the plugin copies it.
NUMBER_PROPERTY = "load_number"

MAX_WORKER = 0xFFFF
MAX_NUMBER = 0xFFFF_FFFF

_RUN = re.compile(r"[0-9a-f]{8}")
#: Characters of a label.
LABEL_LENGTH = 25
_LABEL = re.compile(r"([0-9a-f]{8})-([0-9]{5})-([0-9]{10})")


def new_run() -> str:
    """Draw the id of a run."""
    return secrets.token_hex(4)


def check_run(run: str) -> str:
    """Return ``run``. Raises ValueError when it is not the id of a run."""
    if _RUN.fullmatch(run) is None:
        raise ValueError(f"{run!r} is no run id: it has eight lower-case hex digits")
    return run


def check_worker(worker: int) -> int:
    """Return ``worker``. Raises ValueError when it is out of range."""
    if not 0 <= worker <= MAX_WORKER:
        raise ValueError(f"worker {worker} is out of range: 0 to {MAX_WORKER}")
    return worker


def label(run: str, worker: int, n: int) -> str:
    """Return the label of a worker's ``n``-th request (from 0). All labels have the same length and sort by number.

    Raises ValueError for a number over MAX_NUMBER.
    """
    if n > MAX_NUMBER:
        raise ValueError(f"request number {n} is over {MAX_NUMBER}: use more workers, or runs that end sooner")
    return f"{run}-{worker:05d}-{n:010d}"


def parse(text: str, run: str) -> tuple[int, int] | None:
    """Return worker and number of a label; None when it is no label or one of another run."""
    found = _read(text)
    return found[1:] if found is not None and found[0] == run else None


def is_label(text: str) -> bool:
    """Return whether this is the label of a request of any run."""
    return _read(text) is not None


def _read(text: str) -> tuple[str, int, int] | None:
    """Return run, worker and number."""
    match = _LABEL.fullmatch(text)
    if match is None:
        return None
    worker, n = int(match[2]), int(match[3])
    return (match[1], worker, n) if worker <= MAX_WORKER and n <= MAX_NUMBER else None
