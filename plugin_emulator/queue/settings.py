"""The queue's parameters, one for one as in the plugin's ``config.queue``."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Wait = Annotated[float, msgspec.Meta(gt=0)]


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one queue with Kong's defaults (SPEC CFG-4, CFG-7).

    Delays and times are in seconds, ``max_bytes`` in bytes of serialised entries (None: no limit).
    ``concurrency_limit`` is 1 (one batch at a time) or -1 (every entry by itself, at once).
    ``failure_threshold`` 0 turns the circuit breaker off.
    """

    max_batch_size: _Count = 1
    max_coalescing_delay: _Seconds = 1.0
    max_entries: _Count = 10_000
    max_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    initial_retry_delay: _Wait = 0.01
    max_retry_time: float = 60.0
    max_retry_delay: _Wait = 60.0
    concurrency_limit: int = 1
    failure_threshold: Annotated[int, msgspec.Meta(ge=0)] = 0
    breaker_cooldown: _Seconds = 60.0

    def __post_init__(self) -> None:
        if self.concurrency_limit not in (1, -1):
            raise ValueError("concurrency_limit must be 1 or -1")
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number of seconds")
