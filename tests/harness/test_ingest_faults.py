"""The fault script: what is asked for is what happens, and mistakes are named with file and line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ingest.faults import NO_FAULT, Fault, FaultScript
from plugin_emulator.documents import InvalidDocument


def test_the_n_th_request_gets_the_n_th_entry_and_the_last_repeats() -> None:
    script = FaultScript.parse([503, 500, 202])
    assert [script.fault_for(n).status for n in range(1, 6)] == [503, 500, 202, 202, 202]


def test_an_empty_script_and_none_do_nothing() -> None:
    for document in ([], None, {}, {"sequence": []}):
        assert FaultScript.parse(document).fault_for(1) == NO_FAULT


def test_an_entry_can_be_for_several_requests() -> None:
    script = FaultScript.parse([{"status": 503, "times": 3}, 500, {"status": 202, "forever": True}])
    assert [script.fault_for(n).status for n in range(1, 7)] == [503, 503, 503, 500, 202, 202]


def test_a_single_request_is_stronger_than_the_sequence(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("sequence: [503, 202]\nrequests:\n  2: {reset: before}\n  7: {hang: true}\n")
    script = FaultScript.read(str(file))
    assert [script.fault_for(n).label for n in (1, 2, 3, 7)] == ["status", "reset before", None, "hang"]


def test_every_member_of_an_entry_arrives_in_the_fault() -> None:
    script = FaultScript.parse(
        [
            {"status": 429, "retry_after": 2, "delay": 0.5, "headers": {"X-A": "b"}},
            {"hang": 3},
            {"hang": True},
            {"reset": "after"},
            {"drop_answer": True, "delay": 1},
        ]
    )
    assert [script.fault_for(n) for n in range(1, 6)] == [
        Fault(status=429, delay=0.5, headers=(("X-A", "b"), ("Retry-After", "2"))),
        Fault(hang=3.0),
        Fault(hang=math.inf),
        Fault(reset="after"),
        Fault(drop_answer=True, delay=1.0),
    ]


def test_a_script_can_be_given_in_place_of_a_file_name() -> None:
    assert FaultScript.read("[503, {delay: 1}]").fault_for(2) == Fault(delay=1.0)


@pytest.mark.parametrize(
    ("fault", "accepts", "answers"),
    [
        (NO_FAULT, True, True),
        (Fault(status=202), True, True),
        (Fault(status=503), False, True),
        (Fault(status=307), False, True),
        (Fault(delay=1.0), True, True),
        (Fault(hang=1.0), False, False),
        (Fault(reset="before"), False, False),
        (Fault(drop_answer=True), True, False),
    ],
)
def test_a_fault_says_whether_events_are_taken_and_whether_an_answer_goes_out(
    fault: Fault, accepts: bool, answers: bool
) -> None:
    assert (fault.accepts, fault.answers) == (accepts, answers)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- 503\n- 99\n", 2, "/1"),
        ("- 503\n- {stauts: 503}\n", 2, "did you mean 'status'?"),
        ("- status: 503\n  hang: true\n", 2, "exclude each other"),
        ("- drop_answer: true\n  retry_after: 1\n", 2, "no effect without an answer"),
        ("- {}\n", 1, "/0"),
        ("- delay: -1\n", 1, "/0/delay"),
        ("- 503\n- reset: later\n", 2, "before, after"),
        ("- {status: 503, forever: true}\n- 202\n", 1, "last entry"),
        ("requests:\n  0: 503\n", 1, "requests"),
        ("requests:\n  1: {times: 2, status: 503}\n", 2, "times"),
        ("sequense: [1]\n", 1, "did you mean 'sequence'?"),
        ("just words\n", 1, "expected a list or an object"),
        ("- headers: {'X-A': \"a\\r\\nb\"}\n", 1, "/0/headers/X-A"),
        ("- 503\n- [503}\n", 2, "is not valid YAML"),
        ("- .nan\n", 1, "/0"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_place(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    with pytest.raises(InvalidDocument) as caught:
        FaultScript.read(str(file))
    message = str(caught.value.problems[0])
    assert message.startswith(f"{file}:{line}: ")
    assert words in message


@given(st.lists(st.tuples(st.integers(200, 599), st.integers(1, 5)), min_size=1, max_size=6), st.integers(1, 40))
def test_a_sequence_with_times_is_the_sequence_written_out(entries: list[tuple[int, int]], number: int) -> None:
    script = FaultScript.parse([{"status": status, "times": times} for status, times in entries])
    written_out: list[Any] = [status for status, times in entries for _ in range(times)]
    assert script.fault_for(number) == FaultScript.parse(written_out).fault_for(number)
    assert script.fault_for(number).status == written_out[min(number, len(written_out)) - 1]
