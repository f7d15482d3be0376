"""What metering-and-billing bills, and how its queue delivers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME, MeteringConfig
from plugin_emulator.metering_and_billing.events import LLM_REQUEST
from plugin_emulator.metering_and_billing.pipeline import Pipeline
from plugin_emulator.metering_and_billing.subject import SubjectForm
from plugin_emulator.metering_plugin import Drop, Phase
from plugin_emulator.queue import QueueSettings
from plugin_emulator.runtime.simulation import Arrival, Schedule, trace

from .bill import REQUESTS, Bill, Delivery, Line
from .load import Endpoint, Load

#: What the tokens of each kind of llm event are.
_TOKENS = {"request": "prompt tokens", "response": "completion tokens"}


class MeteringAndBillingBiller:
    """Fulfils :class:`.bill.Biller` for one instance of the plugin, in a gateway with one worker."""

    plugin = PLUGIN_NAME
    phase: Phase = "log"
    entry = "event"
    loss_rules: Mapping[str, tuple[str, str]] = {
        "gave_up": ("RET-2", "given up after max_retry_time"),
        "overflow_entries": ("CAP-1", "max_entries were waiting, the oldest had to go"),
        "overflow_bytes": ("CAP-2", "max_bytes were waiting, the oldest had to go"),
        "too_large": ("CAP-2", "larger than max_bytes"),
        "window_full": ("CAP-4", "the open window filled the queue"),
        "breaker_open": ("BRK-2", "the circuit breaker was open"),
    }

    def __init__(self, config: MeteringConfig, gateway: str, subject_form: SubjectForm, seed: int | None) -> None:
        self._config = config
        self._pipeline = Pipeline(config, gateway, subject_form, id_source(seed))
        self.pace = _pace(config.queue)

    def bill(self, exchange: Exchange) -> Bill:
        """Return what a finished request is billed as."""
        made = self._pipeline.entries(exchange)
        if isinstance(made, Drop):
            return Bill(drop=made)
        return Bill(tuple(_line(orjson.loads(entry)) for entry in made), tuple(len(entry) for entry in made))

    def deliver(self, arrivals: list[Arrival], load: Load) -> Delivery:
        """Return what becomes of ``arrivals`` in one queue."""
        endpoint = Endpoint(load, self._config.timeout / 1000)
        traced = trace(Schedule(self._config.queue, arrivals), endpoint.answer)
        tries = tuple((each, endpoint.takes_in(each.t)) for each in traced.tries)
        return Delivery(tries, tuple(traced.delivered), tuple(traced.lost), (), traced.peak_entries, traced.ended_at)


def _line(event: dict[str, Any]) -> Line:
    data = event["data"]
    if event["type"] != LLM_REQUEST:
        return Line(event["subject"], REQUESTS, 1, event["type"])
    return Line(event["subject"], _TOKENS[data["type"]], data.get("tokens", 0), event["type"])


def _pace(queue: QueueSettings) -> str:
    batches = f"{queue.max_batch_size:,} a POST" if queue.max_batch_size > 1 else "one POST each"
    senders = "one at a time" if queue.concurrency_limit == 1 else "all at once"
    return f"{batches}, {senders}, tried for {queue.max_retry_time:g} s; {queue.max_entries:,} may wait"
