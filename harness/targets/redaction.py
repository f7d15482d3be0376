"""Takes secrets out of a gateway's log before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "****"

_SECRET_FIELDS = frozenset({"api_token", "api_key", "key", "password", "secret"})
#: What looks like a secret wherever it stands.
_SHAPES = (
    re.compile(r"(?i)(\bauthorization\"?\s*[:=]\s*\"?(?:bearer|basic)\s+)[^\s\"',]+"),
    re.compile(r"(?i)(\b(?:api_?token|api_?key|apikey|password|secret)\"?\s*[:=]\s*\"?)[^\s\"',&}]+"),
)
#: Shorter values would be found in ordinary words.
_SHORTEST = 4


class Redaction:
    """Knows secrets, and hides them in text. Never forgets one: a log may speak of what was configured long ago."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these too."""
        self._secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST)

    def learn_state(self, state: Any) -> None:
        """Hide the values of a declarative configuration's secret fields, at any depth."""
        waiting = [state]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Mapping):
                self.learn(one for key, one in value.items() if key in _SECRET_FIELDS and isinstance(one, str))
                waiting.extend(value.values())
            elif isinstance(value, list | tuple):
                waiting.extend(value)

    def __call__(self, text: str) -> str:
        """Return ``text`` with every secret hidden; the longest first, since one may be part of another."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        for shape in _SHAPES:
            text = shape.sub(rf"\g<1>{HIDDEN}", text)
        return text
