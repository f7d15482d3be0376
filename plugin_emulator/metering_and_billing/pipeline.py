"""One plugin instance's way from an exchange to its usage events.

``Pipeline.events`` gives CloudEvents as dicts, ``Pipeline.entries`` the same events serialised, as the queue takes
them. Both say why a request made none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ..exchange import Exchange
from .attributes import attribute_reader, headers_of, parameters_of
from .config import NEWEST_GATEWAY, MeteringConfig
from .event_time import id_source, rfc3339
from .events import API_REQUEST, LLM_REQUEST, add_attributes, api_request_data, entity_fields, llm_request_data
from .lookup import headers_named, parameters_named
from .subject import SubjectForm, subject_rule

#: The context in which the events happened (EVT-5); with ``id`` it identifies an event (EVT-3).
EVENT_SOURCE = "kong-gateway"
#: The first gateway version whose events say what their subject is (SUB-8).
SUBJECT_TYPE_SINCE = (3, 16)

#: How many header lists, and combinations of entities, are remembered with what was found in them.
_REMEMBERED = 512

CloudEvent = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a request made no event: the SPEC rule and the reason in words (DRP-4)."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request became: ``events`` (0 to 3 CloudEvents), or a ``drop`` and no event."""

    events: list[CloudEvent]
    drop: Drop | None = None


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
        version = tuple(int(part) for part in gateway.split("."))
        self._subject_type = self._subject.kind if version >= SUBJECT_TYPE_SINCE else None
        self._allowed = (
            None
            if config.allow_status_codes is None
            else frozenset(code for first, last in config.allow_status_codes for code in range(first, last + 1))
        )

        self._known_headers: dict[int, tuple[list[tuple[str, str]], dict[str, str]]] = {}
        self._fields: dict[tuple[int, int, int, str | None], tuple[dict[str, Any], Exchange]] = {}

    def events(self, exchange: Exchange) -> Outcome:
        """Return the events of one finished request, or why there are none."""
        made = self._make(exchange)
        return Outcome([], made) if isinstance(made, Drop) else Outcome(made)

    def entries(self, exchange: Exchange) -> list[bytes] | Drop:
        """Return the events of one finished request, serialised as JSON, or why there are none."""
        made = self._make(exchange)
        if isinstance(made, Drop):
            return made
        try:
            return [orjson.dumps(event) for event in made]
        except TypeError:  # a lone surrogate: header bytes that are no text
            return [orjson.dumps(_as_text(event)) for event in made]

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
        headers = self._headers(request.headers)
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
            data = api_request_data(exchange, self._entity_fields(exchange), headers.get("user-agent"))
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

    def _headers(self, pairs: list[tuple[str, str]]) -> dict[str, str]:
        """Look up the wanted headers, once for each list: a gateway parses a head that repeats itself only once."""
        known = self._known_headers.get(id(pairs))
        if known is None:
            if len(self._known_headers) >= _REMEMBERED:
                self._known_headers.clear()
            found = headers_named(pairs, self._wanted_headers, self._header_lengths)
            known = self._known_headers[id(pairs)] = (pairs, found)  # kept, so that its id stays its own
        return known[1]

    def _entity_fields(self, exchange: Exchange) -> dict[str, Any]:
        """Return the fields of the entities, made once for each combination of them.

        A gateway hands in the same immutable objects for every request to a Route, so identity is enough to tell
        them; the exchange kept beside the fields keeps their ids from being given to others.
        """
        key = (id(exchange.route), id(exchange.service), id(exchange.application), exchange.control_plane_id)
        known = self._fields.get(key)
        if known is None:
            if len(self._fields) >= _REMEMBERED:
                self._fields.clear()
            known = self._fields[key] = (entity_fields(exchange), exchange)
        return known[0]


def _cloud_event(event_id: str, kind: str, subject: str, when: str, data: dict[str, Any]) -> CloudEvent:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": EVENT_SOURCE,
        "type": kind,
        "subject": subject,
        "time": when,
        "datacontenttype": "application/json",
        "data": data,
    }


def _as_text(event: CloudEvent) -> CloudEvent:
    """Replace what UTF-8 cannot express in the event's strings."""

    def text(value: Any) -> Any:
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

    clean = {name: text(value) for name, value in event.items()}
    clean["data"] = {text(name): text(value) for name, value in event["data"].items()}
    return clean
