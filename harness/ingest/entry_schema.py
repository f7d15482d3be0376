"""Validity of one entry of a body: a native validator says yes quickly, the thorough one says what is wrong.

The native validator (jsonschema-rs) sees every entry. What it refuses goes to the ``jsonschema`` library, whose
errors become findings; it has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from harness.ingest.api import Judgement
from harness.ingest.messages import Finding
from plugin_emulator.documents import Pointer

#: Returns the id of the rule that a value at a pointer inside an entry breaks; the second is the constraint's name.
RuleOf = Callable[[Pointer, str], str]
_LONGEST_MESSAGE = 200


class EntrySchema:
    """A JSON Schema of an entry, compiled. Stateless once built, so one object serves any number of endpoints.

    ``thorough`` is the published form. ``native`` says the same as fast as may be; by default it is that form.
    ``formats`` checks string formats for the thorough validator, ``rule`` gives findings their rule, and ``entry`` is
    what messages call an entry.
    """

    def __init__(
        self,
        thorough: Mapping[str, Any],
        rule: RuleOf,
        entry: str,
        native: Mapping[str, Any] | None = None,
        formats: FormatChecker | None = None,
    ) -> None:
        self._thorough = Draft202012Validator(thorough, format_checker=formats)
        one = dict(native or thorough)
        definitions = one.pop("$defs", {})
        batch = {"$defs": definitions, "type": "array", "items": one}
        self._native = jsonschema_rs.Draft202012Validator({"$defs": definitions, **one}, validate_formats=True)
        self._native_batch = jsonschema_rs.Draft202012Validator(batch, validate_formats=True)
        self._rule = rule
        self._entry = entry

    def all_valid(self, entries: Sequence[Any]) -> bool:
        """Return whether every entry is valid; False may also be a case only ``findings`` can decide."""
        return self._native_batch.is_valid(entries)

    def findings(self, entry: Any, at: Pointer = ()) -> tuple[Finding, ...]:
        """Return what is wrong with ``entry``, which stands at ``at`` in the body; empty when it is valid.

        One finding for each member concerned: of several the first says enough.
        """
        if self._native.is_valid(entry):
            return ()
        found: dict[Pointer, Finding] = {}
        for error in self._thorough.iter_errors(entry):
            for pointer, message, constraint in self._complaints(error):
                rule = self._rule(pointer, constraint)
                text = message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
                found.setdefault(pointer, Finding(rule, body_pointer(at + pointer), text, constraint))
        return tuple(found[pointer] for pointer in sorted(found, key=lambda pointer: [str(part) for part in pointer]))

    def _complaints(self, error: ValidationError) -> Iterator[tuple[Pointer, str, str]]:
        """Yield pointer, message and a name of the broken constraint, one for each member concerned."""
        at: Pointer = tuple(error.absolute_path)
        instance: Any = error.instance
        expected: Any = error.validator_value
        match error.validator:
            case "required":
                for name in expected:
                    if name not in instance:
                        yield (*at, name), "is a required member", "required"
            case "additionalProperties" if expected is False:
                schema: Any = error.schema
                for name in instance:
                    if name not in schema["properties"]:
                        yield (*at, name), f"is not a member of the {self._entry}", "unknown_property"
            case "type":
                first = expected if isinstance(expected, str) else expected[0]
                yield at, error.message, f"is_{first}"
            case "format" if expected == "date-time":
                yield at, error.message, "is_date_time"
            case "format":
                yield at, error.message, "matches_regex"
            case _:
                yield at, error.message, "invalid"


def judged(entries: Sequence[Any], batch: bool, demanded: EntrySchema, promised: EntrySchema | None) -> Judgement:
    """Return the judgement on a body's ``entries``: what is ``demanded`` makes errors, what is ``promised`` remarks.

    A member that has an error gets no remark. The judgement has no keys yet.
    """
    judgement = Judgement(entries, batch=batch)
    if not demanded.all_valid(entries):
        for index, entry in enumerate(entries):
            errors = demanded.findings(entry, (index,) if batch else ())
            if errors:
                judgement.errors[index] = errors
    if promised is not None and not promised.all_valid(entries):
        for index, entry in enumerate(entries):
            remarks = promised.findings(entry, (index,) if batch else ())
            known = {error.pointer for error in judgement.errors.get(index, ())}
            judgement.remarks[index] = tuple(remark for remark in remarks if remark.pointer not in known)
    return judgement


def body_pointer(pointer: Sequence[str | int]) -> str:
    """Return ``pointer`` as a JSON pointer; the whole body is "" (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
