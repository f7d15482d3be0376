"""The access phase of the metering plugins: each has its turn before a request is passed on.

Only a plugin that has such a phase can hold a request up (SPEC AMB-12).
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

from plugin_emulator.exchange import AccessRequest, Request
from plugin_emulator.gateway.forwarding import text_of
from plugin_emulator.gateway.key_auth import UNEXPECTED, Identity
from plugin_emulator.gateway.metering_instances import MeteringInstances
from plugin_emulator.gateway.plugin_conditions import Admission
from plugin_emulator.gateway.proxy_context import ProxyContext
from plugin_emulator.gateway.request_reader import State
from plugin_emulator.gateway.upstream_relay import UpstreamRelay

_ANSWERING = State.ANSWERING


class AccessPhase(UpstreamRelay):
    """Gives the metering plugins a request that is authenticated; then it is passed on, or answered."""

    __slots__ = ("_admission", "_client_ip", "_held", "_identity", "_query")

    def __init__(self, context: ProxyContext) -> None:
        super().__init__(context)
        self._client_ip = ""
        #: what the plugins' conditions say of the request; None where none has one
        self._admission: Admission | None = None
        self._identity: Identity | None = None
        #: whether a plugin's access phase holds the request up
        self._held = False
        self._query: str | None = None

    @abstractmethod
    def _pass_on(self) -> None:
        """Pass the request on to its upstream."""

    def _forward(self) -> None:
        """Let the metering plugins have their turn, then pass the request on."""
        identity = self._identity
        metering = self._chain.metering(identity.consumer_id if identity else None)
        self._state = _ANSWERING
        if self._admission is None and not metering.access:
            self._pass_on()
        else:
            self._run_access_phase(metering)

    def _run_access_phase(self, metering: MeteringInstances, first: int = 0) -> None:
        """Run the metering instances from number ``first`` on, each if its condition holds (SPEC CND-1)."""
        admission = self._admission
        for number in range(first, len(metering.every)):
            instance = metering.every[number]
            if admission is not None and not admission.ask_metering(instance):
                self._answer_error(500, UNEXPECTED)
                return
            if instance not in metering.access:
                continue
            kept_out = admission.kept_out(instance) if admission is not None else None
            if kept_out is not None:
                self._context.metering.keep_out(instance, *kept_out)
                continue
            go_on = partial(self._let_go, self._request_id, metering, number + 1)
            self._held = True
            if not self._context.metering.access(instance, self._access_request(), go_on):
                return
            self._held = False
        self._pass_on()

    def _let_go(self, request_id: str, metering: MeteringInstances, first: int) -> None:
        """Go on with a request that was held up, unless its client has gone."""
        if self._held and self._request_id == request_id:
            self._held = False
            self._run_access_phase(metering, first)

    def _access_request(self) -> AccessRequest:
        plan = self._plan
        assert plan is not None
        chain, identity = plan.chain, self._identity
        request = Request(
            plan.method,
            text_of(plan.path),
            self._headers.logged(identity),
            self._started_at,
            text_of(self._query) if self._query else "",
            plan.host or None,
            self._client_ip or None,
            self._received,
        )
        consumer = identity.consumer if identity else None
        return AccessRequest(request, chain.exchange_route, chain.exchange_service, consumer, self._request_id)
