"""What became of what one plugin instance has queued, by number."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Counts:
    """Events, or records, ``delivered`` and ``lost`` by reason; POSTs in all and those that failed.

    ``delivery_seconds`` is how long the POSTs took that did not fail, in all.
    """

    __slots__ = ("delivered", "delivery_seconds", "failed_posts", "lost", "posts")

    def __init__(self) -> None:
        self.delivered = 0
        self.posts = 0
        self.failed_posts = 0
        self.delivery_seconds = 0.0
        self.lost: Counter[str] = Counter()

    def statistics(self, waiting: int, busy: bool) -> dict[str, Any]:
        """Return the figures of delivery as a running instance tells them, with what they do not know."""
        return {
            "delivered": self.delivered,
            "posts": self.posts,
            "failed_posts": self.failed_posts,
            "delivery_seconds": self.delivery_seconds,
            "lost": dict(self.lost),
            "waiting": waiting,
            "busy": busy,
        }
