"""metering-and-billing under load: CloudEvents, from the log phase."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from harness.targets.target import PluginOptions
from loadtests.event_times import event_time, event_times
from loadtests.expectations import ExpectedEvent
from loadtests.numbers import NUMBER_HEADER, NUMBER_PROPERTY
from loadtests.plugins.loaded_plugin import EntryForm, MeteredRequest
from plugin_emulator.documents import Problem
from plugin_emulator.metering_and_billing.config import NEWEST_GATEWAY, PLUGIN_NAME, validate_config

API_REQUEST = "kong.api_request"
LLM_REQUEST = "kong.llm_request"


_NAMES = ("type", "subject", "source")
EVENTS = EntryForm("data", "id", _NAMES, itemgetter(*_NAMES), event_time, event_times)


class MeteringAndBillingUnderLoad:
    """Fulfils :class:`.loaded_plugin.LoadedPlugin`."""

    name = PLUGIN_NAME
    form = EVENTS
    api = "v3"
    endpoint_path = "/v3/openmeter/events"
    kinds = frozenset(("consumer", "tenant", "missing", "ai"))
    default_queue: Mapping[str, Any] = {"max_batch_size": 100, "max_entries": 100000}
    any_answer = False

    def queue_problems(self, queue: Any) -> list[Problem]:
        """Return what is wrong in ``config.queue``."""
        config = {"ingest_endpoint": "http://127.0.0.1/events", "api_token": "-", "queue": queue}
        return validate_config(config, NEWEST_GATEWAY)

    def config(
        self, queue: Mapping[str, Any], subject_header: str | None, endpoint: str, token: str, *, ai: bool
    ) -> dict[str, Any]:
        """Return the plugin's ``config``; the number of a request is an attribute (ATR-1)."""
        number = {"source": "header", "look_up_value_in": NUMBER_HEADER, "event_property_name": NUMBER_PROPERTY}
        header = {"look_up_value_in": "header", "field": subject_header}
        return {
            "ingest_endpoint": endpoint,
            "api_token": token,
            "meter_api_requests": True,
            "meter_ai_token_usage": ai,
            "subject": {"look_up_value_in": "consumer"} if subject_header is None else header,
            "attributes": [number],
            "queue": dict(queue),
        }

    def options(self, endpoint: str) -> PluginOptions:
        """The endpoint is in the configuration."""
        return {}

    def request_event(self, subject: str, request: MeteredRequest) -> ExpectedEvent:
        """Return the event of a request (EVT-4 to EVT-7)."""
        fields = (
            ("data.request_method", request.method),
            ("data.request_uri", request.path),
            ("data.route_name", request.route),
            ("data.route_id", request.route_id),
            ("data.service_name", request.service),
            ("data.service_id", request.service_id),
        )
        status = "data.response_http_status"
        return ExpectedEvent(API_REQUEST, subject, fields, status_field=status, timed=True, sourced=True)
