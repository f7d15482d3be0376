"""The commands of a POSIX shell script, as far as their words can be told without running it.

Quotes, backslashes, comments, line continuations and here-documents are undone as a shell does (POSIX 1003.1,
Shell Command Language). What an expansion gives is not known: a word says where in it there is one. Commands in
``$(…)`` count like any other; loops, conditions and functions are not followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Stands in the text of a word for what an expansion gives. A digit, for it may stand where JSON wants a number.
UNKNOWN = "0"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::?\?|\})")
#: The vendor's pages leave these in a URL to be filled in; to a shell it is a pipe.
_PLACEHOLDER = re.compile(r"\{[A-Za-z]+\|[A-Za-z]+\}")
_REDIRECTION = re.compile(r"<<<|<<-?|[<>]+[&|]?")
_SPECIAL_PARAMETER = re.compile(r"[0-9@*#?$!-]")
_PLAIN = re.compile(r"[^\s;&|()<>'\"\\$`{]+|[^\n]")
_PLAIN_IN_DOUBLE_QUOTES = re.compile(r'[^"\\$`]+')
_PLAIN_IN_HERE_DOCUMENT = re.compile(r"[^\\$`]+")
_ENDS_WORD = " \t\n;&|()<>"


class NotShell(ValueError):
    """Text that is no shell script. ``line`` is where what is not ended begins."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


@dataclass(slots=True)
class Word:
    """A word, its quoting undone.

    ``expansions`` maps the offset of an UNKNOWN to the variable there, empty for what is no plain variable.
    ``lines`` are the lines of the script on which the lines of ``text`` begin.
    """

    text: str = ""
    expansions: dict[int, str] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)

    @property
    def is_literal(self) -> bool:
        """Whether all of it is known."""
        return not self.expansions


@dataclass(slots=True)
class Command:
    """A simple command. ``function`` is set when its one word is the name of a function that is defined here."""

    line: int
    words: list[Word] = field(default_factory=list)
    stdin: Word | None = None
    function: bool = False


def commands(text: str) -> list[Command]:
    """Return the commands of a script in the order in which they begin. Raises NotShell."""
    script = _Script(text)
    try:
        script.read_commands(nested=False)
    except RecursionError:
        raise NotShell("is nested too deeply", script.line) from None
    return [command for command in script.found if command.words]


class _Builder:
    """Puts a word together from pieces: large ones come as one piece, and lines are counted on the way."""

    def __init__(self, line: int) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self.word = Word(lines=[line])

    def add(self, text: str, line: int) -> None:
        """Add ``text``, which begins on ``line`` and has its line breaks where the script has them."""
        self._pieces.append(text)
        self._length += len(text)
        self.word.lines += range(line + 1, line + 1 + text.count("\n"))

    def add_expansion(self, name: str) -> None:
        self.word.expansions[self._length] = name
        self._pieces.append(UNKNOWN)
        self._length += len(UNKNOWN)

    def done(self) -> Word:
        self.word.text = "".join(self._pieces)
        return self.word


@dataclass(slots=True)
class _HereDocument:
    """One that has been announced, and begins behind the next line break."""

    command: Command
    end: str
    quoted: bool
    strips_tabs: bool
    descriptor: str
    line: int


class _Script:
    """A place in a script, and the commands found before it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.line = 1
        self._announced: list[_HereDocument] = []
        self.found: list[Command] = []

    def read_commands(self, nested: bool) -> None:
        """Read commands up to the end; up to a ``)`` when they are in ``$(…)``."""
        command = self._begin()
        began = self.line
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\n":
                self._advance(1)
                self._read_here_documents()
                command = self._begin()
            elif character in " \t":
                self._advance(1)
            elif self._text.startswith("\\\n", self._at):
                self._advance(2)
            elif character == "#":
                self._advance(len(self._line_at(self._at)))
            elif character == ")" and nested:
                self._advance(1)
                return
            elif self._text.startswith("()", self._at) and len(command.words) == 1:
                command.function = True
                self._advance(2)
                command = self._begin()
            elif character in ";&|()":
                self._advance(1)
                command = self._begin()
            elif character in "<>":
                self._redirect(command, "")
            else:
                self._argument(command)
        if nested:
            raise NotShell("$( has no ) that ends it", began)
        self._read_here_documents()

    def _begin(self) -> Command:
        command = Command(self.line)
        self.found.append(command)
        return command

    def _advance(self, count: int) -> None:
        self.line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _argument(self, command: Command) -> None:
        if not command.words:
            command.line = self.line
        word = self._word()
        if word.text.isdecimal() and word.is_literal and self._text[self._at : self._at + 1] in ("<", ">"):
            self._redirect(command, word.text)
        else:
            command.words.append(word)

    def _redirect(self, command: Command, descriptor: str) -> None:
        line = self.line
        operator = _REDIRECTION.match(self._text, self._at)
        assert operator is not None
        self._advance(len(operator[0]))
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._advance(1)
        start = self._at
        word = self._word()
        if operator[0] == "<<<":
            command.stdin = word
        elif operator[0].startswith("<<"):
            written = self._text[start : self._at]
            quoted = any(quote in written for quote in "'\"\\")
            strips = operator[0] == "<<-"
            self._announced.append(_HereDocument(command, word.text, quoted, strips, descriptor, line))

    def _word(self) -> Word:
        builder = _Builder(self.line)
        while self._at < len(self._text):
            character = self._text[self._at]
            placeholder = _PLACEHOLDER.match(self._text, self._at)
            if placeholder is not None:
                builder.add(placeholder[0], self.line)
                self._advance(len(placeholder[0]))
            elif character in _ENDS_WORD:
                break
            elif character == "'":
                self._single_quoted(builder)
            elif character == '"':
                self._double_quoted(builder)
            elif character == "\\":
                self._escaped(builder, escapable=None)
            elif character in "$`":
                self._expansion(builder)
            else:
                self._plain(builder, _PLAIN)
        return builder.done()

    def _plain(self, builder: _Builder, pattern: re.Pattern[str]) -> None:
        plain = pattern.match(self._text, self._at)
        assert plain is not None
        builder.add(plain[0], self.line)
        self._advance(len(plain[0]))

    def _single_quoted(self, builder: _Builder) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise NotShell("a single quote is not ended", self.line)
        builder.add(self._text[self._at + 1 : end], self.line)
        self._advance(end + 1 - self._at)

    def _double_quoted(self, builder: _Builder) -> None:
        began = self.line
        self._advance(1)
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._advance(1)
                return
            if character == "\\":
                self._escaped(builder, escapable='$`"\\')
            elif character in "$`":
                self._expansion(builder)
            else:
                self._plain(builder, _PLAIN_IN_DOUBLE_QUOTES)
        raise NotShell("a double quote is not ended", began)

    def _escaped(self, builder: _Builder, escapable: str | None) -> None:
        """Undo one backslash; between double quotes it stays in front of what is not ``escapable``."""
        escaped = self._text[self._at + 1 : self._at + 2]
        if escaped != "\n":
            kept = escaped if escapable is None or (escaped and escaped in escapable) else "\\" + escaped
            builder.add(kept, self.line)
        self._advance(2)

    def _expansion(self, builder: _Builder) -> None:
        began = self.line
        rest = self._at + 1
        if self._text[self._at] == "`":
            end = self._text.find("`", rest)
            if end < 0:
                raise NotShell("a backquote is not ended", began)
            self._advance(end + 1 - self._at)
            builder.add_expansion("")
        elif self._text.startswith("(", rest):
            self._advance(2)
            self.read_commands(nested=True)
            builder.add_expansion("")
        elif self._text.startswith("{", rest):
            known = _PARAMETER.match(self._text, rest)
            self._advance(2)
            self._skip_to_brace(began)
            builder.add_expansion(known[1] if known else "")
        elif name := _NAME.match(self._text, rest):
            self._advance(1 + len(name[0]))
            builder.add_expansion(name[0])
        elif _SPECIAL_PARAMETER.match(self._text, rest):
            self._advance(2)
            builder.add_expansion("")
        else:
            builder.add("$", self.line)
            self._advance(1)

    def _skip_to_brace(self, began: int) -> None:
        ignored = _Builder(self.line)
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "}":
                self._advance(1)
                return
            if character == "\\":
                self._advance(2)
            elif character == '"':
                self._double_quoted(ignored)
            elif character in "$`":
                self._expansion(ignored)
            else:
                self._advance(1)
        raise NotShell("${ has no } that ends it", began)

    def _read_here_documents(self) -> None:
        announced, self._announced = self._announced, []
        for document in announced:
            word = self._here_document(document)
            if document.descriptor in ("", "0"):
                document.command.stdin = word

    def _here_document(self, document: _HereDocument) -> Word:
        start, end = self._at, self._at
        while True:
            if end >= len(self._text):
                raise NotShell("a here-document is not ended", document.line)
            line = self._line_at(end)
            if (line.lstrip("\t") if document.strips_tabs else line) == document.end:
                break
            end += len(line) + 1
        builder = _Builder(self.line)
        if document.quoted:
            builder.add(self._text[start:end], self.line)
            self._advance(end - start)
        else:
            self._expanded_up_to(end, builder)
        self._advance(min(len(line) + 1, len(self._text) - self._at))
        return builder.done()

    def _line_at(self, start: int) -> str:
        end = self._text.find("\n", start)
        return self._text[start:] if end < 0 else self._text[start:end]

    def _expanded_up_to(self, end: int, builder: _Builder) -> None:
        while self._at < end:
            character = self._text[self._at]
            if character == "\\":
                self._escaped(builder, escapable="$`\\")
            elif character in "$`":
                self._expansion(builder)
            else:
                found = _PLAIN_IN_HERE_DOCUMENT.match(self._text, self._at, end)
                assert found is not None
                builder.add(found[0], self.line)
                self._advance(len(found[0]))
