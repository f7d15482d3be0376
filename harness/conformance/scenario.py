"""Scenario files: one behaviour each, read and checked against the format's JSON Schema.

The file's own words are kept: a ``Scenario`` holds the parsed mapping's parts as plain data, so that what a report
shows is what the author wrote.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from harness.conformance.arrival_form import ArrivalForm
from harness.conformance.profiles import Profile, default_plugin, metering_plugins, profiles
from harness.conformance.rules import DEFAULT_PROFILE, catalogue
from harness.conformance.scenario_words import own_keys, said_of_events, whole_schedule, word_of_events, words_of
from harness.targets.target import Stop
from plugin_emulator.documents import (
    Document,
    InvalidDocument,
    Pointer,
    Problem,
    did_you_mean,
    parse_document,
    read_document,
)

Kind = Literal["traffic", "exchanges", "simulate", "configuration", "advice"]

SUFFIXES = (".yaml", ".yml")
DEFAULT_PATIENCE = 15.0
MAIN_LANE = "main"

_SCHEMA = Path(__file__).with_name("schemas") / "scenario.schema.json"
_KINDS: tuple[Literal["traffic", "exchanges", "simulate"], ...] = ("traffic", "exchanges", "simulate")


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of ``traffic``: a request (perhaps repeated), a wait, or something that is done to the gateway.

    ``pause``, ``every`` and ``freeze`` are in seconds. ``headers`` keeps order and repetition.
    """

    id: str
    method: str = "GET"
    path: str | None = None
    query: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    repeat: int = 1
    concurrency: int = 1
    pause: float = 0.0
    every: float = 0.0
    response: Mapping[str, Any] = field(default_factory=dict)
    wait_for: Mapping[str, int] | None = None
    reconfigure: tuple[Mapping[str, Any], ...] | None = None
    restart: Stop | None = None
    freeze: float | None = None

    @property
    def of_the_gateway(self) -> bool:
        """Whether something is done to the gateway: it is configured anew, restarted or frozen."""
        return any(one is not None for one in (self.reconfigure, self.restart, self.freeze))

    @property
    def target(self) -> str:
        """Path with query, as it stands in the request line."""
        return f"{self.path}?{self.query}" if self.query is not None else str(self.path)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One behaviour, the rules it shows, and what must come of it."""

    id: str
    title: str
    rules: tuple[str, ...]
    profiles: tuple[str, ...]
    kind: Kind
    file: str
    expect: Mapping[str, Any]
    description: str = ""
    auth: str | None = None
    gateway: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[Mapping[str, Any], ...] = ()
    lanes: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    exchanges: tuple[Mapping[str, Any], ...] = ()
    schedule: Mapping[str, Any] | None = None
    plugin_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The directory the file stands in."""
        return Path(self.file).parent.name

    @property
    def profile(self) -> Profile:
        """The newest of its profiles, all of which are one plugin's."""
        return _profile(self.profiles)

    @property
    def form(self) -> ArrivalForm:
        """The form of what arrives at the ingest endpoint."""
        return self.profile.form

    @property
    def patience(self) -> float:
        """Seconds to wait for what is expected before it counts as missing."""
        return float(self.expect.get("within", DEFAULT_PATIENCE))


def read_scenario(path: Path) -> Scenario:
    """Read one scenario file. Raises InvalidDocument with a problem for each mistake, file and line included."""
    return _scenario(read_document(path))


def parse_scenario(text: str, file: str = "scenario.yaml") -> Scenario:
    """Read a scenario from ``text``; ``file`` is the name used in messages. Raises InvalidDocument."""
    return _scenario(parse_document(text, file))


def scenario_files(paths: Iterable[Path]) -> list[Path]:
    """Return the scenario files among ``paths``, directories searched at any depth, sorted within each.

    Raises InvalidDocument when a path is not there or a directory has none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            if not inside:
                raise InvalidDocument([Problem("holds no scenario file (*.yaml)", file=str(path))])
            found.extend(inside)
        elif path.is_file():
            found.append(path)
        else:
            raise InvalidDocument([Problem("does not exist", (), "give a scenario file or directory", str(path))])
    return list(dict.fromkeys(found))


def read_scenarios(paths: Iterable[Path]) -> list[Scenario]:
    """Read all scenario files under ``paths``. Raises InvalidDocument with the problems of all of them."""
    scenarios: list[Scenario] = []
    problems: list[Problem] = []
    for path in scenario_files(paths):
        try:
            scenarios.append(read_scenario(path))
        except InvalidDocument as error:
            problems.extend(error.problems)
    files: dict[str, str] = {}
    for scenario in scenarios:
        if scenario.id in files:
            problems.append(Problem(f"id {scenario.id!r} is also the id of {files[scenario.id]}", file=scenario.file))
        files.setdefault(scenario.id, scenario.file)
    if problems:
        raise InvalidDocument(problems)
    return scenarios


@functools.cache
def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of the scenario format."""
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    assert isinstance(schema, dict)
    return schema


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(scenario_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def _scenario(document: Document) -> Scenario:
    problems = [*_schema_problems(document)]
    if not problems:
        problems = [*_sense_problems(document.data)]
    if problems:
        raise InvalidDocument([document.located(problem) for problem in dict.fromkeys(problems)])
    data = document.data
    rules = tuple(data["rules"])
    given = next((key for key in _KINDS if key in data), None)
    expect = said_of_events(data["expect"])
    lanes = {MAIN_LANE: tuple(data.get("ingest", ()))}
    lanes.update({name: tuple(script) for name, script in data.get("lanes", {}).items()})
    return Scenario(
        id=data["id"],
        title=data["title"],
        description=data.get("description", ""),
        rules=rules,
        profiles=_profiles(data),
        kind=given or ("advice" if "advice" in expect else "configuration"),
        file=document.file or "scenario.yaml",
        expect=expect,
        auth=data.get("auth"),
        gateway=data.get("gateway", {}),
        plugins=tuple(data.get("plugins", ())) + ((data["plugin"],) if "plugin" in data else ()),
        lanes=lanes,
        steps=tuple(_step(entry, index) for index, entry in enumerate(data.get("traffic", ()))),
        exchanges=tuple(data.get("exchanges", ())),
        schedule=whole_schedule(data["simulate"]) if "simulate" in data else None,
        plugin_options=data.get("plugin_options", {}),
    )


def _profiles(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the profiles that a scenario names, or else all that have each of its rules."""
    rules = [catalogue()[rule] for rule in data["rules"]]
    return tuple(data.get("profiles") or [name for name in profiles() if all(name in one.profiles for one in rules)])


def _profile(names: Sequence[str]) -> Profile:
    return profiles()[names[-1] if names else DEFAULT_PROFILE]


def _step(entry: Mapping[str, Any], index: int) -> Step:
    headers: list[tuple[str, str]] = []
    for name, value in entry.get("headers", {}).items():
        headers.extend((name, one) for one in (value if isinstance(value, list) else [value]))
    plugins = entry.get("reconfigure")
    return Step(
        id=entry.get("id", f"step-{index + 1}"),
        method=entry.get("method", "GET"),
        path=entry.get("path"),
        query=entry.get("query"),
        headers=tuple(headers),
        body=entry.get("body"),
        repeat=entry.get("repeat", 1),
        concurrency=entry.get("concurrency", 1),
        pause=entry.get("pause", 0.0),
        response=entry.get("response", {}),
        wait_for=own_keys(entry["wait_for"]) if "wait_for" in entry else None,
        reconfigure=None if plugins is None else tuple(plugins),
        every=entry.get("every", 0.0),
        restart=entry.get("restart"),
        freeze=entry.get("freeze"),
    )


def _schema_problems(document: Document) -> Iterator[Problem]:
    if not isinstance(document.data, dict):
        yield Problem("is not a scenario: a mapping with id, title, rules and expect is needed")
        return
    errors = _validator().iter_errors(document.data)
    for error in sorted(errors, key=lambda error: list(map(str, error.absolute_path))):
        yield from _schema_problem(error)


def _schema_problem(error: ValidationError) -> Iterator[Problem]:
    at: Pointer = tuple(error.absolute_path)
    instance: Any = error.instance
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(instance, dict):
        known = list(schema.get("properties", {}))
        for key in instance:
            if key not in known:
                near = did_you_mean(str(key), known)
                hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}"
                yield Problem(f"unknown key {key!r}", (*at, key), hint)
    elif error.validator == "required":
        wanted: Any = error.validator_value
        missing = [key for key in wanted if key not in instance]
        yield Problem(f"{', '.join(map(repr, missing))} is missing", at)
    elif schema == {"not": {}}:
        yield Problem(f"{at[-1]!r} does not go with this kind of scenario", at)
    elif error.validator == "oneOf" and "path" not in instance:
        yield Problem("is neither a request (path), nor wait_for, reconfigure, restart or freeze", at)
    else:
        yield Problem(error.message, at)


def _sense_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a schema cannot say: names that refer to nothing."""
    unknown = [*_unknown_names(data)]
    if unknown:
        yield from unknown
        return
    form = _profile(_profiles(data)).form
    yield from _form_problems(data, form)
    given = [key for key in _KINDS if key in data]
    expect = said_of_events(data["expect"])
    if len(given) > 1:
        yield Problem(f"{' and '.join(given)} cannot stand together", (given[1],), "split the scenario")
    if given and "advice" in expect:
        yield Problem("advice is on a configuration alone", ("expect", "advice"), f"remove {given[0]}")
    if not given and "refused" not in expect and "advice" not in expect:
        yield Problem("nothing is driven", (), "add traffic, exchanges or simulate")
    requests = {entry.get("id", f"step-{n}") for n, entry in enumerate(data.get("traffic", ()), 1) if "path" in entry}
    requests |= {entry["id"] for entry in data.get("exchanges", ())}
    lanes = {MAIN_LANE, *data.get("lanes", {})}
    names = {event["name"] for event in expect.get("events", ()) if "name" in event}
    references: list[tuple[Pointer, str, set[str], str]] = [
        (("expect", "dropped", index), name, requests, "request")
        for index, name in enumerate(expect.get("dropped", ()))
    ]
    described: list[tuple[Pointer, Mapping[str, Any]]] = [
        (("expect", place, index), entry)
        for place, entries in data["expect"].items()
        if word_of_events(place) in ("events", "deliveries")
        for index, entry in enumerate(entries)
    ]
    if "first_delivery" in expect:
        described.append((("expect", "first_delivery"), expect["first_delivery"]))
    for at, entry in described:
        references.append(((*at, "lane"), entry.get("lane", MAIN_LANE), lanes, "lane"))
        if "of" in entry:
            references.append(((*at, "of"), entry["of"], requests, "request"))
        if "after_request" in entry:
            references.append(((*at, "after_request", "of"), entry["after_request"]["of"], requests, "request"))
        for key, value in {**entry, **entry.get(form.fields, {})}.items():
            if isinstance(value, dict) and "same_as" in value:
                references.append(((*at, key), value["same_as"].partition(".")[0], names, "expected event"))
            if isinstance(value, dict) and "request.start" in value.get("between", ()) and "of" not in entry:
                yield Problem("needs `of`, the id of the request whose start and end are meant", (*at, key))
    for index, plugin in enumerate(data.get("plugins", ())):
        references.append((("plugins", index, "lane"), plugin.get("lane", MAIN_LANE), lanes, "lane"))
    plugins = {profile.plugin for profile in profiles().values()}
    references += [
        (("plugin_options", plugin), plugin, plugins, "metering plugin") for plugin in data.get("plugin_options", {})
    ]
    for pointer, name, known, what in references:
        if name not in known:
            near = did_you_mean(name, known)
            yield Problem(f"no {what} is called {name!r}", pointer, f"did you mean {near!r}?" if near else None)


def _unknown_names(data: Mapping[str, Any]) -> Iterator[Problem]:
    for key, known, what in (("rules", catalogue(), "rule"), ("profiles", profiles(), "profile")):
        for index, name in enumerate(data.get(key, ())):
            if name not in known:
                near = did_you_mean(name, known)
                hint = f"did you mean {near}?" if near else None
                yield Problem(f"no {what} is called {name!r}", (key, index), hint)


def _form_problems(data: Mapping[str, Any], form: ArrivalForm) -> Iterator[Problem]:
    """Yield what is said of another plugin than the one whose rules are named."""
    names = _profiles(data)
    if not names:
        yield Problem("no profile has all of these rules", ("rules",), "split the scenario")
    if len({profiles()[name].plugin for name in names}) > 1:
        yield Problem("are profiles of several plugins", ("profiles",), "write a scenario for each plugin")
    said: list[tuple[Pointer, Iterable[str]]] = [(("expect",), data["expect"])]
    for place, entries in data["expect"].items():
        if place == "deliveries":
            said += [(("expect", place, index), entry) for index, entry in enumerate(entries)]
    said += [
        (("traffic", index, "wait_for"), step["wait_for"])
        for index, step in enumerate(data.get("traffic", ()))
        if "wait_for" in step
    ]
    for at, words in said:
        for word in words:
            own = words_of(form, word)
            if own != word:
                yield Problem(f"what arrives are {form.noun}s", (*at, word), f"write {own}")
    if "simulate" in data:
        plugin = data["simulate"].get("plugin", default_plugin())
        if plugin not in metering_plugins() or metering_plugins()[plugin].form is not form:
            yield Problem("is not the plugin whose rules these are", ("simulate",), "give it a fitting `plugin`")
