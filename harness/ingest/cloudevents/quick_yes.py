"""A quick yes for a whole body: one typed pass over its bytes, for what is nearly always the case.

It knows the members of the published event schema, and of those beyond it the attributes that it has met. Whatever it
does not know for certain it leaves to others: it says yes or nothing, never no. It is narrower than the strict schema
by construction, whatever it has learned: each of its members has that schema's own type, and any other member keeps
it from saying yes. A test holds it to that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import jsonschema_rs
import msgspec

from harness.ingest.cloudevents.event_schema import definitions
from harness.ingest.cloudevents.formats import NATIVE_DATE_TIME

_Decoder = msgspec.json.Decoder[Any]
_MOST_FIELDS = 128
_Text = Annotated[str, msgspec.Meta(min_length=1)]
# Larger ones, and integers written as 200.0, are for the schema: not every JSON parser reads them alike.
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_REQUIRED = {"id": _Text, "source": _Text, "specversion": Literal["1.0"], "subject": _Text}
_OPTIONAL = {
    "datacontenttype": Literal["application/json"] | None,
    "dataschema": _Text | None,
    "time": str | None,
}
_FORMATS = {"source": {"format": "uri-reference"}, "time": NATIVE_DATE_TIME, "dataschema": {"format": "uri"}}
_INTEGER, _TEXT = {"type": "integer"}, {"$ref": "#/$defs/text"}
_UNWRITABLE = frozenset('"\\') | frozenset(map(chr, range(32)))


class QuickEvent(Protocol):
    """What a yes tells about an event."""

    id: str
    source: str
    subject: str


class QuickYes:
    """Says yes to valid bodies whose members it has met.

    An envelope's optional members are unknown until they are learned, so that whoever teaches it decides what it
    has to see first.
    """

    def __init__(self) -> None:
        self._envelope: frozenset[str] = frozenset()
        self._fields: frozenset[str] = frozenset()
        self._one, self._batch = _decoders(self._envelope, self._fields)

    def events(self, body: bytes) -> Sequence[QuickEvent] | None:
        """Return the events of ``body`` when it is JSON and each of them valid, None when it takes a closer look."""
        try:
            events = [self._one.decode(body)] if body.startswith(b"{") else self._batch.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        texts = {"source": list({event.source for event in events})}
        if "time" in self._envelope:
            texts["time"] = [event.time for event in events]
        if "dataschema" in self._envelope:
            texts["dataschema"] = list({event.dataschema for event in events})
        return events if _formats().is_valid(texts) else None

    def learn(self, events: Iterable[Any]) -> None:
        """Get to know the members of ``events``, parsed and found valid; of data fields 128 at most."""
        envelope, fields = set(self._envelope), set(self._fields)
        for event in events:
            envelope.update(event.keys() & _OPTIONAL)
            fields.update(event.get("data") or ())
        fields = {name for name in fields if _UNWRITABLE.isdisjoint(name)}
        if len(fields) <= _MOST_FIELDS:
            self._fields = frozenset(fields)
        self._envelope = frozenset(envelope)
        self._one, self._batch = _decoders(self._envelope, self._fields)


@functools.cache
def _formats() -> jsonschema_rs.Draft202012Validator:
    """Return the validator of lists of texts by the name of their member."""
    lists = {name: {"items": form} for name, form in _FORMATS.items()}
    return jsonschema_rs.Draft202012Validator({"properties": lists}, validate_formats=True)


@functools.lru_cache(maxsize=32)
def _decoders(envelope: frozenset[str], fields: frozenset[str]) -> tuple[_Decoder, _Decoder]:
    """Return the decoders of one event and of a batch; endpoints that have met the same share them."""
    met = dict.fromkeys(sorted(fields), str)
    kinds = {kind: _data({**met, **_data_types(kind)}) for kind in ("api_request", "llm_request")}
    api, llm = (_event(kind, sorted(envelope), data) for kind, data in kinds.items())
    either: Any = api | llm
    batch: Any = list[either]
    return msgspec.json.Decoder(either), msgspec.json.Decoder(batch)


def _data_types(kind: str) -> dict[str, Any]:
    """Return the type of each of the schema's data fields for events of this kind."""
    types: dict[str, Any] = {}
    for name, schema in definitions()[kind]["properties"].items():
        if schema not in (_INTEGER, _TEXT):
            raise ValueError(f"the quick yes has no type for data.{name}: {schema}")
        types[name] = _Integer if schema == _INTEGER else _Text
    return types


def _data(types: Mapping[str, Any]) -> Any:
    """Return the type of ``data`` with these fields, each absent or not null, and no others."""
    # A field of a struct must have a Python name, an attribute may have any.
    fields = [
        (f"field_{number}", kind | msgspec.UnsetType, msgspec.UNSET) for number, kind in enumerate(types.values())
    ]
    renamed = {field[0]: name for field, name in zip(fields, types, strict=True)}
    return msgspec.defstruct("Data", fields, rename=renamed, forbid_unknown_fields=True, gc=False)


def _event(kind: str, optional: Iterable[str], data: Any) -> Any:
    """Return the type of an event with these optional members, each absent, null or right, and no others."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [*_REQUIRED.items()]
    fields += [(name, _OPTIONAL[name], None) for name in optional]
    fields.append(("data", data | None, None))
    return msgspec.defstruct(
        "Event", fields, tag_field="type", tag=f"kong.{kind}", forbid_unknown_fields=True, gc=False
    )
