"""What must not be in a journal: values of headers and parameters that carry a secret."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from harness.capture.redaction import REDACTED, is_secret_name
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
