"""How each kind of entity is written in a state file: its fields, and the rules JSON Schema has no words for."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from plugin_emulator.documents import Pointer, Problem, did_you_mean
from plugin_emulator.gateway.entities import Route, Service
from plugin_emulator.gateway.gateway_plugins import GATEWAY_PLUGINS
from plugin_emulator.http_url import is_http_url
from plugin_emulator.metering_plugins import BY_NAME as METERING
from plugin_emulator.plugin_entity import ENTITY_SCHEMA as PLUGIN_SCHEMA
from plugin_emulator.plugin_entity import check_entity
from plugin_emulator.schema_check import Schema, kind, without_nulls

EMULATED_PLUGINS = (*GATEWAY_PLUGINS, *METERING)
#: Entity kinds with the word for one of them, parents before children.
KINDS = {
    "services": "service",
    "routes": "route",
    "consumers": "consumer",
    "keyauth_credentials": "credential",
    "plugins": "plugin",
}
#: Lists of other entities that may stand inside an entity.
NESTED = {
    "services": ("routes", "plugins"),
    "routes": ("plugins",),
    "consumers": ("keyauth_credentials", "plugins"),
}

_FILE: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / "entities.json").read_text(encoding="utf-8"))
_KONG: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "schemas" / "not-emulated.json").read_text(encoding="utf-8")
)
#: What the real gateway has beside what is emulated.
OTHER_KINDS = frozenset(_KONG["kinds"])
OTHER_PLUGINS = frozenset(_KONG["plugins"])

_SCHEMAS = {
    name: Schema({**_FILE[name], "properties": {**_FILE["common"], **_FILE[name]["properties"]}})
    for name in ("services", "routes", "consumers", "keyauth_credentials")
}
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: The namespace from which the gateway derives ids of entities that a declarative file gives only a name.
_ID_NAMESPACE = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")


def entity_id(kind_of_entity: str, key: str) -> str:
    """Return the id of an entity without a written one: the same for the same name, in every file.

    For named services, routes and consumers this is the id Kong itself derives when it has no database.
    """
    return str(uuid.uuid5(uuid.uuid5(_ID_NAMESPACE, kind_of_entity), key))


def path_regex(path: str) -> re.Pattern[str]:
    """Compile a Route path that begins with ``~``, to be matched at the start of the request path.

    Named groups may be written ``(?<name>…)`` as in Kong. Raises re.error.
    """
    return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", path.removeprefix("~")))


def given_fields(kind_of_entity: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return what an entity gives, without the known fields that are null."""
    schema = PLUGIN_SCHEMA if kind_of_entity == "plugins" else _SCHEMAS[kind_of_entity]
    fields: dict[str, Any] = without_nulls(data, schema.definition)
    return fields


def check_form(kind_of_entity: str, data: Any, gateway: str) -> list[Problem]:
    """Return what is wrong in one entity by itself, nested entities left unread; pointers are relative to it."""
    if kind_of_entity == "plugins":
        return _check_plugin(data, gateway)
    problems = _SCHEMAS[kind_of_entity].check(data)
    if not isinstance(data, dict):
        return problems
    wrong = {problem.pointer for problem in problems}
    more = {"services": _check_service, "routes": _check_route, "consumers": _check_consumer}.get(kind_of_entity)
    if more is not None:
        fields = given_fields(kind_of_entity, data)
        problems += [problem for problem in more(fields) if problem.pointer not in wrong]
    return problems


def entity_schema(kind_of_entity: str, data: Any, gateway: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of entity; a plugin's has that of its ``config`` in it."""
    if kind_of_entity != "plugins":
        return _SCHEMAS[kind_of_entity].definition
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in EMULATED_PLUGINS:
        return PLUGIN_SCHEMA.definition
    properties = {**PLUGIN_SCHEMA.definition["properties"], "config": plugin_config_schema(name, gateway)}
    return {**PLUGIN_SCHEMA.definition, "properties": properties}


def plugin_config_schema(plugin: str, gateway: str) -> dict[str, Any]:
    """Return the JSON Schema of the ``config`` of an emulated plugin in a gateway version. Raises ValueError."""
    if plugin not in EMULATED_PLUGINS:
        raise ValueError(f"plugin {plugin!r} is not emulated")
    own = GATEWAY_PLUGINS.get(plugin)
    return (own.schema if own is not None else METERING[plugin].config_schema(gateway)).definition


def url_fields(url: str) -> dict[str, Any]:
    """Return the fields of a Service that its ``url``, a sound one, stands for; ``path`` is None without one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return {
        "protocol": parts.scheme,
        "host": f"[{host}]" if ":" in host else host,
        "port": parts.port or _DEFAULT_PORTS[parts.scheme],
        "path": parts.path or None,
    }


def service_of(fields: dict[str, Any], own_id: str, tags: tuple[str, ...]) -> Service:
    """Return the Service a sound entity declares; ``url`` goes before protocol, host, port and path."""
    given = _picked(fields, "name", "protocol", "host", "path", "enabled")
    for name in ("port", "retries", "connect_timeout", "read_timeout", "write_timeout"):
        if name in fields:
            given[name] = int(fields[name])
    if "url" in fields:
        given |= {name: value for name, value in url_fields(fields["url"]).items() if value is not None}
    return Service(id=own_id, tags=tags, **given)


def route_of(fields: dict[str, Any], own_id: str, tags: tuple[str, ...], service: Service | None) -> Route:
    """Return the Route a sound entity declares."""
    given = _picked(
        fields, "name", "strip_path", "preserve_host", "path_handling", "request_buffering", "response_buffering"
    )
    for name in ("protocols", "methods", "hosts", "paths"):
        if name in fields:
            given[name] = tuple(fields[name])
    for name in ("regex_priority", "https_redirect_status_code"):
        if name in fields:
            given[name] = int(fields[name])
    headers = tuple((name.lower(), tuple(values)) for name, values in fields.get("headers", {}).items())
    return Route(id=own_id, tags=tags, service=service, headers=headers, **given)


def _picked(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _check_service(fields: dict[str, Any]) -> list[Problem]:
    url = fields.get("url")
    if isinstance(url, str) and url:
        if not is_http_url(url):
            hint = (
                "write e.g. http://httpbin.konghq.com/anything; protocols other than http and https are not emulated"
            )
            return [Problem("is not an absolute http(s) URL", ("url",), hint)]
        if "//" in urlsplit(url).path:
            return [Problem("has an empty path segment", ("url",), "write the path without '//'")]
    elif url is None and "host" not in fields:
        return [Problem("required field is missing", ("host",), "give a url, or a host")]
    return []


def _check_route(fields: dict[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    if not any(fields.get(name) for name in ("methods", "hosts", "paths", "headers")):
        hint = "set one of methods, hosts, paths and headers; paths: [/] takes everything"
        problems.append(Problem("matches on nothing", (), hint))
    paths = fields.get("paths")
    for index, path in enumerate(paths if isinstance(paths, list) else ()):
        if isinstance(path, str) and path.startswith("~"):
            try:
                path_regex(path)
            except re.error as error:
                place = "" if error.pos is None else f" at character {error.pos + 1}"
                hint = f"{error.msg}{place}"
                problems.append(Problem("is not a regular expression", ("paths", index), hint))
    headers = fields.get("headers")
    for name, values in (headers if isinstance(headers, dict) else {}).items():
        at: Pointer = ("headers", str(name))
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            problems.append(Problem("is not a header name", at, "use letters, digits, '-' and '_'"))
        elif name.lower() == "host":
            problems.append(Problem("cannot be matched as a header", at, "use hosts"))
        elif not isinstance(values, list) or not values:
            problems.append(Problem(f"expected a list of values, got {kind(values)}", at, "write e.g. [v1, v2]"))
        elif not all(isinstance(value, str) and value for value in values):
            problems.append(Problem("has a value that is not a string with content", at, "put the values in quotes"))
    return problems


def _check_consumer(fields: dict[str, Any]) -> list[Problem]:
    if "username" in fields or "custom_id" in fields:
        return []
    return [Problem("has neither username nor custom_id", (), "give one of them")]


def _check_plugin(data: Any, gateway: str) -> list[Problem]:
    name = data.get("name") if isinstance(data, dict) else None
    if isinstance(name, str) and name in METERING:
        problems = METERING[name].validate(data, gateway)
    else:
        problems = check_entity(data, gateway)
        if isinstance(name, str) and name and name not in EMULATED_PLUGINS:
            problems.append(_unknown_plugin(name))
    if not isinstance(data, dict):
        return problems
    own = GATEWAY_PLUGINS.get(str(name))
    if own is not None and isinstance(data.get("config", {}), dict):
        found = own.schema.check(data.get("config", {}))
        problems += [replace(problem, pointer=("config", *problem.pointer)) for problem in found]
    if own is not None and not own.conditional and data.get("condition") is not None:
        message = f"a condition on {name} is not emulated"
        problems.append(Problem(message, ("condition",), "remove it"))
    wrong = {problem.pointer for problem in problems}
    if data.get("ordering") and ("ordering",) not in wrong:
        hint = "remove it: plugins run in the order of their priorities"
        problems.append(Problem("field 'ordering' is not emulated", ("ordering",), hint))
    return problems


def _unknown_plugin(name: str) -> Problem:
    hint = f"emulated are {', '.join(EMULATED_PLUGINS)}"
    if name in OTHER_PLUGINS:
        return Problem(f"plugin {name!r} is not emulated", ("name",), f"remove it; {hint}")
    near = did_you_mean(name, (*EMULATED_PLUGINS, *OTHER_PLUGINS))
    return Problem(f"unknown plugin {name!r}", ("name",), f"did you mean {near!r}?" if near else hint)
