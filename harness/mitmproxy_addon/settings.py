"""The addon's options: mitmproxy's words for what ``kong-metering ingest`` takes on its command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mitmproxy import exceptions
from mitmproxy.addonmanager import Loader

from harness.capture.size import size_in_bytes
from harness.capture.store import LEAST_LIMIT
from harness.ingest.apis import APIS, DEFAULT
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.seen_entries import DEFAULT_REMEMBERED
from harness.ingest.upstream import Upstream, UpstreamError
from plugin_emulator.documents import InvalidDocument


def add_options(loader: Loader) -> None:
    """Add the options, each with its help."""
    add = loader.add_option
    add("metering_profile", str, DEFAULT.name, "Whose ingest API to be.", list(APIS))
    add("metering_token_env", str, "", "Take only the bearer token or API key in this environment variable.")
    add("metering_capture", str, "ingest.capture", "File that gets every request, added to.")
    add(
        "metering_capture_limit",
        str,
        "",
        "Largest size of that file, e.g. 2GB. When it is reached, requests are answered 503.",
    )
    add("metering_keep", int, 500, "Most flows in the view; older ones are removed from it, not from the capture.")
    add("metering_remember", int, DEFAULT_REMEMBERED, "Events known again as duplicates, at least; 100 bytes each.")
    add("metering_faults", str, "", "Fault script: a YAML or JSON file, or the script itself: '[503, 202]'.")
    add("metering_path_suffix", str, "", "What a path must end in; empty: the profile's.")
    add("metering_lenient", bool, False, "Refuse only what the real API refuses; report the rest.")
    add("metering_thorough", bool, False, "Ask every validator about every entry: slower.")
    add("metering_relay", str, "", "Pass requests on to the real endpoint, e.g. https://us.api.konghq.com.")
    add("metering_relay_ca", str, "", "File with the CAs that the real endpoint is trusted by; empty: the system's.")
    add(
        "metering_hosts",
        Sequence[str],
        [],
        "Hosts whose requests are taken when mitmproxy is a forward proxy; empty: the profile's. "
        "In reverse mode every request is.",
    )


def ingest_settings(options: Any) -> IngestSettings:
    """Return the endpoint's settings. Raises OptionsError."""
    profile = options.metering_profile
    if profile not in APIS:  # mitmproxy's choices are advice
        raise exceptions.OptionsError(f"metering_profile: {profile!r} is none of {', '.join(APIS)}")
    if options.metering_remember < 1:
        raise exceptions.OptionsError("metering_remember: must be at least 1")
    tokens = frozenset({_token(options.metering_token_env)}) if options.metering_token_env else frozenset[str]()
    return IngestSettings(
        tokens,
        APIS[profile],
        options.metering_path_suffix or None,
        options.metering_lenient,
        options.metering_thorough,
        options.metering_remember,
    )


def fault_script(options: Any) -> FaultScript:
    """Return the fault script. Raises OptionsError."""
    if not options.metering_faults:
        return FaultScript()
    try:
        return FaultScript.read(options.metering_faults)
    except InvalidDocument as error:
        raise exceptions.OptionsError(
            f"metering_faults: {'; '.join(str(problem) for problem in error.problems)}"
        ) from None


def capture_limit(options: Any) -> int | None:
    """Return the largest size of the capture in bytes, None when it is not bounded. Raises OptionsError."""
    if not options.metering_capture_limit:
        return None
    try:
        return size_in_bytes(options.metering_capture_limit, LEAST_LIMIT)
    except ValueError as error:
        raise exceptions.OptionsError(f"metering_capture_limit: {error}") from None


def upstream(options: Any) -> Upstream | None:
    """Return the endpoint that requests are passed on to, None when they are answered here. Raises OptionsError."""
    ca = Path(options.metering_relay_ca).expanduser() if options.metering_relay_ca else None
    try:
        return Upstream(options.metering_relay, ca) if options.metering_relay else None
    except UpstreamError as error:
        raise exceptions.OptionsError(f"metering_relay: {error}") from None


def _token(variable: str) -> str:
    token = os.environ.get(variable, "")
    if not token:
        raise exceptions.OptionsError(f"metering_token_env: environment variable {variable} is not set, or empty")
    return token
