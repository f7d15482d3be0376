"""From an intent to the ``config`` of metering-and-billing."""

from __future__ import annotations

from plugin_emulator.documents import Pointer, did_you_mean
from plugin_emulator.metering_and_billing.config import is_http_url

from ..entity import Reference, Value
from ..intent import TOKEN_VARIABLE, Intent, NotMeant, named_value

#: Word of an intent -> the places in ``config`` that it decides.
DECIDED_BY: dict[str, tuple[Pointer, ...]] = {
    "ingest": (("ingest_endpoint",),),
    "token": (("api_token",),),
    "meters": (("meter_api_requests",), ("meter_ai_token_usage",)),
    "subject": (("subject",),),
    "attributes": (("attributes",),),
    "batch": (("queue", "max_batch_size"),),
    "delay": (("queue", "max_coalescing_delay"),),
    "status": (("allow_status_codes",),),
}
#: Regions whose Konnect has an ingest endpoint.
KONNECT_REGIONS = ("us", "eu", "au", "me", "in", "sg")
_KONNECT = "https://{region}.api.konghq.com/v3/openmeter/events"
_OPENMETER_PATH = "/api/v3/openmeter/events"
_FORMS = "write konnect:REGION, openmeter:URL, a URL, env:NAME or vault:BACKEND/KEY"


def derive_config(intent: Intent) -> dict[str, Value]:
    """Return ``config`` with what the intent says, in the order of the plugin's own documentation.

    The token is the variable AUTH_TOKEN unless the intent names another. Raises NotMeant.
    """
    if intent.meter_name is not None:
        raise NotMeant("meter_name", "is Amberflo's", "leave it out: meters are defined in Konnect or OpenMeter")
    config: dict[str, Value] = {}
    if intent.ingest is not None:
        config["ingest_endpoint"] = ingest_endpoint(intent.ingest)
    elif "ingest_endpoint" not in intent.config:
        raise NotMeant("ingest", "where the events go is not said", _FORMS)
    if intent.token is not None:
        config["api_token"] = intent.token
    elif "api_token" not in intent.config:
        config["api_token"] = Reference(TOKEN_VARIABLE)
    if intent.meters:
        config["meter_api_requests"] = "api-requests" in intent.meters
        config["meter_ai_token_usage"] = "ai-tokens" in intent.meters
    if intent.subject is not None:
        config["subject"] = _subject(intent)
    if intent.attributes:
        config["attributes"] = [
            {"source": source.kind, "look_up_value_in": source.name, "event_property_name": name}
            for name, source in intent.attributes
        ]
    queue: dict[str, Value] = {}
    if intent.batch is not None:
        queue["max_batch_size"] = intent.batch
    if intent.delay is not None:
        queue["max_coalescing_delay"] = intent.delay
    if queue:
        config["queue"] = queue
    if intent.status:
        config["allow_status_codes"] = list(intent.status)
    return config


def ingest_endpoint(text: str) -> Value:
    """Return the endpoint ``text`` names: Konnect's by region, OpenMeter's by its base URL, or itself."""
    if text.startswith("konnect:"):
        region = text.removeprefix("konnect:")
        if region not in KONNECT_REGIONS:
            near = did_you_mean(region, KONNECT_REGIONS)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(KONNECT_REGIONS)}"
            raise NotMeant("ingest", f"Konnect has no region {region!r}", hint)
        return _KONNECT.format(region=region)
    if text.startswith("openmeter:"):
        base = text.removeprefix("openmeter:").rstrip("/")
        if not is_http_url(base):
            raise NotMeant(
                "ingest", "is not an absolute http(s) URL", "write e.g. openmeter:https://meter.example.com"
            )
        return base if base.endswith("/events") else base + _OPENMETER_PATH
    value = named_value(text, "ingest")
    if isinstance(value, str) and not value.startswith("{vault://") and not is_http_url(value):
        raise NotMeant("ingest", "is not an absolute http(s) URL", _FORMS)
    return value


def _subject(intent: Intent) -> Value:
    assert intent.subject is not None
    subject: dict[str, Value] = {"look_up_value_in": intent.subject.kind}
    if intent.subject.name is not None:
        subject["field"] = intent.subject.name
    elif intent.subject.kind in ("header", "query"):
        kind = intent.subject.kind
        raise NotMeant("subject", f"which {kind} is not said: every event would be dropped", f"write {kind}:NAME")
    return subject
