"""Timetables: what is due is sent, late if need be, and what is not sent is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.pacing import Pace, Timetable


def play(rate: float, user: int, seconds: float, takes: list[float], pace: Pace) -> list[float]:
    """Let one user send for ``seconds``, its answers taking ``takes`` in turn; return when requests left."""
    now, left = 0.0, []
    table = Timetable(rate, user, now, pace)
    while True:
        now += table.wait(now)
        if now >= seconds:
            table.end(seconds)
            return left
        table.sends(now)
        left.append(now)
        now += takes[len(left) % len(takes)]


def test_a_user_that_keeps_up_sends_at_its_rate() -> None:
    pace = Pace()
    left = play(8, 0, 5, [0.03, 0.05], pace)
    assert left == pytest.approx([index / 8 for index in range(40)])
    assert (pace.sent, pace.unsent, pace.behind) == (40, 0, pytest.approx(0, abs=1e-9))


def test_a_user_held_up_once_catches_up() -> None:
    pace = Pace()
    left = play(8, 0, 5, [0.0] * 10 + [2.0] + [0.0] * 1000, pace)
    assert (pace.sent, pace.unsent) == (40, 0)
    assert pace.behind == pytest.approx(2.0 - 1 / 8)
    assert left[-1] == pytest.approx(4.875)


def test_a_gateway_that_is_too_slow_leaves_requests_unsent() -> None:
    pace = Pace()
    play(8, 0, 5, [0.25], pace)
    assert (pace.asked, pace.sent) == (40, 20)


@given(
    st.floats(0.5, 50),
    st.integers(0, 1000),
    st.floats(0, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=20),
)
def test_what_was_asked_does_not_depend_on_the_answers(
    rate: float, user: int, seconds: float, takes: list[float]
) -> None:
    slow, quick = Pace(), Pace()
    play(rate, user, seconds, takes, slow)
    play(rate, user, seconds, [0.0], quick)
    assert abs(slow.asked - quick.asked) <= 1  # a request due in the very instant of the end
    assert quick.unsent <= 1


def test_users_take_turns() -> None:
    """A hundred users of one request per second: in each tenth of a second there are ten, give or take two."""
    first = [Timetable(1, user, 0, Pace()).wait(0) for user in range(100)]
    counts = [sum(index / 10 <= at < (index + 1) / 10 for at in first) for index in range(10)]
    assert max(counts) - min(counts) <= 2


def test_without_a_rate_the_next_request_is_due_at_once() -> None:
    pace = Pace()
    table = Timetable(0, 3, 100.0, pace)
    for _ in range(3):
        assert table.wait(100.0) == 0
        table.sends(100.0)
    table.end(200.0)
    assert (pace.asked, pace.sent, pace.behind) == (3, 3, 0.0)
