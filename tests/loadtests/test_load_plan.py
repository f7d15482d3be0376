"""Load plans: what files say, what is refused and where, and how many users send at what time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.plan import LoadPlan
from plugin_emulator.documents import InvalidDocument

SECONDS = st.floats(1, 1000, allow_nan=False)
SHAPES = st.one_of(
    st.just({"kind": "steady"}),
    st.just({"kind": "ramp"}),
    st.just({"kind": "soak"}),
    st.builds(lambda factor: {"kind": "spike", "factor": factor}, st.floats(1, 20)),
    st.just({"kind": "outage"}),
)
PLANS = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.floats(0, 10_000),
        "duration": SECONDS,
        "users": st.integers(1, 500),
        "weights": st.fixed_dictionaries({"consumer": st.integers(1, 9)}, optional={"ai": st.integers(0, 9)}),
        "shape": SHAPES,
        "subjects": st.integers(1, 100),
        "seed": st.integers(0, 2**32 - 1),
        "paths": st.lists(st.sampled_from(["/a", "/a/b-c", "/d?e=f"]), min_size=1),
        "queue": st.just({"max_batch_size": 7, "max_retry_time": 5}),
        "restarts": st.lists(st.builds(lambda at: {"at": at, "how": "kill"}, st.floats(0, 1)), max_size=3),
        "processes": st.integers(1, 8),
        "feed_url": st.just("http://127.0.0.1:1/feed"),
    },
)


def refusal(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        LoadPlan.parse(text, "plan.yaml")
    return str(caught.value)


@given(PLANS)
def test_a_plan_written_is_the_plan_read(data: dict[str, Any]) -> None:
    plan = LoadPlan.from_json(data)
    assert LoadPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_goes_through_a_file(tmp_path: Path) -> None:
    plan = LoadPlan.parse("rate: 500\nshape: {kind: spike, factor: 3}\ningest_faults: [{at: 5, for: 2, fault: 503}]")
    plan.write(tmp_path / "plan.json")
    assert LoadPlan.read(tmp_path / "plan.json") == plan


def test_an_empty_file_is_the_default_plan() -> None:
    assert LoadPlan.parse("# nothing\n") == LoadPlan()


def test_what_is_not_said_keeps_its_default() -> None:
    plan = LoadPlan.parse("weights: {missing: 5}\nrate: 7\nduration: ")
    assert (plan.weights["missing"], plan.weights["ai"]) == (5, 0)
    assert plan.weights["consumer"] == LoadPlan().weights["consumer"]
    assert (plan.rate, plan.duration) == (7.0, LoadPlan().duration)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate: 5\nduratoin: 9", "plan.yaml:2: /duratoin: unknown field 'duratoin' (did you mean 'duration'?)"),
        ("users: 2\nshape:\n  kind: spiky", "plan.yaml:3: /shape/kind: expected one of: steady, ramp, spike"),
        ("shape:\n  kind: ramp\n  factor: 2", "plan.yaml:3: /shape/factor: has no effect on the shape ramp"),
        ("queue:\n  max_batch: 3", "plan.yaml:2: /queue/max_batch: unknown field 'max_batch' (did you mean"),
        ("weights: {consumer: 0, tenant: 0, missing: 0}", "plan.yaml:1: /weights: no kind of traffic has a weight"),
        ("ingest_faults:\n- {at: 1, for: 2, fault: 20}", "plan.yaml:2: /ingest_faults/0/fault: expected a value"),
        ("ingest_faults:\n- {at: 1, for: 2, fault: {stat: 1}}", "plan.yaml:2: /ingest_faults/0/fault/stat: unknown"),
        (
            "ingest_faults:\n- {at: 3, for: 2, fault: 503}\n- {at: 1, for: 3, fault: 500}",
            "plan.yaml:2: /ingest_faults/0: overlaps another fault",
        ),
        (
            "duration: 30\nshape: {kind: outage}\ningest_faults:\n- {at: 15, for: 1, fault: 500}",
            "plan.yaml:4: /ingest_faults/0: overlaps another fault",
        ),
        (
            "duration: 5\nrestarts:\n- at: 6",
            "plan.yaml:3: /restarts/0/at: second 6 is after the end of the traffic in second 5",
        ),
        (
            "duration: 5\ningest_faults:\n- {at: 6, for: 1, fault: 503}",
            "plan.yaml:3: /ingest_faults/0/at: second 6 is after the end of the traffic in second 5",
        ),
        ("duration: 9\nshape: {kind: spike, at: 5, for: 5}", "plan.yaml:2: /shape: ends after the traffic does"),
        ("duration: 9\nshape: {kind: soak, over: 5}", "plan.yaml:2: /shape/over: is more than 4.5 seconds"),
        ("paths: [/a, 'b c']", "plan.yaml:1: /paths/1: is not in the form expected"),
        ("- 1", "plan.yaml:1: expected an object, got a list"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_every_mistake_is_named() -> None:
    assert len(refusal("rate: fast\nusers: none\nseeds: 1").splitlines()) == 3


@given(PLANS, st.floats(0, 1, exclude_max=True))
def test_there_is_always_a_user_and_never_more_than_said(data: dict[str, Any], share: float) -> None:
    plan = LoadPlan.from_json(data)
    assert 1 <= plan.users_at(share * plan.duration) <= plan.most_users()


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        ("{kind: steady}", [10, 10, 10, 10]),
        ("{kind: outage}", [10, 10, 10, 10]),
        ("{kind: ramp}", [1, 3, 5, 10]),
        ("{kind: ramp, over: 30}", [1, 10, 10, 10]),
        ("{kind: spike, at: 30, for: 10, factor: 4}", [10, 40, 10, 10]),
        ("{kind: soak, over: 20}", [1, 10, 10, 1]),
    ],
)
def test_users_follow_the_shape(shape: str, users: list[int]) -> None:
    """Ten users and 100 seconds: the beginning, a third in, half-way, the end."""
    plan = LoadPlan.parse(f"{{users: 10, duration: 100, shape: {shape}}}")
    assert [plan.users_at(at) for at in (0, 33, 50, 99.9)] == users


def test_an_outage_is_a_fault_of_the_ingest_endpoint_in_the_middle_of_steady_traffic() -> None:
    plan = LoadPlan.parse("{duration: 60, shape: {kind: outage}, ingest_faults: [{at: 50, for: 1, fault: 429}]}")
    assert [(fault.at, fault.lasts, fault.fault) for fault in plan.fault_timeline()] == [(20, 20, 503), (50, 1, 429)]


def test_the_rate_is_shared_by_the_users() -> None:
    assert LoadPlan.parse("{rate: 500, users: 25}").rate_per_user == 20
