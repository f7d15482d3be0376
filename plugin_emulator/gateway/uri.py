"""Request paths as Kong reads and rewrites them: normalisation, escaping, and the path sent upstream."""

from __future__ import annotations

import re

_RESERVED = frozenset("!*'();:@&=+$,/?%#[]")
_TRIPLET = re.compile(r"%([0-9A-Fa-f]{2})")
_TO_ESCAPE = re.compile(r"[^!#$&'()*+,/:;=?@\[\]A-Za-z0-9\-_.~%]")


def normalize(path: str) -> str:
    """Return ``path`` with unreserved escapes decoded, dot segments resolved and repeated slashes merged.

    Escapes of reserved characters stay, in upper case. Characters stand for bytes (latin-1).
    """
    if "%" in path:
        path = _TRIPLET.sub(_decode, path)
    if "." not in path and "//" not in path:
        return path
    segments: list[str] = []
    parts = path.split("/")[1:] if path.startswith("/") else path.split("/")
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if part == "..":
            if segments:
                segments.pop()
            if index == last:
                segments.append("")
        elif (part and part != ".") or index == last:
            segments.append("" if part == "." else part)
    return "/" + "/".join(segments)


def _decode(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0].upper() if character in _RESERVED else character


def escape(path: str) -> str:
    """Return ``path`` with every character percent-encoded that has no place in a request line."""
    return _TO_ESCAPE.sub(lambda match: f"%{ord(match[0]):02X}", path)


def upstream_path(base: str | None, path: str, matched: str | None, *, strip: bool) -> str:
    """Return the path sent upstream (Kong's ``path_handling`` v0), escaped.

    ``base`` is the Service's path, ``path`` the normalised request path, ``matched`` the part of it that the Route's
    path matched (None when the Route has no path), ``strip`` the Route's ``strip_path``.
    """
    base = base or "/"
    rest = path[len(matched) if strip and matched is not None else 1 :]
    if rest in (".", ".."):
        rest = ""
    elif rest.startswith(("./", "../")):
        rest = rest[rest.index("/") + 1 :]
    if not strip:
        if base.endswith("/"):
            return escape(base + path[1:])
        return escape(base if path == "/" else base + path)
    if rest == "":
        if base.endswith("/"):
            return escape(base if base == "/" or path.endswith("/") else base[:-1])
        return escape(base + "/" if len(path) > 1 and path.endswith("/") else base)
    return escape(base.removesuffix("/") + ("" if rest.startswith("/") else "/") + rest)


def upstream_path_v1(base: str | None, path: str, matched: str | None, *, strip: bool) -> str:
    """Return the path sent upstream for a Route with ``path_handling`` v1, escaped: plain concatenation."""
    rest = path[len(matched) :] if strip and matched is not None else path
    base = base or "/"
    if base.endswith("/") and rest.startswith("/"):
        return escape(base + rest[1:])
    return escape(base + rest)
