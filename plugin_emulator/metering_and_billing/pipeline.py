"""One plugin instance's way from an exchange to its usage events.

``Pipeline.events`` gives CloudEvents as dicts, ``Pipeline.entries`` the same events serialised, as the queue takes
them. Both say why a request made none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from ..event_ids import id_source
from ..exchange import Exchange
from ..journal import AttributeReading, SubjectReading
from ..metering_plugin import Drop as Drop
from ..near_name import subject_not_found
from .attributes import attribute_reader, headers_of, parameters_of
from .config import NEWEST_GATEWAY, MeteringConfig
from .event_time import rfc3339
from .events import API_REQUEST, LLM_REQUEST, add_attributes, api_request_data, llm_request_data
from .lookup import headers_named, parameters_named
from .subject import SubjectForm, subject_rule

#: The context in which the events happened (EVT-5); with ``id`` it identifies an event (EVT-3).
EVENT_SOURCE = "kong-gateway"
#: The first gateway version whose events say what their subject is (SUB-8).
SUBJECT_TYPE_SINCE = (3, 16)

#: How many requests are remembered with the end of their event.
_REMEMBERED = 1024

CloudEvent = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request became: ``events`` (0 to 3 CloudEvents), or a ``drop`` and no event."""

    events: list[CloudEvent]
    drop: Drop | None = None


class _Identity(msgspec.Struct, gc=False):
    id: str
    type: str


#: Makes no objects of the other members, which are most of what reading an event costs.
_identities = msgspec.json.Decoder(_Identity)


class Pipeline:
    """Turns exchanges into events for one plugin configuration.

    ``gateway`` is one of the known versions; ``new_id`` gives event ids (default: random UUIDs).
    """

    def __init__(
        self,
        config: MeteringConfig,
        gateway: str = NEWEST_GATEWAY,
        subject_form: SubjectForm = "username",
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._config = config
        self._new_id = new_id or id_source()
        self._subject = subject_rule(config.subject, subject_form)
        self._attributes = attribute_reader(config.attributes)
        self._wanted_headers = frozenset(
            {"user-agent"}
            | headers_of(config.attributes)
            | ({self._subject.header} if self._subject.header else set())
        )
        self._header_lengths = frozenset(len(name) for name in self._wanted_headers)
        self._wanted_parameters = frozenset(
            parameters_of(config.attributes) | ({self._subject.parameter} if self._subject.parameter else set())
        )
        self._reads_headers = bool(self._subject.header or headers_of(config.attributes))
        version = tuple(int(part) for part in gateway.split("."))
        self._subject_type = self._subject.kind if version >= SUBJECT_TYPE_SINCE else None
        self._allowed = (
            None
            if config.allow_status_codes is None
            else frozenset(code for first, last in config.allow_status_codes for code in range(first, last + 1))
        )

        self._known: dict[tuple[Any, ...], tuple[bytes | Drop, Exchange]] = {}

    def events(self, exchange: Exchange) -> Outcome:
        """Return the events of one finished request, or why there are none."""
        made = self._make(exchange)
        return Outcome([], made) if isinstance(made, Drop) else Outcome(made)

    def entries(self, exchange: Exchange) -> list[bytes] | Drop:
        """Return the events of one finished request, serialised as JSON, or why there are none.

        Requests repeat themselves, and two that agree in everything but their time differ in the first members of
        their event alone: what follows those is serialised once and kept.
        """
        if exchange.ai is not None:
            made = self._make(exchange)
            return made if isinstance(made, Drop) else [_serialised(event) for event in made]
        request, response = exchange.request, exchange.response
        # The headers and entities are told by identity: the exchange that is kept with the rest keeps theirs.
        key = (
            id(request.headers),
            id(exchange.route),
            id(exchange.service),
            id(exchange.consumer),
            id(exchange.application),
            exchange.control_plane_id,
            exchange.upstream_status,
            request.method,
            request.path,
            request.query,
            request.host,
            request.client_ip,
            request.size_bytes,
            response.status,
            response.size_bytes,
        )
        known = self._known.get(key)
        if known is None:
            return self._first_of_its_kind(key, exchange)
        rest = known[0]
        if isinstance(rest, Drop):
            return rest
        start = f'{{"specversion":"1.0","id":"{self._new_id()}","time":"{rfc3339(request.started_at)}'
        return [start.encode() + rest]

    def readings(self, exchange: Exchange) -> tuple[SubjectReading, tuple[AttributeReading, ...]]:
        """Return what stands in a request where subject and attributes are looked up, whatever becomes of it."""
        request, source = exchange.request, self._config.subject
        wanted, lengths = self._wanted_headers, self._header_lengths
        headers = headers_named(request.headers, wanted, lengths) if self._reads_headers else {}
        wanted = self._wanted_parameters
        parameters = parameters_named(request.query, wanted) if wanted and request.query else {}
        value = self._subject.lookup(exchange, headers, parameters)
        subject = SubjectReading(source.look_up_value_in, source.field, value)
        if not value and (self._subject.header or self._subject.parameter):
            subject = subject_not_found(subject, request.headers, request.query)
        if not self._config.attributes:
            return subject, ()
        attributes = tuple(
            AttributeReading(
                attribute.event_property_name,
                attribute.source,
                attribute.look_up_value_in,
                headers.get(attribute.look_up_value_in.lower())
                if attribute.source == "header"
                else parameters.get(attribute.look_up_value_in),
            )
            for attribute in self._config.attributes
        )
        return subject, attributes

    def _first_of_its_kind(self, key: tuple[Any, ...], exchange: Exchange) -> list[bytes] | Drop:
        """Make the event of a plain request; keep what follows its time, or the reason why there is none."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        made = self._make(exchange)
        if isinstance(made, Drop):
            self._known[key] = (made, exchange)
            return made
        (event,) = made
        entry = _serialised(event)
        time_ends = entry.index(b'"time":"') + len(b'"time":"') + len(event["time"])
        self._known[key] = (entry[time_ends:], exchange)
        return [entry]

    def _make(self, exchange: Exchange) -> list[CloudEvent] | Drop:
        config, ai = self._config, exchange.ai
        status = exchange.response.status
        if self._allowed is not None and status not in self._allowed:
            return Drop("FLT-4", f"status {status} is in none of allow_status_codes")
        meter_ai = ai is not None and config.meter_ai_token_usage
        if not config.meter_api_requests and not meter_ai:
            if config.meter_ai_token_usage:
                return Drop("EVT-10", "only AI tokens are metered and this is no AI request")
            return Drop("EVT-8", "meter_api_requests is off")
        request = exchange.request
        headers = headers_named(request.headers, self._wanted_headers, self._header_lengths)
        wanted = self._wanted_parameters
        parameters = parameters_named(request.query, wanted) if wanted and request.query else {}
        subject = self._subject.lookup(exchange, headers, parameters)
        if not subject:
            if subject is None:
                return Drop("DRP-1", self._subject.absent)
            return Drop("DRP-2", f"the {self._subject.kind} that names the subject is empty")
        when = rfc3339(request.started_at)
        properties = self._attributes(headers, parameters) if config.attributes else ()
        events: list[CloudEvent] = []
        event_id = self._new_id()
        if config.meter_api_requests:
            data = api_request_data(exchange, headers.get("user-agent"))
            if self._subject_type is not None:
                data["subject_type"] = self._subject_type
            if properties:
                add_attributes(data, properties)
            events.append(_cloud_event(event_id, API_REQUEST, subject, when, data))
        if meter_ai:
            assert ai is not None
            request_id = ai.request_id or event_id
            for kind in ("request", "response"):
                data = llm_request_data(exchange, ai, kind, request_id)
                if self._subject_type is not None:
                    data["subject_type"] = self._subject_type
                add_attributes(data, properties)
                events.append(_cloud_event(self._new_id(), LLM_REQUEST, subject, when, data))
        return events


def event_identity(entry: bytes) -> tuple[str, str]:
    """Return id and type of a serialised event."""
    event = _identities.decode(entry)
    return event.id, event.type


def _cloud_event(event_id: str, kind: str, subject: str, when: str, data: dict[str, Any]) -> CloudEvent:
    return {
        "specversion": "1.0",
        "id": event_id,
        "time": when,
        "source": EVENT_SOURCE,
        "type": kind,
        "subject": subject,
        "datacontenttype": "application/json",
        "data": data,
    }


def _serialised(event: CloudEvent) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:  # a lone surrogate: header bytes that are no text
        return orjson.dumps(_as_text(event))


def _as_text(event: CloudEvent) -> CloudEvent:
    """Replace what UTF-8 cannot express in the event's strings."""

    def text(value: Any) -> Any:
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

    clean = {name: text(value) for name, value in event.items()}
    clean["data"] = {text(name): text(value) for name, value in event["data"].items()}
    return clean
