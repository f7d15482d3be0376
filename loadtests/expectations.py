"""What each kind of request must be billed as: the table that a ledger's rows point into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

FILE = "expectations.json"

#: Stands for every status that an expectation does not name.
OTHER = -1

#: What an answer makes of the events expected: they are due, none is, or nobody can say.
Due = Literal["events", "none", "unknown"]


class ExpectationsError(ValueError):
    """The table of expectations cannot be read. The message is one line with the file's name."""


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """One event that a request must give: CloudEvents ``type`` and ``subject`` (SUB-1…8), and what else must hold.

    ``fields`` are pairs of a dotted path from the event's top (``data.request_method``) and the value there, whatever
    the request's answer was; None means absent. ``lane`` is the ingest lane it must arrive in, None for any.
    ``status_field`` is the path at which the event must have the status that the client got (EVT-7). ``timed``: its
    time must lie within its request (EVT-4). ``sourced``: it must name its source by a URI reference (EVT-5).
    """

    type: str
    subject: str
    fields: tuple[tuple[str, Any], ...] = ()
    lane: str | None = None
    status_field: str | None = None
    timed: bool = False
    sourced: bool = False

    @property
    def watched(self) -> tuple[str, ...]:
        """The paths of all fields that must be seen of the event."""
        paths = tuple(path for path, _ in self.fields)
        return paths if self.status_field is None else (*paths, self.status_field)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a request must be billed as; no ``events`` means that it must be dropped (DRP-1).

    The events are due when the answer has ``status``, or with ``any_answer`` when there is one (AMB-5). None is due,
    and one would be wrong, when it is among ``rejected``, those by which the gateway itself turns the request away.
    After another answer, or none, each event may have been made or not, but once at most.
    """

    name: str
    events: tuple[ExpectedEvent, ...] = ()
    status: int = 200
    rejected: tuple[int, ...] = ()
    any_answer: bool = False

    def due(self, status: int) -> Due:
        """Return what is due after an answer with ``status``; 0 is no answer, OTHER one that is not named here."""
        if not self.events or status in self.rejected:
            return "none"
        return "events" if self.answered(status) else "unknown"

    def answered(self, status: int) -> bool:
        """Return whether an answer with ``status`` is the one expected; 0 is no answer, OTHER one not named here."""
        if status in self.rejected:
            return False
        return status == self.status or (self.any_answer and status != 0)


@dataclass(frozen=True)
class Expectations:
    """The expectations of a run. The ledger stores the position of each, so all workers need the same table."""

    items: tuple[Expectation, ...] = ()
    _positions: dict[str, int] = field(init=False, repr=False, compare=False)

    def __init__(self, items: Iterable[Expectation] = ()) -> None:
        """Raises ValueError when two expectations have the same name."""
        object.__setattr__(self, "items", tuple(items))
        object.__setattr__(self, "_positions", {item.name: index for index, item in enumerate(self.items)})
        if len(self._positions) != len(self.items):
            names = [item.name for item in self.items]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two expectations are named {twice!r}")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Expectation]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Expectation:
        return self.items[index]

    def index(self, name: str) -> int:
        """Return the position of the expectation ``name``. Raises KeyError."""
        return self._positions[name]

    def watched(self) -> tuple[str, ...]:
        """Return the paths of all fields that an expectation names, sorted: what must be seen of each event."""
        return tuple(sorted({path for item in self.items for event in item.events for path in event.watched}))

    def to_json(self) -> list[dict[str, Any]]:
        """Return the table as JSON values."""
        table: list[dict[str, Any]] = msgspec.to_builtins(self.items)
        return table

    @classmethod
    def from_json(cls, data: Any) -> Expectations:
        """Return the table that ``to_json`` gave. Raises ExpectationsError when ``data`` is none."""
        try:
            return cls(msgspec.convert(data, tuple[Expectation, ...]))
        except ValueError as error:  # msgspec.ValidationError is one
            raise ExpectationsError(f"not a table of expectations: {error}") from None

    def write(self, directory: Path) -> None:
        """Write the table to its file in ``directory``. Raises OSError."""
        (directory / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self.to_json())))

    @classmethod
    def read(cls, directory: Path) -> Expectations:
        """Read the table of a run. Raises ExpectationsError when there is none."""
        path = directory / FILE
        try:
            return cls.from_json(msgspec.json.decode(path.read_bytes()))
        except OSError as error:
            raise ExpectationsError(f"{path}: cannot be read: {error.strerror}") from None
        except (ExpectationsError, msgspec.DecodeError) as error:
            raise ExpectationsError(f"{path}: {error}") from None
