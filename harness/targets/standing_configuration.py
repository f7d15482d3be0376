"""The one configuration of a gateway that only its owner can configure: written, read back, and its ingest lane."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml

from harness.conformance.arrival_form import ArrivalForm
from harness.targets.target import NotApplicableError
from plugin_emulator.documents import InvalidDocument, Problem, read_document

#: The one lane of the fake ingest endpoint that the configuration names.
LANE = "standing"


class Endpoint(Protocol):
    """What a standing lane needs of an ingest endpoint."""

    def open_lane(self, lane: str, token: str, script: Sequence[Mapping[str, Any]], form: ArrivalForm) -> str: ...

    def untrusted_url(self, lane: str) -> str: ...

    def deliveries(self, lane: str, after: int, wait: float) -> list[Any]: ...

    def close_lane(self, lane: str) -> None: ...


@dataclass(frozen=True, slots=True)
class StandingConfiguration:
    """What the gateway was asked to be configured with, and the ``token`` that it sends."""

    state: Mapping[str, Any] = field(repr=False)
    token: str = field(repr=False)


def new_token() -> str:
    """Return a bearer token for the standing lane."""
    return secrets.token_urlsafe(24)


def write_configuration(file: Path, state: Mapping[str, Any]) -> None:
    """Write a declarative configuration for its owner alone: it holds a token. Raises OSError."""
    file.touch(0o600, exist_ok=False)
    file.write_text(yaml.safe_dump(dict(state), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_configuration(file: Path, ingest_port: int) -> StandingConfiguration:
    """Read what ``write_configuration`` wrote. Raises InvalidDocument."""
    document = read_document(file)
    plugins = document.data.get("plugins") if isinstance(document.data, dict) else None
    for index, plugin in enumerate(plugins if isinstance(plugins, list) else ()):
        config = plugin.get("config") if isinstance(plugin, dict) else None
        if not isinstance(config, dict) or "ingest_endpoint" not in config:
            continue
        place = urlsplit(str(config["ingest_endpoint"]))
        pointer = ("plugins", index, "config", "ingest_endpoint")
        if f"/lane/{LANE}/" not in place.path:
            raise InvalidDocument([document.located(Problem("does not lead to the fake ingest endpoint", pointer))])
        if place.port != ingest_port:
            hint = f"give --ingest-port {place.port}, or remove the file to have another one written"
            raise InvalidDocument(
                [document.located(Problem(f"leads to port {place.port}, not {ingest_port}", pointer, hint))]
            )
        return StandingConfiguration(document.data, str(config.get("api_token", "")))
    hint = "remove the file to have another one written"
    raise InvalidDocument([Problem("holds no metering plugin with an ingest endpoint", (), hint, str(file))])


class StandingLane:
    """An ingest endpoint of one lane, with the token that the gateway was configured with: a scenario at a time."""

    def __init__(self, endpoint: Endpoint, token: str) -> None:
        self._endpoint = endpoint
        self._token = token
        self._opened: str | None = None

    def open_lane(self, lane: str, token: str, script: Sequence[Mapping[str, Any]], form: ArrivalForm) -> str:
        """Make the lane behave as ``script`` says. Raises NotApplicableError for a second one."""
        if self._opened not in (None, lane):
            raise NotApplicableError("needs several ingest lanes, and the gateway stands with one")
        self._opened = lane
        return self._endpoint.open_lane(LANE, self._token, script, form)

    def untrusted_url(self, lane: str) -> str:
        """Return the lane's URL over TLS with a certificate that no client trusts."""
        return self._endpoint.untrusted_url(LANE)

    def deliveries(self, lane: str, after: int, wait: float) -> list[Any]:
        """Return the lane's deliveries but the first ``after``."""
        return self._endpoint.deliveries(LANE, after, wait)

    def close_lane(self, lane: str) -> None:
        """Forget the lane."""
        if self._opened == lane:
            self._endpoint.close_lane(LANE)
            self._opened = None
