"""What a gateway cannot do: scenarios that need it are skipped with the reason, not failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Names with the reason, in words that a skipped scenario is reported with.

    ``rules`` are ids of rules that the gateway cannot keep, ``plugin_fields`` fields of a plugin entity that it does
    not know, ``subject_sources`` values of ``subject.look_up_value_in`` that name nobody there, ``event_fields``
    fields of an event's ``data`` that it cannot fill in as the configuration has it.
    """

    rules: Mapping[str, str] = field(default_factory=dict)
    plugin_fields: Mapping[str, str] = field(default_factory=dict)
    subject_sources: Mapping[str, str] = field(default_factory=dict)
    event_fields: Mapping[str, str] = field(default_factory=dict)


NO_LIMITS = Limits()
