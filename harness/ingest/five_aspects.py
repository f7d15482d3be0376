"""What was used, by whom, when, how much and where: one way to read usage events and meter records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class FiveAspects:
    """The five aspects of one entry; None, or nothing, for what it does not say or says in another type.

    ``what`` is the meter: a record's meterApiName, an event's type. ``whom`` is to pay: customer or subject. ``when``
    is in UTC. ``how_much`` is a record's value, an event's tokens, 1 for an event that stands for itself. ``where``
    has the dimensions by name: a record's, an event's data.
    """

    what: str | None
    whom: str | None
    when: datetime | None
    how_much: int | float | None
    where: Mapping[str, str | int | float]

    def document(self) -> dict[str, Any]:
        """Return the aspects as JSON has them; the time in RFC 3339."""
        when = None if self.when is None else rfc_3339(self.when)
        return {
            "what": self.what,
            "whom": self.whom,
            "when": when,
            "how_much": self.how_much,
            "where": dict(self.where),
        }


def rfc_3339(moment: datetime) -> str:
    """Return an aware datetime in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(value: Any) -> str | None:
    """Return ``value`` if it is text."""
    return value if isinstance(value, str) else None


def number(value: Any) -> int | float | None:
    """Return ``value`` if it is a number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def dimensions(value: Any) -> dict[str, str | int | float]:
    """Return the members of ``value`` that are text or numbers."""
    if not isinstance(value, dict):
        return {}
    return {name: part for name, part in value.items() if text(part) is not None or number(part) is not None}
