"""From an intent to the ``config`` of the Amberflo plugin."""

from __future__ import annotations

from plugin_emulator.documents import Pointer

from ..entity import Reference, Value
from ..intent import TOKEN_VARIABLE, Intent, NotMeant

#: Word of an intent -> the places in ``config`` that it decides.
DECIDED_BY: dict[str, tuple[Pointer, ...]] = {
    "token": (("apiKey",),),
    "meter_name": (("meterApiName",),),
    "subject": (("customerHeader",),),
    "attributes": (("dimensionHeaders",),),
    "batch": (("batchSize",),),
    "delay": (("intervalSeconds",),),
}
#: The header in which the gateway's authentication plugins tell the Consumer's username.
CONSUMER_HEADER = "x-consumer-username"


def derive_config(intent: Intent) -> dict[str, Value]:
    """Return ``config`` with what the intent says. Raises NotMeant for what this plugin cannot do.

    The key is the variable AUTH_TOKEN unless the intent names another; the customer is the Consumer unless the
    intent's subject is a header.
    """
    _refuse_foreign(intent)
    config: dict[str, Value] = {}
    if intent.token is not None:
        config["apiKey"] = intent.token
    elif "apiKey" not in intent.config:
        config["apiKey"] = Reference(TOKEN_VARIABLE)
    if intent.meter_name is not None:
        config["meterApiName"] = intent.meter_name
    elif "meterApiName" not in intent.config:
        raise NotMeant("meter_name", "which meter the requests count on is not said", "write the meter's API name")
    if intent.subject is not None or "customerHeader" not in intent.config:
        config["customerHeader"] = _customer_header(intent)
    if intent.batch is not None:
        config["batchSize"] = intent.batch
    if intent.delay is not None:
        config["intervalSeconds"] = int(intent.delay) if float(intent.delay).is_integer() else intent.delay
    dimensions: dict[str, Value] = {}
    for name, source in intent.attributes:
        if source.kind != "header":
            raise NotMeant(("attributes", name), "Amberflo's dimensions come from headers only", "write header:NAME")
        dimensions[name] = source.name
    if dimensions:
        config["dimensionHeaders"] = dimensions
    return config


def _refuse_foreign(intent: Intent) -> None:
    if intent.ingest is not None:
        raise NotMeant("ingest", "Amberflo's ingest endpoint cannot be configured", "leave it out")
    if intent.status:
        raise NotMeant("status", "Amberflo meters before the status is known", "leave it out")
    if intent.meters not in ((), ("api-requests",)):
        raise NotMeant("meters", "Amberflo meters requests only", "leave it out")


def _customer_header(intent: Intent) -> Value:
    subject = intent.subject
    if subject is None or (subject.kind == "consumer" and subject.name in (None, "username")):
        return CONSUMER_HEADER
    if subject.kind != "header":
        raise NotMeant("subject", "Amberflo takes the customer from a header", "write header:NAME or consumer")
    if subject.name is None:
        raise NotMeant("subject", "which header is not said", "write header:NAME")
    return subject.name
