"""What one exchange costs on its way to a serialised event, and on to an HTTP sink."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import uvloop

from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME, load_config
from plugin_emulator.metering_and_billing.pipeline import Pipeline
from plugin_emulator.metering_plugin import Configured, Drop
from plugin_emulator.metering_plugins import metering_runtime
from plugin_emulator.queue import BatchQueue, QueueSettings

from .measure import Comparison, compare, interleaved
from .processes import child

BATCH = 100
APPLICATION = {
    "id": "0b7e2b0a-1111-4c1c-9d3e-111111111111",
    "portal_id": "0b7e2b0a-2222-4c1c-9d3e-222222222222",
    "api_id": "0b7e2b0a-3333-4c1c-9d3e-333333333333",
    "api_package_id": "0b7e2b0a-4444-4c1c-9d3e-444444444444",
    "api_product_version_id": "0b7e2b0a-5555-4c1c-9d3e-555555555555",
}
#: The 22 fields of an api_request event, all of them known.
DATA: dict[str, Any] = {
    "client_ip": "127.0.0.1",
    "control_plane_id": "f2b1c7de-0000-4c1c-9d3e-000000000000",
    "request_host": "localhost",
    "request_method": "GET",
    "request_uri": "/anything",
    "request_size_bytes": 120,
    "request_user_agent": "curl/8.5.0",
    "response_size_bytes": 812,
    "response_http_status": 200,
    "route_id": "eeb325b8-afd4-5ba2-a113-c34eeb969c1d",
    "route_name": "example-route",
    "service_id": "7a267194-6123-5ee0-a1c9-4c1559eb0d95",
    "service_name": "example-service",
    "service_port": 80,
    "service_protocol": "http",
    "subject_type": "consumer_username",
    "upstream_status": 200,
    "application_id": APPLICATION["id"],
    "portal_id": APPLICATION["portal_id"],
    "api_id": APPLICATION["api_id"],
    "api_package_id": APPLICATION["api_package_id"],
    "api_product_version_id": APPLICATION["api_product_version_id"],
}


def exchange() -> Exchange:
    """Return the exchange whose event has all 22 fields."""
    data = {
        "request": {
            "method": "GET",
            "path": "/anything",
            "host": "localhost",
            "client_ip": "127.0.0.1",
            "size_bytes": 120,
            "started_at": time.time(),
            "headers": [
                ("Host", "localhost:8000"),
                ("User-Agent", "curl/8.5.0"),
                ("Accept", "*/*"),
                ("apikey", "alice-key"),
                ("X-Consumer-ID", "b32379d9-3d28-5683-a79c-72139be6e34f"),
                ("X-Consumer-Username", "alice"),
            ],
        },
        "response": {"status": 200, "size_bytes": 812, "ended_at": time.time()},
        "upstream_status": 200,
        "route": {"id": DATA["route_id"], "name": DATA["route_name"]},
        "service": {"id": DATA["service_id"], "name": DATA["service_name"], "port": 80, "protocol": "http"},
        "consumer": {"id": "b32379d9-3d28-5683-a79c-72139be6e34f", "username": "alice"},
        "application": APPLICATION,
        "control_plane_id": DATA["control_plane_id"],
    }
    return msgspec.convert(data, Exchange)


def build(number: int = 20_000, rounds: int = 7) -> list[Comparison]:
    """Compare exchange → serialised event in a batch with building and serialising the same dict by hand."""
    pipeline = Pipeline(load_config({"ingest_endpoint": "http://127.0.0.1/", "api_token": "none"}))
    one = exchange()
    different = [
        msgspec.structs.replace(one, request=msgspec.structs.replace(one.request, path=f"/anything/{n}"))
        for n in range(number)
    ]
    assert pipeline.events(one).events[0]["data"].keys() == DATA.keys()

    def ours(exchanges: Iterable[Exchange]) -> float:
        queue: BatchQueue[bytes] = BatchQueue(QueueSettings(max_batch_size=BATCH), lambda entries, reason: None)
        started = time.process_time()
        for of in exchanges:
            entries = pipeline.entries(of)
            assert not isinstance(entries, Drop)
            for entry in entries:
                if queue.arrive(entry, len(entry), 0.0) is not None:
                    queue.tried(True, 0.0)
        return (time.process_time() - started) / number * 1e6

    def by_hand() -> float:
        started = time.process_time()
        for _ in range(number):
            orjson.dumps(
                {
                    "specversion": "1.0",
                    "id": str(uuid.uuid4()),
                    "source": "kong-gateway",
                    "type": "kong.api_request",
                    "subject": "alice",
                    "time": datetime.now(UTC).isoformat(),
                    "data": {
                        "client_ip": one.request.client_ip,
                        "control_plane_id": one.control_plane_id,
                        "request_host": one.request.host,
                        "request_method": one.request.method,
                        "request_uri": one.request.path,
                        "request_size_bytes": one.request.size_bytes,
                        "request_user_agent": "curl/8.5.0",
                        "response_size_bytes": one.response.size_bytes,
                        "response_http_status": one.response.status,
                        "route_id": DATA["route_id"],
                        "route_name": DATA["route_name"],
                        "service_id": DATA["service_id"],
                        "service_name": DATA["service_name"],
                        "service_port": 80,
                        "service_protocol": "http",
                        "subject_type": "consumer_username",
                        "upstream_status": one.upstream_status,
                        "application_id": APPLICATION["id"],
                        "portal_id": APPLICATION["portal_id"],
                        "api_id": APPLICATION["api_id"],
                        "api_package_id": APPLICATION["api_package_id"],
                        "api_product_version_id": APPLICATION["api_product_version_id"],
                    },
                }
            )
        return (time.process_time() - started) / number * 1e6

    cases = {
        "exchange to event in a batch": lambda: ours(itertools.repeat(one, number)),
        "the same, every request different": lambda: ours(different),
        "the same dict by hand": by_hand,
    }
    figures = interleaved(cases, rounds)
    names = ("exchange to event in a batch", "the same, every request different")
    return [compare(figures, name, "the same dict by hand", 1.5) for name in names]


def deliver(number: int = 10_000, rounds: int = 5) -> list[Comparison]:
    """Compare the whole path to an HTTP sink, batch 100, with two usage-event clients, in CPU per event."""
    with child("loadtests.benchmarks.sink") as sink:
        url = f"http://127.0.0.1:{sink.ready}"
        cases = {
            "exchange to HTTP sink": lambda: _deliver_ours(url, number),
            "segment-analytics-python": lambda: _deliver_segment(url, number),
            "amberflo-metering-python": lambda: _deliver_amberflo(url, number),
        }
        figures = interleaved(cases, rounds)
    return [
        compare(figures, "exchange to HTTP sink", peer, 0.25)
        for peer in ("segment-analytics-python", "amberflo-metering-python")
    ]


def _deliver_ours(url: str, number: int) -> float:
    queue = {"max_batch_size": BATCH, "max_coalescing_delay": 1, "max_entries": 1_000_000}
    config = load_config({"ingest_endpoint": f"{url}/events", "api_token": "none", "queue": queue})
    one = exchange()

    async def main() -> None:
        runtime = metering_runtime()
        runtime.configure({"plugin": Configured(PLUGIN_NAME, config)})
        for count in range(number):
            runtime.log("plugin", one)
            if count % BATCH == 0:
                await asyncio.sleep(0)
        await runtime.idle()
        assert runtime.statistics()["plugin"]["delivered"] == number
        await runtime.stop(graceful=False)

    started = time.process_time()
    uvloop.run(main())
    return (time.process_time() - started) / number * 1e6


def _deliver_segment(url: str, number: int) -> float:
    from segment.analytics.client import Client

    logging.getLogger("segment").setLevel(logging.CRITICAL)
    client = Client(write_key="none", host=url, max_queue_size=number + 1, upload_size=BATCH, gzip=False)
    started = time.process_time()
    for _ in range(number):
        client.track(user_id="alice", event="kong.api_request", properties=dict(DATA))
    client.flush()
    client.join()
    return (time.process_time() - started) / number * 1e6


def _deliver_amberflo(url: str, number: int) -> float:
    from metering.ingest import create_ingest_client, create_ingest_payload
    from metering.session import IngestSession

    IngestSession.root_url = url
    dimensions = {name: str(value) for name, value in DATA.items()}
    client = create_ingest_client(api_key="none", max_queue_size=number + 1, threads=1, batch_size=BATCH)
    started = time.process_time()
    for _ in range(number):
        client.send(create_ingest_payload("kong.api_request", 1, int(time.time() * 1000), "alice", dict(dimensions)))
    client.shutdown()
    return (time.process_time() - started) / number * 1e6
