"""A problem with an entity in Kong's own words, which is what clients of its Admin API look for.

A state file's author is told what to do instead; a program that talks to the Admin API compares texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from plugin_emulator.documents import Pointer, Problem
from plugin_emulator.gateway.entity_forms import EMULATED_PLUGINS, KINDS, OTHER_KINDS, entity_schema

_SETS = frozenset({"tags", "protocols", "methods", "hosts"})
_TYPES = {
    "string": "expected a string",
    "number": "expected a number",
    "integer": "expected an integer",
    "boolean": "expected a boolean",
}
_NAME = "invalid value '{}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
_NO_NAMES = "at least one of these fields must be non-empty: 'custom_id', 'username'"


@dataclass(frozen=True, slots=True)
class WordedProblem(Problem):
    """A problem that no schema tells of, with Kong's ``words`` for it.

    Kong tells it of what is ``above`` as many parts of the pointer.
    """

    words: str = ""
    above: int = 0

    def worded(self) -> Problem:
        """Return the problem as Kong tells it."""
        return Problem(self.words, self.pointer[: len(self.pointer) - self.above])


def in_kongs_words(kind: str, data: Any, problem: Problem, gateway: str) -> Problem:
    """Return a problem of one entity as Kong tells it; where the emulated gateway is stricter than Kong, as it is.

    ``data`` is the entity as given, the problem's pointer relative to it; ``gateway`` is the version. The result has
    a hint only where the problem is not one of Kong's.
    """
    if isinstance(problem, WordedProblem):
        return problem.worded()
    at = problem.pointer
    if not at and kind == "consumers" and isinstance(data, dict):
        return Problem(_NO_NAMES, ("@entity",))
    if not at and kind == "routes" and isinstance(data, dict):
        return Problem(_no_matcher(data), ("@entity",))
    if kind == "plugins" and at == ("name",) and isinstance(data, dict):
        name = data.get("name")
        if isinstance(name, str) and name and name not in EMULATED_PLUGINS:
            return Problem(f"plugin '{name}' not enabled; add it to the 'plugins' configuration property", at)
    if at == ("url",) and isinstance(data, dict) and _has_impossible_port(data["url"]):
        return Problem("value should be between 0 and 65535", ("port",))
    words = _by_schema(entity_schema(kind, data, gateway), data, at, problem)
    return problem if words is None else Problem(words, at)


def configuration_in_kongs_words(data: Any, problems: Sequence[Problem], gateway: str) -> list[Problem]:
    """Return the problems of a whole declarative configuration as Kong tells them."""
    told = []
    for problem in problems:
        if isinstance(problem, WordedProblem):
            told.append(problem.worded())
            continue
        kind, entity, under = entity_at(data, problem.pointer)
        if kind is None:
            name = problem.pointer[0] if len(problem.pointer) == 1 and isinstance(data, dict) else None
            unknown = name is not None and name not in KINDS and name not in OTHER_KINDS
            told.append(Problem("unknown field", problem.pointer) if unknown else problem)
            continue
        inside = replace(problem, pointer=problem.pointer[len(under) :])
        one = in_kongs_words(kind, entity, inside, gateway)
        told.append(replace(one, pointer=(*under, *one.pointer)))
    return told


def entity_at(data: Any, pointer: Pointer) -> tuple[str | None, Any, Pointer]:
    """Return kind, data and place of the innermost entity ``pointer`` leads to or into; kind None when to none."""
    kind, found, under = None, None, 0
    value = data
    for position in range(0, len(pointer) - 1, 2):
        name, index = pointer[position], pointer[position + 1]
        if name not in KINDS or not isinstance(index, int) or not isinstance(value, dict):
            break
        value = value[name][index]
        kind, found, under = str(name), value, position + 2
    return kind, found, pointer[:under]


def _by_schema(schema: Mapping[str, Any], data: Any, at: Pointer, problem: Problem) -> str | None:
    """Return Kong's words for what the schema has against the value at ``at``; None for what Kong would not say."""
    value = data
    for depth, part in enumerate(at):
        last = depth == len(at) - 1
        if isinstance(part, int):
            if not isinstance(value, list) or part >= len(value) or "items" not in schema:
                return None
            schema, value = schema["items"], value[part]
            continue
        properties = schema.get("properties", {})
        if part not in properties:
            not_emulated = part in schema.get("x-not-emulated", ())
            return "unknown field" if last and "properties" in schema and not not_emulated else None
        if not isinstance(value, dict) or value.get(part) is None:
            return "required field missing" if last else None
        schema, value = properties[part], value[part]
    return _complaint(schema, value, at, problem)


def _complaint(schema: Mapping[str, Any], value: Any, at: Pointer, problem: Problem) -> str | None:
    name = next((str(part) for part in reversed(at) if isinstance(part, str)), "")
    wanted = schema.get("type")
    if isinstance(wanted, str) and not _is_a(wanted, value):
        if wanted == "array":
            return "expected a set" if name in _SETS else "expected an array"
        if wanted == "object":
            return "expected a record" if "properties" in schema or name == "config" else "expected a map"
        return _TYPES[wanted]
    if "enum" in schema and value not in schema["enum"]:
        if problem.hint and "not emulated" in problem.hint:
            return None
        return f"expected one of: {', '.join(str(each) for each in schema['enum'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(value, int | float) and (_below(value, low) or _below(high, value)):
        # Kong prints the bounds without their fraction.
        return None if low is None or high is None else f"value should be between {int(low)} and {int(high)}"
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        return f"length must be at least {schema['minLength']}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        return f"length must be at most {schema['maxLength']}"
    if "pattern" in schema and isinstance(value, str):
        return _pattern_words(name, value)
    return None


def _pattern_words(name: str, value: str) -> str | None:
    match name:
        case "name" | "instance_name":
            return _NAME.format(value)
        case "paths":
            return None if value.startswith("/") else "should start with: / (fixed path) or ~/ (regex path)"
        case "path":
            return "must not have empty segments" if value.startswith("/") else "should start with: /"
        case "id":
            return "expected a valid UUID"
        case _:
            return None


def _is_a(wanted: str, value: Any) -> bool:
    if wanted in ("number", "integer"):
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (wanted == "number" or not isinstance(value, float) or value.is_integer())
        )
    return isinstance(value, {"string": str, "boolean": bool, "array": list, "object": dict}[wanted])


def _below(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _no_matcher(route: Mapping[str, Any]) -> str:
    protocols = route.get("protocols")
    if protocols == ["http"]:
        return "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"
    return "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"


def _has_impossible_port(url: Any) -> bool:
    if not isinstance(url, str):
        return False
    try:
        port = urlsplit(url).netloc.rpartition(":")[2]
    except ValueError:
        return False
    return port.isascii() and port.isdigit() and int(port) > 65535
