"""The forms in which plugins tell the ingest endpoint what was used: usage events, meter records.

What an expectation may name of one arrival, what makes it the same one when it is sent again, when it was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

FormName = Literal["usage-events", "meter-records"]

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.(\d+))?(?:[Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class ArrivalForm:
    """One form.

    ``noun`` is what people call one arrival, ``customers`` what deliveries call those who are billed. ``members`` are
    an arrival's own, ``fields`` the one beside them whose own members are open. ``identity`` are those that stay the
    same when it is sent again, ``whom`` and ``when`` those that name who is billed and when it was made; a time is
    text in RFC 3339, or whole milliseconds since the epoch when ``in_milliseconds``. ``empty_rule``,
    ``identity_rule`` and ``request_rule`` are broken by an empty field, by two arrivals of one identity, and by a
    request that is not as the endpoint wants it; ``rules_anywhere`` are all that any scenario may find broken.
    ``api`` is the ingest endpoint's, ``path`` where it takes them. A try that is answered with less than
    ``success_below``, and at least 200, is not repeated.
    """

    name: FormName
    noun: str
    customers: str
    members: tuple[str, ...]
    fields: str
    identity: tuple[str, ...]
    whom: str
    when: str
    in_milliseconds: bool
    empty_rule: str | None
    identity_rule: str
    request_rule: str
    rules_anywhere: frozenset[str]
    api: str
    path: str
    success_below: int

    @property
    def one(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    def name_of(self, arrival: Mapping[str, Any]) -> str:
        """Return the last of the members that make the arrival the same one, for people."""
        return str(arrival.get(self.identity[-1], "?"))

    def read_time(self, value: Any) -> tuple[float, float]:
        """Return a time of this form as seconds since the epoch, and its resolution in seconds.

        Raises ValueError for what is none.
        """
        if self.in_milliseconds and isinstance(value, int) and not isinstance(value, bool):
            return value / 1000, 0.001
        if not self.in_milliseconds and isinstance(value, str):
            return parse_time(value)
        raise ValueError(f"{value!r} is no time of {self.noun}s")


#: CloudEvents of Metering & Billing (SPEC EVT).
USAGE_EVENTS = ArrivalForm(
    name="usage-events",
    noun="event",
    customers="subjects",
    members=("specversion", "id", "source", "type", "subject", "time", "datacontenttype"),
    fields="data",
    identity=("source", "id"),
    whom="subject",
    when="time",
    in_milliseconds=False,
    empty_rule="EVT-6",
    identity_rule="EVT-3",
    request_rule="DLV-1",
    rules_anywhere=frozenset(
        ("ATR-1", "DLV-1", "DRP-1", "DRP-2", "EVT-1", "EVT-2", "EVT-3", "EVT-4", "EVT-5", "EVT-6")
    ),
    api="v3",
    path="/v3/openmeter/events",
    success_below=300,
)
#: Records of Amberflo (SPEC AMB-2). The name of a Service or Route without one is an empty dimension.
METER_RECORDS = ArrivalForm(
    name="meter-records",
    noun="record",
    customers="customers",
    members=("uniqueId", "meterApiName", "customerId", "meterValue", "meterTimeInMillis"),
    fields="dimensions",
    identity=("uniqueId",),
    whom="customerId",
    when="meterTimeInMillis",
    in_milliseconds=True,
    empty_rule=None,
    identity_rule="AMB-2",
    request_rule="AMB-8",
    rules_anywhere=frozenset(("AMB-1", "AMB-2", "AMB-3", "AMB-8")),
    api="amberflo",
    path="/ingest",
    success_below=400,
)
FORMS: Mapping[str, ArrivalForm] = {form.name: form for form in (USAGE_EVENTS, METER_RECORDS)}

_IDENTITY = tuple(dict.fromkeys(member for form in FORMS.values() for member in form.identity))


def identity_of(arrival: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an arrival of any form is known again by."""
    return tuple(str(arrival.get(member)) for member in _IDENTITY)


def parse_time(text: str) -> tuple[float, float]:
    """Return an RFC 3339 time as seconds since the epoch, and its resolution in seconds. Raises ValueError."""
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    digits = found.group(1) or ""
    # datetime keeps microseconds; some gateways write nanoseconds.
    plain = text.replace(f".{digits}", f".{digits[:6].ljust(6, '0')}", 1) if digits else text
    return datetime.fromisoformat(plain.upper()).timestamp(), 10.0 ** -min(len(digits), 6)
