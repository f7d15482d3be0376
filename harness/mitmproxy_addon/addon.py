"""The ingest endpoint as an addon of the user's own mitmproxy, mitmweb or mitmdump."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import mitmproxy.types
import msgspec
from mitmproxy import command, contentviews, ctx, exceptions, hooks, http
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.view import View
from mitmproxy.log import ALERT
from mitmproxy.proxy import mode_specs, server_hooks

from harness.capture.redaction import Secrets
from harness.capture.store import CaptureError, CaptureFormatError, CaptureWriter
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Arrival, Lanes
from harness.ingest.messages import IngestRequest, Receipt
from harness.ingest.mitmproxy_host import IngestAddon
from harness.ingest.relay import Relay
from harness.ingest.upstream import Upstream
from harness.mitmproxy_addon import commands, log_filter
from harness.mitmproxy_addon.batch_note import BatchNote, ending, write_note
from harness.mitmproxy_addon.batches import KeptFlows, Tries
from harness.mitmproxy_addon.content_view import EventsView
from harness.mitmproxy_addon.settings import (
    add_options,
    capture_limit,
    fault_script,
    ingest_settings,
    upstream,
)

_logger = logging.getLogger(__name__)
#: Options that make another endpoint of the lane without a name.
_OF_THE_ENDPOINT = frozenset(
    {
        "metering_profile",
        "metering_token_env",
        "metering_path_suffix",
        "metering_lenient",
        "metering_thorough",
        "metering_remember",
        "metering_faults",
    }
)
#: Options that open the capture anew, and with it every lane.
_OF_THE_CAPTURE = frozenset({"metering_capture", "metering_capture_limit", "metering_relay", "metering_relay_ca"})

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def _command(name: str) -> Callable[[Callable[Given, Returned]], Callable[Given, Returned]]:
    """Return mitmproxy's decorator of commands, with the type it has."""
    return cast("Callable[[Callable[Given, Returned]], Callable[Given, Returned]]", command.command(name))


class MeteringAddon:
    """Takes the requests of a reverse proxy, or those for certain hosts, for the ingest endpoint.

    What it takes is answered here, or passed on to one endpoint (``metering_relay``), and goes nowhere else. It is
    captured as by ``kong-metering ingest``; its flow is marked, commented, and shown as a table of events.
    """

    def __init__(self) -> None:
        self._settings = IngestSettings()
        self._script = FaultScript()
        self._view = EventsView(self._settings.api.judge(lenient=False, thorough=False))
        self._kept = KeptFlows(500, self._let_go)
        self._tries = Tries(1000)
        self._capture: CaptureWriter | None = None
        self._lanes: Lanes | None = None
        self._endpoint: IngestAddon | None = None

    def load(self, loader: Loader) -> None:
        """Add the options and the content view."""
        add_options(loader)
        contentviews.add(self._view)
        log_filter.add()

    def configure(self, updated: set[str]) -> None:
        """Take over options and open the capture; a change of the endpoint's begins with a new memory.

        Raises OptionsError.
        """
        if "metering_keep" in updated:
            if ctx.options.metering_keep < 1:
                raise exceptions.OptionsError("metering_keep: must be at least 1")
            self._kept.most = ctx.options.metering_keep
            self._kept.trim()
        if _OF_THE_ENDPOINT & updated:
            self._settings, self._script = ingest_settings(ctx.options), fault_script(ctx.options)
            self._view.judge = self._settings.api.judge(lenient=self._settings.lenient, thorough=False)
            if self._lanes is not None:
                self._lanes.set("", self._settings, self._script)
        if _OF_THE_CAPTURE & updated:
            reached, limit = upstream(ctx.options), capture_limit(ctx.options)
            self._close()
            self._open(reached, limit)

    def running(self) -> None:
        """Keep mitmproxy from connecting before there is a request; leave the Host header, which is evidence."""
        ctx.options.update(connection_strategy="lazy", keep_host_header=True)

    def done(self) -> None:
        """Close the capture."""
        self._close()
        log_filter.remove()
        if self._view in contentviews.views:
            contentviews.remove(self._view)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Take the request when it is for the ingest endpoint; one out of a file of flows has had its answer."""
        if flow.live and self._takes(flow):
            if self._endpoint is None:
                flow.kill()
                return
            self._endpoint.requestheaders(flow)
        self._kept.add(flow)

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer what was taken."""
        if self._endpoint is not None:
            await self._endpoint.request(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Record a request that was taken and never came whole."""
        if self._endpoint is not None:
            self._endpoint.error(flow)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Refuse connections on behalf of what is taken."""
        host = data.server.address[0] if data.server.address else ""
        if isinstance(data.client.proxy_mode, mode_specs.ReverseMode) or self._stands_in_for(host):
            data.server.error = "the ingest endpoint has no upstream"

    @_command("metering.fault")
    def fault(self, step: str, times: int = 1, lane: str = "") -> str:
        """Let the next requests fail: STEP is a status or a step of a fault script, such as drop_answer or
        '{delay: 2}'; TIMES is how many requests.
        """
        return commands.set_fault(self._opened(), step, times, lane)

    @_command("metering.fault.clear")
    def clear_faults(self, lane: str = "") -> str:
        """Let no further request fail, whatever was set."""
        return commands.clear_faults(self._opened(), lane)

    @_command("metering.events")
    def events(self) -> mitmproxy.types.Data:
        """List the events of the batches that are kept, the newest batch first."""
        return commands.list_events(self._kept)

    @_command("metering.explain")
    def explain(self, event_id: str) -> mitmproxy.types.Data:
        """Tell the life of an event, by its id, or of a meter record, by its uniqueId: every try and what became of
        it.
        """
        return commands.explain(self._kept, event_id)

    @_command("metering.export")
    def export(self, path: mitmproxy.types.Path) -> str:
        """Write the captured requests of this session to a new file, one JSON line each, without secrets."""
        return commands.export(self._opened(), Path(path))

    def _opened(self) -> Lanes:
        if self._lanes is None:
            raise exceptions.CommandError("the capture is not open; see the event log")
        return self._lanes

    def _takes(self, flow: http.HTTPFlow) -> bool:
        return isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode) or self._stands_in_for(
            flow.request.pretty_host
        )

    def _stands_in_for(self, host: str) -> bool:
        hosts = ctx.options.metering_hosts or self._settings.api.hosts
        return host.lower().rstrip(".") in {name.lower() for name in hosts}

    def _noted(self, flow: http.HTTPFlow, arrival: Arrival, request: IngestRequest, receipt: Receipt) -> None:
        status = receipt.answer.status if receipt.answer is not None else None
        note = BatchNote(
            arrival.number,
            Secrets.of(request.headers, request.path).hidden_in_text(arrival.lane_name),
            arrival.arrived_at,
            status,
            arrival.fault.label,
            receipt.findings,
            tuple(receipt.verdicts),
        )
        if request.body:
            tries = self._tries.add(note.lane, request.body, note.n, ending(status, note.fault))
            note = msgspec.structs.replace(note, tries=tries)
        write_note(flow, note)
        ctx.master.addons.trigger(hooks.UpdateHook([flow]))

    def _open(self, reached: Upstream | None, limit: int | None) -> None:
        path = Path(ctx.options.metering_capture).expanduser()
        try:
            self._capture = CaptureWriter(path, limit)
            self._lanes = Lanes(self._capture, self._settings, self._script, complain=_logger.error)
        except (CaptureError, CaptureFormatError) as error:
            self._close()
            raise exceptions.OptionsError(f"metering_capture: {error}") from None
        relay = None if reached is None else Relay(self._lanes, reached, _logger.error)
        self._endpoint = IngestAddon(self._lanes, _logger.error, noted=self._noted, relay=relay)
        whose = "answered here" if reached is None else f"passed on to {reached.address}"
        _logger.log(ALERT, "metering: batches are %s and captured in %s", whose, path)

    def _close(self) -> None:
        if self._capture is not None:
            self._capture.close()
        self._capture = self._lanes = self._endpoint = None

    @staticmethod
    def _let_go(flows: Sequence[http.HTTPFlow]) -> None:
        view = ctx.master.addons.get("view")
        if isinstance(view, View):  # mitmdump has none
            view.remove(flows)
