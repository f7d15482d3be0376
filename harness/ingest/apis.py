"""The ingest APIs that the endpoint can stand in for, by the name of their profile."""

from __future__ import annotations

from typing import Any

from harness.ingest.amberflo.api import AMBERFLO
from harness.ingest.api import IngestApi
from harness.ingest.cloudevents.api import V1, V3
from harness.ingest.five_aspects import FiveAspects

DEFAULT: IngestApi = V3
APIS: dict[str, IngestApi] = {api.name: api for api in (V3, V1, AMBERFLO)}


def five_aspects(entry: Any) -> FiveAspects | None:
    """Return what, whom, when, how much and where of an event or record of any API; None when it is neither."""
    found = (api.five_aspects(entry) for api in APIS.values())
    return next((aspects for aspects in found if aspects is not None), None)


def identity(entry: Any) -> dict[str, Any]:
    """Return the members that tell ``entry`` from others, None for what it has not."""
    api = next((api for api in APIS.values() if api.five_aspects(entry) is not None), DEFAULT)
    members = entry if isinstance(entry, dict) else {}
    return {name: members.get(name) for name in api.identity}
