"""Kong's environment variables, as options of the emulated gateway: what makes its image a drop-in for Kong's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from plugin_emulator.documents import InvalidDocument, Problem, did_you_mean
from plugin_emulator.gateway_versions import GATEWAY_VERSIONS, NEWEST_GATEWAY
from plugin_emulator.log_line import DEFAULT_LOG_LEVEL, LOG_LEVELS

#: Kong's own defaults (kong.conf.default).
DEFAULT_PROXY_LISTEN = "0.0.0.0:8000"
DEFAULT_ADMIN_LISTEN = "127.0.0.1:8001"

FILE_VARIABLE = "KONG_DECLARATIVE_CONFIG"
STRING_VARIABLE = "KONG_DECLARATIVE_CONFIG_STRING"

#: Variables of our own, named so that Kong would take no notice of them.
VERSION_VARIABLE = "KONG_METERING_GATEWAY"
ECHO_VARIABLE = "KONG_METERING_ECHO_UPSTREAM"
SUBJECT_FORM_VARIABLE = "KONG_METERING_SUBJECT_FORM"
SUBJECT_FORMS = ("username", "prefixed-id")
JOURNAL_VARIABLE = "KONG_METERING_JOURNAL"
JOURNAL_LIMIT_VARIABLE = "KONG_METERING_JOURNAL_LIMIT"

_UNDERSTOOD = frozenset(
    {
        "KONG_DATABASE",
        FILE_VARIABLE,
        STRING_VARIABLE,
        "KONG_PROXY_LISTEN",
        "KONG_ADMIN_LISTEN",
        "KONG_LOG_LEVEL",
        VERSION_VARIABLE,
        ECHO_VARIABLE,
        SUBJECT_FORM_VARIABLE,
        JOURNAL_VARIABLE,
        JOURNAL_LIMIT_VARIABLE,
    }
)
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})(?P<flags>(?:\s+\S+)*)")
_ON, _OFF = ("on", "true", "1"), ("off", "false", "0", "")


@dataclass(frozen=True, slots=True)
class Listener:
    """An address and a port to listen on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class KongEnvironment:
    """What the environment asks for.

    ``config_file`` is the declarative configuration's path, ``config_text`` its text; with neither the gateway starts
    empty, as Kong does. ``admin`` None: no Admin API. ``notes`` are lines for an operator; they name variables, never
    their values. ``subject_form`` is how events name Consumers, ``log_level`` the least serious level of log lines.
    ``journal`` is the path of the file that gets the life of each request, ``journal_limit`` its largest size as
    written, such as ``500MB``.
    """

    proxy: Listener
    admin: Listener | None
    config_file: str | None
    config_text: str | None
    version: str
    echo_upstream: bool
    subject_form: str = SUBJECT_FORMS[0]
    log_level: str = DEFAULT_LOG_LEVEL
    notes: tuple[str, ...] = ()
    journal: str | None = None
    journal_limit: str | None = None


def read_environment(environ: Mapping[str, str]) -> KongEnvironment:
    """Read Kong's variables. Raises InvalidDocument with every variable that cannot be met."""
    problems: list[Problem] = []
    notes: list[str] = []
    if environ.get("KONG_DATABASE", "off") != "off":
        problems.append(Problem("KONG_DATABASE: the emulated gateway has no database", hint="set KONG_DATABASE=off"))
    proxy = _listener(environ, "KONG_PROXY_LISTEN", DEFAULT_PROXY_LISTEN, problems, notes)
    admin = _listener(environ, "KONG_ADMIN_LISTEN", DEFAULT_ADMIN_LISTEN, problems, notes)
    if proxy is None and not problems:
        problems.append(Problem("KONG_PROXY_LISTEN: a gateway without a proxy has nothing to do"))
    log_level = _choice(environ, "KONG_LOG_LEVEL", LOG_LEVELS, DEFAULT_LOG_LEVEL, problems)
    version = _choice(environ, VERSION_VARIABLE, GATEWAY_VERSIONS, NEWEST_GATEWAY, problems)
    echo = _choice(environ, ECHO_VARIABLE, (*_ON, *_OFF), "off", problems) in _ON
    subject_form = _choice(environ, SUBJECT_FORM_VARIABLE, SUBJECT_FORMS, SUBJECT_FORMS[0], problems)
    config_file = environ.get(FILE_VARIABLE) or None
    config_text = environ.get(STRING_VARIABLE) or None
    if config_file and config_text:
        notes.append(f"{STRING_VARIABLE} has no effect: {FILE_VARIABLE} goes first")
        config_text = None
    journal = environ.get(JOURNAL_VARIABLE) or None
    journal_limit = environ.get(JOURNAL_LIMIT_VARIABLE) or None
    if journal_limit and not journal:
        problems.append(Problem(f"{JOURNAL_LIMIT_VARIABLE}: there is no journal", hint=f"set {JOURNAL_VARIABLE}"))
    notes += [
        f"{name} has no effect in the emulated gateway"
        for name in sorted(environ)
        if name.startswith("KONG_") and name not in _UNDERSTOOD
    ]
    if problems:
        raise InvalidDocument(problems)
    assert proxy is not None
    return KongEnvironment(
        proxy,
        admin,
        config_file,
        config_text,
        version,
        echo,
        subject_form,
        log_level,
        tuple(notes),
        journal,
        journal_limit,
    )


def _listener(
    environ: Mapping[str, str], name: str, default: str, problems: list[Problem], notes: list[str]
) -> Listener | None:
    """Return the first plain-HTTP address of a ``*_LISTEN`` variable; None for ``off``."""
    text = environ.get(name) or default
    if text.strip() == "off":
        return None
    plain: list[Listener] = []
    for entry in text.split(","):
        match = _LISTEN.fullmatch(entry.strip())
        if match is None or int(match["port"]) > 65535:
            hint = "write ADDRESS:PORT, or off"
            problems.append(Problem(f"{name}: {entry.strip()!r} is not an address", hint=hint))
            return None
        if "ssl" in match["flags"].split():
            notes.append(f"{name}: port {match['port']} is left out, the emulated gateway does not end TLS")
        else:
            plain.append(Listener(match["host"].strip("[]"), int(match["port"])))
    if not plain:
        problems.append(Problem(f"{name}: no plain HTTP address", hint="the emulated gateway does not end TLS"))
        return None
    notes += [f"{name}: port {each.port} is left out, one port is served" for each in plain[1:]]
    return plain[0]


def _choice(
    environ: Mapping[str, str], name: str, known: tuple[str, ...], default: str, problems: list[Problem]
) -> str:
    value = environ.get(name) or default
    if value not in known:
        near = did_you_mean(value, known)
        hint = f"did you mean {near!r}?" if near else f"one of {', '.join(word for word in known if word)}"
        problems.append(Problem(f"{name}: {value!r} is not known", hint=hint))
        return default
    return value
