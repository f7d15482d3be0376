"""The fault script: what the ingest endpoint does wrong on purpose, request by request."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.ingest.messages import Headers
from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, parse_document, read_document
from plugin_emulator.schema_check import Schema

_SCHEMA = Path(__file__).with_name("schemas") / "fault-script.json"
_SUCCESS = range(200, 300)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request. The default is nothing out of the ordinary.

    ``status``: answer with it; a success status stands for the ordinary treatment and replaces only the success
    status, any other means that the events are not accepted. ``delay``: seconds between arrival and answer; the
    events are accepted on arrival. ``hang``: no answer for so many seconds, then the connection is closed;
    ``math.inf`` waits until the client leaves. ``reset``: the connection is closed before or after the body was
    read. ``drop_answer``: the events are accepted, then the connection is closed without an answer (DLV-2).
    ``headers``: added to the answer.
    """

    status: int | None = None
    delay: float = 0.0
    hang: float | None = None
    reset: Literal["before", "after"] | None = None
    drop_answer: bool = False
    headers: Headers = ()

    @property
    def accepts(self) -> bool:
        """Whether well-formed events are taken in all the same."""
        return self.hang is None and self.reset is None and (self.status is None or self.status in _SUCCESS)

    @property
    def answers(self) -> bool:
        """Whether the client gets an answer."""
        return self.hang is None and self.reset is None and not self.drop_answer

    @property
    def redirects(self) -> bool:
        """Whether the answer needs a Location."""
        return self.status in _REDIRECTS

    @property
    def label(self) -> str | None:
        """The fault's name for the capture; None when nothing is wrong."""
        if self.hang is not None:
            return "hang"
        if self.reset is not None:
            return f"reset {self.reset}"
        if self.drop_answer:
            return "drop_answer"
        if not self.accepts:
            return "status"
        return "delay" if self.delay else None


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class FaultScript:
    """Faults by request number. Immutable: who uses it counts the requests.

    ``steps`` are the sequence's faults, ``ends`` the number of the last request each is for; the last step goes on
    for ever. ``single`` holds the faults for single requests, which are stronger.
    """

    steps: tuple[Fault, ...] = ()
    ends: tuple[int, ...] = ()
    single: Mapping[int, Fault] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Document | Any) -> FaultScript:
        """Build a script from a ``Document``, or from plain data (a list, or a mapping with sequence and requests).

        Raises InvalidDocument with the file, line and pointer of everything wrong.
        """
        if not isinstance(document, Document):
            document = Document(document, {})
        data = _with_text_keys(document.data)
        if data is None:
            return cls()
        problems = _schema().check(data)
        if not problems:
            problems = list(_contradictions(data))
        if problems:
            raise InvalidDocument([document.located(problem) for problem in problems])
        sequence: Sequence[Any] = data if isinstance(data, list) else data.get("sequence") or ()
        requests: Mapping[str, Any] = {} if isinstance(data, list) else data.get("requests") or {}
        steps, ends, last = [], [], 0
        for entry in sequence:
            last += int(entry.get("times", 1)) if isinstance(entry, dict) else 1
            steps.append(_fault(entry))
            ends.append(last)
        return cls(tuple(steps), tuple(ends), {int(number): _fault(entry) for number, entry in requests.items()})

    @classmethod
    def read(cls, text: str) -> FaultScript:
        """Build a script from a file name, or from the script itself when ``text`` begins with ``[`` or ``{``.

        Raises InvalidDocument.
        """
        if text.lstrip().startswith(("[", "{")):
            return cls.parse(parse_document(text, "fault script"))
        return cls.parse(read_document(Path(text)))

    def fault_for(self, number: int) -> Fault:
        """Return the fault of the ``number``-th request, counted from 1."""
        if number in self.single:
            return self.single[number]
        if not self.steps:
            return NO_FAULT
        return self.steps[min(bisect_left(self.ends, number), len(self.steps) - 1)]

    def followed_by(self, more: FaultScript, after: int) -> FaultScript:
        """Return this script with ``more`` behind it, whose last step then goes on for ever.

        ``more`` begins once every step of this script was used, and not before request number ``after`` + 1. This
        script's own last step goes on only until then.
        """
        steps, ends = self.steps[:-1], self.ends[:-1]
        last = ends[-1] if ends else 0
        if after > last:
            steps, ends, last = (*steps, self.steps[-1] if self.steps else NO_FAULT), (*ends, after), after
        return FaultScript(
            (*steps, *(more.steps or (NO_FAULT,))),
            (*ends, *(last + end for end in more.ends or (1,))),
            {**self.single, **{last + number: fault for number, fault in more.single.items()}},
        )


@functools.cache
def _schema() -> Schema:
    return Schema.read(_SCHEMA)


def _fault(entry: Any) -> Fault:
    if not isinstance(entry, dict):
        return Fault(status=int(entry))
    headers = [(str(name), str(value)) for name, value in (entry.get("headers") or {}).items()]
    if entry.get("retry_after") is not None:
        headers.append(("Retry-After", str(entry["retry_after"])))
    hang = entry.get("hang")
    status = entry.get("status")
    return Fault(
        status=None if status is None else int(status),
        delay=float(entry.get("delay") or 0.0),
        hang=None if hang in (None, False) else math.inf if hang is True else float(hang),
        reset=entry.get("reset"),
        drop_answer=bool(entry.get("drop_answer")),
        headers=tuple(headers),
    )


def _contradictions(data: Any) -> list[Problem]:
    """Return what the schema cannot say: members of one step that exclude each other, and a misplaced ``forever``."""
    problems: list[Problem] = []
    places: list[tuple[Pointer, Any, bool]] = []
    sequence: Any = data if isinstance(data, list) else data.get("sequence") or []
    prefix: Pointer = () if isinstance(data, list) else ("sequence",)
    places.extend(((*prefix, index), entry, index == len(sequence) - 1) for index, entry in enumerate(sequence))
    if isinstance(data, dict):
        places.extend((("requests", number), entry, False) for number, entry in (data.get("requests") or {}).items())
    for at, entry, last in places:
        if not isinstance(entry, dict):
            continue
        endings = [
            name for name in ("status", "hang", "reset", "drop_answer") if entry.get(name) not in (None, False)
        ]
        if len(endings) > 1:
            problems.append(
                Problem(f"{endings[0]} and {endings[1]} exclude each other", (*at, endings[1]), "keep one")
            )
        elif endings and endings[0] != "status":
            for name in ("retry_after", "headers"):
                if entry.get(name) is not None:
                    hint = f"remove it or {endings[0]}"
                    problems.append(Problem(f"{name} has no effect without an answer", (*at, name), hint))
        if entry.get("forever") and not last:
            problems.append(Problem("forever is for the last entry of a sequence", (*at, "forever"), "remove it"))
        if at[0] == "requests" and entry.get("times") is not None:
            problems.append(Problem("times is for an entry of a sequence", (*at, "times"), "remove it"))
    return problems


def _with_text_keys(data: Any) -> Any:
    """Return ``data`` with the numbers that YAML makes of keys turned back into text."""
    if isinstance(data, dict):
        return {str(key): _with_text_keys(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_text_keys(item) for item in data]
    return data
