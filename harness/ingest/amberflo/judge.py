"""Judges bodies of meter records: by the record's schema, and for customers that stand for none."""

from __future__ import annotations

from typing import Any

import orjson

from harness.ingest.amberflo.quick_yes import quick_records
from harness.ingest.amberflo.record_schema import record_schema
from harness.ingest.api import Judgement
from harness.ingest.entry_schema import body_pointer, judged
from harness.ingest.messages import Finding
from harness.ingest.parsed_later import ParsedLater
from harness.ingest.seen_entries import mark

_PLACEHOLDER_CUSTOMER = "unknown"
_SUSPICIOUS = "the customer is the placeholder 'unknown'; a request without a customer must make no record"


class RecordJudge:
    """Fulfils :class:`harness.ingest.api.Judge` for one endpoint.

    ``lenient`` makes remarks of what breaks the plugin's promises beyond what the API's documents demand: members
    that the API can do without, a uniqueId that is no UUID (AMB-2), a single record in the place of an array (AMB-8).
    ``thorough`` does without the quick yes. A record is known again by its uniqueId; one without is always new.
    """

    def __init__(self, *, lenient: bool, thorough: bool) -> None:
        self._lenient = lenient
        self._thorough = thorough
        self._demanded = record_schema(not lenient)
        self._promised = record_schema(True) if lenient else None
        self._nameless = 0

    def judge(self, body: bytes) -> Judgement:
        """Return what ``body`` holds and what is wrong with it (AMB-1…3, AMB-8)."""
        return self._judge_quickly(body) or self._judge_thoroughly(body)

    def _judge_quickly(self, body: bytes) -> Judgement | None:
        """Return the judgement on valid records with nothing odd about them, None when it may be another."""
        quick = None if self._thorough else quick_records(body)
        if quick is None or _PLACEHOLDER_CUSTOMER in {record.customerId for record in quick}:
            return None
        return Judgement(ParsedLater(body, quick), [mark(record.uniqueId) for record in quick], batch=True)

    def _judge_thoroughly(self, body: bytes) -> Judgement:
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            finding = Finding("AMB-8", "", f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})")
            return Judgement(body_errors=(finding,))
        batch = isinstance(data, list)
        records: list[Any] = data if isinstance(data, list) else [data]
        judgement = judged(records, batch, self._demanded, self._promised)
        self._suspect(judgement)
        if not batch:
            self._single(judgement)
        if not judgement.errors:
            judgement.keys = [self._key(record) for record in records]
        return judgement

    def _single(self, judgement: Judgement) -> None:
        """Complain of a body that is no array: the API's documents allow it, but the plugin always sends one."""
        finding = Finding("AMB-8", "", "is one record, not an array of records", "is_array")
        if self._lenient:
            judgement.remarks[0] = (finding, *judgement.remarks.get(0, ()))
        else:
            judgement.body_errors = (finding,)

    @staticmethod
    def _suspect(judgement: Judgement) -> None:
        """Remark on customers that stand for "none" (AMB-1). The API takes them; a bill should not."""
        for index, record in enumerate(judgement.entries):
            if isinstance(record, dict) and record.get("customerId") == _PLACEHOLDER_CUSTOMER:
                at = (index, "customerId") if judgement.batch else ("customerId",)
                remark = Finding("AMB-1", body_pointer(at), _SUSPICIOUS)
                judgement.remarks[index] = (*judgement.remarks.get(index, ()), remark)

    def _key(self, record: dict[str, Any]) -> int:
        unique_id = record.get("uniqueId")
        if unique_id is not None:
            return mark(unique_id)
        self._nameless += 1
        return mark((self._nameless,))
