"""How faults are written on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ingest.faults import FaultScript
from loadtests import fault_timeline

LENGTHS = st.integers(1, 86_400_000)  # milliseconds


@pytest.mark.parametrize(
    ("option", "text", "entry"),
    [
        ("ingest_down", "20s@5s", {"at": 5, "for": 20, "fault": {"reset": "before"}}),
        ("ingest_down", "500ms@0:503", {"at": 0, "for": 0.5, "fault": 503}),
        ("ingest_slow", "2s@5s+1m", {"at": 5, "for": 60, "fault": {"delay": 2}}),
        ("ingest_hang", "10@1m", {"at": 60, "for": 10, "fault": {"hang": True}}),
        ("ingest_429", "10s@5s", {"at": 5, "for": 10, "fault": {"status": 429}}),
        ("ingest_429", "10s@5s:2", {"at": 5, "for": 10, "fault": {"status": 429, "retry_after": 2}}),
        ("ingest_reset_after_accept", "3s@2s", {"at": 2, "for": 3, "fault": {"drop_answer": True}}),
    ],
)
def test_each_fault_is_written_as_documented(option: str, text: str, entry: dict[str, object]) -> None:
    assert fault_timeline.INGEST_FAULTS[option](text) == entry


@pytest.mark.parametrize("how", ["graceful", "fast", "kill"])
def test_a_restart_is_how_and_when(how: str) -> None:
    assert fault_timeline.restart(f"{how}@1.5s") == {"at": 1.5, "how": how}


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("ingest_down", "20s", "from when"),
        ("ingest_down", "0s@5s", "longer than zero"),
        ("ingest_down", "20s@soon", "not a length of time"),
        ("ingest_down", "20s@-5s", "not a length of time"),
        ("ingest_down", "20s@5s:200", "no status of a failure"),
        ("ingest_down", "20s@5s:", "no status of a failure"),
        ("ingest_slow", "2s@5s", "for how long"),
        ("ingest_slow", "0s@5s+1s", "longer than zero"),
        ("ingest_hang", "@5s", "not a length of time"),
        ("ingest_429", "10s@5s:soon", "no Retry-After"),
        ("ingest_reset_after_accept", "3", "from when"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(option: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fault_timeline.INGEST_FAULTS[option](text)


@pytest.mark.parametrize("text", ["graceful", "gently@5s", "kill@", "@5s"])
def test_a_restart_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        fault_timeline.restart(text)


@given(LENGTHS, LENGTHS, LENGTHS, st.sampled_from(sorted(fault_timeline.INGEST_FAULTS)))
def test_what_is_written_is_a_step_that_the_ingest_endpoint_can_play(
    delay: int, start: int, length: int, option: str
) -> None:
    text = f"{delay}ms@{start}ms+{length}ms" if option == "ingest_slow" else f"{length}ms@{start}ms"
    entry = fault_timeline.INGEST_FAULTS[option](text)
    assert (entry["at"], entry["for"]) == (start / 1000, length / 1000)
    (step,) = FaultScript.parse([entry["fault"]]).steps
    assert step.label is not None
    assert fault_timeline.in_words(entry["fault"]) != "as usual"
