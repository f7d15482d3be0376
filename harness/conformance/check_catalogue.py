"""The checks of the suite: every way in which an observation can fail a scenario, each with an id.

The self-check shows of each that it is needed: with it gone, a mutant would live (``docs/self-check.md``).
"""

from __future__ import annotations

import enum
from typing import Self


class Check(enum.StrEnum):
    """One check. Its value is the id that reports name; ``looks_at`` says in words what is judged."""

    looks_at: str

    def __new__(cls, id: str, looks_at: str) -> Self:
        check = str.__new__(cls, id)
        check._value_ = id
        check.looks_at = looks_at
        return check

    CONFIG_ACCEPTED = "config.accepted", "a configuration is taken that must be"
    CONFIG_REFUSED = "config.refused", "a configuration is refused that must be"
    CONFIG_REASON = "config.reason", "the refusal names what is wrong"
    ADVICE_MISSING = "advice.missing", "lint says what it has to say"
    ADVICE_SURPLUS = "advice.surplus", "lint says nothing else"

    TRAFFIC_WAIT = "traffic.wait", "the deliveries or events that the traffic waits for come"
    ANSWER_STATUS = "answer.status", "the client is answered, with this status"
    ANSWER_HEADERS = "answer.headers", "headers of the client's answer"
    ANSWER_BODY = "answer.body", "the body of the client's answer"
    ANSWER_WITHIN = "answer.within", "the client is answered in time"

    EVENT_MISSING = "event.missing", "every expected event is accepted by the ingest endpoint"
    EVENT_SURPLUS = "event.surplus", "no other event is"
    EVENT_DROPPED = "event.dropped", "a request without an event is reported as dropped"
    EVENT_ORDER = "event.order", "the events arrive in the order of the list"
    EVENT_LANE = "event.lane", "an event goes to the ingest endpoint of its plugin instance"
    EVENT_ONLY = "event.only", "an event has no field of data but those listed"
    EVENT_EMPTY = "event.empty", "no field of data is null or empty (in any scenario)"
    EVENT_CHANGED = "event.changed", "two events with one id are one and the same event (in any scenario)"
    SUBJECT_FORM = "subject.form", "Consumers are named in one form (in any scenario, with --subject-form auto)"
    FIELD_EQUAL = "field.equal", "a field has the value given, or one of those given"
    FIELD_NOT = "field.not", "a field has another value than the one given"
    FIELD_PRESENT = "field.present", "a field is there"
    FIELD_ABSENT = "field.absent", "a field is not there"
    FIELD_MATCHES = "field.matches", "a field is a text of this form"
    FIELD_TYPE = "field.type", "a field is of this type"
    FIELD_BOUNDS = "field.bounds", "a number lies within its bounds"
    FIELD_TIME = "field.time", "a time lies within its request"
    FIELD_SAME = "field.same", "a field equals that of another event"
    FIELD_UNIQUE = "field.unique", "a field differs from that of every other event"

    DELIVERY_COUNT = "delivery.count", "so many requests reach the ingest endpoint, and no more"
    DELIVERY_BATCHES = "delivery.batches", "the sizes of the batches, in order"
    DELIVERY_MAX_BATCH = "delivery.max_batch", "no batch is larger than this"
    DELIVERY_CONNECTIONS = "delivery.connections", "the number of connections to the ingest endpoint"
    DELIVERY_ENTRIES = "delivery.entries", "how many events one delivery carries"
    DELIVERY_SUBJECTS = "delivery.subjects", "whose events one delivery carries, in order"
    DELIVERY_BODY = "delivery.body", "a delivery is a bare event or an array"
    DELIVERY_PATH = "delivery.path", "path and query that a delivery asks for"
    DELIVERY_REPEATS = "delivery.repeats", "a retry has the bytes of the try before"
    DELIVERY_AFTER_PREVIOUS = "delivery.after_previous", "seconds since the delivery before"
    DELIVERY_AFTER_REQUEST = "delivery.after_request", "seconds since the request of the first event"
    INGEST_REQUEST = (
        "ingest.request",
        "method, path, token and content type of a delivery (DLV-1, AMB-8, in any scenario)",
    )
    INGEST_EVENT = "ingest.event", "envelope, type and data of an event by its schema (in any scenario)"
    LOG = "log", "the gateway's log has such lines"

    TRACE_TRIES = "trace.tries", "virtual time: which batches are tried, and how each try is answered"
    TRACE_TIMES = "trace.times", "virtual time: when each try begins"
    TRACE_DELIVERED = "trace.delivered", "virtual time: which entries arrive, and when"
    TRACE_LOST = "trace.lost", "virtual time: which entries are lost, when and why"
    TRACE_HELD_UP = "trace.held_up", "virtual time: which requests are held up, and how long"
    TRACE_WAITS = "trace.waits", "virtual time: how long retries wait where chance decides: shortest, mean, longest"
    TRACE_PEAK = "trace.peak", "virtual time: how many entries waited at most"
    TRACE_END = "trace.end", "virtual time: when nothing is left to happen"
