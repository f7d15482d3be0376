"""The ledger: rows that survive their writer, and files that are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import ledger as ledger_module
from loadtests.ledger import Ledger, LedgerError, LedgerWriter, ledger_path
from loadtests.numbers import MAX_NUMBER, MAX_WORKER, label, new_run, parse

RUN = "0123abcd"


def rows(directory: Path) -> list[tuple[int, int, int, int, float, float]]:
    """Return worker, number and the row's values of all requests."""
    return [
        (worker, first + place, int(row["expectation"]), int(row["status"]), row["started_at"], row["ended_at"])
        for worker, first, chunk in Ledger.read(directory).chunks(2)
        for place, row in enumerate(chunk)
    ]


@given(worker=st.integers(0, MAX_WORKER), n=st.integers(0, MAX_NUMBER))
def test_a_label_comes_back(worker: int, n: int) -> None:
    """In its own run it gives worker and number, in another nothing."""
    assert parse(label(RUN, worker, n), RUN) == (worker, n)
    assert parse(label(RUN, worker, n), "ffffffff") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123abcd-0",
        "0123abcd-65536-1",
        "0123abcd-1-4294967296",
        "0123abcd-1-+1",
        "0123abcd-1-1 ",
        "0123ABCD-1-1",
        "0123abcd-1-٣",
        "0123abcd-1-1_0",
        "x0123abcd-1-1",
    ],
)
def test_what_is_no_label(text: str) -> None:
    """Nothing that only looks like a number is taken for one."""
    assert parse(text, RUN) is None


def test_a_number_over_32_bits_is_refused() -> None:
    """It would come back as another request's."""
    with pytest.raises(ValueError, match="request number 4294967296 is over 4294967295: use more workers"):
        label(RUN, 0, MAX_NUMBER + 1)


def test_runs_differ() -> None:
    """Two runs draw different ids, which the writer takes."""
    assert new_run() != new_run()


@settings(max_examples=50, deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.none() | st.integers(0, 999)), max_size=12),
    growth=st.sampled_from([1, 2, 5, 1 << 16]),
    reopened=st.integers(0, 12),
)
def test_rows_come_back(sent: list[tuple[int, int | None]], growth: int, reopened: int) -> None:
    """However the file grows, and with a new writer in between, whose numbers go on."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "_GROWTH", growth)
        writer = LedgerWriter(ledger_path(Path(name), 5), RUN, 5)
        for n, (expectation, status) in enumerate(sent):
            if n == reopened:
                writer.close()
                writer = LedgerWriter(ledger_path(Path(name), 5), RUN, 5)
            assert writer.begin(expectation, 100.0 + n) == n
            if status is not None:
                writer.end(n, status, 200.5 + n)
        expected = [
            (5, n, expectation, status or 0, 100.0 + n, 0.0 if status is None else 200.5 + n)
            for n, (expectation, status) in enumerate(sent)
        ]
        assert rows(Path(name)) == expected, "before it is closed"
        writer.close()
        assert rows(Path(name)) == expected
        assert ledger_path(Path(name), 5).stat().st_size == 64 + 24 * len(sent)


def test_a_killed_process_leaves_all_that_it_began(tmp_path: Path) -> None:
    """SIGKILL right after a row: it is there, ended or not."""
    code = (
        "import os, pathlib, signal\n"
        "from loadtests.ledger import LedgerWriter, ledger_path\n"
        f"writer = LedgerWriter(ledger_path(pathlib.Path({str(tmp_path)!r}), 0), {RUN!r}, 0)\n"
        "for n in range(70_000):\n"
        "    writer.begin(1, 5.0)\n"
        "    if n % 2: writer.end(n, 200, 6.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    ledger = Ledger.read(tmp_path)
    assert len(ledger) == 70_000
    everything = np.concatenate([chunk for _, _, chunk in ledger.chunks()])
    assert (everything["status"] == 200).sum() == 35_000
    with LedgerWriter(ledger_path(tmp_path, 0), RUN, 0) as writer:
        assert writer.begin(1, 7.0) == 70_000


def test_a_torn_last_row_is_passed_over(tmp_path: Path) -> None:
    """A copy that was cut off in a row has the rows before it; one cut off in the header has none."""
    with LedgerWriter(ledger_path(tmp_path, 0), RUN, 0) as writer:
        for n in range(3):
            writer.begin(n, 1.0)
    os.truncate(ledger_path(tmp_path, 0), 64 + 2 * 24 + 23)
    assert [row[2] for row in rows(tmp_path)] == [0, 1]
    with LedgerWriter(ledger_path(tmp_path, 1), RUN, 1):
        pass
    os.truncate(ledger_path(tmp_path, 1), 5)
    assert len(Ledger.read(tmp_path)) == 2


def test_merged_ledgers_are_those_of_all_workers(tmp_path: Path) -> None:
    """Files of several processes in one directory, in the order of the workers' numbers."""
    for worker in (10, 9, 60_000):
        with LedgerWriter(ledger_path(tmp_path, worker), RUN, worker) as writer:
            writer.begin(worker, 1.0)
    assert [row[:3] for row in rows(tmp_path)] == [(9, 0, 9), (10, 0, 10), (60_000, 0, 60_000)]
    ledger = Ledger.read(tmp_path)
    assert [ledger.row(place)[:2] for place in range(3)] == [(9, 0), (10, 0), (60_000, 0)]


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    """No ledger, two runs, one worker twice, and a file that is something else."""
    with pytest.raises(LedgerError, match="holds no ledger"):
        Ledger.read(tmp_path)
    with pytest.raises(LedgerError, match="is not a directory"):
        Ledger.read(tmp_path / "none")
    for name, run, worker in (("ledger-0.bin", RUN, 0), ("ledger-1.bin", "ffffffff", 1)):
        LedgerWriter(tmp_path / name, run, worker).close()
    with pytest.raises(LedgerError, match=f"ledger-1.bin: is of run ffffffff, but .*ledger-0.bin of run {RUN}"):
        Ledger.read(tmp_path)
    (tmp_path / "ledger-1.bin").unlink()
    LedgerWriter(tmp_path / "ledger-2.bin", RUN, 0).close()
    with pytest.raises(LedgerError, match=r"ledger-2\.bin: is of worker 0, as .*ledger-0\.bin is"):
        Ledger.read(tmp_path)
    (tmp_path / "ledger-2.bin").write_text("something else, and long enough to have a header of 64 bytes or more")
    with pytest.raises(LedgerError, match=r"ledger-2\.bin: is not a ledger"):
        Ledger.read(tmp_path)
    with pytest.raises(LedgerError, match=f"ledger-2.bin: is not the ledger of run {RUN}, worker 2; choose another"):
        LedgerWriter(ledger_path(tmp_path, 2), RUN, 2)


def test_two_writers_of_one_worker(tmp_path: Path) -> None:
    """They would give out the same numbers; the second is refused until the first is done."""
    with (
        LedgerWriter(ledger_path(tmp_path, 0), RUN, 0),
        pytest.raises(LedgerError, match="another process is writing"),
    ):
        LedgerWriter(ledger_path(tmp_path, 0), RUN, 0)
    LedgerWriter(ledger_path(tmp_path, 0), RUN, 0).close()


def test_mistakes_of_the_caller(tmp_path: Path) -> None:
    """A request that was never begun, a closed ledger, a run or worker that is none."""
    writer = LedgerWriter(ledger_path(tmp_path, 0), RUN, 0)
    with pytest.raises(ValueError, match="request 0 was never begun"):
        writer.end(0, 200, 1.0)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.begin(0, 1.0)
    with pytest.raises(ValueError, match="'run1' is no run id"):
        LedgerWriter(tmp_path / "x", "run1", 0)
    with pytest.raises(ValueError, match="worker 65536 is out of range"):
        LedgerWriter(tmp_path / "x", RUN, MAX_WORKER + 1)


def test_no_number_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers never wrap around: the writer refuses the request."""
    monkeypatch.setattr(ledger_module, "MAX_NUMBER", 2)
    with LedgerWriter(ledger_path(tmp_path, 0), RUN, 0) as writer:
        assert [writer.begin(0, 1.0) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(LedgerError, match="no number is left over 2; use more workers"):
            writer.begin(0, 1.0)
