"""Configured attributes: request values that become properties of every event (SPEC ATR-1…4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .config import AttributeSource

#: Built-in fields that hold integers. A header or parameter is text: it can never stand in for one of these.
INTEGER_FIELDS = frozenset(
    {
        "request_size_bytes",
        "response_size_bytes",
        "response_http_status",
        "service_port",
        "upstream_status",
        "http_status",
        "tokens",
    }
)


def attribute_reader(
    attributes: Sequence[AttributeSource],
) -> Callable[[Mapping[str, str], Mapping[str, str]], list[tuple[str, str]]]:
    """Return a function of (headers, parameters) to the properties to add, in configured order.

    Absent and empty sources give none (ATR-2, EVT-6); the first of two attributes with one property name wins.
    """
    sources = [
        (attribute.source == "header", _key(attribute), attribute.event_property_name)
        for attribute in attributes
        if attribute.event_property_name not in INTEGER_FIELDS
    ]

    def read(headers: Mapping[str, str], parameters: Mapping[str, str]) -> list[tuple[str, str]]:
        properties = []
        for in_header, key, name in sources:
            value = headers.get(key) if in_header else parameters.get(key)
            if value:
                properties.append((name, value))
        return properties

    return read


def headers_of(attributes: Sequence[AttributeSource]) -> set[str]:
    """Return the lower-case names of the headers the attributes read."""
    return {_key(attribute) for attribute in attributes if attribute.source == "header"}


def parameters_of(attributes: Sequence[AttributeSource]) -> set[str]:
    """Return the names of the query parameters the attributes read."""
    return {_key(attribute) for attribute in attributes if attribute.source == "query"}


def _key(attribute: AttributeSource) -> str:
    name = attribute.look_up_value_in
    return name.lower() if attribute.source == "header" else name
