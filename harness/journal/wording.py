"""How instances, endpoints and times are called in explanations."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

from plugin_emulator.http_url import NO_URL
from plugin_emulator.journal import Instance, SubjectReading, Tried

#: Characters of an id that are enough to tell requests apart; of fewer it is not looked for.
SHORT_ID = 8
_NONE_CONFIGURED = "the configured token is empty; if it is a reference, set what it names before the gateway starts"
_REGION = re.compile(r"https://([a-z]+)\.api\.konghq\.com(/|$)")


def seconds(duration: float) -> str:
    """Return a duration, given in seconds, in a unit that suits it."""
    if duration < 1:
        return f"{max(duration, 0) * 1000:.0f} ms"
    return f"{duration:.1f} s" if duration < 120 else f"{duration / 60:.1f} min"


def clock(at: float) -> str:
    """Return a time, in seconds since the epoch, as the local time of day."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]


def printable(text: str) -> str:
    """Return ``text`` fit for a terminal: control and bidi characters, which a client may send, are escaped."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)  # as JSON has it, where it can
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def short_id(request: str) -> str:
    """Return the beginning of a request's id, by which it can be asked for."""
    return request[:SHORT_ID]


def instance_name(instance: Instance) -> str:
    """Return plugin and name, or id, of an instance."""
    return f"{instance.plugin} plugin {instance.instance_name or instance.id}"


def scope_of(instance: Instance) -> str:
    """Return the scope of an instance: ``global``, or the entities it is on."""
    entities = (("Route", instance.route), ("Service", instance.service), ("Consumer", instance.consumer))
    parts = [f"{kind} {entity.name or entity.id!r}" for kind, entity in entities if entity is not None]
    return f"on {', '.join(parts)}" if parts else "global"


def subject_place(subject: SubjectReading) -> str:
    """Return where a subject stands: ``header 'x-tenant-id'``."""
    kind = {"header": "header", "query": "query parameter"}.get(subject.look_up_value_in)
    if kind is not None:
        return f"{kind} {subject.field!r}"
    return f"{subject.look_up_value_in}'s {subject.field}" if subject.field else f"{subject.look_up_value_in}"


def endpoint_of(instance: Instance | None) -> str:
    """Return the ingest endpoint of an instance: its URL, or the instance where the settings have none."""
    url = _url_of(instance)
    if url or instance is None:
        return f"the ingest endpoint {url}".rstrip()
    return f"the ingest endpoint of {instance_name(instance)}"


def _url_of(instance: Instance | None) -> str:
    return str(instance.settings.get("ingest_endpoint") or "") if instance is not None else ""


def endpoint_trouble(tried: Tried, instance: Instance | None) -> str:
    """Return what went wrong in a failed try, and for an answer that tells of the configuration what it means."""
    trouble = f"{endpoint_of(instance)} {tried.problem}"
    if tried.problem == NO_URL:
        return f"{trouble}: {_no_url(instance)}"
    meaning = _MEANINGS.get(tried.status or 0)
    return trouble if meaning is None else f"{trouble}: {meaning(instance)}"


def _no_url(instance: Instance | None) -> str:
    if instance is None or "ingest_endpoint" in instance.settings:
        return "set ingest_endpoint in its config"
    from plugin_emulator.metering_plugins import BY_NAME  # only here: it loads every plugin

    # Options go by a plugin's first name.
    plugin = BY_NAME[instance.plugin].names[0] if instance.plugin in BY_NAME else instance.plugin
    return f"an emulated {plugin} plugin sends nothing without --plugin-option {plugin}.endpoint=URL"


def _unknown_token(instance: Instance | None) -> str:
    if instance is not None and instance.without_token:
        return _NONE_CONFIGURED
    region = _REGION.match(_url_of(instance))
    who = f"region {region[1]}" if region else "it"
    return f"{who} does not know the token, which is of another region or organisation, or expired"


def _forbidden(instance: Instance | None) -> str:
    if instance is not None and instance.without_token:
        return _NONE_CONFIGURED
    return "it takes no events with this token, which is of another region or organisation, or lacks the role for it"


def _no_such_path(instance: Instance | None) -> str:
    url = _url_of(instance)
    ending = "/ingest" if instance is not None and "ingest_endpoint" not in instance.settings else "/events"
    there = f": its path is {urlsplit(url).path or '/'}" if url else ""
    return f"no such path there{there}; that of an ingest endpoint ends in {ending}"


#: By status: what a refusal says of the configuration.
_MEANINGS = {401: _unknown_token, 403: _forbidden, 404: _no_such_path}
