"""The queue's parameters, one for one as in the plugin's ``config.queue``."""

from __future__ import annotations

import msgspec


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one queue with Kong's defaults (SPEC CFG-4, CFG-7).

    Delays and times are in seconds, ``max_bytes`` in bytes of serialised entries (None: no limit).
    ``concurrency_limit`` is 1 (one batch at a time) or -1 (every entry by itself, at once).
    ``failure_threshold`` 0 turns the circuit breaker off.
    """

    max_batch_size: int = 1
    max_coalescing_delay: float = 1.0
    max_entries: int = 10_000
    max_bytes: int | None = None
    initial_retry_delay: float = 0.01
    max_retry_time: float = 60.0
    max_retry_delay: float = 60.0
    concurrency_limit: int = 1
    failure_threshold: int = 0
    breaker_cooldown: float = 60.0
