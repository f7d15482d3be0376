"""JSON data as block-style YAML that every parser reads alike, YAML 1.1 or 1.2, in Python, Go or C.

The parsers disagree on what a plain word is: ``no``, ``1e3``, ``007``, ``1:30`` and a date are text to one and
something else to the next. So text goes plain only when it is text to all of them, and is quoted otherwise.
Layout is PyYAML's emitter; only how a scalar is written is decided here.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import yaml

from plugin_emulator.documents import Pointer, pointer_text


class Verbatim(str):
    """Text written as it is, between single quotes, though it holds ``${{``: decK fills in a value there.

    The quotes make the value text whatever it looks like (``123``, ``no``).
    """

    __slots__ = ()


class NotInYaml(ValueError):
    """Data that YAML has no way to write, escaped or not. ``pointer`` is its place in the data.

    The message names the place and the reason, and quotes no value.
    """

    def __init__(self, pointer: Pointer, reason: str) -> None:
        self.pointer = pointer
        self.reason = reason
        super().__init__(f"{pointer_text(pointer)}: {reason}")


def yaml_text(data: object) -> str:
    """Return JSON data as one YAML document, its keys in their order, without anchors; it ends with a line break.

    ``data`` is made of dict (keys are str), list, str, int, float, bool and None; a str may be :class:`Verbatim`.
    Any other text that holds ``${{`` is escaped so that these three characters do not stand in the output. Raises
    NotInYaml for lone surrogates, numbers that are not finite, data of any other type, and data nested too deeply.
    """
    stream = io.StringIO()
    writer = _Writer(stream, default_flow_style=False, sort_keys=False)
    try:
        _check(data, ())
        writer.open()
        writer.represent(data)
        writer.close()
    except RecursionError:
        raise NotInYaml((), "the data is nested too deeply") from None
    finally:
        writer.dispose()
    return stream.getvalue()


_SURE_TEXT = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_URL = re.compile(r"https?://[A-Za-z0-9._~-]+(:[0-9]+)?(/[A-Za-z0-9._~/?=&%+-]*)?")
_NOT_TEXT = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"))
_PLAIN_LENGTH = 1000  # characters; longer text is no word, and need not be looked at twice
# NEL, LS and PS are line breaks in YAML 1.1 and like any other character in 1.2: they are escaped too.
_ESCAPED = re.compile(
    r"[^\x20-\x21\x23-\x5b\x5d-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NOT_IN_SINGLE_QUOTES = re.compile(
    r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|\$\{\{"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHORT_ESCAPES = {"\0": "\\0", "\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def _check(data: object, at: Pointer) -> None:
    if isinstance(data, dict):
        for name, value in data.items():
            if type(name) is not str:
                raise NotInYaml(at, f"a key is a {type(name).__name__} rather than text")
            if _SURROGATE.search(name):
                raise NotInYaml(at, "a key holds half a surrogate pair, which is no character")
            _check(value, (*at, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check(value, (*at, index))
    elif isinstance(data, str):
        if _SURROGATE.search(data):
            raise NotInYaml(at, "the text holds half a surrogate pair, which is no character")
        if isinstance(data, Verbatim) and _NOT_IN_SINGLE_QUOTES.search(data.replace("${{", "")):
            raise NotInYaml(at, "the text is to be written as it is, but holds control characters or line breaks")
    elif isinstance(data, float):
        if not math.isfinite(data):
            raise NotInYaml(at, "the number is not finite")
    elif data is not None and not isinstance(data, int):
        raise NotInYaml(at, f"a {type(data).__name__} is no JSON data")


def _scalar(text: str) -> str:
    """Return how ``text`` is written."""
    if len(text) <= _PLAIN_LENGTH and (_SURE_TEXT.fullmatch(text) or _URL.fullmatch(text)):
        return _single_quoted(text) if text.lower() in _NOT_TEXT else text
    if not _NOT_IN_SINGLE_QUOTES.search(text):
        return _single_quoted(text)
    return '"' + _ESCAPED.sub(_escape, text).replace("${{", "\\u0024{{") + '"'


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


class _Writer(yaml.SafeDumper):
    """PyYAML's emitter, given each scalar the way it is to be written."""

    yaml_representers = {}  # noqa: RUF012  # PyYAML's own way; filled in below
    yaml_multi_representers = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True

    @property
    def _written(self) -> str:
        assert isinstance(self.event, yaml.ScalarEvent)
        return str(self.event.value)

    def check_simple_key(self) -> bool:
        # Parsers look for the colon no further than 1024 characters; a longer key needs a "?" before it.
        return len(self._written) < 128

    def process_tag(self) -> None:
        """Write no tag: how a scalar is written says what it is."""

    def process_scalar(self) -> None:
        self.write_indicator(self._written, True)

    def written(self, text: str) -> yaml.ScalarNode:
        return yaml.ScalarNode("", text)


def _float(number: float) -> str:
    text = repr(number)  # 1e-07 is text to YAML 1.1, which wants a point
    return text.replace("e", ".0e", 1) if "." not in text else text


_Writer.add_representer(dict, yaml.SafeDumper.represent_dict)
_Writer.add_representer(list, yaml.SafeDumper.represent_list)
_Writer.add_representer(str, lambda writer, text: writer.written(_scalar(text)))
_Writer.add_representer(Verbatim, lambda writer, text: writer.written(_single_quoted(text)))
_Writer.add_representer(bool, lambda writer, flag: writer.written("true" if flag else "false"))
_Writer.add_representer(type(None), lambda writer, _: writer.written("null"))
_Writer.add_representer(int, lambda writer, number: writer.written(str(number)))
_Writer.add_representer(float, lambda writer, number: writer.written(_float(number)))
