"""What must not be in a journal, nor be told with its help: values of headers and parameters that carry a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from harness.capture.redaction import REDACTED, SHORTEST_SECRET, is_secret_name
from plugin_emulator.journal import AttributeReading, Configured, Fact, Metered, Observer, SubjectReading


def without_secrets(observe: Observer) -> Observer:
    """Return an observer that passes facts on to ``observe``, secret values left out.

    A configuration may name a subject or an attribute after a header or parameter that is a secret: one that its name
    tells, as in a capture, or the one that key-auth finds API keys in.
    """
    key_names: frozenset[str] = frozenset()
    secret: dict[str | None, bool] = {}

    def is_secret(name: str | None) -> bool:
        known = secret.get(name)
        if known is None:
            known = secret[name] = is_secret_name(name or "") or (name or "").lower() in key_names
        return known

    def pass_on(fact: Fact) -> None:
        nonlocal key_names
        if isinstance(fact, Metered):
            if fact.subject.field is not None or fact.attributes:
                fact = _redacted(fact, is_secret)
        elif isinstance(fact, Configured):
            key_names = frozenset(name.lower() for name in fact.key_names)
            secret.clear()  # the fields are those of the configuration: there are as many as it has
        observe(fact)

    return pass_on


def _redacted(fact: Metered, is_secret: Callable[[str | None], bool]) -> Metered:
    subject = fact.subject
    hidden = subject.value and subject.look_up_value_in in ("header", "query") and is_secret(subject.field)
    attributes = [each for each in fact.attributes if each.value and is_secret(each.field)]
    if not hidden and not attributes:
        return fact
    if hidden:
        subject = SubjectReading(subject.look_up_value_in, subject.field, REDACTED, subject.near)
    shown = tuple(
        AttributeReading(each.name, each.source, each.field, REDACTED) if each in attributes else each
        for each in fact.attributes
    )
    return msgspec.structs.replace(fact, subject=subject, attributes=shown)


def entry_without_secrets(entry: Any, metered: Metered) -> Any:
    """Return a captured event or meter record without the values that the journal left out of ``metered``.

    They are where the plugin put them, and are hidden wherever else the entry has them.
    """
    if not isinstance(entry, dict):
        return entry
    secrets = sorted(set(_hidden_values(entry, metered)), key=len, reverse=True)
    return _without(entry, secrets) if secrets else entry


def _hidden_values(entry: dict[str, Any], metered: Metered) -> Iterator[str]:
    if metered.subject.value == REDACTED:
        yield from _texts(entry, ("subject", "customerId"))
    names = [each.name for each in metered.attributes if each.value == REDACTED]
    for part in ("data", "dimensions"):
        if isinstance(entry.get(part), dict):
            yield from _texts(entry[part], names)


def _texts(members: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value = members.get(name)
        if isinstance(value, str) and value not in ("", REDACTED):
            yield value


def _without(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(each, secrets) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(each, secrets) for each in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        if value == secret or len(secret) >= SHORTEST_SECRET:
            value = value.replace(secret, REDACTED)
    return value
