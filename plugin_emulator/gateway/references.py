"""References in a state file: ``${{ env "DECK_X" }}`` as decK fills it in, ``{vault://env/x}`` as the gateway does.

The first kind is replaced in the raw text, before it is YAML: a tutorial's ``"${{ env "DECK_X" }}"`` is YAML only
afterwards. The second kind is a value that the gateway looks up when it runs.

Values from the environment are secrets. Nothing here, and no :class:`Problem` made from a substituted document,
quotes them.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs

from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, parse_document

_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_ENV_CALL = re.compile(r"""\s*env\s+(?:"([^"]*)"|'([^']*)'|`([^`]*)`)\s*""")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_VAULT = re.compile(
    r"\{vault://(?P<vault>[^/{}?]+)/(?P<name>[^/{}?]+)(?:/(?P<key>[^{}?]*))?(?:\?(?P<options>[^{}]*))?\}"
)
_HIDDEN = "***"
_SECRET_LENGTH = 4  # characters; a shorter word gives nothing away, and is likely to be part of an innocent one


@dataclass(frozen=True, slots=True)
class RenderedText:
    """Text with every ``${{ env … }}`` replaced by the variable's value.

    It remembers what was put in, so that a line of it can be given as a line of the original, and so that what came
    from the environment can be kept out of messages.
    """

    text: str = field(repr=False)
    original: str = field(repr=False)
    _values: tuple[str, ...] = field(repr=False)
    _names: tuple[tuple[int, str], ...]  # (line in the original, variable), in order
    _extra: tuple[tuple[int, int], ...]  # (line in the text, lines put in above it), in order

    def original_line(self, line: int) -> int:
        """Return the line of the original that became ``line`` of the text; both count from 1."""
        added = 0
        for start, count in self._extra:
            if line < start:
                break
            added += min(count, line - start)
        return line - added

    def parse(self, file: str | None) -> Document:
        """Parse the text; lines are the original's. Raises InvalidDocument, which quotes no value."""
        try:
            document = parse_document(self.text, file)
        except InvalidDocument as error:
            if not self._names:
                raise
            problems = error.problems
        else:
            if not self._extra:
                return document
            lines = {pointer: self.original_line(line) for pointer, line in document.lines.items()}
            return Document(document.data, lines, document.file)
        # Any text in the parser's message may stem from a secret. The same document with harmless values in place
        # of the real ones tells whether the mistake is the file's or a value's.
        end = _last_end(self.original)
        parse_document(_TEMPLATE.sub("value", self.original[:end]) + self.original[end:], file)
        raise InvalidDocument([self._broken_by_value(problem, file) for problem in problems])

    def _broken_by_value(self, problem: Problem, file: str | None) -> Problem:
        line = None if problem.line is None else self.original_line(problem.line)
        # An open quote is noticed only further down: the culprit is the last reference up to there.
        at = bisect.bisect_right([place for place, _ in self._names], len(self.original) if line is None else line)
        place, name = self._names[max(at - 1, 0)]
        return Problem(
            f"is no valid YAML with the value of {name} put in",
            hint="it is put in as it is: check it for quotes, line breaks and YAML's signs, or quote the reference",
            file=file,
            line=place,
        )

    def redacted(self, problem: Problem) -> Problem:
        """Return ``problem`` with every quoted word that can only stem from the environment hidden."""
        if not self._values:
            return problem

        def hide(text: str) -> str:
            return _QUOTED.sub(
                lambda match: f"'{_HIDDEN}'" if self._is_secret(match[1] or match[2]) else match[0], text
            )

        pointer: Pointer = tuple(
            _HIDDEN if isinstance(part, str) and self._is_secret(part) else part for part in problem.pointer
        )
        hint = None if problem.hint is None else hide(problem.hint)
        return replace(problem, message=hide(problem.message), hint=hint, pointer=pointer)

    def _is_secret(self, word: str | None) -> bool:
        if not word or len(word) < _SECRET_LENGTH or word in self.original:
            return False
        secrets = [value for value in self._values if len(value) >= _SECRET_LENGTH]
        return any(word in value or value in word or word in repr(value) for value in secrets)


def render_environment(text: str, environ: Mapping[str, str], file: str | None = None) -> RenderedText:
    """Replace each ``${{ env "DECK_NAME" }}`` in ``text`` by that variable's value, as it is.

    As in decK only names that begin with ``DECK_`` are allowed, and a variable must be set (it may be empty).
    Raises InvalidDocument with every reference that cannot be replaced.
    """
    problems: list[Problem] = []
    parts: list[str] = []
    values: list[str] = []
    names: list[tuple[int, str]] = []
    extra: list[tuple[int, int]] = []
    end = 0
    line = rendered_line = 1  # of the place where the next part begins
    for match in _TEMPLATE.finditer(text, 0, _last_end(text)):
        before = text[end : match.start()]
        line += before.count("\n")
        rendered_line += before.count("\n")
        end = match.end()
        call = _ENV_CALL.fullmatch(match[1])
        name = next((group for group in call.groups() if group is not None), "") if call else None
        problem = _reference_problem(name, environ)
        if problem is not None:
            problems.append(replace(problem, file=file, line=line))
            continue
        assert name is not None
        value = environ[name]
        parts += [before, value]
        values.append(value)
        names.append((line, name))
        # A reference may itself span lines, though nobody would write it so.
        growth = value.count("\n") - match[0].count("\n")
        if growth > 0:
            extra.append((rendered_line, growth))
        line += match[0].count("\n")
        rendered_line += value.count("\n")
    if "${{" in text[end:]:
        line += text[end:].split("${{", 1)[0].count("\n")
        problems.append(Problem("a ${{ without its }}", (), 'write ${{ env "DECK_NAME" }}', file, line))
    if problems:
        raise InvalidDocument(problems)
    parts.append(text[end:])
    return RenderedText("".join(parts), text, tuple(values), tuple(names), tuple(extra))


def _last_end(text: str) -> int:
    """Return where the last ``}}`` ends. Beyond it there is none to be looked for, time and again."""
    return text.rfind("}}") + 2 if "}}" in text else 0


def _reference_problem(name: str | None, environ: Mapping[str, str]) -> Problem | None:
    if name is None:
        return Problem("a ${{ … }} that is not understood", hint='only ${{ env "DECK_NAME" }} is, without filters')
    if not name.startswith("DECK_"):
        hint = f"decK reads no other: rename it, e.g. to DECK_{name}" if name else 'write ${{ env "DECK_NAME" }}'
        return Problem(f"environment variable {name!r} does not begin with DECK_", hint=hint)
    if name not in environ:
        return Problem(f"environment variable {name} is not set", hint=f"run: export {name}=…")
    return None


class UnresolvedReference(Exception):
    """A vault reference has no value; the text says why, without quoting a value."""


def resolve_vault_reference(reference: str, environ: Mapping[str, str]) -> str:
    """Return the value of ``{vault://env/name}`` or, a JSON member of it, ``{vault://env/name/key}``.

    The variable is ``name`` in capitals with dashes as underscores, after the option ``?prefix=`` if there is one.
    Raises UnresolvedReference when the variable or member is not there (the gateway then goes on with an empty
    value), and LookupError when the reference is to another vault than the environment.
    """
    match = _VAULT.fullmatch(reference)
    if match is None or match["vault"] != "env":
        vault = match["vault"] if match else "?"
        raise LookupError(f"vault {vault!r} is not emulated")
    prefix = parse_qs(match["options"] or "").get("prefix", [""])[0]
    variable = (prefix + match["name"]).upper().replace("-", "_")
    value = environ.get(variable)
    if value is None:
        raise UnresolvedReference(f"environment variable {variable} is not set")
    if not match["key"]:
        return value
    try:
        members = json.loads(value)
    except ValueError:
        raise UnresolvedReference(f"environment variable {variable} is not JSON") from None
    if not isinstance(members, dict) or members.get(match["key"]) is None:
        raise UnresolvedReference(f"environment variable {variable} has no member {match['key']!r}")
    member = members[match["key"]]
    return member if isinstance(member, str) else json.dumps(member)
