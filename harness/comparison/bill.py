"""What one request is billed as by one plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_plugin import Drop, Phase
from plugin_emulator.runtime.simulation import Arrival, Delivered, Lost, Try

from .load import Load

#: What a line counts when it counts the request itself.
REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` of ``what`` for ``customer``: ``requests``, or tokens by kind. ``meter`` is what it counts on."""

    customer: str
    what: str
    amount: float
    meter: str


@dataclass(frozen=True, slots=True)
class Bill:
    """What one request makes: ``lines`` as the billing system counts them, or why there are none.

    ``sizes`` are the bytes of each event or record that has to be delivered.
    """

    lines: tuple[Line, ...] = ()
    sizes: tuple[int, ...] = ()
    drop: Drop | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A request that waited in its access phase for ``seconds`` (SPEC AMB-12)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a plugin does with a load in virtual time. ``takes_in`` are the tries whose entries the endpoint kept."""

    tries: tuple[tuple[Try, bool], ...]
    delivered: tuple[Delivered, ...]
    lost: tuple[Lost, ...]
    held_up: tuple[Held, ...]
    waiting_most: int
    ended_at: float


class Biller(Protocol):
    """A metering plugin as it is configured.

    ``entry`` is its word for what it sends, ``pace`` its buffering and retries in a sentence; ``loss_rules`` has,
    by the reason of a loss, the rule that allows it and the reason in words.
    """

    plugin: str
    phase: Phase
    entry: str
    pace: str
    loss_rules: Mapping[str, tuple[str, str]]

    def bill(self, exchange: Exchange) -> Bill:
        """Return what a finished request is billed as."""

    def deliver(self, arrivals: list[Arrival], load: Load) -> Delivery:
        """Return what becomes of ``arrivals``, events or records in order of time, in virtual time."""
