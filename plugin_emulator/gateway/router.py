"""Which Route a request belongs to, decided as Kong's traditional router does (SPEC FLT-1).

Routes with more kinds of criteria come first, then those with plain hosts only, more headers, regular expressions
by ``regex_priority``, longer path prefixes, and at last the order of declaration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from plugin_emulator.gateway.entities import Route
from plugin_emulator.gateway.entity_forms import path_regex


@dataclass(frozen=True, slots=True)
class Match:
    """The Route found; ``path`` is the part of the request path that its own path matched, None if it has none."""

    route: Route
    path: str | None


@dataclass(frozen=True, slots=True)
class _Host:
    """One entry of ``hosts``: an exact name, or one with a wildcard at one end, and a port if it names one."""

    name: str
    wildcard: str
    port: int | None

    @classmethod
    def read(cls, text: str) -> _Host:
        name, colon, port = text.rpartition(":")
        if not colon or not port.isdigit():
            name, port = text, ""
        number = int(port) if port else None
        if name.startswith("*"):
            return cls(name[1:].lower(), "left", number)
        if name.endswith("*"):
            return cls(name[:-1].lower(), "right", number)
        return cls(name.lower(), "", number)

    def accepts(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.wildcard == "left":
            return host.endswith(self.name)
        if self.wildcard == "right":
            return host.startswith(self.name)
        return host == self.name


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    values: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def read(cls, name: str, values: tuple[str, ...]) -> _Header:
        plain = tuple(value.lower() for value in values if not value.startswith("~*"))
        patterns = tuple(re.compile(value[2:].lower()) for value in values if value.startswith("~*"))
        return cls(name.lower(), plain, patterns)

    def accepts(self, given: Iterable[str]) -> bool:
        return any(
            value in self.values or any(pattern.search(value) for pattern in self.patterns)
            for value in (text.lower() for text in given)
        )


class _Candidate:
    """A Route with one group of its paths: all its regular expressions, or its prefixes of one length."""

    __slots__ = ("_expressions", "_hosts", "_prefixes", "headers", "methods", "order", "route")

    def __init__(self, route: Route, paths: tuple[str, ...]) -> None:
        self.route = route
        self.methods = frozenset(route.methods)
        self._hosts = tuple(_Host.read(host) for host in route.hosts)
        self.headers = tuple(_Header.read(name, values) for name, values in route.headers)
        self._expressions = tuple(path_regex(path) for path in paths if path.startswith("~"))
        self._prefixes = tuple(path for path in paths if not path.startswith("~"))
        kinds = bool(self.methods) + bool(self._hosts) + bool(self.headers) + bool(paths)
        plain_hosts = bool(self._hosts) and not any(host.wildcard for host in self._hosts)
        expression = bool(self._expressions)
        self.order = (
            kinds,
            plain_hosts,
            min(len(self.headers), 255),
            expression,
            route.regex_priority if expression else 0,
            0 if expression or not paths else len(paths[0]),
        )

    def match(self, method: str, host: str, port: int, path: str) -> Match | None:
        if self.methods and method not in self.methods:
            return None
        if self._hosts and not any(entry.accepts(host, port) for entry in self._hosts):
            return None
        for prefix in self._prefixes:
            if path.startswith(prefix):
                return Match(self.route, prefix)
        for expression in self._expressions:
            found = expression.match(path)
            if found:
                return Match(self.route, found[0])
        return None if self._prefixes or self._expressions else Match(self.route, None)


class Router:
    """Finds the Route of a request among ``routes``. Raises re.error for an unusable regular expression."""

    __slots__ = ("_candidates", "header_names")

    def __init__(self, routes: Iterable[Route]) -> None:
        candidates = [_Candidate(route, paths) for route in routes for paths in _groups(route.paths)]
        # sorted() is stable: what is equal stays in the order of declaration
        self._candidates = sorted(candidates, key=lambda candidate: candidate.order, reverse=True)
        #: the lower-case names of all headers that some Route looks at
        self.header_names = tuple(sorted({header.name for one in candidates for header in one.headers}))

    def find(
        self, method: str, host: str, port: int, path: str, headers: Mapping[str, Iterable[str]] | None = None
    ) -> Match | None:
        """Return the Route of a request, or None.

        ``host`` is lower-case and without ``port``; ``path`` is normalised and without query; ``headers`` has the
        values given for each of ``header_names``.
        """
        for candidate in self._candidates:
            match = candidate.match(method, host, port, path)
            if match and all(header.accepts((headers or {}).get(header.name, ())) for header in candidate.headers):
                return match
        return None


def _groups(paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    groups: dict[int, list[str]] = {}
    for path in paths:
        groups.setdefault(-1 if path.startswith("~") else len(path), []).append(path)
    return [tuple(group) for group in groups.values()] or [()]
