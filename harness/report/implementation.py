"""Who made what was tested, and when: what a report needs to be handed to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugin_emulator.documents import InvalidDocument, Problem, did_you_mean, read_document

_TEXTS = ("organization", "project", "version", "url")


@dataclass(frozen=True, slots=True)
class Implementation:
    """The gateway under test as its makers would name it. ``contact`` are names, addresses or links."""

    organization: str | None = None
    project: str | None = None
    version: str | None = None
    url: str | None = None
    contact: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as a report has it."""
        return {**asdict(self), "contact": list(self.contact)}


def default_implementation(target: str, version: str) -> Implementation:
    """Return what is known without being told: the emulator is of this product, of any other target only its name."""
    if target == "emulator":
        return Implementation("kong-metering-harness", "emulated gateway", version)
    return Implementation(project=target)


def read_implementation(path: Path) -> Implementation:
    """Read a YAML or JSON file with organization, project, version, url and contact, all of them optional.

    Raises InvalidDocument with a problem for each mistake, file and line included.
    """
    document = read_document(path)
    problems = [*_problems(document.data)]
    if problems:
        raise InvalidDocument([document.located(problem) for problem in problems])
    data = {**document.data, "contact": tuple(document.data.get("contact", ()))}
    return Implementation(**data)


def report_date(given: datetime | None, environment: Mapping[str, str]) -> datetime:
    """Return the date a report bears, in UTC: the one given, else that of SOURCE_DATE_EPOCH, else now.

    Raises ValueError, its text one line for the user, when SOURCE_DATE_EPOCH is no number of seconds.
    """
    if given is not None:
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    epoch = environment.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"SOURCE_DATE_EPOCH is {epoch!r}, not seconds since 1970") from None


def _problems(data: Any) -> Iterator[Problem]:
    known = (*_TEXTS, "contact")
    if not isinstance(data, dict):
        yield Problem("does not describe an implementation", (), f"write a mapping with {', '.join(known)}")
        return
    for key, value in data.items():
        if key not in known:
            near = did_you_mean(str(key), known)
            hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}"
            yield Problem(f"unknown key {key!r}", (key,), hint)
        elif key == "contact":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                yield Problem("contact is not a list of texts", (key,))
        elif not isinstance(value, str):
            yield Problem(f"{key} is not a text", (key,), "put it in quotes")
