"""What a load test has to know of a metering plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.targets.target import PluginOptions
from loadtests.expectations import ExpectedEvent
from plugin_emulator.documents import Problem


@dataclass(frozen=True, slots=True)
class EntryForm:
    """Where an event or a record has what the account needs.

    ``members`` is the member that holds what came from the request, its number among it; ``id`` that with the id.
    ``envelope`` returns type, subject and source and raises KeyError where one is missing; ``names`` are their
    members. ``time`` returns its own time in epoch seconds, None when it has none that can be read; ``times``
    returns those of many, with NaN for None.
    """

    members: str
    id: str
    names: tuple[str, str, str]
    envelope: Callable[[Any], tuple[Any, Any, Any]]
    time: Callable[[Any], float | None]
    times: Callable[[Sequence[Any]], list[float]]


@dataclass(frozen=True, slots=True)
class MeteredRequest:
    """What is known of a request before it is sent: ``path`` without the query, Route and Service by name and id."""

    method: str
    path: str
    route: str
    route_id: str
    service: str
    service_id: str


class LoadedPlugin(Protocol):
    """One metering plugin.

    ``api`` is the profile of the ingest lane, ``endpoint_path`` what follows the lane in its URL. ``kinds`` are the
    kinds of traffic that it can bill, ``default_queue`` a plan's ``queue`` unless it has one. ``any_answer``: what
    the upstream answers does not matter to what is billed.
    """

    name: str
    form: EntryForm
    api: str
    endpoint_path: str
    kinds: frozenset[str]
    default_queue: Mapping[str, Any]
    any_answer: bool

    def queue_problems(self, queue: Any) -> list[Problem]:
        """Return what is wrong in a plan's ``queue``; pointers are relative to the plan."""

    def config(
        self, queue: Mapping[str, Any], subject_header: str | None, endpoint: str, token: str, *, ai: bool
    ) -> dict[str, Any]:
        """Return the plugin's ``config``: billed to the Consumer, or to what ``subject_header`` names."""

    def options(self, endpoint: str) -> PluginOptions:
        """Return what a gateway has to be started with for its events to reach ``endpoint``; empty when nothing."""

    def request_event(self, subject: str, request: MeteredRequest) -> ExpectedEvent:
        """Return the event or record that a request must give."""
