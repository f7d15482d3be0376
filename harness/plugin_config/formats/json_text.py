"""Configuration values as JSON in ASCII, so that no shell, locale or file encoding can change what it says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from plugin_emulator.documents import Pointer

from ..entity import MixedText, Reference, Value
from .format import CannotExpress

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def json_text(value: Value, string: Callable[[str], str], reference: Callable[[Reference], str]) -> str:
    """Return ``value`` as JSON, indented by two, one member a line; :func:`refuse_unfit` has nothing against it.

    ``string`` gets each string and key as JSON, its quotes included, and returns how the text around takes it;
    ``reference`` returns what is written for a Reference, quotes included.
    """

    def written(value: Value, indent: str) -> str:
        inside = indent + "  "
        if isinstance(value, Reference):
            return reference(value)
        if isinstance(value, str):
            return string(_quoted(value))
        if isinstance(value, dict) and value:
            members = [f"{inside}{string(_quoted(name))}: {written(part, inside)}" for name, part in value.items()]
            return "{\n" + ",\n".join(members) + f"\n{indent}}}"
        if isinstance(value, list) and value:
            return "[\n" + ",\n".join(inside + written(part, inside) for part in value) + f"\n{indent}]"
        return json.dumps(value)

    return written(value, "")


def refuse_unfit(format_name: str, value: Value, at: Pointer) -> None:
    """Raise CannotExpress, naming the place, for what JSON has no words for or the gateway cannot keep."""
    if isinstance(value, MixedText):
        reason = "it is put together from text and a reference"
        raise CannotExpress(format_name, at, reason, "make it one or the other")
    if isinstance(value, str):
        _refuse_text(format_name, value, at)
    elif isinstance(value, float) and not math.isfinite(value):
        raise CannotExpress(format_name, at, "the number is not finite", "give a finite one")
    elif isinstance(value, dict):
        for name, part in value.items():
            _refuse_text(format_name, name, at)
            refuse_unfit(format_name, part, (*at, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            refuse_unfit(format_name, part, (*at, index))


def _refuse_text(format_name: str, text: str, at: Pointer) -> None:
    if "\0" in text:
        reason = "it holds a NUL, which the gateway's database cannot store"
        raise CannotExpress(format_name, at, reason, "take it out")
    if _SURROGATE.search(text):
        raise CannotExpress(format_name, at, "it holds half a surrogate pair, which is no character", "take it out")


def _quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")
