"""Lint rules on Amberflo's meter record: whom it bills, and what its dimensions hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from plugin_emulator.documents import did_you_mean

from ..lint.authentication import authenticating, runs_beside
from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, Unknown, rule

#: What key-auth and its like tell about the Consumer in the request's headers; the client's own are removed.
_OF_THE_CONSUMER = ("x-consumer-username", "x-consumer-custom-id", "x-consumer-id", "x-credential-identifier")
#: Headers that look like those, and that another plugin sets.
_OF_OTHERS = frozenset(("x-consumer-groups",))
#: Authentication plugins that set these headers and no others.
_LIKE_KEY_AUTH = frozenset(("key-auth", "key-auth-enc", "basic-auth", "hmac-auth", "jwt"))
#: Plugins that may put any header into the request before it is metered.
_WRITERS = (
    *("request-transformer", "request-transformer-advanced", "pre-function", "openid-connect", "opa"),
    *("oauth2", "oauth2-introspection", "jwt-signer", "forward-proxy", "datakit", "acl", "correlation-id"),
)
#: Fields of ``config`` that name a dimension, in the order in which they are filled in; ``dimensionHeaders`` before.
_NAMED_DIMENSIONS = ("methodDimension", "hostDimension", "serviceDimension", "routeDimension")


@rule(
    "customer-header-not-set",
    Severity.ERROR,
    "The customer is whatever stands in that header: one that no authentication plugin sets is absent, and nothing is"
    " metered, or it is the client's own, who then says whom to bill.",
    "AMB-1",
)
def customer_header_not_set(linted: LintedPlugin) -> Iterator[Remark]:
    """``customerHeader`` is a header that key-auth never sets, or nothing authenticates the requests.

    Asked of state files only, as far as it takes other plugins to tell.
    """
    given = linted.text("customerHeader")
    if not given or not linted.runs:
        return
    header, at = given.lower(), ("config", "customerHeader")
    if header == "x-anonymous-consumer":
        message = "is set for requests that are nobody's, and says true: that would be the customer"
        yield Remark(message, f"write {_OF_THE_CONSUMER[0]}", at)
        return
    if header.startswith(("x-consumer-", "x-credential-")) and header not in (*_OF_THE_CONSUMER, *_OF_OTHERS):
        near = did_you_mean(header, _OF_THE_CONSUMER) or _OF_THE_CONSUMER[0]
        yield Remark(f"neither key-auth nor any other plugin sets {header}", f"write {near}", at)
        return
    if not linted.surroundings.is_state:
        return
    if header in _OF_THE_CONSUMER:
        if not authenticating(linted):
            message = (
                f"no authentication plugin of this file runs for these requests: {header} is what a client sends"
            )
            yield Remark(message, "add one, e.g. key-auth on the same service", at, Severity.WARNING)
        return
    if (plugins := _set_no_other(linted)) and not any(runs_beside(linted, name) for name in _WRITERS):
        message = f"{plugins[0]} never sets this header: a client says by it whom to bill"
        fix = f"write {_OF_THE_CONSUMER[0]}, or see that something in front of this plugin sets the header"
        yield Remark(message, fix, at, Severity.WARNING)


def _set_no_other(linted: LintedPlugin) -> list[str]:
    """Return the authentication plugins of these requests if the Consumer's are all the headers they set."""
    plugins = authenticating(linted)
    return plugins if _LIKE_KEY_AUTH.issuperset(plugins) else []


@rule(
    "dimension-name-twice",
    Severity.WARNING,
    "A record has one value for each dimension, so of two with one name only one arrives.",
    "AMB-2",
    "AMB-3",
)
def dimension_name_twice(linted: LintedPlugin) -> Iterator[Remark]:
    """Two of ``dimensionHeaders`` and the method, host, service and route dimensions have one name."""
    try:
        headers = linted.value("dimensionHeaders")
    except Unknown:
        headers = None
    first = dict.fromkeys(headers, "dimensionHeaders") if isinstance(headers, dict) else {}
    for field in _NAMED_DIMENSIONS:
        name = linted.text(field)
        if name and first.setdefault(name, field) != field:
            message = f"{first[name]} has a dimension of this name already, and its value is overwritten"
            yield Remark(message, "give each dimension a name of its own", ("config", field))


@rule(
    "replacements-overlap",
    Severity.WARNING,
    "Replacements are made in no fixed order, so one request's dimension may have one value and the next another.",
    "AMB-4",
)
def replacements_overlap(linted: LintedPlugin) -> Iterator[Remark]:
    """Two ``replacements`` whose result depends on which comes first."""
    try:
        replacements, dimensions = linted.value("replacements"), linted.value("dimensionHeaders")
    except Unknown:
        return
    # Only dimensions that come from headers are transformed (AMB-3).
    if not isinstance(replacements, dict) or not dimensions:
        return
    pairs = [(old, new) for old, new in replacements.items() if isinstance(new, str)]
    for (one, instead_of_one), (other, instead_of_other) in combinations(pairs, 2):
        if _touch(one, other) or _touch(instead_of_one, other) or _touch(instead_of_other, one):
            message = f"what becomes of a value depends on whether {one!r} or {other!r} is replaced first"
            fix = "let no replacement make, or share, what another one looks for"
            yield Remark(message, fix, ("config", "replacements", other))


def _touch(text: str, wanted: str) -> bool:
    """Return whether ``text`` holds ``wanted`` or a part of it that may be completed by what is around.

    An empty ``wanted`` is everywhere: what stands for it goes between any two characters.
    """
    if wanted in text or (text in wanted and len(wanted) > max(len(text), 1)):
        return True
    parts = range(1, min(len(text), len(wanted)))
    return any(text[-size:] == wanted[:size] or text[:size] == wanted[-size:] for size in parts)


RULES = (customer_header_not_set, dimension_name_twice, replacements_overlap)
