"""decK's templates in a state file, ``${{ env "DECK_X" }}``, set aside so that the file can be read as YAML.

decK fills them in before it parses the file, so a template may stand where YAML would not have it: in
``"${{ env "DECK_X" }}"`` the inner quotes are no end of the text. Each is replaced by a word, a marker, and found
again by that word in the data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from plugin_emulator.documents import InvalidDocument, Problem

from ..entity import MixedText, Reference

_LENGTH = 1000  # characters; nobody writes a longer one
_ENV = r"""env\s+(?:"(?P<{0}1>[^"]*)"|'(?P<{0}2>[^']*)'|`(?P<{0}3>[^`]*)`)"""
_FILTER = r"(?:toBool|toInt|toFloat|indent\s+\d+)"
#: env alone, piped through filters, or as a filter's argument; "-" trims the text around.
_CALL = re.compile(
    rf"(?:-\s)?\s*(?:{_ENV.format('a')}(?:\s*\|\s*{_FILTER})*|{_FILTER}\s+\(\s*{_ENV.format('b')}\s*\))\s*(?:\s-)?"
)
_COMMENT = re.compile(r"(?:-\s)?\s*/\*.*?\*/\s*(?:\s-)?", re.DOTALL)
_PREFIX = "DECK_"
_REFERENCE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_ADVICE = 'write ${{ env "DECK_NAME" }}'


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A state file's text with a marker in place of each template; ``original`` is the text as written."""

    text: str
    original: str
    _marker: re.Pattern[str]
    _templates: tuple[tuple[str, str], ...]  # (as written, variable), by the number in the marker
    _shrunk: tuple[tuple[int, int], ...]  # (line in the text, lines the template there had more), in order

    def value(self, text: str, secret: bool) -> str | Reference | MixedText:
        """Return what ``text``, taken from the parsed data, stands for.

        A template alone is a Reference, marked as ``secret`` says; among other text it is MixedText. So it is too
        when its variable has a name that a Reference cannot have (small letters).
        """
        match = self._marker.search(text)
        if match is None:
            return text
        name = self._templates[int(match[1])][1].removeprefix(_PREFIX)
        if match[0] == text and _REFERENCE_NAME.fullmatch(name):
            return Reference(name, secret)
        return MixedText(self.restored(text))

    def restored(self, text: str) -> str:
        """Return ``text`` with the templates back in place of their markers."""
        return self._marker.sub(lambda match: self._templates[int(match[1])][0], text)

    def original_line(self, line: int) -> int:
        """Return the line of the original that became ``line`` of the text; both count from 1."""
        return line + sum(count for at, count in self._shrunk if at < line)

    def located(self, problem: Problem) -> Problem:
        """Return ``problem``, found in the text, as one of the original."""
        line = None if problem.line is None else self.original_line(problem.line)
        pointer = tuple(self.restored(part) if isinstance(part, str) else part for part in problem.pointer)
        return replace(problem, message=self.restored(problem.message), pointer=pointer, line=line)

    @property
    def lines_differ(self) -> bool:
        """Whether a template spans lines, so that those below it have other numbers than in the original."""
        return bool(self._shrunk)


def mark_templates(text: str, file: str) -> MarkedText:
    """Set the templates of ``text`` aside. Raises InvalidDocument for those that are none of decK's."""
    longest = max((len(tail) for tail in re.findall("deckTemplate(Z*)", text)), default=0)
    word = "deckTemplate" + "Z" * (longest + 1)  # which the file nowhere has
    problems: list[Problem] = []
    parts: list[str] = []
    templates: dict[str, str] = {}  # as written -> variable
    numbers: dict[str, int] = {}
    shrunk: list[tuple[int, int]] = []
    end = 0
    line = marked_line = 1
    while (start := text.find("${{", end)) >= 0:
        parts.append(text[end:start])
        above = text.count("\n", end, start)
        line += above
        marked_line += above
        close = text.find("}}", start)
        if close < 0:
            problems.append(Problem("a ${{ without its }}", hint=_ADVICE, file=file, line=line))
            break
        end = close + 2
        template = text[start:end]
        if not _is_comment(template[3:-2]):
            name, problem = _variable(template[3:-2])
            if problem is not None:
                problems.append(replace(problem, file=file, line=line))
            templates[template] = name
            # One marker for all that are alike, so that a key given twice is seen to be.
            parts.append(f"{word}{numbers.setdefault(template, len(numbers))}x")
        height = template.count("\n")
        if height:
            shrunk.append((marked_line, height))
        line += height
    if problems:
        raise InvalidDocument(problems)
    parts.append(text[end:])
    marker = re.compile(rf"{word}(\d+)x")
    return MarkedText("".join(parts), text, marker, tuple(templates.items()), tuple(shrunk))


def _is_comment(content: str) -> bool:
    return len(content) <= _LENGTH and _COMMENT.fullmatch(content) is not None


def _variable(content: str) -> tuple[str, Problem | None]:
    """Return the variable that a template's content reads, or what is wrong with it."""
    call = _CALL.fullmatch(content) if len(content) <= _LENGTH else None
    if call is None:
        return "", Problem("a ${{ … }} that is not understood", hint=f"{_ADVICE}, or toBool, toInt, toFloat of it")
    name = next(group for group in call.groups() if group is not None)
    if not name.startswith(_PREFIX):
        hint = f"decK reads no other: rename it, e.g. to {_PREFIX}{name}" if name else _ADVICE
        return name, Problem(f"environment variable {name!r} does not begin with {_PREFIX}", hint=hint)
    return name, None
