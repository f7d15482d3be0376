"""Lint rules on the way to the ingest endpoint."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from plugin_emulator.documents import did_you_mean
from plugin_emulator.metering_and_billing.config import is_http_url

from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, rule
from .derivation import KONNECT_REGIONS

_KONNECT_HOST = ".api.konghq.com"
_KONNECT_PATH = "/v3/openmeter/events"
_OPENMETER_PATH = "/api/v3/openmeter/events"
_ENDPOINT = ("config", "ingest_endpoint")


@rule(
    "ingest-over-plain-http",
    Severity.WARNING,
    "Over http:// the token and every billing event can be read, and changed, by anyone on the way.",
    "DLV-1",
    "DLV-3",
)
def over_plain_http(linted: LintedPlugin) -> Iterator[Remark]:
    """``http://`` to a host that is not this machine."""
    url = _endpoint(linted)
    if url is not None and url.scheme == "http" and not _is_loopback(url):
        yield Remark("the token and the events leave the machine unencrypted", "write https://", _ENDPOINT)


@rule(
    "certificate-not-verified",
    Severity.WARNING,
    "Without verification whoever answers in the endpoint's place gets the token and the billing events.",
    "DLV-3",
)
def not_verified(linted: LintedPlugin) -> Iterator[Remark]:
    """``ssl_verify: false``, unless the endpoint is on this machine or speaks no TLS at all."""
    url = _endpoint(linted)
    if linted.flag(True, "ssl_verify") is False and (
        url is None or (url.scheme == "https" and not _is_loopback(url))
    ):
        fix = "leave ssl_verify on; add a CA of your own to the gateway's lua_ssl_trusted_certificate"
        yield Remark("the ingest endpoint's certificate is not verified", fix, ("config", "ssl_verify"))


@rule(
    "konnect-region-unknown",
    Severity.WARNING,
    "Konnect takes events in its regions only; at another host name of its domain nobody does.",
    "CFG-1",
)
def region_unknown(linted: LintedPlugin) -> Iterator[Remark]:
    """A host of ``api.konghq.com`` whose region is none that has an ingest endpoint."""
    url = _endpoint(linted)
    host = _host(url)
    if not f".{host}".endswith(_KONNECT_HOST):
        return
    region = host.removesuffix(_KONNECT_HOST[1:]).rstrip(".")
    if region not in KONNECT_REGIONS:
        near = did_you_mean(region, KONNECT_REGIONS)
        hint = f"did you mean {near!r}?" if near else f"known are {', '.join(KONNECT_REGIONS)}"
        what = f"Konnect has no region {region!r}" if region else "the URL names no region of Konnect"
        yield Remark(what, f"write https://REGION{_KONNECT_HOST}{_KONNECT_PATH}; {hint}", _ENDPOINT)


@rule(
    "ingest-path-does-not-fit",
    Severity.ERROR,
    "Konnect and a self-hosted OpenMeter take events at different paths; at the wrong one every batch is refused.",
    "CFG-1",
    "DLV-1",
)
def path_does_not_fit(linted: LintedPlugin) -> Iterator[Remark]:
    """OpenMeter's path at Konnect's host, or Konnect's path at another one that is not this machine."""
    url = _endpoint(linted)
    if url is None:
        return
    if f".{_host(url)}".endswith(_KONNECT_HOST):
        if url.path != _KONNECT_PATH:
            yield Remark("is not the path at which Konnect takes events", f"write {_KONNECT_PATH}", _ENDPOINT)
    elif url.path == _KONNECT_PATH and not _is_loopback(url):
        # A proxy in front of either may well serve it so.
        message = "is Konnect's path, at a host that is not Konnect's"
        fix = f"a self-hosted OpenMeter takes events at {_OPENMETER_PATH}"
        yield Remark(message, fix, _ENDPOINT, Severity.WARNING)


@rule(
    "konnect-built-in-ingestion",
    Severity.INFO,
    "Konnect can also count requests by itself; with the plugin beside it each request is counted twice.",
    "EVT-8",
    opt_in=True,
)
def built_in_ingestion(linted: LintedPlugin) -> Iterator[Remark]:
    """Events go to Konnect. Whether its own ingestion is on stands in no file, so this is a reminder."""
    if f".{_host(_endpoint(linted))}".endswith(_KONNECT_HOST):
        fix = "in Konnect, see under Metering & Billing that the built-in source is off for this control plane"
        yield Remark("Konnect may meter this control plane by itself as well", fix, _ENDPOINT)


def _endpoint(linted: LintedPlugin) -> SplitResult | None:
    """Return the endpoint's URL; None when it is not known or none."""
    text = linted.text("ingest_endpoint")
    return urlsplit(text) if text is not None and is_http_url(text) else None


def _host(url: SplitResult | None) -> str:
    """Return the host's name in lower case; empty when there is none."""
    return (url.hostname or "").rstrip(".") if url is not None else ""


def _is_loopback(url: SplitResult) -> bool:
    host = _host(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


RULES = (over_plain_http, not_verified, region_unknown, path_does_not_fit, built_in_ingestion)
