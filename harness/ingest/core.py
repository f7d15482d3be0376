"""The ingest endpoint's decisions: a request in, verdicts and an answer out. No socket, file, clock or thread."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.capture.redaction import redacted_path
from harness.ingest.api import IngestApi, Judgement, Refusal
from harness.ingest.apis import DEFAULT
from harness.ingest.faults import NO_FAULT, Fault
from harness.ingest.messages import (
    ACCEPTED,
    DUPLICATE,
    REFUSED,
    Answer,
    Finding,
    IngestRequest,
    Receipt,
    Verdict,
)
from harness.ingest.seen_entries import DEFAULT_REMEMBERED, SeenEntries


@dataclass(frozen=True)
class IngestSettings:
    """How one endpoint behaves.

    ``tokens``: the credentials taken (bearer tokens, API keys); empty takes any. ``api``: whose manners.
    ``path_suffix``: what a path, without its query, ends in; None: what the API's does. ``lenient``: refuse only what
    the ingest API itself refuses; what breaks the plugin's promises beyond that is accepted and stands in the
    findings. ``thorough``: ask every validator about every entry. ``remembered``: how many entries at least the
    endpoint knows again.
    """

    tokens: frozenset[str] = field(default=frozenset(), repr=False)
    api: IngestApi = DEFAULT
    path_suffix: str | None = None
    lenient: bool = False
    thorough: bool = False
    remembered: int = DEFAULT_REMEMBERED

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What a path may end in; the first is the one to tell a user."""
        return self.api.path_suffixes if self.path_suffix is None else (self.path_suffix,)


class IngestCore:
    """One ingest endpoint with the memory it needs to know an entry again.

    Not safe for several threads at once.
    """

    def __init__(self, settings: IngestSettings | None = None) -> None:
        self.settings = settings or IngestSettings()
        self._api = self.settings.api
        self._suffixes = self.settings.suffixes
        self._judge = self._api.judge(lenient=self.settings.lenient, thorough=self.settings.thorough)
        self._seen = SeenEntries(self.settings.remembered)
        self._count = 0

    def receive(self, request: IngestRequest, fault: Fault = NO_FAULT) -> Receipt:
        """Judge ``request`` and decide the answer (DLV-1, AMB-8).

        Every entry gets a verdict, whatever the answer. Entries are accepted all together or not at all: one that is
        invalid makes the answer a 400 that names it, and the others are ``refused``. With a ``fault`` that keeps the
        endpoint from accepting, well-formed entries are ``refused``, too.
        """
        self._count += 1
        if fault.reset == "before":
            return Receipt(None)
        judgement = self._judge.judge(request.body)
        findings = judgement.body_errors
        answer: Answer | None = None
        refusal = self._head_refusal(request) or self._api.content_refusal(request, judgement)
        if refusal is not None:
            findings = (refusal.finding, *findings)
            answer = self._api.error(
                refusal.status,
                refusal.detail,
                str(self._count),
                refusal.parameters,
                judgement.batch,
                refusal.headers,
            )
        elif judgement.errors or judgement.body_errors:
            answer = self._bad_request(judgement)
        if not fault.accepts:
            scripted = self._scripted(request, fault) if fault.answers else None
            return Receipt(scripted, self._refused(judgement), judgement.entries, findings)
        if answer is not None:
            given = Answer(answer.status, answer.headers + fault.headers, answer.body)
            return Receipt(given if fault.answers else None, self._refused(judgement), judgement.entries, findings)
        verdicts, keys = self._take_in(judgement)
        success = self._success(fault, len(verdicts)) if fault.answers else None
        return Receipt(success, verdicts, judgement.entries, findings, keys)

    def witness(self, request: IngestRequest, answer: Answer, fault: Fault = NO_FAULT) -> Receipt:
        """Judge ``request``, which another endpoint has answered with ``answer``.

        An entry that is invalid here is so whatever the other endpoint said. The others are accepted or duplicate
        when it took them in, else ``refused``; a duplicate beside an invalid entry is not known again.
        """
        self._count += 1
        judgement = self._judge.judge(request.body)
        refusal = self._head_refusal(request) or self._api.content_refusal(request, judgement)
        findings = judgement.body_errors if refusal is None else (refusal.finding, *judgement.body_errors)
        verdicts = self._refused(judgement)
        keys: Sequence[int] = ()
        success = 200 <= answer.status < 300
        if success and len(judgement.keys) == len(judgement.entries):
            verdicts, keys = self._take_in(judgement)
        elif success:
            taken = (Verdict("accepted", each.findings) if each.verdict == "refused" else each for each in verdicts)
            verdicts = list(taken)
        given = Answer(answer.status, answer.headers + fault.headers, answer.body)
        return Receipt(given if fault.answers else None, verdicts, judgement.entries, findings, keys)

    def remember(self, marks: Iterable[int]) -> None:
        """Know the entries with these ``marks`` again: an earlier run took them in."""
        self._seen.remember(marks)

    def forget(self, receipt: Receipt) -> None:
        """Undo the acceptance of ``receipt``'s entries: the host could not keep them."""
        self._seen.forget(receipt.keys)

    def unavailable(self, detail: str) -> Answer:
        """Return the 503 for a host that cannot accept anything now."""
        return self._api.error(503, detail, str(self._count))

    def _head_refusal(self, request: IngestRequest) -> Refusal | None:
        api = self._api
        if not request.path.partition("?")[0].endswith(self._suffixes):
            finding = Finding(api.request_rule, "", "the path is not that of the ingest endpoint", source="header")
            detail = f"No such path; {api.entry}s go to a path that ends in [{self._suffixes[0]}]"
            return Refusal(404, detail, finding)
        if request.method != "POST":
            finding = Finding(api.request_rule, "", "the method is not POST", source="header")
            return Refusal(405, f"Method [{request.method}] is not allowed", finding, (("Allow", "POST"),))
        credential = api.credential(request)
        if not credential:
            return api.no_credential
        if self.settings.tokens and not any(_same(credential, known) for known in self.settings.tokens):
            return api.wrong_credential
        return None

    def _take_in(self, judgement: Judgement) -> tuple[Sequence[Verdict], Sequence[int]]:
        keys = judgement.keys
        verdicts: list[Verdict]
        if self._seen.add_new(keys):
            verdicts = [ACCEPTED] * len(keys)
        else:
            fresh = [self._seen.add(key) for key in keys]
            verdicts = [ACCEPTED if new else DUPLICATE for new in fresh]
            keys = [key for key, new in zip(keys, fresh, strict=True) if new]
        for index, remarks in judgement.remarks.items():
            if remarks:
                verdicts[index] = Verdict(verdicts[index].verdict, remarks)
        return verdicts, keys

    @staticmethod
    def _refused(judgement: Judgement) -> Sequence[Verdict]:
        verdicts = [REFUSED] * len(judgement.entries)
        for index, remarks in judgement.remarks.items():
            verdicts[index] = Verdict("refused", remarks)
        for index, errors in judgement.errors.items():
            verdicts[index] = Verdict("invalid", errors + judgement.remarks.get(index, ()))
        return verdicts

    def _bad_request(self, judgement: Judgement) -> Answer:
        entry = self._api.entry
        if judgement.body_errors:
            detail = f"The body {judgement.body_errors[0].message}"
        elif judgement.batch:
            detail = f"[{len(judgement.errors)}] of [{len(judgement.entries)}] {entry}s are not valid"
        else:
            detail = f"The {entry} is not valid"
        findings = [error for index in sorted(judgement.errors) for error in judgement.errors[index]]
        return self._api.error(400, detail, str(self._count), [*judgement.body_errors, *findings], judgement.batch)

    def _success(self, fault: Fault, count: int) -> Answer:
        """Return the API's answer, or with the status that the script asks for instead an empty one."""
        if fault.status is not None:
            return Answer(fault.status, fault.headers)
        answer = self._api.accepted(count)
        return Answer(answer.status, answer.headers + fault.headers, answer.body) if fault.headers else answer

    def _scripted(self, request: IngestRequest, fault: Fault) -> Answer:
        assert fault.status is not None
        headers = fault.headers
        if fault.redirects and not any(name.lower() == "location" for name, _ in headers):
            headers = (*headers, ("Location", redacted_path(request.path)))
        return self._api.error(fault.status, "Answered so by the fault script", str(self._count), headers=headers)


def _same(given: str, known: str) -> bool:
    """Compare two credentials in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("latin-1", "replace"), known.encode("utf-8", "surrogateescape"))
