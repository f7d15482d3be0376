"""The seam between the endpoint and an ingest API: a further API is one object, and every API keeps its contract."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from harness.ingest.api import IngestApi, Judgement, Refusal
from harness.ingest.apis import APIS
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.faults import Fault
from harness.ingest.five_aspects import FiveAspects
from harness.ingest.messages import Answer, Finding, Headers, IngestRequest
from harness.ingest.seen_entries import mark


class LineJudge:
    """Takes lines of text; one that has a blank is wrong."""

    def judge(self, body: bytes) -> Judgement:
        """Judge each line."""
        lines = body.decode("latin-1").splitlines()
        wrong = {n: (Finding("TXT-1", f"/{n}", "has a blank"),) for n, line in enumerate(lines) if " " in line}
        return Judgement(lines, [] if wrong else [mark(line) for line in lines], True, wrong)


@dataclass(frozen=True)
class LinesApi:
    """An API unlike the others: lines for entries, the key in the query, plain answers."""

    name: str = "lines"
    entry: str = "line"
    path_suffixes: tuple[str, ...] = ("/lines",)
    hosts: tuple[str, ...] = ()
    request_rule: str = "TXT-2"
    identity: tuple[str, ...] = ()

    no_credential = Refusal(400, "no key", Finding("TXT-2", "", "no key", source="header"))
    wrong_credential = Refusal(409, "wrong key", Finding("TXT-2", "", "wrong key", source="header"))

    def five_aspects(self, entry: Any) -> FiveAspects | None:
        """No line says anything."""
        return None

    def credential(self, request: IngestRequest) -> str:
        """Return the key in the query."""
        return request.path.partition("?key=")[2]

    def content_refusal(self, request: IngestRequest, judgement: Judgement) -> Refusal | None:
        """Take any content."""
        return None

    def judge(self, *, lenient: bool, thorough: bool) -> LineJudge:
        """Return a judge."""
        return LineJudge()

    def accepted(self, count: int) -> Answer:
        """Say how many."""
        return Answer(201, (), b"%d" % count)

    def error(
        self,
        status: int,
        detail: str,
        trace: str,
        findings: Iterable[Finding] = (),
        batch: bool = False,
        headers: Headers = (),
    ) -> Answer:
        """Say what is wrong."""
        return Answer(status, headers, " ".join([detail, *(finding.pointer for finding in findings)]).encode())


def decided(body: bytes, path: str = "/lines?key=k", fault: Fault | None = None) -> tuple[int, bytes, list[str]]:
    endpoint = IngestCore(IngestSettings(frozenset({"k"}), LinesApi()))
    receipt = endpoint.receive(IngestRequest("POST", path, (), body), *([fault] if fault else []))
    assert receipt.answer is not None
    return receipt.answer.status, receipt.answer.body, [verdict.verdict for verdict in receipt.verdicts]


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (b"a\nb\na", "/lines?key=k", (201, b"3", ["accepted", "accepted", "duplicate"])),
        (b"a\nb c", "/lines?key=k", (400, b"[1] of [2] lines are not valid /1", ["refused", "invalid"])),
        (b"a", "/lines", (400, b"no key", ["refused"])),
        (b"a", "/lines?key=x", (409, b"wrong key", ["refused"])),
        (b"a", "/events?key=k", (404, b"No such path; lines go to a path that ends in [/lines]", ["refused"])),
    ],
)
def test_an_api_of_another_kind_is_one_object(body: bytes, path: str, expected: tuple[int, bytes, list[str]]) -> None:
    assert decided(body, path) == expected


def test_faults_work_for_an_api_of_another_kind() -> None:
    status, _, verdicts = decided(b"a", fault=Fault(status=503))
    assert (status, verdicts) == (503, ["refused"])


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("body", [b"", b"[]", b"[7]", b"7", b"{}", b"[{}, null]", b"\xff", b'"\\ud800"', b"[" * 5000])
def test_every_api_judges_any_body_consistently(api: IngestApi, lenient: bool, body: bytes) -> None:
    """Errors and remarks are about entries that are there, and without errors each entry has its key."""
    for thorough in (False, True):
        judgement = api.judge(lenient=lenient, thorough=thorough).judge(body)
        assert {*judgement.errors, *judgement.remarks} <= {*range(len(judgement.entries))}
        assert all(judgement.errors.values())
        if not judgement.errors and not judgement.body_errors:
            assert len(judgement.keys) == len(judgement.entries)


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
def test_every_api_tells_a_missing_credential_from_a_wrong_one(api: IngestApi) -> None:
    assert api.credential(IngestRequest("POST", api.path_suffixes[0], (), b"")) == ""
    assert api.no_credential.finding.rule == api.wrong_credential.finding.rule == api.request_rule
    assert api.no_credential.status != api.wrong_credential.status
