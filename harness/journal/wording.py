"""How instances, endpoints and times are called in explanations."""

from __future__ import annotations

import re
from datetime import datetime

from plugin_emulator.journal import Instance, SubjectReading, Tried

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
    """Return ``text`` fit for a terminal: what a client sent may hold control characters."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)


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
    """Return the ingest endpoint of an instance."""
    url = instance.settings.get("ingest_endpoint") if instance is not None else None
    return f"the ingest endpoint {url}" if url else "the ingest endpoint"


def endpoint_trouble(tried: Tried, instance: Instance | None) -> str:
    """Return what went wrong in a failed try, and for a refused token what that means."""
    trouble = f"{endpoint_of(instance)} {tried.problem}"
    if tried.status not in (401, 403):
        return trouble
    url = str(instance.settings.get("ingest_endpoint") or "") if instance is not None else ""
    region = _REGION.match(url)
    who = f"region {region[1]}" if region else "it"
    return f"{trouble}: {who} does not know the token, which is of another region or organisation, or expired"
