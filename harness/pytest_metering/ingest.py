"""The fixture ``ingest``: a test's own fake ingest endpoint."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, Protocol

import pytest

from harness.capture.record import CapturedRequest
from harness.pytest_metering.delivery import Delivery, Event, summary
from harness.pytest_metering.faults import PendingFault
from harness.pytest_metering.ingest_process import IngestProcess
from harness.pytest_metering.settings import Settings
from harness.pytest_metering.unexpected import (
    Duplicate,
    Identity,
    Violation,
    duplicates,
    identity,
    strays,
    violations,
)

#: Seconds a test that is over waits for metering to become idle.
_LAST_LOOK = 3.0
_LONGEST_WAIT = 5.0
_SHOWN = 20
_NOTHING_MORE = {"delay": 0}


class Metering(Protocol):
    """What sends events to the endpoint, as far as the endpoint wants to know."""

    def settle(self, seconds: float) -> str | None:
        """Wait until no event is on its way any more; return what is when ``seconds`` have passed."""
        ...

    def account(self) -> list[str]:
        """Return what metering says of itself, in lines: events made, drops by reason."""
        ...


class Ingest:
    """A fake ingest endpoint: what arrived, what is answered.

    An event counts as looked at once ``events``, ``wait_for`` or ``usage_events`` has returned it. A test that
    passed fails all the same for events nothing looked at, unless ``allow_unexpected``, and for violations and
    duplicates that it did not ask for.
    """

    def __init__(self, process: IngestProcess, settings: Settings, *, allow_unexpected: bool = False) -> None:
        self.metering: Metering | None = None
        self._process = process
        self._control = process.control
        self._settings = settings
        self._allow_unexpected = allow_unexpected
        self._lane = process.new_lane()
        self._url = process.url(self._lane)
        self._token = _token(settings)
        self._captured: list[CapturedRequest] = []
        self._begin = 0  # how many of them clear() has left behind
        self._looked_at: set[Identity] = set()
        self._asked_for: set[Violation | tuple[int, Identity]] = set()
        self._stray_begin = self._beside() if self._lane else 0
        self._verified = self._told = False
        self._latest_fault: PendingFault | None = None
        # The real API's leniency: what it takes is accepted here, too, and what is wrong with it fails the test.
        self._control.set_lane(self._lane, token=self._token, lenient=True)

    def __repr__(self) -> str:
        return f"<Ingest {self._url}>"

    @property
    def url(self) -> str:
        """The URL for ``ingest_endpoint``."""
        return self._url

    @property
    def token(self) -> str:
        """The bearer token that is taken; any is when a fixed port is used without ``metering_token_env``."""
        return self._token or "any-token"

    # What it does wrong

    def respond(
        self, status: int, headers: Mapping[str, str] | None = None, *, delay: float | None = None
    ) -> PendingFault:
        """Answer the next request with ``status``; with another than 2xx its events are not accepted."""
        step: dict[str, Any] = {"status": status}
        if headers:
            step["headers"] = {name: str(value) for name, value in headers.items()}
        if delay is not None:
            step["delay"] = delay
        return self._fault(step)

    def delay(self, seconds: float) -> PendingFault:
        """Accept the next request's events at once, and answer ``seconds`` later."""
        return self._fault({"delay": seconds})

    def hang(self, seconds: float | None = None) -> PendingFault:
        """Take the next request in, but neither accept nor answer it: until the client leaves, or ``seconds``."""
        return self._fault({"hang": True if seconds is None else seconds})

    def reset(self, when: Literal["before", "after"] = "before") -> PendingFault:
        """Close the next request's connection before, or after, its body was read; nothing is accepted."""
        return self._fault({"reset": when})

    def accept_then_drop(self) -> PendingFault:
        """Accept the next request's events, then close the connection without an answer: the maker of duplicates."""
        return self._fault({"drop_answer": True})

    def recover(self) -> None:
        """Forget faults that were set and not used up: the next request is treated as usual."""
        self._latest_fault = None
        self._control.remove_faults(self._lane)

    # What arrived

    @property
    def deliveries(self) -> list[Delivery]:
        """Every request so far, accepted or not, in order. Not a look at the events in them."""
        self._look()
        return self._deliveries()

    def events(
        self,
        subject: str | None = None,
        type: str | None = None,
        data: Mapping[str, Any] | None = None,
        **data_fields: Any,
    ) -> list[Event]:
        """Return the accepted events so far, each once, in order of arrival. Does not wait.

        Given ``subject`` and ``type``, only such events; ``data_fields``, or ``data``, name values in their data.
        """
        self._look()
        return self._seen(self._matching(subject, type, {**(data or {}), **data_fields}))

    def wait_for(
        self,
        wanted: int | Callable[[list[Event]], bool],
        timeout: float | None = None,
        subject: str | None = None,
        type: str | None = None,
        data: Mapping[str, Any] | None = None,
        **data_fields: Any,
    ) -> list[Event]:
        """Wait for so many events like these in this test, and return the first ``wanted`` of them.

        More than those are events nothing has looked at. ``wanted`` may be a condition instead, a function of the
        events so far; then all of them are returned. Fails the test after ``timeout`` seconds with what arrived.
        """
        __tracebackhide__ = True
        if isinstance(wanted, int) and wanted < 1:
            raise ValueError("wait_for waits for one event or more; usage_events is empty when none came")
        patience = self._settings.timeout if timeout is None else timeout
        fields = {**(data or {}), **data_fields}
        end = time.monotonic() + patience
        self._look()
        while True:
            found = self._matching(subject, type, fields)
            if callable(wanted):
                if wanted(found):
                    return self._seen(found)
            elif len(found) >= wanted:
                return self._seen(found[:wanted])
            left = end - time.monotonic()
            if left <= 0:
                wish = _wish(wanted, {"subject": subject, "type": type, **fields})
                self._fail(f"waited {patience:g} s for {wish}; {_count(len(found), 'event')} arrived")
            self._look(min(left, _LONGEST_WAIT))

    def duplicates(self) -> list[Event]:
        """Return the events that were accepted before and came again. The test has asked, and judges them itself."""
        self._look()
        found = self._duplicates()
        self._asked_for.update(one.key for one in found)
        return [one.event for one in found]

    def violations(self) -> list[Violation]:
        """Return what is wrong with requests and events so far. The test has asked, and judges them itself."""
        self._look()
        found = self._violations()
        self._asked_for.update(found)
        return found

    def clear(self) -> None:
        """Begin afresh: what arrived is forgotten and judged no more, faults not used up are dropped."""
        self.recover()
        self._look()
        self._begin = len(self._captured)
        self._stray_begin = self._beside() if self._lane else 0
        self._looked_at.clear()
        self._asked_for.clear()

    def wait_until_idle(self, timeout: float | None = None) -> None:
        """Wait until no event is on its way any more; fail the test when that takes longer than ``timeout``."""
        __tracebackhide__ = True
        patience = self._settings.timeout if timeout is None else timeout
        busy = self._settle(patience)
        if busy is not None:
            self._fail(f"metering is not idle after {patience:g} s: {busy}")

    # The end of the test

    def verify(self) -> None:
        """Fail the test for what it should have looked at, or what should not have come at all."""
        if self.metering is not None:
            self.metering.settle(_LAST_LOOK)
        self._look()
        complaints = self._complaints()
        if complaints:
            self._told = True
            raise pytest.fail.Exception(self._hidden("\n".join(complaints)), pytrace=False)
        self._verified = True

    def verify_rest(self) -> None:
        """Do so again for what came after a test that passed, from the teardown of its own fixtures."""
        if self._verified:
            self.verify()

    def account_once(self) -> str:
        """Return what arrived in lines, unless a failure's text has it already; "" when nothing did."""
        if self._told:
            return ""
        self._told = True
        self._look()
        known = self._deliveries() or (self.metering is not None and self.metering.account())
        return "\n".join(self._account()) if known else ""

    def close(self) -> None:
        """Let go of the endpoint."""
        if self._lane:
            self._control.remove_lane(self._lane)
        else:
            self._control.set_lane("", token=self._token, lenient=True)

    def wait_until_quiet(self, seconds: float) -> str | None:
        """Wait until nothing has arrived for a while; return a sentence when that is not so after ``seconds``."""
        end = time.monotonic() + seconds
        while self._look(self._settings.quiet):
            if time.monotonic() > end:
                return f"requests still arrive; the last is {self._deliveries()[-1].head}"
        return None

    def _look(self, wait: float = 0.0) -> bool:
        new = self._control.requests(self._lane, after=len(self._captured), wait=wait)
        self._captured += new
        return bool(new)

    def _deliveries(self) -> list[Delivery]:
        return [Delivery.of(request) for request in self._captured[self._begin :]]

    def _accepted(self) -> list[Event]:
        return [
            event
            for delivery in self._deliveries()
            for event, verdict in zip(delivery.events, delivery.verdicts, strict=True)
            if verdict == "accepted"
        ]

    def _matching(self, subject: str | None, kind: str | None, fields: Mapping[str, Any]) -> list[Event]:
        def like(event: Event) -> bool:
            data = event.get("data")
            return (
                (subject is None or event.get("subject") == subject)
                and (kind is None or event.get("type") == kind)
                and all(isinstance(data, dict) and _is(data.get(name), value) for name, value in fields.items())
            )

        return [event for event in self._accepted() if like(event)]

    def _seen(self, events: Sequence[Event]) -> list[Event]:
        self._looked_at.update(identity(event) for event in events)
        return list(events)

    def _violations(self) -> list[Violation]:
        beside = self._control.requests("", after=self._stray_begin) if self._lane else []
        return [*violations(self._deliveries()), *strays(beside)]

    def _beside(self) -> int:
        """Return how many requests have come that were in no lane at all."""
        return self._control.counts("")["requests"]

    def _duplicates(self) -> list[Duplicate]:
        return list(duplicates(self._deliveries()))

    def _complaints(self) -> list[str]:
        wrong = [one for one in self._violations() if one not in self._asked_for]
        again = [one for one in self._duplicates() if not one.explained and one.key not in self._asked_for]
        unseen = [event for event in self._accepted() if identity(event) not in self._looked_at]
        parts: list[str] = []
        if wrong:
            parts += [f"metering: {_count(len(wrong), 'violation')} at the ingest endpoint:"]
            parts += _shown(map(str, wrong))
        if again:
            parts += [f"metering: {_count(len(again), 'event')} came again although answered with success:"]
            parts += _shown(f"#{one.delivery}  {summary(one.event)}" for one in again)
        if unseen and not self._allow_unexpected:
            parts += [f"metering: {_count(len(unseen), 'event')} that nothing in the test looked at:"]
            parts += _shown(map(summary, unseen))
            parts += ["  look at events with ingest.events(…), ingest.wait_for(…) or usage_events,"]
            parts += ["  or allow others with @pytest.mark.metering(allow_unexpected=True)"]
        return [*parts, *self._account()] if parts else []

    def _account(self) -> list[str]:
        lines = [line for delivery in self._deliveries() for line in delivery.lines()]
        head = "arrived at the ingest endpoint:" if lines else "nothing arrived at the ingest endpoint"
        return [head, *_shown(lines), *(self.metering.account() if self.metering is not None else ())]

    def _settle(self, seconds: float) -> str | None:
        return self.metering.settle(seconds) if self.metering is not None else self.wait_until_quiet(seconds)

    def _fault(self, step: dict[str, Any]) -> PendingFault:
        self._control.add_faults(self._lane, [step, _NOTHING_MORE])
        self._latest_fault = fault = PendingFault(step, self._more)
        return fault

    def _more(self, fault: PendingFault, steps: list[dict[str, Any]]) -> None:
        if fault is not self._latest_fault:
            raise ValueError("times and forever belong directly behind the fault: another was set since")
        self._control.add_faults(self._lane, steps)

    def _fail(self, text: str) -> NoReturn:
        __tracebackhide__ = True
        self._told = True
        pytest.fail(self._hidden("\n".join([f"metering: {text}", *self._account()])))

    def _hidden(self, text: str) -> str:
        return text.replace(self._token, "[redacted]") if self._token else text


def _token(settings: Settings) -> str | None:
    if settings.token is not None:
        return settings.token
    return None if settings.ingest_port else secrets.token_urlsafe(24)


def _is(value: Any, wanted: Any) -> bool:
    """Return whether two JSON values are the same; 1 is not true."""
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _wish(wanted: object, like: Mapping[str, Any]) -> str:
    what = _count(wanted, "event") if isinstance(wanted, int) else "the condition"
    return what + "".join(f", {name} {value!r}" for name, value in like.items() if value is not None)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shown(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    more = [f"  … and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
    return [*(f"  {line}" for line in every[:_SHOWN]), *more]
