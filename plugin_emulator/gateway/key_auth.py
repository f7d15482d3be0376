"""The key-auth plugin: finds the API key of a request and says whose it is. No I/O.

Names of headers match without case, names of query parameters and body members with case. A header wins over a
parameter, a parameter over the body. An empty key counts as none, a name given twice is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import quote, unquote_to_bytes

from plugin_emulator import exchange
from plugin_emulator.conditions import ConsumerFacts
from plugin_emulator.gateway.entities import Consumer, KeyAuthCredential
from plugin_emulator.gateway.http1 import Fields
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig

NO_KEY = "No API key found in request"
DUPLICATE_KEY = "Duplicate API key found"
UNKNOWN_KEY = "Unauthorized"
#: Kong's words for what went wrong inside it.
UNEXPECTED = "An unexpected error occurred"

#: Request headers that name the authenticated Consumer; on an authenticated request the client's own are removed.
IDENTITY_HEADERS = frozenset(
    (
        "x-consumer-id",
        "x-consumer-custom-id",
        "x-consumer-username",
        "x-credential-identifier",
        "x-anonymous-consumer",
    )
)
_MAX_PARAMETERS = 100

#: A parameter's value: text, True when it has no equals sign, a list when it is given more than once.
ParameterValue = str | bool | list[str | bool]


class Identity:
    """Who a request was authenticated as, in the forms the gateway needs.

    ``pairs`` are the headers added to the request, ``wire`` the same as header lines; ``facts`` is the Consumer as
    conditions see it. ``credential`` is what it was proven with, None for the anonymous one.
    """

    __slots__ = ("consumer", "consumer_id", "credential", "facts", "pairs", "wire")

    def __init__(self, consumer: Consumer, credential: KeyAuthCredential | None) -> None:
        self.consumer_id = consumer.id
        self.credential = credential
        self.consumer = exchange.Consumer(consumer.id, consumer.username, consumer.custom_id)
        self.facts = ConsumerFacts(consumer.id, consumer.username, consumer.custom_id, consumer.tags)
        pairs = [
            ("X-Consumer-ID", consumer.id),
            ("X-Consumer-Custom-ID", consumer.custom_id),
            ("X-Consumer-Username", consumer.username),
            ("X-Credential-Identifier", credential.id if credential else None),
            ("X-Anonymous-Consumer", None if credential else "true"),
        ]
        # header text is latin-1 throughout: a name beyond it travels as its UTF-8 bytes
        self.pairs = [(name, value.encode().decode("latin-1")) for name, value in pairs if value]
        self.wire = "".join(f"{name}: {value}\r\n" for name, value in self.pairs)


@dataclass(frozen=True, slots=True)
class Decision:
    """What key-auth makes of a request.

    Exactly one of ``identity`` and ``refusal`` is set, or none when the request need not authenticate. ``status``
    belongs to ``refusal``. ``hide`` is the name under which the key must not be passed on.
    """

    identity: Identity | None = None
    refusal: str | None = None
    status: int = 401
    hide: str | None = None


_NOT_ASKED = Decision()


class KeyAuth:
    """One configured instance.

    ``identities`` maps keys to identities, ``anonymous`` is the identity that stands in when authentication fails;
    ``anonymous_missing`` says that the configuration names one that does not exist.
    """

    __slots__ = ("_anonymous", "_config", "_granted", "_identities", "_names", "challenge", "reads_body")

    def __init__(
        self, config: KeyAuthConfig, identities: Mapping[str, Identity], anonymous: Identity | None = None
    ) -> None:
        self._config = config
        self._identities = identities
        self._names = tuple((name, name.lower()) for name in config.key_names)
        self._granted = {key: Decision(identity) for key, identity in identities.items()}
        self._anonymous = anonymous
        #: value of WWW-Authenticate in a 401
        self.challenge = f'Key realm="{config.realm}"' if config.realm else "Key"
        #: whether the decision needs the request's body
        self.reads_body = config.key_in_body

    def decide(self, method: str, fields: Fields, query: str | None, body: bytes = b"") -> Decision:
        """Decide on a request; ``query`` is raw, ``body`` is looked at only with ``key_in_body``."""
        config = self._config
        if method == "OPTIONS" and not config.run_on_preflight:
            return _NOT_ASKED
        parameters: dict[str, ParameterValue] | None = None
        members: Mapping[str, ParameterValue] | None = None
        key: str | None = None
        found = ""
        for name, lower in self._names:
            value: ParameterValue | None = None
            if config.key_in_header:
                if lower in fields.repeated:
                    return self._refuse(DUPLICATE_KEY)
                value = fields.first.get(lower)
            if value is None and config.key_in_query and query:
                if parameters is None:
                    parameters = query_parameters(query)
                value = parameters.get(name)
            if value is None and config.key_in_body and body:
                if members is None:
                    members = body_members(fields.first.get("content-type"), body)
                value = members.get(name)
            if isinstance(value, str):
                key, found = value, name
                break
            if isinstance(value, list):
                return self._refuse(DUPLICATE_KEY)
        hide = found if config.hide_credentials and found else None
        if not key:
            return self._refuse(NO_KEY, hide)
        granted = self._granted.get(key)
        if granted is None:
            return self._refuse(UNKNOWN_KEY, hide)
        return granted if hide is None else Decision(granted.identity, hide=hide)

    def in_words(self, refusal: str) -> str:
        """Return why a request was refused, with the names of the places where its key was looked for."""
        config = self._config
        kinds = (
            (config.key_in_header, "header"),
            (config.key_in_query, "query parameter"),
            (config.key_in_body, "body member"),
        )
        names = ", ".join(repr(name) for name in config.key_names)
        places = f"{' or '.join(kind for looked, kind in kinds if looked)} {names}"
        found = {
            NO_KEY: f"found no API key in {places}",
            DUPLICATE_KEY: f"found more than one API key in {places}",
            UNKNOWN_KEY: f"does not know the API key in {places}",
        }
        return f"key-auth {found.get(refusal, f'failed: {refusal}')}"

    def _refuse(self, message: str, hide: str | None = None) -> Decision:
        if self._config.anonymous is None:
            return Decision(refusal=message)
        if self._anonymous is None:
            return Decision(refusal=UNEXPECTED, status=500)
        return Decision(self._anonymous, hide=hide)


def query_parameters(query: str) -> dict[str, ParameterValue]:
    """Return the parameters of a raw query string, percent-decoded; at most the first hundred."""
    found: dict[str, ParameterValue] = {}
    for part in query.split("&")[:_MAX_PARAMETERS]:
        name, equals, text = part.partition("=")
        if not name:
            continue
        name = _decoded(name)
        value = _decoded(text) if equals else True
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def query_without(query: str, name: str) -> str:
    """Return ``query`` without the parameter ``name``, written anew as Kong does: sorted by name, re-encoded."""
    parameters = query_parameters(query)
    parameters.pop(name, None)
    parts = [
        quote(each, safe="") + ("" if one is True else f"={quote(str(one), safe='')}")
        for each, value in sorted(parameters.items())
        for one in (value if isinstance(value, list) else [value])
    ]
    return "&".join(parts)


def body_members(content_type: str | None, body: bytes) -> Mapping[str, ParameterValue]:
    """Return the named values of a JSON, form or multipart body; empty for any other and for a malformed one."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return query_parameters(body.decode("latin-1"))
    if kind == "application/json":
        try:
            data = json.loads(body)
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}
    if kind == "multipart/form-data":
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = message.iter_parts() if message.is_multipart() else ()
        return {
            str(part.get_param("name", header="content-disposition")): part.get_content().rstrip("\r\n")
            for part in parts
            if part.get_content_maintype() == "text"
        }
    return {}


def body_without(content_type: str | None, body: bytes, name: str) -> bytes:
    """Return a JSON or form body without the member ``name``; another body, or one without it, as it is."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    members = body_members(content_type, body)
    if name not in members:
        return body
    if kind == "application/json":
        rest = {key: value for key, value in members.items() if key != name}
        return json.dumps(rest, separators=(",", ":"), ensure_ascii=False).encode()
    if kind == "application/x-www-form-urlencoded":
        return query_without(body.decode("latin-1"), name).encode("latin-1")
    return body


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text
