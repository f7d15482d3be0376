"""Secrets in a configuration: which there are, and that none is written as a literal unasked (SPEC GEN-3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from plugin_emulator.documents import Pointer, Problem
from plugin_emulator.metering_and_billing.config import is_vault_reference

from .entity import PluginEntity, Reference, Value, value_at
from .plugin_kind import PluginKind

_HINT = "name a variable (env:NAME) or a vault (vault:BACKEND/KEY), or add --allow-literal-secrets"


def literal_secrets(entity: PluginEntity, kind: PluginKind) -> list[Problem]:
    """Return a problem for each secret that stands in ``entity`` as a literal; none quotes it."""
    return [_problem(at, value_at(entity.config, at)) for at in _literals(entity.config, kind)]


def with_references(
    entity: PluginEntity, kind: PluginKind, variable: Callable[[str], str]
) -> tuple[PluginEntity, list[Pointer]]:
    """Return ``entity`` with each literal secret replaced by a Reference, and the places in ``config`` of those.

    ``variable`` gives the name of the variable that is to hold a literal. A URL with credentials stays
    a literal: what is around them would be lost.
    """
    places = [at for at in _literals(entity.config, kind) if at in kind.secrets]
    config: Value = entity.config
    for at in places:
        literal = value_at(config, at)
        assert isinstance(literal, str)
        config = replaced(config, at, Reference(variable(literal)))
    assert isinstance(config, dict)
    return replace(entity, config=config), places


def with_secrets_marked(config: dict[str, Value], kind: PluginKind) -> dict[str, Value]:
    """Return ``config`` with every Reference marked as the secret it is, or is not, by where it stands."""
    marked = _marked(config, (), kind)
    assert isinstance(marked, dict)
    return marked


def replaced(value: Value, at: Pointer, new: Value) -> Value:
    """Return ``value`` with ``new`` at the place ``at``, which exists."""
    if not at:
        return new
    if isinstance(value, dict):
        return {name: replaced(part, at[1:], new) if name == at[0] else part for name, part in value.items()}
    if isinstance(value, list):
        return [replaced(part, at[1:], new) if index == at[0] else part for index, part in enumerate(value)]
    raise KeyError(at)


def _marked(value: Value, at: Pointer, kind: PluginKind) -> Value:
    if isinstance(value, Reference):
        return Reference(value.name, secret=at in kind.secrets)
    if isinstance(value, dict):
        return {name: _marked(part, (*at, name), kind) for name, part in value.items()}
    if isinstance(value, list):
        return [_marked(part, (*at, index), kind) for index, part in enumerate(value)]
    return value


def _problem(at: Pointer, value: Value) -> Problem:
    if isinstance(value, str) and is_vault_reference(value):
        message = "is a vault reference in a field in which the gateway looks up none: it would be the secret itself"
        return Problem(message, ("config", *at), "name a variable (env:NAME)")
    return Problem("is a secret, given as a literal", ("config", *at), _HINT)


def _literals(config: dict[str, Value], kind: PluginKind) -> Iterator[Pointer]:
    for at in kind.secrets:
        text = value_at(config, at)
        if isinstance(text, str) and not (is_vault_reference(text) and at in kind.referenceable):
            yield at
    for name, text in config.items():
        if isinstance(text, str) and _has_credentials(text):
            yield (name,)


def _has_credentials(text: str) -> bool:
    """Return whether ``text`` is a URL with a user, which may be a token, with or without a password."""
    try:
        return "://" in text and "@" in urlsplit(text).netloc
    except ValueError:
        return False
