"""The load plan: what is sent, how fast and for how long, how queues are set, and what goes wrong meanwhile.

A plan is a YAML or JSON file; ``schemas/load-plan.json`` is its form. Every time in it is in seconds, those of faults
and restarts from the beginning of the traffic.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.ingest.faults import FaultScript
from harness.targets.target import Stop
from loadtests.plugins.registry import DEFAULT_PLUGIN, LOADED_PLUGINS
from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, parse_document, read_document
from plugin_emulator.schema_check import Schema

ShapeKind = Literal["steady", "ramp", "spike", "soak", "outage"]
#: The kinds of traffic, in the order in which reports name them.
TrafficKind = Literal["consumer", "tenant", "missing", "ai"]
TRAFFIC_KINDS: tuple[TrafficKind, ...] = ("consumer", "tenant", "missing", "ai")

#: The plan's file in the directory of a run that locust made.
PLAN_FILE = "plan.json"
_SCHEMA = Path(__file__).with_name("schemas") / "load-plan.json"
_DEFAULT_FACTOR = 5.0
_LONGEST_GENTLE_START = 60.0
#: What each kind of shape can be told beside its kind.
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "steady": (),
    "ramp": ("over",),
    "spike": ("at", "for", "factor"),
    "soak": ("over",),
    "outage": ("at", "for"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of a plan's users send at what time.

    ``over``, ``at`` and ``lasts`` are in seconds; see the schema for what each kind makes of them. ``lasts`` is the
    file's ``for``.
    """

    kind: ShapeKind = "steady"
    over: float = 0.0
    at: float = 0.0
    lasts: float = 0.0
    factor: float = 1.0

    def users_at(self, seconds: float, users: int, duration: float) -> int:
        """Return how many of ``users`` send ``seconds`` after the start of a load of ``duration`` seconds."""
        match self.kind:
            case "ramp":
                share = seconds / self.over if self.over else 1.0
            case "soak":
                share = min(seconds, duration - seconds) / self.over if self.over else 1.0
            case "spike":
                share = self.factor if self.at <= seconds < self.at + self.lasts else 1.0
            case _:
                return users
        return max(1, round(users * (share if self.kind == "spike" else min(share, 1.0))))


@dataclass(frozen=True, slots=True)
class IngestFault:
    """The ingest endpoint misbehaves from ``at`` for ``lasts`` seconds; ``fault`` is an entry of a fault script."""

    at: float
    lasts: float
    fault: Any


@dataclass(frozen=True, slots=True)
class Restart:
    """The gateway is restarted ``at`` so many seconds."""

    at: float
    how: Stop = "graceful"


def _default(name: str) -> Any:
    return _schema().definition["properties"][name]["default"]


def _default_weights() -> dict[str, int]:
    kinds = _schema().definition["properties"]["weights"]["properties"]
    return {kind: kinds[kind]["default"] for kind in TRAFFIC_KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One load test. ``rate`` is in requests per second of all ``users`` together, 0 for as fast as it goes.

    While a shape has fewer or more users than ``users``, the rate is lower or higher in proportion: each user keeps
    to ``rate / users``.
    """

    metering: str = DEFAULT_PLUGIN
    rate: float = field(default_factory=lambda: float(_default("rate")))
    duration: float = field(default_factory=lambda: float(_default("duration")))
    users: int = field(default_factory=lambda: int(_default("users")))
    weights: Mapping[str, int] = field(default_factory=_default_weights)
    shape: Shape = field(default_factory=Shape)
    subjects: int = field(default_factory=lambda: int(_default("subjects")))
    seed: int = field(default_factory=lambda: int(_default("seed")))
    paths: tuple[str, ...] = field(default_factory=lambda: tuple(_default("paths")))
    queue: Mapping[str, Any] = field(default_factory=lambda: dict(LOADED_PLUGINS[DEFAULT_PLUGIN].default_queue))
    ingest_faults: tuple[IngestFault, ...] = ()
    restarts: tuple[Restart, ...] = ()
    processes: int = field(default_factory=lambda: int(_default("processes")))
    feed_url: str | None = None

    @classmethod
    def read(cls, path: Path) -> LoadPlan:
        """Read a plan from a YAML or JSON file. Raises InvalidDocument with the line of each mistake."""
        return cls.of(read_document(path))

    @classmethod
    def parse(cls, text: str, file: str | None = None) -> LoadPlan:
        """Read a plan from YAML or JSON text; ``file`` is its name in messages. Raises InvalidDocument."""
        return cls.of(parse_document(text, file))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadPlan:
        """Make a plan of what :meth:`to_json` gave, or of as much of it as differs from the defaults.

        Raises InvalidDocument.
        """
        return cls.of(Document(dict(data), {}))

    @classmethod
    def of(cls, document: Document) -> LoadPlan:
        """Make a plan of a parsed document; an empty one gives the default plan. Raises InvalidDocument."""
        data = {} if document.data is None else document.data
        problems = _schema().check(data) or list(_sense_problems(data))
        if problems:
            raise InvalidDocument([document.located(problem) for problem in problems])
        given = {name: value for name, value in data.items() if value is not None}
        duration = float(given.get("duration", _default("duration")))
        typed: dict[str, Any] = {
            "rate": float(given.get("rate", _default("rate"))),
            "duration": duration,
            "shape": _shape(given.get("shape", {}), duration),
            "weights": {**_default_weights(), **{kind: int(n) for kind, n in given.get("weights", {}).items()}},
            "paths": tuple(given.get("paths", _default("paths"))),
            "ingest_faults": tuple(
                IngestFault(float(entry["at"]), float(entry["for"]), entry["fault"])
                for entry in sorted(given.get("ingest_faults", ()), key=lambda entry: entry["at"])
            ),
            "restarts": tuple(
                Restart(float(entry["at"]), entry.get("how", "graceful"))
                for entry in sorted(given.get("restarts", ()), key=lambda entry: entry["at"])
            ),
        }
        typed |= {name: int(given[name]) for name in ("users", "subjects", "seed", "processes") if name in given}
        typed["metering"] = given.get("metering", DEFAULT_PLUGIN)
        typed["queue"] = given.get("queue", dict(LOADED_PLUGINS[typed["metering"]].default_queue))
        typed |= {"feed_url": given["feed_url"]} if "feed_url" in given else {}
        return cls(**typed)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data, defaults included, in the form of the file."""
        shape: dict[str, Any] = {"kind": self.shape.kind}
        values = {"over": self.shape.over, "at": self.shape.at, "for": self.shape.lasts, "factor": self.shape.factor}
        shape |= {name: values[name] for name in _SETTINGS[self.shape.kind]}
        data: dict[str, Any] = {
            "metering": self.metering,
            "rate": self.rate,
            "duration": self.duration,
            "users": self.users,
            "weights": dict(self.weights),
            "shape": shape,
            "subjects": self.subjects,
            "seed": self.seed,
            "paths": list(self.paths),
            "queue": dict(self.queue),
            "ingest_faults": [{"at": each.at, "for": each.lasts, "fault": each.fault} for each in self.ingest_faults],
            "restarts": [{"at": each.at, "how": each.how} for each in self.restarts],
            "processes": self.processes,
        }
        return data if self.feed_url is None else {**data, "feed_url": self.feed_url}

    def write(self, path: Path) -> None:
        """Write the plan as JSON, to be read by :meth:`read`."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @property
    def rate_per_user(self) -> float:
        """Requests per second of one user; 0: as fast as it goes."""
        return self.rate / self.users

    def users_at(self, seconds: float) -> int:
        """Return how many users send ``seconds`` after the start."""
        return self.shape.users_at(seconds, self.users, self.duration)

    def most_users(self) -> int:
        """Return how many users send at the same time at most."""
        return max(self.users, round(self.users * self.shape.factor)) if self.shape.kind == "spike" else self.users

    def fault_timeline(self) -> tuple[IngestFault, ...]:
        """Return what the ingest endpoint does wrong, in order: the plan's faults and the outage of its shape."""
        faults = list(self.ingest_faults)
        if self.shape.kind == "outage":
            faults.append(IngestFault(self.shape.at, self.shape.lasts, 503))
        return tuple(sorted(faults, key=lambda fault: fault.at))


@functools.cache
def _schema() -> Schema:
    return Schema.read(_SCHEMA)


def _shape(data: Mapping[str, Any], duration: float) -> Shape:
    kind: ShapeKind = data.get("kind", "steady")
    over = duration if kind == "ramp" else min(duration / 10, _LONGEST_GENTLE_START)
    defaults = {"over": over, "at": duration / 3, "for": duration / 3, "factor": _DEFAULT_FACTOR}
    values = {name: float(data.get(name, defaults[name])) for name in _SETTINGS[kind]}
    if "for" in values:
        values["lasts"] = values.pop("for")
    return Shape(kind, **values)


def _sense_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a schema cannot say."""
    weights = {**_default_weights(), **{k: v for k, v in (data.get("weights") or {}).items() if v is not None}}
    plugin = LOADED_PLUGINS[data.get("metering") or DEFAULT_PLUGIN]
    for kind, weight in weights.items():
        if weight and kind not in plugin.kinds:
            hint = f"it bills {', '.join(each for each in TRAFFIC_KINDS if each in plugin.kinds)}"
            yield Problem(f"{plugin.name} has nothing to bill by", ("weights", kind), hint)
    if not any(weights.values()):
        yield Problem("no kind of traffic has a weight", ("weights",), "give one of them a weight above 0")
    duration = data.get("duration") or _default("duration")
    shape = {name: value for name, value in (data.get("shape") or {}).items() if value is not None}
    settings = _SETTINGS[shape.get("kind", "steady")]
    for name in shape:
        if name not in ("kind", *settings):
            hint = f"it takes {', '.join(settings)}" if settings else "it takes no settings"
            yield Problem(f"has no effect on the shape {shape['kind']}", ("shape", name), hint)
    if not set(shape) <= {"kind", *settings}:
        return
    made = _shape(shape, float(duration))
    longest = duration / 2 if made.kind == "soak" else duration
    if "over" in shape and made.over > longest:
        yield Problem(f"is more than {longest:g} seconds", ("shape", "over"), "give less, or a longer duration")
    if made.at + made.lasts > duration:
        yield Problem("ends after the traffic does", ("shape",), "give less for `at` or `for`, or a longer duration")
    for name in ("ingest_faults", "restarts"):
        for index, entry in enumerate(data.get(name) or ()):
            if entry["at"] > duration:
                said = f"second {entry['at']:g} is after the end of the traffic in second {duration:g}"
                yield Problem(said, (name, index, "at"), "give less, or a longer duration")
    yield from _fault_problems(data.get("ingest_faults") or (), made)
    if data.get("queue") is not None:
        yield from plugin.queue_problems(data["queue"])


def _fault_problems(faults: Any, shape: Shape) -> Iterator[Problem]:
    spans: list[tuple[float, float, Pointer]] = []
    at: Pointer
    for index, entry in enumerate(faults):
        at = ("ingest_faults", index)
        spans.append((entry["at"], entry["at"] + entry["for"], at))
        try:
            FaultScript.parse([entry["fault"]])
        except InvalidDocument as error:
            for problem in error.problems:
                yield Problem(problem.message, (*at, "fault", *problem.pointer[1:]), problem.hint)
    if shape.kind == "outage":
        spans.append((shape.at, shape.at + shape.lasts, ("shape",)))
    spans.sort(key=lambda span: span[0])
    for (_, end, first), (begin, _, second) in itertools.pairwise(spans):
        if begin < end:
            at = second if second != ("shape",) else first
            yield Problem("overlaps another fault of the ingest endpoint", at, "move one")
