"""Lint rules on the events: which are made, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

from plugin_emulator.documents import Pointer

from ..config_file import FoundPlugin
from ..entity import Value
from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, Unknown, rule, value_in
from ..lint.scopes import Overlap, overlap

_IDS = "api_id api_package_id api_product_version_id application_id control_plane_id portal_id route_id service_id"
#: What the plugin itself puts in the data of an event, by the meter that makes it (EVT-6, EVT-9).
BUILT_IN_FIELDS = {
    "meter_api_requests": frozenset(
        f"{_IDS} client_ip request_host request_method request_size_bytes request_uri request_user_agent"
        " response_http_status response_size_bytes route_name service_name service_port service_protocol subject_type"
        " upstream_status".split()
    ),
    "meter_ai_token_usage": frozenset(
        f"{_IDS} ai_plugin_id ai_plugin_name api_request_id cache_status http_status model provider subject_type"
        " tokens type".split()
    ),
}


@rule(
    "nothing-metered",
    Severity.ERROR,
    "With both meters off the plugin runs for every request and makes no event.",
    "EVT-8",
    "EVT-10",
)
def nothing_metered(linted: LintedPlugin) -> Iterator[Remark]:
    """Both meters are off."""
    if linted.config is not None and not any(_meters(linted, meter) is not False for meter in BUILT_IN_FIELDS):
        fix = "turn one on, or write enabled: false if the plugin is not to run"
        yield Remark("neither API requests nor AI tokens are metered", fix, ("config", "meter_api_requests"))


@rule(
    "attribute-name-twice",
    Severity.WARNING,
    "An event's data has one value for each name, so of two attributes with one name at most one arrives.",
    "ATR-1",
    "CFG-6",
)
def name_twice(linted: LintedPlugin) -> Iterator[Remark]:
    """Two attributes have one ``event_property_name``."""
    first: dict[str, int] = {}
    for index in linted.items("attributes"):
        name = linted.text("attributes", index, "event_property_name")
        if name and first.setdefault(name, index) != index:
            message = f"attribute {first[name]} has this event_property_name already"
            yield Remark(message, "give each attribute a name of its own", _attribute(index, "event_property_name"))


@rule(
    "attribute-name-built-in",
    Severity.WARNING,
    "A built-in field wins over an attribute of its name; where the field is absent, what a client wrote in a header"
    " passes for it.",
    "ATR-4",
    "EVT-6",
    "EVT-9",
)
def name_built_in(linted: LintedPlugin) -> Iterator[Remark]:
    """An attribute has the name of a field that the plugin itself fills in, in an event of a meter that is on."""
    if linted.config is None:
        return
    taken = {
        name for meter, names in BUILT_IN_FIELDS.items() if _meters(linted, meter) is not False for name in names
    }
    for index in linted.items("attributes"):
        name = linted.text("attributes", index, "event_property_name")
        if name in taken:
            message = f"{name} is a field that the plugin fills in itself"
            fix = f"choose another name, e.g. custom_{name}"
            yield Remark(message, fix, _attribute(index, "event_property_name"))


@rule(
    "attribute-source-path",
    Severity.ERROR,
    "The vendor's pages name the path as a source of attributes, the schema of every gateway version refuses it.",
    "CFG-6",
)
def source_path(linted: LintedPlugin) -> Iterator[Remark]:
    """``source: path``."""
    for index in linted.items("attributes"):
        if linted.text("attributes", index, "source") == "path":
            message = "no gateway takes path as a source"
            fix = "write header or query; the path is in the event as request_uri"
            yield Remark(message, fix, _attribute(index, "source"))


@rule(
    "ai-statistics-not-logged",
    Severity.WARNING,
    "Token counts come from the statistics that the AI Proxy logs; without them AI requests make no token events.",
    "EVT-9",
    "EVT-12",
)
def statistics_not_logged(linted: LintedPlugin) -> Iterator[Remark]:
    """AI tokens are metered, and an AI Proxy beside the plugin has ``logging.log_statistics`` off (the default)."""
    if linted.config is None or not linted.runs or _meters(linted, "meter_ai_token_usage") is not True:
        return
    running = linted.surroundings.running
    for other in (*running.get("ai-proxy", ()), *running.get("ai-proxy-advanced", ())):
        if overlap(linted.scope, other.scope) in (Overlap.YES, Overlap.ROUTE_IN_SERVICE):
            for at in _silent(other.plugin):
                message = "log_statistics is off: the metering plugin sees no token counts of these requests"
                fix = "set logging.log_statistics: true"
                yield Remark(message, fix, (*at, "logging", "log_statistics"), plugin=other.plugin)


def _silent(plugin: FoundPlugin) -> Iterator[Pointer]:
    """Yield the places in an AI Proxy whose ``logging`` does not log statistics."""
    config: Pointer = ("config",)
    if plugin.name == "ai-proxy":
        places: list[Pointer] = [config]
    elif plugin.name == "ai-proxy-advanced":
        targets = _value_or_none(plugin, (*config, "targets"))
        places = [(*config, "targets", index) for index in range(len(targets) if isinstance(targets, list) else 0)]
    else:
        return
    for at in places:
        if not isinstance(_value_or_none(plugin, at), dict):
            continue
        try:
            value = value_in(plugin, *at, "logging", "log_statistics")
        except Unknown:
            continue
        if value is None or value is False:
            yield at


def _value_or_none(plugin: FoundPlugin, at: Pointer) -> Value:
    try:
        return value_in(plugin, *at)
    except Unknown:
        return None


def _meters(linted: LintedPlugin, meter: str) -> bool | None:
    """Return whether ``meter`` is on, as it is unless turned off; None when it is not known."""
    return linted.flag(True, meter)


def _attribute(index: int, name: str) -> Pointer:
    return ("config", "attributes", index, name)


RULES = (nothing_metered, name_twice, name_built_in, source_path, statistics_not_logged)
