"""Amberflo under load: meter records, from the access phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from harness.targets.target import PluginOptions
from loadtests.expectations import ExpectedEvent
from loadtests.numbers import NUMBER_HEADER, NUMBER_PROPERTY
from loadtests.plugins.loaded_plugin import EntryForm, MeteredRequest
from plugin_emulator.amberflo.config import PLUGIN_NAMES, config_schema
from plugin_emulator.documents import Problem

METER = "load-requests"
#: The header in which key-auth tells who the Consumer is.
CONSUMER_HEADER = "x-consumer-username"
_METHOD, _ROUTE, _SERVICE = "method", "route", "service"
#: Settings that decide how records are batched: what stands for a queue's.
_SETTINGS = ("batchSize", "intervalSeconds")


def _envelope(record: Any) -> tuple[Any, Any, Any]:
    # A record names no source: ids are unique by themselves (AMB-2).
    return record["meterApiName"], record["customerId"], None


def _time(record: Any) -> float | None:
    millis = record.get("meterTimeInMillis") if isinstance(record, dict) else None
    return millis / 1000 if isinstance(millis, int) and not isinstance(millis, bool) else None


def _times(records: Sequence[Any]) -> list[float]:
    times = map(_time, records)
    return [nan if time is None else time for time in times]


_NAMES = ("meterApiName", "customerId", "source")
RECORDS = EntryForm("dimensions", "uniqueId", _NAMES, _envelope, _time, _times)


class AmberfloUnderLoad:
    """Fulfils :class:`.loaded_plugin.LoadedPlugin`."""

    name = PLUGIN_NAMES[0]
    form = RECORDS
    api = "amberflo"
    endpoint_path = "/ingest"
    kinds = frozenset(("consumer", "tenant", "missing"))
    default_queue: Mapping[str, Any] = {"batchSize": 100}
    any_answer = True  # AMB-5

    def queue_problems(self, queue: Any) -> list[Problem]:
        """Return what is wrong in ``queue``, which has the settings of the plugin's client."""
        if not isinstance(queue, dict):
            return [Problem("expected an object", ("queue",), "write e.g. {batchSize: 100}")]
        unknown = [
            Problem("is no setting of Amberflo's client", ("queue", name), f"it has {' and '.join(_SETTINGS)}")
            for name in queue
            if name not in _SETTINGS
        ]
        config = {**queue, "apiKey": "-", "meterApiName": METER, "customerHeader": CONSUMER_HEADER}
        return unknown or [
            Problem(problem.message, ("queue", *problem.pointer), problem.hint)
            for problem in config_schema().check(config)
        ]

    def config(
        self, queue: Mapping[str, Any], subject_header: str | None, endpoint: str, token: str, *, ai: bool
    ) -> dict[str, Any]:
        """Return the plugin's ``config``; the number of a request is a dimension (AMB-3)."""
        return {
            "apiKey": token,
            "meterApiName": METER,
            "customerHeader": CONSUMER_HEADER if subject_header is None else subject_header,
            "debug": False,
            "methodDimension": _METHOD,
            "routeDimension": _ROUTE,
            "serviceDimension": _SERVICE,
            "dimensionHeaders": {NUMBER_PROPERTY: NUMBER_HEADER},
            **queue,
        }

    def options(self, endpoint: str) -> PluginOptions:
        """The configuration cannot say where records go (AMB-13)."""
        return {self.name: {"endpoint": endpoint}}

    def request_event(self, subject: str, request: MeteredRequest) -> ExpectedEvent:
        """Return the record of a request (AMB-2, AMB-3)."""
        fields = (
            ("meterValue", 1),
            (f"dimensions.{_METHOD}", request.method),
            (f"dimensions.{_ROUTE}", request.route),
            (f"dimensions.{_SERVICE}", request.service),
        )
        return ExpectedEvent(METER, subject, fields, timed=True)
