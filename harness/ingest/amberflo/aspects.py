"""The five aspects of a meter record: its members are just these (SPEC AMB-2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.ingest.five_aspects import FiveAspects, dimensions, number, text

_TOLD_BY = frozenset({"uniqueId", "meterApiName", "customerId", "meterValue", "meterTimeInMillis"})


def aspects_of_record(entry: Any) -> FiveAspects | None:
    """Return the five aspects of ``entry``, None when it is no record, not even a wrong one."""
    if not isinstance(entry, dict) or _TOLD_BY.isdisjoint(entry):
        return None
    return FiveAspects(
        what=text(entry.get("meterApiName")),
        whom=text(entry.get("customerId")),
        when=_moment(number(entry.get("meterTimeInMillis"))),
        how_much=number(entry.get("meterValue")),
        where=dimensions(entry.get("dimensions")),
    )


def _moment(milliseconds: int | float | None) -> datetime | None:
    """Return the moment, None when a calendar has none for it."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
