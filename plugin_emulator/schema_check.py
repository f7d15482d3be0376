"""Checks data against one of our JSON Schemas and words what is wrong for the person who wrote the data.

The schemas are draft 2020-12 with a few annotations of our own:

``x-hint``          what to write there;
``x-since``         the gateway version a property came with; it does not exist for an older one;
``x-former-names``  on an object: names from pre-release documents, with today's name;
``x-not-emulated``  on an object: names the real gateway knows and this emulator does not.

A message never quotes a value: a value may be a secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from plugin_emulator.documents import Pointer, Problem, did_you_mean

_LATER = "x-later"  # property name -> version it came with, for properties the chosen version does not have


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number as JSON has them: finite, and not a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float can hold
        return False


def is_integer(value: Any) -> bool:
    """Return whether ``value`` is a whole number; 5.0 is one, as for Kong."""
    return is_number(value) and float(value).is_integer()


_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {"number": lambda _, value: is_number(value), "integer": lambda _, value: is_integer(value)}
)
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, type_checker=_TYPES
)

_WITH_ARTICLE = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "a boolean",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


class Schema:
    """One JSON Schema, ready to check data."""

    def __init__(self, schema: Mapping[str, Any], version: str | None = None) -> None:
        """Take ``schema`` as the gateway ``version`` ("3.15") has it; None: with everything in it."""
        self.definition: dict[str, Any] = _as_of(dict(schema), version)
        self._version = version
        self._validator = _Validator(self.definition)

    @classmethod
    def read(cls, path: Path, version: str | None = None) -> Schema:
        """Read a schema that is part of this package."""
        return cls(json.loads(path.read_text(encoding="utf-8")), version)

    def check(self, data: Any) -> list[Problem]:
        """Return what is wrong in ``data``, in document order, with pointers relative to it.

        A null stands for "not given" where a known, optional property is, as for Kong.
        """
        found: list[Problem] = []
        for error in self._validator.iter_errors(without_nulls(data, self.definition)):
            found.extend(self._problems(error))
        order = _positions(data)
        # Of several mistakes in one value, and of one reported along two ways, the first says enough.
        unique = {problem.pointer: problem for problem in reversed(found)}
        return sorted(unique.values(), key=lambda problem: order.get(problem.pointer, len(order)))

    def _problems(self, error: ValidationError) -> Iterator[Problem]:
        at: Pointer = tuple(error.absolute_path)
        schema: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
        instance: Any = error.instance
        if error.validator == "additionalProperties":
            for name in instance:
                if name not in schema["properties"]:
                    message, hint = unknown_name(str(name), schema, self._version)
                    yield Problem(message, (*at, str(name)), hint)
        elif error.validator == "required":
            former = schema.get("x-former-names", {})
            renamed = {former[name] for name in instance if name in former}
            for name in schema["required"]:
                if name not in instance and name not in renamed:
                    wanted = schema["properties"][name]
                    yield Problem("required field is missing", (*at, name), wanted.get("x-hint", f"add {name}"))
        else:
            hint = _quoting_hint(error, schema) or schema.get("x-hint", "correct it or leave it out")
            yield Problem(_complaint(error, schema), at, hint)


def unknown_name(name: str, schema: Mapping[str, Any], version: str | None) -> tuple[str, str]:
    """Return message and hint for the property ``name`` that ``schema``, an object's, does not have."""
    later: Mapping[str, str] = schema.get(_LATER, {})
    if name in later:
        return (
            f"field {name!r} does not exist in gateway {version}",
            f"it is there from gateway {later[name]} on: remove it or choose that version",
        )
    former: Mapping[str, str] = schema.get("x-former-names", {})
    if name in former:
        return f"unknown field {name!r}, a name from before the plugin's release", f"write {former[name]!r} instead"
    if name in schema.get("x-not-emulated", ()):
        return f"field {name!r} is not emulated", "remove it; the emulated gateway would not honour it"
    near = did_you_mean(name, schema["properties"])
    known = ", ".join(sorted(schema["properties"]))
    return f"unknown field {name!r}", f"did you mean {near!r}?" if near else f"known fields: {known}"


def without_nulls(data: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``data`` without the known properties that are null."""
    if isinstance(data, dict) and "properties" in schema:
        properties = schema["properties"]
        known = {*properties, *schema.get("x-not-emulated", ())}
        return {
            name: without_nulls(value, properties[name]) if name in properties else value
            for name, value in data.items()
            if value is not None or name not in known
        }
    if isinstance(data, list) and "items" in schema:
        return [without_nulls(item, schema["items"]) for item in data]
    return data


def _as_of(schema: dict[str, Any], version: str | None) -> dict[str, Any]:
    """Return ``schema`` without what came after ``version``, remembering the names that went."""
    result = dict(schema)
    if "properties" in schema:
        later = {
            name: part["x-since"]
            for name, part in schema["properties"].items()
            if version is not None and "x-since" in part and _number(part["x-since"]) > _number(version)
        }
        result["properties"] = {
            name: _as_of(part, version) for name, part in schema["properties"].items() if name not in later
        }
        if later:
            result[_LATER] = later
    if "items" in schema:
        result["items"] = _as_of(schema["items"], version)
    return result


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _complaint(error: ValidationError, schema: Mapping[str, Any]) -> str:
    expected: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "type":
            names = [expected] if isinstance(expected, str) else expected
            return f"expected {' or '.join(_WITH_ARTICLE[name] for name in names)}, got {kind(instance)}"
        case "enum":
            return f"expected one of: {', '.join(str(value) for value in expected)}"
        case "minimum" | "maximum":
            low, high = schema.get("minimum"), schema.get("maximum")
            if low is not None and high is not None:
                return f"expected a value between {low} and {high}"
            return f"expected a value of at least {low}" if low is not None else f"expected a value of at most {high}"
        case "minLength" | "minItems" | "minProperties":
            return "must not be empty"
        case "maxLength":
            return f"has {len(instance)} characters, more than {expected}"
        case _:
            return "is not in the form expected"


def _quoting_hint(error: ValidationError, schema: Mapping[str, Any]) -> str | None:
    """Return the advice for a value that is no string only because YAML read it as something else."""
    value: Any = error.instance
    expected: Any = error.validator_value
    if error.validator != "type" or "string" not in expected:
        return None
    if isinstance(value, dict) and schema.get("x-referenceable") and any("vault://" in str(name) for name in value):
        return 'put the reference in quotes: "{vault://backend/key}"'
    return None if value is None or isinstance(value, (dict, list)) else "put it in quotes"


def kind(value: Any) -> str:
    """Return what sort of value ``value`` is, with an article, without its content."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        if not is_number(value):
            return "a number that is not finite or too large"
        return "a number"
    for known, name in ((str, "a string"), (dict, "an object"), (list, "a list")):
        if isinstance(value, known):
            return name
    return f"a {type(value).__name__}"


def _positions(data: Any) -> dict[Pointer, int]:
    """Return each pointer of ``data`` with its place in reading order."""
    places: dict[Pointer, int] = {}

    def walk(value: Any, at: Pointer) -> None:
        places[at] = len(places)
        if isinstance(value, dict):
            for name, part in value.items():
                walk(part, (*at, str(name)))
        elif isinstance(value, list):
            for index, part in enumerate(value):
                walk(part, (*at, index))

    walk(data, ())
    return places
