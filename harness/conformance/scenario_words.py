"""The words of scenario files: what they call the same thing of another form, and what they write for short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.conformance.arrival_form import FORMS, USAGE_EVENTS, ArrivalForm


def _words(form: ArrivalForm) -> tuple[str, str]:
    return f"{form.noun}s", form.customers


#: What scenarios call a thing of any form -> what they call it of usage events.
_OF_EVENTS: Mapping[str, str] = {
    word: of_events
    for form in FORMS.values()
    for word, of_events in zip(_words(form), _words(USAGE_EVENTS), strict=True)
}


def word_of_events(word: str) -> str:
    """Return what a word of a scenario file is of usage events: ``events`` for ``records``."""
    return _OF_EVENTS.get(word, word)


def words_of(form: ArrivalForm, word: str) -> str:
    """Return what a word of any form is of ``form``: ``records`` for ``events``; others are left as they are."""
    own = dict(zip(_words(USAGE_EVENTS), _words(form), strict=True))
    return own.get(word_of_events(word), word)


def own_keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the words of usage events for its keys."""
    return {word_of_events(key): value for key, value in entry.items()}


def said_of_events(expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return expectations in the words of usage events, in which they are judged."""
    said = own_keys(expect)
    if "deliveries" in said:
        said["deliveries"] = [own_keys(entry) for entry in said["deliveries"]]
    if "first_delivery" in said:
        said["first_delivery"] = own_keys(said["first_delivery"])
    return said


def whole_schedule(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schedule with an arrival of its own for each one that comes several ``times``, ``every`` so often."""
    arrivals: list[dict[str, Any]] = []
    for entry in given["arrivals"]:
        single = {key: value for key, value in entry.items() if key not in ("times", "every")}
        if "times" not in entry:
            arrivals.append(single)
            continue
        for number in range(entry["times"]):
            at = entry["t"] + number * entry.get("every", 0)
            arrivals.append({**single, "t": at, "id": f"{entry['id']}-{number + 1}"})
    return {**given, "arrivals": arrivals}
