"""Judges bodies of CloudEvents: by the event's schema and the CloudEvents SDK, and for subjects that say "none"."""

from __future__ import annotations

from typing import Any

import orjson

from harness.ingest.api import Judgement
from harness.ingest.cloudevents import sdk_opinion
from harness.ingest.cloudevents.event_schema import event_schema
from harness.ingest.cloudevents.quick_yes import QuickYes
from harness.ingest.entry_schema import body_pointer, judged
from harness.ingest.messages import Finding
from harness.ingest.parsed_later import ParsedLater
from harness.ingest.seen_entries import mark

_PLACEHOLDER_SUBJECT = "unknown"
_SUSPICIOUS = "the subject is the placeholder 'unknown'; a request without a subject must make no event"
_SHAPES_REMEMBERED = 4096


class EventJudge:
    """Fulfils :class:`harness.ingest.api.Judge` for one endpoint; learns the shapes of its events.

    ``extensions`` allows further envelope members. ``lenient`` makes remarks of what breaks the plugin's promises
    beyond what the ingest API refuses: event types (EVT-2), data (EVT-6), attributes (ATR-1). ``thorough`` asks the
    CloudEvents SDK about every event instead of one of each shape. An event is known again by source and id (EVT-3).
    """

    def __init__(self, extensions: bool, *, lenient: bool, thorough: bool) -> None:
        self._thorough = thorough
        self._demanded = event_schema(not lenient, extensions)
        self._promised = event_schema(True, extensions) if lenient else None
        self._shapes: set[tuple[str, ...]] = set()
        self._quick = QuickYes()

    def judge(self, body: bytes) -> Judgement:
        """Return what ``body`` holds and what is wrong with it (EVT-1…6)."""
        return self._judge_quickly(body) or self._judge_thoroughly(body)

    def _judge_quickly(self, body: bytes) -> Judgement | None:
        """Return the judgement on a body of valid events with nothing odd about them, None when it may be another."""
        quick = None if self._thorough else self._quick.events(body)
        if quick is None or _PLACEHOLDER_SUBJECT in {event.subject for event in quick}:
            return None
        keys = [mark((event.source, event.id)) for event in quick]
        return Judgement(ParsedLater(body, quick), keys, batch=not body.startswith(b"{"))

    def _judge_thoroughly(self, body: bytes) -> Judgement:
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            finding = Finding("DLV-1", "", f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})")
            return Judgement(body_errors=(finding,))
        batch = isinstance(data, list)
        events: list[Any] = data if isinstance(data, list) else [data]
        judgement = judged(events, batch, self._demanded, self._promised)
        self._ask_sdk(judgement)
        self._suspect(judgement)
        if not judgement.errors:
            judgement.keys = [mark((event["source"], event["id"])) for event in events]
            if not judgement.remarks:  # the SDK has had its say on these members, too
                self._quick.learn(events)
        return judgement

    def _ask_sdk(self, judgement: Judgement) -> None:
        """Let the CloudEvents SDK judge the envelopes, too: all of them, or one of each set of members."""
        thorough = self._thorough
        if not thorough and not judgement.errors and self._shapes.issuperset(map(tuple, judgement.entries)):
            return
        for index, event in enumerate(judgement.entries):
            if not isinstance(event, dict):
                continue
            shape = tuple(event)
            if not thorough and index not in judgement.errors and shape in self._shapes:
                continue
            at: tuple[str | int, ...] = (index,) if judgement.batch else ()
            errors = judgement.errors.get(index, ())
            known = {error.pointer for error in errors}
            further = tuple(
                Finding("EVT-1", pointer, message)
                for member, message in sdk_opinion.complaints(event)
                if (pointer := body_pointer((*at, member))) not in known
            )
            if further:
                judgement.errors[index] = errors + further
            elif not errors:
                if len(self._shapes) >= _SHAPES_REMEMBERED:
                    self._shapes.clear()
                self._shapes.add(shape)

    @staticmethod
    def _suspect(judgement: Judgement) -> None:
        """Remark on subjects that stand for "none" (DRP-1). The API takes them; a bill should not."""
        events = judgement.entries
        if not judgement.errors and _PLACEHOLDER_SUBJECT not in [event["subject"] for event in events]:
            return
        for index, event in enumerate(events):
            if isinstance(event, dict) and event.get("subject") == _PLACEHOLDER_SUBJECT:
                at = (index, "subject") if judgement.batch else ("subject",)
                remark = Finding("DRP-1", body_pointer(at), _SUSPICIOUS)
                judgement.remarks[index] = (*judgement.remarks.get(index, ()), remark)
