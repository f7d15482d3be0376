"""Lint rules on secrets and vault references, the same for every metering plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs

from plugin_emulator.documents import Pointer
from plugin_emulator.metering_and_billing.config import is_vault_reference

from ..entity import PluginEntity
from ..plugin_kind import PluginKind
from ..secrets import literal_secrets
from .finding import Severity
from .rule import LintedPlugin, Remark, Unknown, is_vault_text, rule

_REFERENCE = re.compile(
    r"\{vault://(?P<vault>[^/{}?]+)/(?P<name>[^/{}?]+)(?P<key>/[^{}?]*)?(?:\?(?P<options>[^{}]*))?\}"
)
_VAULTS = {
    "hcv": "HashiCorp Vault",
    "aws": "AWS Secrets Manager",
    "gcp": "Google Cloud Secret Manager",
    "azure": "Azure Key Vault",
    "conjur": "CyberArk Conjur",
}
_WRITE_IT_SO = "write {vault://BACKEND/KEY} and nothing around it, e.g. {vault://env/auth-token}"


@rule(
    "secret-literal",
    Severity.ERROR,
    "A configuration file ends up in a repository, a ticket or a log, and a secret in it with it.",
    "CFG-1",
    "GEN-3",
)
def secret_literal(linted: LintedPlugin) -> Iterator[Remark]:
    """A secret, or credentials in a URL, are given as text."""
    config = linted.config
    if config is None:
        return
    for problem in literal_secrets(PluginEntity(linted.plugin.name, config), linted.kind):
        field = problem.pointer[1:]
        text = linted.text(*field)
        if not text:  # empty: nothing is given away; broken references have rules of their own
            continue
        at = ("config", *field)
        if field in linted.kind.secrets:
            yield Remark(f"{_name(field)} stands there as a literal", _reference_advice(linted, field), at)
        else:
            fix = "take them out of the URL, or give the whole URL through a variable"
            yield Remark(f"{_name(field)} has credentials in its URL", fix, at)


def _reference_advice(linted: LintedPlugin, field: Pointer) -> str:
    forms = 'a reference: ${{ env "DECK_AUTH_TOKEN" }} for decK, a sensitive variable for Terraform'
    if field in linted.kind.referenceable:
        forms += ", {vault://env/auth-token} for the gateway itself"
    return f"use {forms}; and replace the secret, which is known now"


@rule(
    "vault-reference-without-braces",
    Severity.ERROR,
    "Without braces a vault reference is a plain text, and is sent to the ingest endpoint as it is.",
    "CFG-1",
)
def without_braces(linted: LintedPlugin) -> Iterator[Remark]:
    """``vault://env/x`` in place of ``{vault://env/x}``."""
    for field, text in linted.texts():
        if text.strip().startswith("vault://"):
            message = f"{_name(field)} is a vault reference without its braces: a literal"
            yield Remark(message, 'put it in braces and quotes: "{vault://BACKEND/KEY}"', ("config", *field))


@rule(
    "vault-reference-malformed",
    Severity.ERROR,
    "The gateway looks up a value only when all of it is a reference {vault://BACKEND/KEY}; anything else is text.",
    "CFG-1",
)
def malformed(linted: LintedPlugin) -> Iterator[Remark]:
    """A vault reference that lacks a part, or has text around it."""
    for field, text in linted.texts():
        broken = is_vault_text(text) and not text.strip().startswith("vault://")
        # In other fields a URL may well mention a vault.
        if broken and "{" in text and not is_vault_reference(text):
            yield Remark(
                f"{_name(field)} is a malformed vault reference: a literal", _WRITE_IT_SO, ("config", *field)
            )


@rule(
    "vault-reference-not-looked-up",
    Severity.ERROR,
    "The gateway looks up vault references in referenceable fields only; elsewhere the reference is the value.",
    "CFG-1",
)
def not_looked_up(linted: LintedPlugin) -> Iterator[Remark]:
    """A sound vault reference in a field that is not referenceable."""
    for field, text in linted.texts():
        if is_vault_reference(text) and field not in linted.kind.referenceable:
            yield Remark(
                f"{_name(field)} is not referenceable: the vault reference is taken literally",
                f"write the value itself, or a variable of the tool; {_referenceable(linted.kind)}",
                ("config", *field),
            )


@rule(
    "vault-reference-needs-value",
    Severity.INFO,
    "A vault reference that cannot be resolved becomes an empty value at run time, and no event is accepted.",
    "CFG-1",
)
def needs_value(linted: LintedPlugin) -> Iterator[Remark]:
    """A vault reference: names what has to be there when the gateway runs."""
    for field in sorted(linted.kind.referenceable, key=str):
        try:
            text = linted.value(*field)
        except Unknown:
            continue
        reference = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if reference is not None:
            message = f"{_name(field)} is empty on a gateway that does not have {_needed(reference)}"
            yield Remark(message, "see that it is there before the gateway starts", ("config", *field))


def _needed(reference: re.Match[str]) -> str:
    vault, name, key = reference["vault"], reference["name"], reference["key"]
    member = f", JSON with a member {key[1:]!r}" if key and len(key) > 1 else ""
    if vault == "env":
        prefix = parse_qs(reference["options"] or "").get("prefix", [""])[0]
        variable = (prefix + name).upper().replace("-", "_")
        return f"the environment variable {variable}{member}"
    backend = _VAULTS.get(vault, f"a Vault entity with the prefix {vault!r}")
    return f"{backend} configured, with {name!r} in it{member}"


def _referenceable(kind: PluginKind) -> str:
    names = ", ".join(sorted(map(_name, kind.referenceable)))
    return f"referenceable are {names}" if names else "this plugin has no referenceable field"


def _name(field: Pointer) -> str:
    return ".".join(map(str, field))


RULES = (secret_literal, without_braces, malformed, not_looked_up, needs_value)
