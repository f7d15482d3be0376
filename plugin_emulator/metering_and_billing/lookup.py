"""Finding values in a request: headers and query parameters (SPEC SUB-2, SUB-3, SUB-6, SUB-7, ATR-1)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from urllib.parse import unquote_plus

#: Blanks around a header's value are not part of it (SUB-7, RFC 9110).
_BLANKS = " \t"


def headers_named(headers: Iterable[tuple[str, str]], wanted: Set[str], lengths: Set[int]) -> dict[str, str]:
    """Return the first value of each wanted header, without surrounding blanks.

    ``wanted`` holds lower-case names, ``lengths`` how long they are: most headers are told apart by that alone.
    Header names match without case. Absent headers are absent from the result.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if len(name) in lengths:
            key = name.lower()
            if key in wanted and key not in found:
                found[key] = value.strip(_BLANKS)
    return found


def parameters_named(query: str, wanted: Set[str]) -> dict[str, str]:
    """Return the first value of each wanted parameter of a raw query string, percent-decoded, ``+`` as a blank.

    A parameter without ``=`` has the value ``""``.
    """
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if name in wanted and name not in found:
            found[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return found
