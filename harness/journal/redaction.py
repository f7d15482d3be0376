"""What must not be in a journal: values of headers and parameters that carry a secret."""

from __future__ import annotations

import msgspec

from harness.capture.redaction import REDACTED, SECRET_HEADERS
from plugin_emulator.journal import AttributeReading, Configured, Fact, Metered, Observer, SubjectReading


def without_secrets(observe: Observer) -> Observer:
    """Return an observer that passes facts on to ``observe``, secret values left out.

    A configuration may name a subject or an attribute after a header that is a secret: one that always is, or the one
    that key-auth finds API keys in.
    """
    key_names: frozenset[str] = frozenset()

    def pass_on(fact: Fact) -> None:
        nonlocal key_names
        if isinstance(fact, Configured):
            key_names = frozenset(name.lower() for name in fact.key_names)
        elif isinstance(fact, Metered):
            fact = _redacted(fact, key_names)
        observe(fact)

    return pass_on


def _redacted(fact: Metered, key_names: frozenset[str]) -> Metered:
    subject = fact.subject
    hidden = (
        subject.value and subject.look_up_value_in in ("header", "query") and _is_secret(subject.field, key_names)
    )
    attributes = [each for each in fact.attributes if each.value and _is_secret(each.field, key_names)]
    if not hidden and not attributes:
        return fact
    if hidden:
        subject = SubjectReading(subject.look_up_value_in, subject.field, REDACTED, subject.near)
    shown = tuple(
        AttributeReading(each.name, each.source, each.field, REDACTED) if each in attributes else each
        for each in fact.attributes
    )
    return msgspec.structs.replace(fact, subject=subject, attributes=shown)


def _is_secret(name: str | None, key_names: frozenset[str]) -> bool:
    lower = (name or "").lower()
    return lower in SECRET_HEADERS or lower in key_names
