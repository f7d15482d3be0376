"""Deliberately broken variants of the emulator: each plants one defect the suite has to find.

The catalogue is data (``mutants.yaml``). A mutant is made by patching a copy of the emulator's source files, so that
nothing here knows the emulator's insides and nothing of the emulator itself is ever changed.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import plugin_emulator
from harness.conformance.outcome import AskedForm
from harness.conformance.profiles import profiles
from harness.conformance.rules import DEFAULT_PROFILE, catalogue
from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, did_you_mean, read_document

CATALOGUE = Path(__file__).with_name("mutants.yaml")
_INDENT = re.compile(" *")
_SCHEMA = Path(__file__).with_name("schemas") / "mutants.schema.json"


class PatchDoesNotApplyError(ValueError):
    """A patch's old text is not in its file exactly once; the text is one line."""


@dataclass(frozen=True, slots=True)
class Patch:
    """``old`` becomes ``new`` in ``file`` (relative to the emulator's package).

    ``old`` begins anywhere in a line; the further lines of both texts are written without the indentation of that
    line.
    """

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Return ``text`` with the patch in it. Raises PatchDoesNotApplyError."""
        places = [*_places(text, self.old)]
        if len(places) != 1:
            found = "is not there" if not places else f"is there {len(places)} times"
            words = self.old.strip().partition("\n")[0]
            raise PatchDoesNotApplyError(f"{self.file}: the text {words!r} {found}: it must be there exactly once")
        start, end, indent = places[0]
        return text[:start] + _indented(self.new, indent) + text[end:]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect. ``rules`` are those it breaks: the suite must blame at least one of them.

    ``profile`` is what the suite judges it as, ``subject_form`` the form that it requires of Consumers' names.
    """

    id: str
    defect: str
    rules: tuple[str, ...]
    patches: tuple[Patch, ...]
    profile: str = DEFAULT_PROFILE
    subject_form: AskedForm = "username"

    @property
    def files(self) -> tuple[str, ...]:
        """The files it changes, relative to the emulator's package."""
        return tuple(dict.fromkeys(patch.file for patch in self.patches))


def emulator_source() -> Path:
    """Return the directory of the emulator's package."""
    return Path(next(iter(plugin_emulator.__path__)))


def read_mutants(path: Path = CATALOGUE, source: Path | None = None) -> list[Mutant]:
    """Read a catalogue and make sure that every patch applies to the emulator in ``source``.

    Raises InvalidDocument with a problem for each mistake, file and line included.
    """
    document = read_document(path)
    problems = [*_schema_problems(document)]
    mutants: list[Mutant] = []
    if not problems:
        mutants = [_mutant(entry) for entry in document.data]
        problems = [*_sense_problems(mutants, source or emulator_source())]
    if problems:
        raise InvalidDocument([document.located(problem) for problem in problems])
    return mutants


def plant(mutant: Mutant | None, folder: Path, source: Path | None = None) -> None:
    """Copy the emulator's package into ``folder``, with ``mutant``'s defect in it; None copies it as it is.

    Raises PatchDoesNotApplyError.
    """
    source = source or emulator_source()
    package = folder / source.name
    shutil.copytree(source, package)
    for file, text in {} if mutant is None else patched(mutant, source).items():
        (package / file).write_text(text, encoding="utf-8")
        # Compiled code is told from its source by a time in seconds and a size, both of which may be the same.
        for compiled in (package / file).parent.joinpath("__pycache__").glob(f"{Path(file).stem}.*.pyc"):
            compiled.unlink()


def patched(mutant: Mutant, source: Path) -> dict[str, str]:
    """Return the text of each file that ``mutant`` changes, by name. Raises PatchDoesNotApplyError."""
    texts: dict[str, str] = {}
    for patch in mutant.patches:
        before = texts.get(patch.file)
        if before is None:
            try:
                before = (source / patch.file).read_text(encoding="utf-8")
            except OSError as error:
                raise PatchDoesNotApplyError(f"{patch.file}: cannot be read: {error.strerror}") from None
        texts[patch.file] = patch.apply(before)
    return texts


def _places(text: str, old: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and the indentation of the line for each place where ``old`` stands in ``text``."""
    first = old.partition("\n")[0]
    start = text.find(first)
    while start >= 0:
        line = text.rfind("\n", 0, start) + 1
        blanks = _INDENT.match(text, line)
        indent = blanks[0] if blanks else ""
        whole = _indented(old, indent)
        if text.startswith(whole, start):
            yield start, start + len(whole), indent
        start = text.find(first, start + 1)


def _indented(text: str, indent: str) -> str:
    """Return ``text`` with ``indent`` before each line that is not blank, but the first."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(indent + line if line.strip() else line for line in rest)])


def _mutant(entry: Mapping[str, Any]) -> Mutant:
    patches = tuple(Patch(patch["file"], patch["old"], patch["new"]) for patch in entry["patches"])
    profile = entry.get("profile") or _newest_profile(entry["rules"])
    form: AskedForm = entry.get("subject_form", "username")
    return Mutant(entry["id"], entry["defect"], tuple(entry["rules"]), patches, profile, form)


def _newest_profile(rules: Sequence[str]) -> str:
    """Return the newest profile that has all of ``rules``; the default one when none has."""
    known = [catalogue()[rule].profiles for rule in rules if rule in catalogue()]
    common = [name for name in profiles() if known and all(name in names for names in known)]
    return common[-1] if common else DEFAULT_PROFILE


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def _schema_problems(document: Document) -> Iterator[Problem]:
    for error in sorted(
        _validator().iter_errors(document.data), key=lambda error: list(map(str, error.absolute_path))
    ):
        yield Problem(error.message, tuple(error.absolute_path))


def _sense_problems(mutants: Sequence[Mutant], source: Path) -> Iterator[Problem]:
    known: set[str] = set()
    for index, mutant in enumerate(mutants):
        at: Pointer = (index,)
        if mutant.profile not in profiles():
            near = did_you_mean(mutant.profile, profiles())
            hint = f"did you mean {near}?" if near else None
            yield Problem(f"no profile is called {mutant.profile!r}", (*at, "profile"), hint)
        if mutant.id in known:
            yield Problem(f"another mutant has the id {mutant.id!r}", (*at, "id"))
        known.add(mutant.id)
        for number, rule in enumerate(mutant.rules):
            place = (*at, "rules", number)
            if rule not in catalogue():
                near = did_you_mean(rule, catalogue())
                yield Problem(f"no rule is called {rule!r}", place, f"did you mean {near}?" if near else None)
            elif mutant.profile not in catalogue()[rule].profiles:
                yield Problem(f"{rule} does not hold for {mutant.profile}", place, "name another profile")
        try:
            texts = patched(mutant, source)
        except PatchDoesNotApplyError as error:
            yield Problem(str(error), (*at, "patches"), "bring the patch up to date with the emulator")
            continue
        yield from _syntax_problems(texts, (*at, "patches"))


def _syntax_problems(texts: Mapping[str, str], at: Pointer) -> Iterator[Problem]:
    for file, text in texts.items():
        if file.endswith(".py"):
            try:
                compile(text, file, "exec", dont_inherit=True)
            except SyntaxError as error:
                yield Problem(f"{file}: patched, line {error.lineno} is no Python: {error.msg}", at)
