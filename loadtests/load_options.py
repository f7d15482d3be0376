"""The load plan that the command line asks for: a plan file's, with the options over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from loadtests import fault_timeline
from loadtests.plan import TRAFFIC_KINDS, LoadPlan
from loadtests.plugins.registry import DEFAULT_PLUGIN, LOADED_PLUGINS
from plugin_emulator.documents import Document, did_you_mean, read_document

_T = TypeVar("_T")


def load_plan(
    file: Path | None,
    values: Mapping[str, Any],
    *,
    shape: str | None,
    mix: str | None,
    queue: Iterable[str],
    faults: Mapping[str, Iterable[str]],
    restarts: Iterable[str],
) -> LoadPlan:
    """Return the plan of ``file`` (None: the default one) changed by the options.

    ``values`` are those that the plan has under the same name, None where not given; ``faults`` are the texts given
    for each option of ``fault_timeline``. Faults and restarts are added to the file's. Raises InvalidDocument, and
    click.UsageError for an option that cannot be read.
    """
    document = Document({}, {}) if file is None else read_document(file)
    LoadPlan.of(document)  # what is wrong in the file is told with its line
    data = dict(document.data or {})
    data.update({name: value for name, value in values.items() if value is not None})
    if shape is not None:
        data["shape"] = {"kind": shape}
    if mix is not None:
        data["weights"] = _read("--mix", weights, mix)
    settings = dict(_read("--queue", setting, pair) for pair in queue)
    if settings:
        plugin = LOADED_PLUGINS[data.get("metering") or DEFAULT_PLUGIN]
        data["queue"] = {**(data.get("queue") or plugin.default_queue), **settings}
    added = [
        _read(f"--{name.replace('_', '-')}", fault_timeline.INGEST_FAULTS[name], text)
        for name, texts in faults.items()
        for text in texts
    ]
    data["ingest_faults"] = [*(data.get("ingest_faults") or ()), *added]
    data["restarts"] = [
        *(data.get("restarts") or ()),
        *(_read("--gateway-restart", fault_timeline.restart, text) for text in restarts),
    ]
    return LoadPlan.from_json(data)


def weights(text: str) -> dict[str, int]:
    """Return the weights of ``consumer=6,tenant=3``; what is not named has none. Raises ValueError."""
    found = dict.fromkeys(TRAFFIC_KINDS, 0)
    for part in text.split(","):
        name, equals, number = (each.strip() for each in part.partition("="))
        if name not in found:
            near = did_you_mean(name, TRAFFIC_KINDS)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(TRAFFIC_KINDS)}"
            raise ValueError(f"no kind of traffic is called {name!r}; {hint}")
        if not equals or not (number.isascii() and number.isdigit()):
            raise ValueError(f"{part.strip()!r}: write a whole number, e.g. {name}=3")
        found[name] = int(number)
    return {str(kind): weight for kind, weight in found.items()}


def setting(pair: str) -> tuple[str, Any]:
    """Return name and value of a queue's parameter, ``max_batch_size=100``. Raises ValueError."""
    name, equals, text = pair.partition("=")
    if not equals:
        raise ValueError(f"{pair!r}: write NAME=VALUE, e.g. max_batch_size=100")
    return name.strip().removeprefix("queue."), _number(text.strip())


def _number(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return None if text in ("", "none", "null") else text


def _read(option: str, reader: Callable[[str], _T], text: str) -> _T:
    try:
        return reader(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None
