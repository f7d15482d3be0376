"""What the user wants, in a few words, before it is a plugin's configuration.

An intent comes from a small YAML file, from options, or from both. Its words are the same for every metering plugin:
ingest, token, subject, attributes, batch, delay; each plugin's ``intent`` module turns them into its own ``config``.

A value may be named rather than given: ``env:NAME`` is an environment variable of that name where the configuration
is applied, ``vault:BACKEND/KEY`` one that the gateway looks up. The files with which the vendor documents the
plugin, a ``config`` with ``${name}`` in it and ``variables``, are intents too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from plugin_emulator.documents import Pointer

from .entity import SCOPE_KINDS, Reference, Value

#: The variable that holds the token unless the intent names another.
TOKEN_VARIABLE = "AUTH_TOKEN"  # noqa: S105  # its name, not a token

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NotMeant(ValueError):
    """A part of an intent that cannot be meant so. ``at`` is its place in the intent, ``hint`` what to write."""

    def __init__(self, at: str | Pointer, message: str, hint: str) -> None:
        self.at: Pointer = (at,) if isinstance(at, str) else at
        self.message = message
        self.hint = hint
        super().__init__(f"{message} ({hint})")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from in a request, as written ``header:x-tenant-id``; ``name`` None: not said."""

    kind: str
    name: Value = None


@dataclass(frozen=True, slots=True)
class Intent:
    """One description of a metering configuration. None and empty mean: not said.

    ``delay`` is in seconds. ``config`` holds fields of the plugin's own, which win over what is derived.
    """

    ingest: str | None = None
    token: Value = None
    subject: Source | None = None
    attributes: tuple[tuple[str, Source], ...] = ()
    meters: tuple[str, ...] = ()
    meter_name: str | None = None
    batch: int | None = None
    delay: float | None = None
    status: tuple[str, ...] = ()
    config: dict[str, Value] = field(default_factory=dict)


def named_value(text: str, at: str | Pointer) -> Value:
    """Return what ``text`` stands for: a Reference for ``env:NAME``, a vault reference for ``vault:BACKEND/KEY``.

    Other text stands for itself. Raises NotMeant.
    """
    if text.startswith("env:"):
        name = text.removeprefix("env:").removeprefix("DECK_")
        if not _NAME.fullmatch(name):
            raise NotMeant(at, "does not name an environment variable", "write env:NAME, e.g. env:AUTH_TOKEN")
        return Reference(name.upper(), secret=False)
    if text.startswith("vault:"):
        path = text.removeprefix("vault:").strip("/")
        if not re.fullmatch(r"[^/{}\s]+/[^{}\s]+", path):
            raise NotMeant(at, "does not name a vault's key", "write vault:BACKEND/KEY, e.g. vault:env/auth-token")
        return f"{{vault://{path}}}"
    return text


def source(text: str, kinds: tuple[str, ...], at: str | Pointer) -> Source:
    """Return the source ``text`` names, whose kind is one of ``kinds``. Raises NotMeant."""
    kind, _, name = text.partition(":")
    if kind not in kinds:
        forms = ", ".join(f"{kind}:NAME" for kind in kinds)
        raise NotMeant(at, f"{kind!r} is no source of a value here", f"write one of {forms}")
    return Source(kind, named_value(name, at) if name else None)


def scope(texts: list[str], at: str | Pointer = "scope") -> dict[str, str | None]:
    """Return the scope that ``global``, or one or more ``KIND=NAME``, mean. ``KIND`` alone leaves the name open.

    Raises NotMeant.
    """
    found: dict[str, str | None] = {}
    for text in texts:
        kind, _, name = text.partition("=")
        if text == "global" and len(texts) == 1:
            continue
        if kind not in SCOPE_KINDS or kind in found:
            message = "is given twice" if kind in found else "is no scope of this plugin"
            raise NotMeant(at, f"{kind!r} {message}", "write global, service=NAME, route=NAME or consumer=NAME")
        found[kind] = name or None
    return {kind: found[kind] for kind in SCOPE_KINDS if kind in found}


def merged(base: dict[str, Value], over: Mapping[str, Value]) -> dict[str, Value]:
    """Return ``base`` with the fields of ``over`` in it, objects merged field by field."""
    result = dict(base)
    for name, value in over.items():
        before = result.get(name)
        result[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result
