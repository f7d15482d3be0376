"""Judges the events that were accepted: each expected one once, no other, in order, dropped where it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.conformance.arrival_form import ArrivalForm
from harness.conformance.check_catalogue import Check
from harness.conformance.matching import (
    Difference,
    Setting,
    assign,
    event_differences,
    in_words,
    member,
)
from harness.conformance.observation import Arrived, Observation, accepted_events
from harness.conformance.outcome import Failure
from harness.conformance.scenario import MAIN_LANE, Scenario


def event_failures(scenario: Scenario, seen: Observation, clock_tolerance: float) -> Iterator[Failure]:
    """Yield how the accepted events are not as ``scenario`` expects.

    ``clock_tolerance`` is how far, in seconds, the gateway's clock may be from ours.
    """
    expect, form = scenario.expect, scenario.form
    arrived = accepted_events(seen.deliveries)
    if "events" not in expect:
        if len(arrived) != expect["count"]:
            check = Check.EVENT_MISSING if len(arrived) < expect["count"] else Check.EVENT_SURPLUS
            text = f"{expect['count']} {form.noun}s expected, {len(arrived)} accepted by the ingest endpoint"
            yield Failure((), text, check=check)
        return
    wanted = [event for event in expect["events"] for _ in range(event.get("times", 1))]
    settings = [_setting(scenario, event, seen, clock_tolerance) for event in wanted]
    pairing = _Pairing(form, wanted, arrived, settings)
    yield from pairing.failures()
    for event in pairing.surplus():
        culprit = _dropped_step(scenario, seen, event)
        text = f"request {culprit!r} must make no {form.noun}, and made one" if culprit else f"{form.one} too many"
        yield Failure((), text, received=event, step=culprit, check=Check.EVENT_SURPLUS)
    if expect.get("in_order"):
        yield from pairing.misplaced()
    yield from pairing.repeated()
    if scenario.kind == "exchanges":
        for step in expect.get("dropped", ()):
            if step not in seen.dropped:
                text = f"exchange {step!r} must be dropped: the pipeline does not report it dropped"
                yield Failure((), text, step=step, check=Check.EVENT_DROPPED)


class _Pairing:
    """Which event that arrived is held against which expectation: so that as many as possible fit."""

    def __init__(
        self,
        form: ArrivalForm,
        wanted: Sequence[Mapping[str, Any]],
        arrived: Sequence[Arrived],
        settings: Sequence[Setting],
    ) -> None:
        self._form = form
        self._wanted = wanted
        self._arrived = arrived
        self._settings = settings
        self._named: Mapping[str, Mapping[str, Any]] | None = None
        places = range(len(wanted))
        self._pairs = assign([[len(self._compare(index, one)) for one in arrived] for index in places])
        self._named = {
            event["name"]: arrived[pair].event
            for event, pair in zip(wanted, self._pairs, strict=True)
            if "name" in event and pair is not None
        }

    def failures(self) -> Iterator[Failure]:
        """Yield each expectation that no event fits."""
        for index, pair in enumerate(self._pairs):
            event = self._wanted[index]
            if pair is None:
                yield self._missing(index)
            elif differences := self._compare(index, self._arrived[pair]):
                text = f"{self._form.one} is not as expected"
                yield Failure((), text, differences, event, self._arrived[pair].event, step=event.get("of"))

    def surplus(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events that are held against none."""
        taken = {pair for pair in self._pairs if pair is not None}
        for index, one in enumerate(self._arrived):
            if index not in taken:
                yield one.event

    def misplaced(self) -> Iterator[Failure]:
        """Of the events that fit, the n-th to arrive has to fit the n-th of the expectations, too."""
        fit = [
            (index, pair)
            for index, pair in enumerate(self._pairs)
            if pair is not None and not self._compare(index, self._arrived[pair])
        ]
        for (index, _), pair in zip(fit, sorted(pair for _, pair in fit), strict=True):
            if self._compare(index, self._arrived[pair]):
                event, instead = self._wanted[index], self._arrived[pair].event
                what = f"the {self._form.noun}s did not arrive in the expected order"
                text = f"{what}: another came where this one belongs"
                yield Failure((), text, (), event, instead, step=event.get("of"), check=Check.EVENT_ORDER)
                return

    def repeated(self) -> Iterator[Failure]:
        """Yield each value of a field that several events have though it must be ``unique``."""
        counts: dict[str, Counter[str]] = {}
        for wanted, pair in zip(self._wanted, self._pairs, strict=True):
            if pair is not None:
                for path in _unique_fields(wanted, self._form.fields):
                    value = in_words(member(self._arrived[pair].event, path))
                    counts.setdefault(path, Counter())[value] += 1
        for path, values in counts.items():
            for value, count in values.items():
                if count > 1:
                    words, noun = f"{value} in {count} {self._form.noun}s", self._form.noun
                    difference = Difference(path, f"different in every {noun}", words, Check.FIELD_UNIQUE)
                    yield Failure((), f"{path} is not unique", [difference])

    def _missing(self, index: int) -> Failure:
        event = self._wanted[index]
        if not self._arrived:
            text = f"{self._form.one} is missing"
            return Failure((), text, expected=event, step=event.get("of"), check=Check.EVENT_MISSING)
        nearest = min(self._arrived, key=lambda one: len(self._compare(index, one)))
        text = f"{self._form.one} is missing; the nearest that arrived is counted for another"
        differences = self._compare(index, nearest)
        return Failure((), text, differences, event, nearest.event, event.get("of"), Check.EVENT_MISSING)

    def _compare(self, index: int, candidate: Arrived) -> list[Difference]:
        """``same_as`` can be judged only once events are paired."""
        event, setting = self._wanted[index], self._settings[index]
        differences: list[Difference] = []
        lane = event.get("lane", MAIN_LANE)
        if lane != candidate.delivery.lane:
            differences.append(Difference("ingest endpoint", lane, candidate.delivery.lane, Check.EVENT_LANE))
        if self._named is None:
            event = _without_references(event, self._form.fields)
        else:
            setting = replace(setting, named=self._named)
        return [*differences, *event_differences(event, candidate.event, setting)]


def _setting(scenario: Scenario, event: Mapping[str, Any], seen: Observation, clock_tolerance: float) -> Setting:
    return Setting(scenario.form, seen.window(event["of"]) if "of" in event else None, clock_tolerance)


def _without_references(event: Mapping[str, Any], fields: str) -> Mapping[str, Any]:
    """Return the expectation without ``same_as``."""

    def plain(value: Any) -> bool:
        return not (isinstance(value, Mapping) and "same_as" in value)

    kept = {key: value for key, value in event.items() if key == fields or plain(value)}
    if fields in kept and not event.get("only"):
        kept[fields] = {key: value for key, value in event[fields].items() if plain(value)}
    elif fields in kept:
        kept[fields] = {key: value if plain(value) else {"present": True} for key, value in event[fields].items()}
    return kept


def _unique_fields(event: Mapping[str, Any], fields: str) -> list[str]:
    named = {**event, **{f"{fields}.{name}": value for name, value in event.get(fields, {}).items()}}
    return [name for name, value in named.items() if isinstance(value, Mapping) and "unique" in value]


def _dropped_step(scenario: Scenario, seen: Observation, event: Mapping[str, Any]) -> str | None:
    """Return the request a surplus event is of, judged by its time, if that is one that must be dropped."""
    try:
        at, _ = scenario.form.read_time(event.get(scenario.form.when))
    except ValueError:
        return None
    nearest: tuple[float, str] | None = None
    for step in {answer.step for answer in seen.answers}:
        start, end = seen.window(step) or (at, at)
        distance = max(start - at, at - end, 0.0)
        if nearest is None or distance < nearest[0]:
            nearest = (distance, step)
    return nearest[1] if nearest and nearest[1] in scenario.expect.get("dropped", ()) else None
