"""Shell scripts that create plugins with curl: those this package writes, the vendor's, and others like them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from plugin_emulator.documents import InvalidDocument, Pointer, Problem

from ..config_file import ConfigFile, FoundPlugin
from ..entity import SCOPE_KINDS, MixedText, Reference, Value, is_uuid
from .json_body import found_plugin, is_reference_place
from .json_document import JsonDocument, parse_json
from .shell_commands import UNKNOWN, Command, NotShell, Word, commands

_PATH = re.compile(
    r"(?:/(?P<kinds>services|routes|consumers|consumer_groups)/(?P<name>[^/]+))?/plugins(?:/(?P<id>[^/]+))?/?$"
)
_DATA_OPTIONS = frozenset(("-d", "--data", "--data-ascii", "--data-binary", "--data-raw", "--json"))
_FORM_OPTIONS = frozenset(("-F", "--form", "--form-string", "--data-urlencode"))
#: Options whose argument might be mistaken for the URL.
_OTHER_OPTIONS = frozenset(
    ("-H", "--header", "-o", "--output", "-e", "--referer", "-x", "--proxy", "-w", "--write-out")
)
#: An option of one letter that has an argument, behind some that have none: -sSX POST, -d@-.
_SHORT_OPTIONS = re.compile(r"-[fgiIkLnOsSv]*(?P<option>[deoxwFHX])(?P<argument>.*)", re.DOTALL)
_BEFORE_A_COMMAND = re.compile(
    r"if|then|else|elif|do|while|until|!|\{|time|exec|sudo|env|[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def read(text: str, file: str) -> ConfigFile:
    """Read the plugins that a script creates, in its order. The format is that of the API the first goes to.

    A value that is a shell variable as a whole is a Reference; one that is put together is a MixedText. Raises
    InvalidDocument for what is no shell script, for one that creates no plugin, and for a body that cannot be told
    without running the script.
    """
    try:
        requests = list(_requests(commands(text), file))
    except NotShell as error:
        raise InvalidDocument([Problem(f"is no shell script: {error}", file=file, line=error.line)]) from None
    if not requests:
        hint = "a plugin is created by POST, with the plugin's JSON as --data"
        raise InvalidDocument([Problem("no call of curl in it creates a plugin", hint=hint, file=file, line=1)])
    plugins = tuple(_plugin(request, file) for request in requests)
    return ConfigFile(file, "konnect-api" if "/core-entities/" in requests[0].url.text else "admin-api", plugins)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that creates a plugin."""

    url: Word
    body: Word
    line: int


def _requests(script: list[Command], file: str) -> Iterator[_Request]:
    for command in _outside_functions(script):
        words = _without_prefix(command.words)
        name = words[0].text.rpartition("/")[2] if words else ""
        if name == "curl":
            request = _of_curl(command, words[1:], file)
        elif name == "post" and len(words) == 2 and command.stdin is not None:
            request = _Request(words[1], command.stdin, command.line)
        else:
            continue
        if request is not None and _PATH.search(_path(request.url)):
            yield request


def _outside_functions(script: list[Command]) -> Iterator[Command]:
    """Yield the commands but those in the body of a function, which are run elsewhere with other arguments."""
    begins, depth = False, 0
    for command in script:
        first = command.words[0].text
        if command.function:
            begins = True
        elif first == "{" and (begins or depth):
            begins, depth = False, depth + 1
        elif first == "}" and depth:
            depth -= 1
        elif not depth:
            yield command


def _without_prefix(words: list[Word]) -> list[Word]:
    for index, word in enumerate(words):
        if not _BEFORE_A_COMMAND.fullmatch(word.text):
            return words[index:]
    return []


def _of_curl(command: Command, arguments: list[Word], file: str) -> _Request | None:
    """Return the request of a call of curl; None when it sends nothing, or not to create a plugin."""
    url: Word | None = None
    data: list[Word] = []
    method, form = "POST", False
    for option, argument in _options(arguments):
        if option in _DATA_OPTIONS:
            data.append(argument)
        elif option in ("-X", "--request"):
            method = argument.text
        elif option in _FORM_OPTIONS:
            form = True
        elif option == "--url" or (option == "" and "/plugins" in argument.text):
            url = argument
    if url is None or not _PATH.search(_path(url)) or not (data or form) or method not in ("POST", "PUT", "PATCH"):
        return None
    return _Request(url, _body(command, data, method, form, file), command.line)


def _options(arguments: list[Word]) -> Iterator[tuple[str, Word]]:
    """Yield options with their arguments, as far as they matter; what is no option comes with an empty name."""
    with_argument = _DATA_OPTIONS | _FORM_OPTIONS | _OTHER_OPTIONS | {"--request", "--url"}
    rest = iter(arguments)
    for word in rest:
        if word.text in with_argument:
            yield word.text, next(rest, Word())
        elif short := _SHORT_OPTIONS.fullmatch(word.text):
            attached = _from(word, short.start("argument"))
            yield "-" + short["option"], attached if short["argument"] else next(rest, Word())
        elif not word.text.startswith("-"):
            yield "", word


def _body(command: Command, data: list[Word], method: str, form: bool, file: str) -> Word:
    def refusal(message: str, hint: str) -> InvalidDocument:
        return InvalidDocument([Problem(message, hint=hint, file=file, line=command.line)])

    if method == "PATCH":
        raise refusal("changes a part of a plugin, which cannot be judged without the rest", "give the whole plugin")
    if form or len(data) != 1:
        raise refusal("sends a form", "write the plugin as JSON, in one --data")
    if not data[0].text.startswith("@"):
        return data[0]
    if data[0].text == "@-" and command.stdin is not None:
        return command.stdin
    raise refusal("takes its data from elsewhere", "give the file that holds the JSON in place of the script")


def _from(word: Word, start: int) -> Word:
    """Return what is left of ``word`` from ``start``, which is on its first line."""
    expansions = {offset - start: name for offset, name in word.expansions.items()}
    return Word(word.text[start:], expansions, word.lines)


def _path(url: Word) -> str:
    return re.split(r"[?#]", url.text)[0]


def _plugin(request: _Request, file: str) -> FoundPlugin:
    if request.body.text == UNKNOWN and request.body.expansions:
        hint = "write the plugin as JSON in the script"
        raise InvalidDocument(
            [Problem("the data is known only when it runs", hint=hint, file=file, line=request.line)]
        )
    document = parse_json(request.body.text, file, request.body.lines)
    if not isinstance(document.data, dict):
        hint = "write an object with name and config"
        raise InvalidDocument([Problem("the data is no plugin", hint=hint, file=file, line=document.lines[()])])
    data: dict[str, Any] = document.data
    for at, value in _unknown_values(request.body, document, file):
        data = _with(data, at, value)
    for kind in SCOPE_KINDS:
        target = data.get(kind)
        if isinstance(target, dict) and target.get("id") == f"{{{kind}Id}}":
            data = {**data, kind: {"id": Reference(f"{kind.upper()}_ID", secret=False)}}
    lines = dict(document.lines)
    for field, target in _from_url(request.url).items():
        data = {**data, field: target}
        lines = {at: line for at, line in lines.items() if at[:1] != (field,)} | {(field,): request.line}
    return found_plugin(data, lines, file)


def _unknown_values(body: Word, document: JsonDocument, file: str) -> Iterator[tuple[Pointer, Value]]:
    """Yield the values that have expansions in them, with their places."""
    offsets = deque(sorted(body.expansions))
    for at, (start, end) in document.spans.items():
        inside: list[int] = []
        while offsets and start <= offsets[0] < end:
            inside.append(offsets.popleft())
        if inside:
            yield at, _unknown_value(body, at, start, end, inside)
    if offsets:  # those in keys
        line = body.lines[body.text.count("\n", 0, offsets[0])]
        message = "a variable stands in a key"
        raise InvalidDocument([Problem(message, hint="write keys out", file=file, line=line)])


def _unknown_value(body: Word, at: Pointer, start: int, end: int, inside: list[int]) -> Value:
    is_text = body.text[start] == '"'
    if is_text:
        start, end = start + 1, end - 1
    name = body.expansions[inside[0]]
    whole = end - start == len(UNKNOWN)
    if not is_text:
        # In our own scripts json_auth_token holds AUTH_TOKEN as a JSON string, its quotes included.
        name = name.removeprefix("json_").upper() if name.startswith("json_") else ""
    if whole and _VARIABLE.fullmatch(name) and is_reference_place(at):
        return Reference(name)
    pieces: list[str] = []
    for offset in inside:
        pieces += [body.text[start:offset], f"${{{body.expansions[offset]}}}"]
        start = offset + len(UNKNOWN)
    return MixedText("".join([*pieces, body.text[start:end]]))


def _with(value: Any, at: Pointer, new: Value) -> Any:
    if not at:
        return new
    if isinstance(value, dict):
        return {name: _with(part, at[1:], new) if name == at[0] else part for name, part in value.items()}
    return [_with(part, at[1:], new) if index == at[0] else part for index, part in enumerate(value)]


def _from_url(url: Word) -> dict[str, Value]:
    """Return the fields of the entity that the URL says: a scope, and the id of a plugin that is put in place."""
    path = _path(url)
    found = _PATH.search(path)
    assert found is not None
    fields: dict[str, Value] = {}
    if found["kinds"]:
        kind = found["kinds"].removesuffix("s")
        name = _segment(url, found.start("name"), found.end("name"))
        key = "username" if kind == "consumer" else "name"
        fields[kind] = {"id" if isinstance(name, str) and is_uuid(name) else key: name}
    if found["id"]:
        own_id = _segment(url, found.start("id"), found.end("id"))
        fields["id"] = own_id if isinstance(own_id, str) else MixedText(found["id"])
    return fields


def _segment(url: Word, start: int, end: int) -> Value:
    """Return the name in a part of a URL; a Reference for a variable and for a placeholder of the vendor's pages."""
    text = url.text[start:end]
    inside = [offset for offset in url.expansions if start <= offset < end]
    if inside:
        name = url.expansions[inside[0]].removeprefix("path_").upper()
        if text == UNKNOWN and _VARIABLE.fullmatch(name):
            return Reference(name, secret=False)
        return MixedText(text)
    if placeholder := re.fullmatch(r"\{([A-Za-z]+)(?:\|[A-Za-z]+)?\}", text):
        return Reference(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", placeholder[1]).upper(), secret=False)
    return unquote(text)
