"""What must not be in a capture: the secrets that came with a request, where they belong and where they are repeated.

A secret is the value of a header or a query parameter whose name says so. What it is replaced by, and what is too
short to be looked for elsewhere, is the same for everything that is stored or shown.
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote_to_bytes

REDACTED = "[redacted]"
#: Characters from which on a secret is looked for in bodies, other headers and answers: a shorter one is found in
#: words. Of a cookie, seldom a secret, and of digits alone, which are found in numbers, it takes more.
SHORTEST_SECRET, SHORTEST_ODD_SECRET = 8, 16

#: Header names, in lower case, whose values never leave the process; so do those that ``is_secret_name`` knows.
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "apikey",
        "api-key",
        "x-api-key",
        "x-api-token",
        "x-auth-token",
        "kong-admin-token",
        "cookie",
        "set-cookie",
    }
)

_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:token|(?:access|auth|refresh|id|api|bearer|session)token|secret|passwd|password|api[-_]?key|"
    r"access[-_]?key|private[-_]?key|subscription[-_]?key|credentials?|signature|authorization|cookie)$"
)
_STRANGE = re.compile(r"[^a-z0-9._-]")
_USER = re.compile(r"(?<=//)[^/?#@]*@")
_SECRET_PARAMETERS = frozenset({"key", "auth", "sig", "session", "sessionid", "pass", "pwd"})
_SCHEMES = ("Bearer", "Basic", "Digest")
_COOKIES = ("cookie", "set-cookie")


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Return whether a header or parameter of this name carries a secret, also when it is not well written."""
    lower = _STRANGE.sub("", name.lower())
    return lower in SECRET_HEADERS or _SECRET_NAME.search(lower) is not None


def redacted(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``headers`` without the values of secret ones; an authentication scheme that is well known stays."""
    return [(name, _shown(value) if is_secret_name(name) else _without_user(name, value)) for name, value in headers]


def redacted_path(path: str) -> str:
    """Return a path, or a URL, without userinfo and the values of secret parameters in its query or fragment."""
    path = _USER.sub(f"{REDACTED}@", path) if "@" in path else path
    bare, mark, rest = path.partition("?")
    if not mark:
        bare, mark, rest = path.partition("#")
    return bare + mark + "".join(map(_shown_parameter, re.split(r"([&;?#])", rest))) if mark else path


class Secrets:
    """The secrets of one request, to be hidden wherever else they turn up: as they are, and as they may be written.

    That is percent-encoded, within JSON and within HTML. Of basic authentication the password is one, too.
    """

    def __init__(self, headers: Iterable[tuple[str, str]] = (), path: str = "") -> None:
        """``headers`` and ``path`` with its query are those of the request, decoded as Latin-1."""
        found = [(name, value) for name, value in headers if is_secret_name(name)]
        parameters = set[bytes]()
        for part in re.split(r"[&;#]", path.partition("?")[2]) if "?" in path else ():
            name, _, value = part.partition("=")
            if _is_secret_parameter(name):
                parameters.update((value.encode("latin-1", "replace"), unquote_to_bytes(value)))
        self._forms, self._texts = _sought(tuple(found), frozenset(parameters))
        self._headers = headers

    @classmethod
    def of(cls, headers: tuple[tuple[str, str], ...], path: str) -> Secrets:
        """Return the secrets of a request; the same object while it is asked for again, as for one request it is."""
        return _secrets_of(headers, path)

    def hidden(self, data: bytes) -> bytes:
        """Return ``data`` without the secrets: the same object when there are none in it."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, REDACTED.encode())
        return data

    def hidden_in_text(self, text: str) -> str:
        """Return ``text`` without the secrets: a header's value as Latin-1, or a message."""
        for form in self._texts:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def hidden_in_headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return ``headers`` without the secrets, wherever they are, and without the values of secret headers."""
        return [(self.hidden_in_text(name), self.hidden_in_text(value)) for name, value in redacted(headers)]

    @functools.cached_property
    def shown_headers(self) -> list[tuple[str, str]]:
        """The headers of the request itself, as ``hidden_in_headers`` returns them."""
        return self.hidden_in_headers(self._headers)


#: Few: what asks more than once for one request does so soon.
_secrets_of = functools.lru_cache(maxsize=64)(Secrets)


def _shown(value: str) -> str:
    scheme, blank, _ = value.partition(" ")
    for known in _SCHEMES:
        if blank and scheme.lower() == known.lower():
            return f"{known} {REDACTED}"
    return REDACTED


def _without_user(name: str, value: str) -> str:
    """Return a header's value; that of Host without userinfo, which does not belong there."""
    user, at, host = value.rpartition("@")
    return f"{REDACTED}@{host}" if user and at and name.strip().lower() == "host" else value


def _shown_parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    return f"{name}={REDACTED}" if equals and value and _is_secret_parameter(name) else part


def _is_secret_parameter(name: str) -> bool:
    plain = unquote_to_bytes(name).decode("utf-8", "replace").lower()
    return plain in _SECRET_PARAMETERS or is_secret_name(plain)


def _secrets_in(name: str, value: str) -> Iterable[bytes]:
    """Yield what of a secret header's value is a secret."""
    stripped = value.strip()
    yield stripped.encode("latin-1", "replace")
    if name in _COOKIES:
        for one in stripped.split(";"):
            found = one.partition("=")[2].strip().strip('"').encode("latin-1", "replace")
            if len(found) >= SHORTEST_ODD_SECRET:
                yield found
        return
    scheme, _, rest = stripped.partition(" ")
    credential = rest.strip().encode("latin-1", "replace")
    yield credential
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credential, validate=True)
        except binascii.Error:
            return
        yield decoded
        yield decoded.partition(b":")[2]


def _shortest(secret: bytes) -> int:
    return SHORTEST_ODD_SECRET if secret.isdigit() else SHORTEST_SECRET


@functools.lru_cache(maxsize=256)
def _sought(
    headers: tuple[tuple[str, str], ...], parameters: frozenset[bytes]
) -> tuple[Sequence[bytes], Sequence[str]]:
    """Return what to look for, in bytes and in texts: the ways to write the secrets.

    Those that another one is a part of need not be looked for.
    """
    secrets = set(parameters).union(*(_secrets_in(name.lower(), value) for name, value in headers))
    forms = {form for secret in secrets if len(secret) >= _shortest(secret) for form in _forms(secret)}
    least: list[bytes] = []
    for form in sorted(forms, key=len):
        if not any(shorter in form for shorter in least):
            least.append(form)
    texts = dict.fromkeys(
        read for form in least for read in (form.decode("latin-1"), form.decode("utf-8", "replace"))
    )
    return least, list(texts)


def _forms(secret: bytes) -> frozenset[bytes]:
    """Return the ways to write a secret."""
    forms = {secret, quote(secret, safe="").encode(), quote(secret).encode()}
    text = secret.decode("utf-8", "replace")
    within_json = json.dumps(text)[1:-1]
    written = {within_json, within_json.replace("/", "\\/"), json.dumps(text, ensure_ascii=False)[1:-1]}
    written |= {html.escape(text), html.escape(text, quote=False)}
    return frozenset(forms | {one.encode() for one in written})
