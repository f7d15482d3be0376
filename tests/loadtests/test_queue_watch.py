"""The gateway's own counters, followed over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.targets.target import TargetUnavailableError
from loadtests.queue_watch import QueueWatch

Answer = Mapping[str, Mapping[str, Any]] | Exception | None


def queue(posts: int, waiting: int = 0, **lost: int) -> dict[str, Any]:
    return {"posts": posts, "waiting": waiting, "delivered": posts * 10, "failed_posts": 1, "lost": lost}


class Target:
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def queue_statistics(self) -> Mapping[str, Mapping[str, Any]] | None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def watched(*answers: Answer) -> QueueWatch:
    """Have a watch see the answers one by one; the first is that at the start."""
    watch = QueueWatch(Target(*answers))  # type: ignore[arg-type]
    watch.start()
    for _ in answers[2:]:
        watch._ask()
    watch.stop()
    return watch


def test_all_queues_are_added_up() -> None:
    watch = watched({"a": queue(0)}, {"a": queue(3, 5, gave_up=2), "b": queue(4, 6, gave_up=1, overflow_entries=7)})
    last = watch.samples[-1]
    assert (last.waiting, last.posts, last.delivered, last.failed_posts, last.lost) == (11, 7, 70, 2, 10)
    assert watch.lost == {"gave_up": 3, "overflow_entries": 7}
    assert watch.waiting == 11


def test_what_was_lost_before_the_start_does_not_count() -> None:
    assert watched({"a": queue(5, gave_up=4)}, {"a": queue(9, gave_up=6)}).lost == {"gave_up": 2}


def test_the_counts_of_a_gateway_that_was_restarted_are_kept() -> None:
    before, gone, after = {"a": queue(5, gave_up=4)}, TargetUnavailableError("gone"), {"a": queue(1, gave_up=1)}
    assert watched({"a": queue(0)}, before, gone, after).lost == {"gave_up": 5}


def test_of_a_gateway_that_does_not_tell_nothing_is_known() -> None:
    watch = watched(None, None)
    assert watch.lost is None and watch.waiting is None and not watch.samples
