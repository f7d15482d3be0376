"""The five aspects of a usage event."""

from __future__ import annotations

from typing import Any

from harness.ingest.cloudevents.formats import instant
from harness.ingest.five_aspects import FiveAspects, dimensions, number, text

_TOLD_BY = frozenset({"specversion", "source", "type", "subject"})


def aspects_of_event(entry: Any) -> FiveAspects | None:
    """Return the five aspects of ``entry``, None when it is no event, not even a wrong one.

    An event of AI usage says how much in ``data.tokens`` (EVT-9); any other stands for one request (EVT-8).
    """
    if not isinstance(entry, dict) or _TOLD_BY.isdisjoint(entry):
        return None
    time = text(entry.get("time"))
    where = dimensions(entry.get("data"))
    how_much: int | float | None = 1
    if entry.get("type") == "kong.llm_request":
        how_much = number(where.pop("tokens", None))
    return FiveAspects(
        what=text(entry.get("type")),
        whom=text(entry.get("subject")),
        when=None if time is None else instant(time),
        how_much=how_much,
        where=where,
    )
