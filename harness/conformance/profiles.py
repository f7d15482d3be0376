"""The profiles: what a run can be judged by."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.conformance.arrival_form import FORMS, ArrivalForm
from plugin_emulator.documents import read_document

_CATALOGUE = Path(__file__).with_name("profiles.yaml")


@dataclass(frozen=True, slots=True)
class Profile:
    """One metering plugin in one gateway.

    ``gateway`` is the version that the emulator plays, such as ``3.16``; ``plugin`` says whose rules hold, ``names``
    what it is called in a gateway's configuration; ``form`` is that of what reaches the ingest endpoint.
    ``endpoint_option`` leads the plugin to an ingest endpoint where its configuration cannot (AMB-13).
    """

    name: str
    gateway: str
    plugin: str
    names: tuple[str, ...]
    form: ArrivalForm
    endpoint_option: str | None = None


@functools.cache
def profiles() -> Mapping[str, Profile]:
    """Return every profile by its name, in the order of the catalogue."""
    return {name: _profile(name, entry) for name, entry in read_document(_CATALOGUE).data.items()}


def of_plugin(plugin: str) -> tuple[str, ...]:
    """Return the names of a plugin's profiles, the oldest gateway first."""
    return tuple(profile.name for profile in profiles().values() if profile.plugin == plugin)


@functools.cache
def metering_plugins() -> Mapping[str, Profile]:
    """Return by each name that a metering plugin is configured under the newest of its profiles."""
    return {name: profile for profile in profiles().values() for name in profile.names}


def default_plugin() -> str:
    """Return the plugin that is meant where none is named."""
    return next(iter(profiles().values())).plugin


def _profile(name: str, entry: Mapping[str, Any]) -> Profile:
    form = FORMS[entry["arrivals"]]
    return Profile(name, entry["gateway"], entry["plugin"], tuple(entry["names"]), form, entry.get("endpoint"))
