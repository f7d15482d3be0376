"""Which plugins of a gateway authenticate Consumers, and which of them may run where a metering plugin does."""

from __future__ import annotations

from .rule import LintedPlugin
from .scopes import Overlap, overlap

#: Plugins that authenticate a Consumer, and whose names do not say so.
_AUTHENTICATION = frozenset(
    ("openid-connect", "session", "saml", "jwt", "jwt-signer", "ace", "application-registration")
)
#: Plugins whose names say so, and that authenticate the gateway to an upstream.
_NOT_AUTHENTICATION = frozenset(("upstream-oauth",))


def authenticating(linted: LintedPlugin) -> list[str]:
    """Return the names of the authentication plugins that may run for the requests of ``linted``, each once."""
    return [name for name in linted.surroundings.running if _authenticates(name) and runs_beside(linted, name)]


def runs_beside(linted: LintedPlugin, name: str) -> bool:
    """Return whether an instance of the plugin ``name`` may run for a request of ``linted``."""
    others = linted.surroundings.running.get(name, ())
    return any(overlap(other.scope, linted.scope) is not Overlap.NO for other in others)


def _authenticates(name: str) -> bool:
    """Return whether the plugin of that name authenticates Consumers; one of your own does if its name says so."""
    return name in _AUTHENTICATION or ("auth" in name and name not in _NOT_AUTHENTICATION)
