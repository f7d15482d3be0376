"""What the Amberflo plugin bills, and how its client delivers it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from plugin_emulator.amberflo.config import PLUGIN_NAMES, AmberfloConfig
from plugin_emulator.amberflo.meter_record import RecordMaker
from plugin_emulator.amberflo.retry_schedule import ClientVersion, retry_schedule
from plugin_emulator.amberflo.simulation import ClientSettings, Schedule, trace
from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import AccessRequest, Consumer, Exchange, Request
from plugin_emulator.metering_plugin import Drop, Phase
from plugin_emulator.runtime.simulation import Arrival

from .bill import REQUESTS, Bill, Delivery, Held, Line
from .load import Endpoint, Load

#: Answers by which a gateway says that it asked an upstream in vain, or has none to ask: after the access phase.
_AFTER_ACCESS = frozenset((499, 502, 503, 504))


class AmberfloBiller:
    """Fulfils :class:`.bill.Biller` for one instance of the plugin, whose client is nobody else's."""

    plugin = PLUGIN_NAMES[0]
    phase: Phase = "access"
    entry = "record"

    def __init__(self, config: AmberfloConfig, client: ClientVersion, seed: int | None) -> None:
        self._config = config
        self._client: ClientVersion = client
        self._records = RecordMaker(config, id_source(seed))
        tries = retry_schedule(client, lambda: 1.0).tries
        self.loss_rules: Mapping[str, tuple[str, str]] = {"gave_up": ("AMB-9", f"given up after {tries} tries")}
        self.pace = _pace(config, client)

    def bill(self, exchange: Exchange) -> Bill:
        """Return what a finished request was billed as when it was in its access phase."""
        status = exchange.response.status
        if _turned_away(exchange):
            return Bill(drop=Drop("AMB-5", f"answered with {status} before this plugin's access phase"))
        request = _with_identity(exchange.request, exchange.consumer)
        access = AccessRequest(request, exchange.route, exchange.service, exchange.consumer)
        entry = self._records.entry(access, exchange.request.started_at)
        if isinstance(entry, Drop):
            return Bill(drop=entry)
        record = orjson.loads(entry)
        line = Line(record["customerId"], REQUESTS, record["meterValue"], record["meterApiName"])
        return Bill((line,), (len(entry),))

    def deliver(self, arrivals: list[Arrival], load: Load) -> Delivery:
        """Return what becomes of ``arrivals`` in one client, which waits for an answer for as long as it takes."""
        endpoint = Endpoint(load, timeout=None)
        settings = ClientSettings(self._config.batch_size, self._config.interval)
        schedule = Schedule("amberflo", arrivals, config=settings, client=self._client, seed=load.seed)
        traced = trace(schedule, endpoint.answer)
        return Delivery(
            tuple((each, endpoint.takes_in(each.t)) for each in traced.tries),
            tuple(traced.delivered),
            tuple(traced.lost),
            tuple(Held(each.until - each.t) for each in traced.held_up),
            traced.peak_entries,
            traced.ended_at,
        )


def _turned_away(exchange: Exchange) -> bool:
    """Return whether a plugin that runs earlier, or the lack of a Route, answered the request (SPEC AMB-5).

    An exchange tells it by an empty ``upstream_status``, as Kong logs it of what no upstream was asked for: of an
    answer out of a cache, too. One that does not say counts as turned away when it is an error.
    """
    status, upstream = exchange.response.status, exchange.upstream_status
    if status in _AFTER_ACCESS:
        return False
    return upstream == "" or (upstream is None and 400 <= status < 600)


def _with_identity(request: Request, consumer: Consumer | None) -> Request:
    """Return the request with the headers by which an authentication plugin tells who its Consumer is."""
    if consumer is None:
        return request
    told = {
        "x-consumer-id": consumer.id,
        "x-consumer-custom-id": consumer.custom_id,
        "x-consumer-username": consumer.username,
    }
    headers = [pair for pair in request.headers if pair[0].lower() not in told]
    headers += [(name, value) for name, value in told.items() if value]
    return msgspec.structs.replace(request, headers=headers)


def _pace(config: AmberfloConfig, client: ClientVersion) -> str:
    schedule = retry_schedule(client, lambda: 1.0)
    # The wait after the last try comes too late for anything.
    waits = sum(schedule.wait(number) for number in range(schedule.tries - 1))
    within = f"within {waits:g} s" if client == "2.0.2" else f"within {waits:g} s at most"
    each = f"{config.batch_size:,} a POST or what there is at a tick ({config.interval:g} s)"
    return f"{each}, all at once, {schedule.tries} tries {within}"
