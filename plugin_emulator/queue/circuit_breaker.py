"""The circuit breaker of gateway 3.16 and later (SPEC BRK-1…3)."""

from __future__ import annotations

from .settings import QueueSettings


class CircuitBreaker:
    """Sheds entries after ``failure_threshold`` batches in a row were given up.

    Closed, it counts. Open, entries are shed until ``breaker_cooldown`` seconds have passed; the batch that forms
    then is a probe with a single try: its success closes the breaker, its failure opens it again (BRK-3).
    """

    __slots__ = ("_cooldown", "_failures", "_open_until", "_threshold")

    def __init__(self, settings: QueueSettings) -> None:
        self._threshold = settings.failure_threshold
        self._cooldown = settings.breaker_cooldown
        self._failures = 0
        self._open_until: float | None = None

    def sheds(self, now: float) -> bool:
        """Return whether an entry that arrives at ``now`` (seconds) is dropped unsent."""
        return self._open_until is not None and now < self._open_until

    @property
    def probing(self) -> bool:
        """Whether the next batch is, or the present one was, a probe."""
        return self._open_until is not None

    def succeeded(self) -> None:
        """A batch was delivered."""
        self._failures = 0
        self._open_until = None

    def gave_up(self, now: float) -> bool:
        """A batch was given up at ``now``: return whether the breaker is open from here on."""
        if not self._threshold:
            return False
        self._failures += 1
        if self._open_until is None and self._failures < self._threshold:
            return False
        self._open_until = now + self._cooldown
        return True
