"""A second opinion on an event's envelope: the CloudEvents project's own Python SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from harness.ingest.cloudevents.formats import instant

_NEVER_FILLED_IN = ("id", "source", "specversion", "type")


def complaints(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (member, message) for each thing the SDK finds wrong with the envelope of ``event`` (EVT-1).

    The SDK's constructor fills in an absent id, specversion and time. A missing required member is therefore
    reported without asking it, and it works on a copy, so that nothing of its own gets into the event. In the JSON
    format a member that is null is one that is absent.
    """
    attributes = {name: value for name, value in event.items() if name != "data" and value is not None}
    missing = [name for name in _NEVER_FILLED_IN if name not in attributes]
    if missing:
        return [(name, f"Missing required attribute: '{name}'") for name in missing]
    time = attributes.get("time")
    if isinstance(time, str):
        moment = instant(time)
        if moment is None:
            return [("time", "Attribute 'time' must be an RFC 3339 date-time")]
        attributes["time"] = moment
    try:
        CloudEvent(attributes, event.get("data"))
    except CloudEventValidationError as error:
        return [(member, str(reason)) for member, reasons in error.errors.items() for reason in reasons]
    return []
