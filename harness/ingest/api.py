"""What is particular to one ingest API: who may send, what a body looks like, how it is judged, what is answered.

The core of the endpoint (``core.py``) knows the rest: faults, lanes' numbers, the memory for duplicates. A further
API is a folder beside ``cloudevents/`` whose object fulfils ``IngestApi``, and one line in ``apis.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.ingest.five_aspects import FiveAspects
from harness.ingest.messages import Answer, Finding, Headers, IngestRequest


@dataclass(slots=True)
class Judgement:
    """What a body holds: its entries (events, records), errors and remarks on each by its index, errors of the whole.

    Errors keep an entry from being accepted, remarks do not. ``batch`` says that the body is an array. ``keys`` are
    the memory's marks of the entries (``seen_entries.mark``), one each, when there are no errors.
    """

    entries: Sequence[Any] = ()
    keys: Sequence[int] = ()
    batch: bool = False
    errors: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    remarks: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    body_errors: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not taken whatever its entries are: the answer's ``status`` and text, and the finding.

    ``parameters`` are the findings that the answer names.
    """

    status: int
    detail: str
    finding: Finding
    headers: Headers = ()
    parameters: tuple[Finding, ...] = ()


class Judge(Protocol):
    """Judges the bodies that one endpoint receives; may learn from what it has seen."""

    def judge(self, body: bytes) -> Judgement:
        """Return what ``body`` holds and what is wrong with it. Raises nothing, whatever the bytes."""


class IngestApi(Protocol):
    """One ingest API. It has no state: one object serves any number of endpoints."""

    @property
    def name(self) -> str:
        """The name of its profile: what a user calls it."""

    @property
    def entry(self) -> str:
        """What a body is made of, in the singular: "event", "record"."""

    @property
    def path_suffixes(self) -> tuple[str, ...]:
        """What the path of its endpoint may end in; the first is the one it is known by."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of the real endpoint where a client cannot be told another one; else empty."""

    @property
    def request_rule(self) -> str:
        """Id of the rule that says what a request looks like."""

    @property
    def no_credential(self) -> Refusal:
        """How a request without a credential is refused."""

    @property
    def wrong_credential(self) -> Refusal:
        """How a request with another credential than the expected one is refused."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Members that tell an entry from others."""

    def mark_of(self, id_: str | None, source: str | None, unique_id: str | None) -> int | None:
        """Return the memory's mark of a valid entry with these members; None: it is of another API, or always new."""

    def five_aspects(self, entry: Any) -> FiveAspects | None:
        """Return what, whom, when, how much and where of an entry, right or wrong; None when it is of another API."""

    def credential(self, request: IngestRequest) -> str:
        """Return the credential of ``request``, "" when it has none of the API's kind."""

    def content_refusal(self, request: IngestRequest, judgement: Judgement) -> Refusal | None:
        """Return why the content cannot be taken: its type, its coding, a shape that the type does not announce."""

    def judge(self, *, lenient: bool, thorough: bool) -> Judge:
        """Return the judge of a new endpoint.

        ``lenient`` makes remarks of what the plugin promises beyond what the API itself demands; ``thorough`` asks
        every validator about every entry.
        """

    def accepted(self, count: int) -> Answer:
        """Return the answer to a request whose ``count`` entries were taken in."""

    def error(
        self,
        status: int,
        detail: str,
        trace: str,
        findings: Iterable[Finding] = (),
        batch: bool = False,
        headers: Headers = (),
    ) -> Answer:
        """Return the answer to a request that was not taken in.

        ``trace`` tells the answer from others. ``findings`` are named in it; with ``batch`` the first step of their
        pointers counts entries.
        """
