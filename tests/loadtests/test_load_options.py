"""The plan that a command line asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load_options import load_plan, setting, weights
from loadtests.plan import TRAFFIC_KINDS, LoadPlan
from plugin_emulator.documents import InvalidDocument


def plan(file: Path | None = None, **given_options: Any) -> LoadPlan:
    options: dict[str, Any] = {"shape": None, "mix": None, "queue": (), "faults": {}, "restarts": ()}
    options.update(given_options)
    return load_plan(file, options.pop("values", {}), **options)


def test_without_options_it_is_the_default_plan() -> None:
    assert plan() == LoadPlan()


def test_faults_and_restarts_are_added_to_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("duration: 30\ningest_faults: [{at: 20, for: 1, fault: 503}]\nrestarts: [{at: 25}]\n")
    made = plan(file, faults={"ingest_hang": ["1s@5s"], "ingest_down": ["1s@8s"]}, restarts=["kill@9s"])
    assert [fault.at for fault in made.ingest_faults] == [5, 8, 20]
    assert [(restart.at, restart.how) for restart in made.restarts] == [(9, "kill"), (25, "graceful")]


def test_a_shape_on_the_command_line_takes_the_place_of_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("shape: {kind: spike, at: 3, for: 2, factor: 4}\n")
    assert plan(file).shape.factor == 4
    assert plan(file, shape="steady") == LoadPlan()


def test_a_shorter_duration_does_not_contradict_a_file_that_left_the_rest_open(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("duration: 600\nshape: {kind: outage}\n")
    made = plan(file, values={"duration": 9.0, "rate": None})
    assert (made.shape.at, made.shape.lasts) == (3.0, 3.0)


def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("duration: 60\nrate: fast\n")
    with pytest.raises(InvalidDocument, match=r"plan\.yaml.*2"):
        plan(file, values={"rate": 5.0})


@given(st.dictionaries(st.sampled_from(TRAFFIC_KINDS), st.integers(0, 10**6), min_size=1))
def test_weights_are_read_as_written_and_the_rest_is_none(mix: dict[str, int]) -> None:
    text = ", ".join(f"{kind} = {weight}" for kind, weight in mix.items())
    assert weights(text) == {**dict.fromkeys(TRAFFIC_KINDS, 0), **mix}


@pytest.mark.parametrize(
    ("pair", "read"),
    [
        ("max_batch_size=100", ("max_batch_size", 100)),
        ("queue.max_retry_time=0.5", ("max_retry_time", 0.5)),
        ("max_bytes=null", ("max_bytes", None)),
        ("max_entries=many", ("max_entries", "many")),
    ],
)
def test_parameters_of_the_queue_are_numbers_where_they_can_be(pair: str, read: tuple[str, Any]) -> None:
    assert setting(pair) == read
