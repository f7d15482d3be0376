"""From a request to its meter record (SPEC AMB-1…5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import orjson

from plugin_emulator.exchange import AccessRequest
from plugin_emulator.journal import AttributeReading, SubjectReading
from plugin_emulator.metering_plugin import Drop
from plugin_emulator.near_name import subject_not_found

from .config import AmberfloConfig

#: How many requests are remembered with what their record shares with that of the next one like it.
_REMEMBERED = 1024
_TIME = b'"meterTimeInMillis":'

MeterRecord = dict[str, Any]


class RecordMaker:
    """Makes the meter records of one plugin configuration; ``new_id`` gives their ids."""

    __slots__ = ("_config", "_known", "_new_id", "_wanted")

    def __init__(self, config: AmberfloConfig, new_id: Callable[[], str]) -> None:
        self._config = config
        self._new_id = new_id
        self._wanted = frozenset(
            name.lower() for name in (config.customer_header, *(header for _, header in config.dimension_headers))
        )
        self._known: dict[tuple[Any, ...], tuple[AccessRequest, bytes, bytes]] = {}

    def record(self, access: AccessRequest, now: float) -> MeterRecord | Drop:
        """Return the record of a request that is in its access phase at ``now`` (epoch seconds), or why it has none.

        Whatever becomes of the request afterwards, it counts as one (AMB-5).
        """
        config = self._config
        headers = self._headers(access.request.headers)
        customer = headers.get(config.customer_header.lower())
        if not customer:
            state = "no" if customer is None else "an empty"
            return Drop("AMB-1", f"{state} header {config.customer_header!r} in the request")
        record: MeterRecord = {
            "uniqueId": self._new_id(),
            "meterApiName": config.meter_api_name,
            "customerId": customer,
            "meterValue": 1,
            "meterTimeInMillis": int(now * 1000),
        }
        dimensions = self._dimensions(access, headers)
        if dimensions:
            record["dimensions"] = dimensions
        return record

    def entry(self, access: AccessRequest, now: float) -> bytes | Drop:
        """Return the record of a request serialised as JSON, or why there is none.

        Requests repeat themselves, and the records of two that are alike differ in id and time alone: what stands
        around those is serialised once and kept.
        """
        request = access.request
        # Headers and entities are told by identity: the request that is kept with the rest keeps theirs.
        key = (id(request.headers), id(access.route), id(access.service), request.method, request.host)
        known = self._known.get(key)
        if known is None:
            record = self.record(access, now)
            if isinstance(record, Drop):
                return record
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            entry = _serialised(record)
            middle = entry.index(b'","meterApiName":')
            time_begins = entry.index(_TIME) + len(_TIME)  # in no value: quotes in those are escaped
            time_ends = time_begins + len(str(record["meterTimeInMillis"]))
            self._known[key] = (access, entry[middle:time_begins], entry[time_ends:])
            return entry
        return b'{"uniqueId":"%b%b%d%b' % (self._new_id().encode(), known[1], int(now * 1000), known[2])

    def readings(self, access: AccessRequest) -> tuple[SubjectReading, tuple[AttributeReading, ...]]:
        """Return what stands in a request where customer and dimensions are looked up, whatever becomes of it."""
        config, pairs = self._config, access.request.headers
        headers = self._headers(pairs)
        name = config.customer_header
        value = headers.get(name.lower())
        subject = SubjectReading("header", name, value)
        if not value:
            subject = subject_not_found(subject, pairs, access.request.query)
        dimensions = tuple(
            AttributeReading(dimension, "header", header, headers.get(header.lower()))
            for dimension, header in config.dimension_headers
        )
        return subject, dimensions

    def _headers(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the first value of each header that matters, by lower-case name, without surrounding blanks."""
        found: dict[str, str] = {}
        for name, value in pairs:
            lower = name.lower()
            if lower in self._wanted:
                found.setdefault(lower, value.strip(" \t"))
        return found

    def _dimensions(self, access: AccessRequest, headers: dict[str, str]) -> dict[str, str]:
        """Return the dimensions, sorted by name; of two with one name the later one of AMB-3's order stands."""
        config, request = self._config, access.request
        dimensions: dict[str, str] = {}
        for name, header in config.dimension_headers:
            value = headers.get(header.lower())
            if value:
                dimensions[name] = self._replaced(value)
        if config.method_dimension and request.method:
            dimensions[config.method_dimension] = request.method
        if config.host_dimension and request.host:
            dimensions[config.host_dimension] = request.host
        if config.service_dimension:
            dimensions[config.service_dimension] = (access.service and access.service.name) or ""
        if config.route_dimension:
            dimensions[config.route_dimension] = (access.route and access.route.name) or ""
        return dict(sorted(dimensions.items()))

    def _replaced(self, value: str) -> str:
        """Return ``value`` with the replacements made, in their written order, on which no run may rely (AMB-4)."""
        for old, new in self._config.replacements:
            value = value.replace(old, new)
        return value


class _Identity(msgspec.Struct, gc=False):
    id: str = msgspec.field(name="uniqueId")
    meter: str = msgspec.field(name="meterApiName")


_identities = msgspec.json.Decoder(_Identity)


def record_identity(entry: bytes) -> tuple[str, str]:
    """Return id and meter of a serialised record."""
    record = _identities.decode(entry)
    return record.id, record.meter


def _serialised(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate: header bytes that are no text
        return orjson.dumps(_as_text(value))


def _as_text(value: Any) -> Any:
    """Return ``value`` with what UTF-8 cannot express replaced in its strings."""
    if isinstance(value, dict):
        return {_as_text(name): _as_text(part) for name, part in value.items()}
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
