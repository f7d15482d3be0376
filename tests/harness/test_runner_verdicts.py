"""The runner against a gateway and an ingest endpoint made for the test: what it sees, and the verdict it gives."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.conformance.arrival_form import ArrivalForm
from harness.conformance.observation import Delivery
from harness.conformance.outcome import ScenarioFinished, Verdict
from harness.conformance.pool import DEAD_AFTER, Pool, StartedEndpoint
from harness.conformance.runner import Order, run
from harness.conformance.scenario import Scenario, parse_scenario
from harness.targets.limits import NO_LIMITS
from harness.targets.target import Capability, ConfigurationRefusedError, TargetUnavailableError

TEXT = """\
id: tenant
title: The tenant header names who is billed
rules: [SUB-2, DRP-1]
plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: header, field: x-tenant-id}}}
traffic:
  - {id: acme, path: /anything, query: token=hush, headers: {x-tenant-id: acme, Authorization: Bearer hush}}
  - {id: nobody, path: /anything}
  - {id: globex, path: /anything, headers: {x-tenant-id: globex}}
expect:
  events:
    - {of: acme, subject: acme, time: {between: [request.start, request.end]}, id: {unique: true}}
    - {of: globex, subject: globex, data: {request_uri: /anything}}
  dropped: [nobody]
  deliveries: [{entries: 1}, {entries: 1}]
  within: 0.5
"""

Event = dict[str, Any]


class Endpoint:
    """An ingest endpoint in memory."""

    def __init__(self) -> None:
        self.received: list[Delivery] = []
        self._changed = threading.Condition()

    def open_lane(self, lane: str, token: str, script: Sequence[Mapping[str, Any]], form: ArrivalForm) -> str:
        return f"http://ingest.test/lane/{lane}/events"

    def untrusted_url(self, lane: str) -> str:
        return f"https://ingest.test/lane/{lane}/events"

    def close_lane(self, lane: str) -> None:
        pass

    def take(self, event: Event, **changes: Any) -> None:
        with self._changed:
            known: dict[str, Any] = {
                "number": len(self.received) + 1,
                "at": time.time(),
                "status": 202,
                "shape": "object",
                "content_type": "application/cloudevents+json",
                "body": json.dumps(event),
                "events": [event],
                "accepted": True,
            }
            self.received.append(Delivery(**{**known, **changes}))
            self._changed.notify_all()

    def deliveries(self, lane: str, after: int, wait: float) -> list[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) > after, wait)
            return self.received[after:]


Emit = Callable[[Endpoint, str | None], None]


def event_of(tenant: str, **changes: Any) -> Event:
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "test",
        "type": "kong.api_request",
        "subject": tenant,
        "time": datetime.now(UTC).isoformat(),
        "data": {"request_uri": "/anything"},
    }
    return {**event, **changes}


def well_behaved(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant))


class FakeGateway:
    """A gateway that answers 200 and calls ``emit`` with the tenant of each request."""

    name = "fake"
    version = "3.16"
    clock_tolerance = 0.0
    limits = NO_LIMITS
    capabilities: frozenset[Capability] = frozenset({"proxy"})

    def __init__(self, emit: Emit, genuine: bool = False, status: int = 200) -> None:
        self.genuine = genuine
        self.endpoint = Endpoint()
        self.states: list[Mapping[str, Any]] = []
        self.refusal: str | None = None
        self.gone: str | None = None
        self.says_idle = False
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                emit(gateway.endpoint, self.headers.get("x-tenant-id"))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def apply(self, state: Mapping[str, Any]) -> None:
        if self.gone:
            raise TargetUnavailableError(self.gone)
        if self.refusal:
            raise ConfigurationRefusedError(self.refusal + state["plugins"][0]["config"]["api_token"])
        self.states.append(state)

    def settle(self, seconds: float) -> None:
        pass

    def idle(self) -> bool:
        return self.says_idle

    def simulate(self, schedule: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("not among the capabilities")

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        raise AssertionError("not among the capabilities")


Try = Callable[..., ScenarioFinished]


@pytest.fixture
def attempt() -> Iterator[Try]:
    gateways: list[FakeGateway] = []

    def attempt(emit: Emit = well_behaved, text: str = TEXT, prepare: Any = None, **options: Any) -> ScenarioFinished:
        gateway = FakeGateway(emit, **options)
        gateways.append(gateway)
        if prepare:
            prepare(gateway)
        scenario: Scenario = parse_scenario(text)
        return run(scenario, gateway, gateway.endpoint, Order())

    yield attempt
    for gateway in gateways:
        gateway.stop()


def messages(finished: ScenarioFinished) -> str:
    lines = [failure.message for failure in finished.failures]
    lines += [f"{one.field}: {one.received}" for failure in finished.failures for one in failure.differences]
    return "\n".join(lines)


def test_a_gateway_that_does_right_passes(attempt: Try) -> None:
    finished = attempt()
    assert (finished.verdict, finished.failures) == (Verdict.PASS, [])
    assert len(finished.timeline) == 2


def placeholder(endpoint: Endpoint, tenant: str | None) -> None:
    endpoint.take(event_of(tenant or "unknown"))


def two_for_one(endpoint: Endpoint, tenant: str | None) -> None:
    for _ in range(2 if tenant else 0):
        endpoint.take(event_of(str(tenant)))


def one_id_for_all(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant, id="always-the-same"))


def late_time(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant, time=datetime.fromtimestamp(time.time() + 60, UTC).isoformat()))


def null_field(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant, data={"request_uri": "/anything", "route_name": None}))


def query_in_path(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant, data={"request_uri": "/anything?token=hush"}))


def refused(endpoint: Endpoint, tenant: str | None) -> None:
    if tenant:
        endpoint.take(event_of(tenant), status=403, accepted=False, complaints=[("DLV-1", "the token is wrong")])


def silent(endpoint: Endpoint, tenant: str | None) -> None:
    pass


@pytest.mark.parametrize(
    ("emit", "told"),
    [
        (placeholder, "request 'nobody' must make no event, and made one"),
        (two_for_one, "an event too many\nan event too many"),
        (one_id_for_all, "two different events with id 'always-the-same'"),
        (late_time, "time: "),
        (null_field, "data.route_name is None where it must be absent"),
        (query_in_path, "data.request_uri: '/anything?token=hush'"),
        (refused, "the token is wrong"),
        (silent, "an event is missing"),
    ],
)
def test_a_defect_fails_the_scenario_and_is_named(attempt: Try, emit: Emit, told: str) -> None:
    finished = attempt(emit)
    assert finished.verdict is Verdict.FAIL
    assert told in messages(finished)


def test_a_wrong_answer_to_the_client_fails_the_scenario(attempt: Try) -> None:
    finished = attempt(status=503)
    assert finished.verdict is Verdict.FAIL
    assert "status: 503" in messages(finished)


def test_a_retry_with_other_bytes_is_told(attempt: Try) -> None:
    text = TEXT.replace("deliveries: [{entries: 1}, {entries: 1}]", "deliveries: [{entries: 1}, {repeats: 1}]")
    assert "other bytes" in messages(attempt(text=text))


def test_an_unsettled_rule_is_a_finding_with_a_real_gateway_and_a_failure_with_the_emulator(attempt: Try) -> None:
    text = TEXT.replace("rules: [SUB-2, DRP-1]", "rules: [EVT-4]")
    assert attempt(late_time, text, genuine=True).verdict is Verdict.FINDING
    assert attempt(late_time, text, genuine=False).verdict is Verdict.FAIL


def test_a_settled_rule_fails_with_a_real_gateway(attempt: Try) -> None:
    assert attempt(placeholder, genuine=True).verdict is Verdict.FAIL


def test_a_scenario_of_another_version_or_kind_is_skipped_with_a_reason(attempt: Try) -> None:
    finished = attempt(text=TEXT.replace("rules:", "profiles: [kong-3.14]\nrules:"))
    assert (finished.verdict, finished.reason) == (Verdict.SKIP, "holds for kong-3.14, not kong-3.16")
    virtual = """\
id: virtual
title: One entry in virtual time
rules: [BAT-5]
simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}
expect: {tries: [{t: 0, entries: [e1]}]}
"""
    finished = attempt(text=virtual)
    assert finished.verdict is Verdict.SKIP
    assert "cannot run scenarios of kind simulate" in finished.reason


def test_a_target_that_is_gone_is_an_error_not_a_failure(attempt: Try) -> None:
    finished = attempt(prepare=lambda gateway: setattr(gateway, "gone", "the gateway process ended"))
    assert (finished.verdict, finished.reason) == (Verdict.ERROR, "the gateway process ended")


def test_a_refused_configuration_is_told_without_the_token(attempt: Try) -> None:
    finished = attempt(prepare=lambda gateway: setattr(gateway, "refusal", "no such field: x, token "))
    assert finished.verdict is Verdict.FAIL
    assert finished.failures[0].received == "no such field: x, token ****"


def test_an_expected_refusal_must_name_what_is_wrong(attempt: Try) -> None:
    text = "id: bad\ntitle: A bad field is refused\nrules: [CFG-2]\n"
    text += "plugin: {name: metering-and-billing, config: {x: 1}}\nexpect: {refused: [field, xyz]}\n"
    refuse = {"prepare": lambda gateway: setattr(gateway, "refusal", "no such field: x ")}
    assert messages(attempt(text=text, **refuse)) == "the refusal does not mention xyz"
    assert attempt(text=text.replace("xyz", "x"), **refuse).verdict is Verdict.PASS
    assert "accepted a configuration" in messages(attempt(text=text))


def test_credentials_are_hidden_in_the_request_that_is_shown(attempt: Try) -> None:
    shown = attempt().requests["acme"]
    assert "hush" not in shown
    assert "x-tenant-id: acme" in shown


def test_each_run_gives_the_gateway_its_own_token_and_plugin_ids(attempt: Try) -> None:
    gateways: list[FakeGateway] = []
    for _ in range(2):
        attempt(prepare=gateways.append)
    first, second = (gateway.states[0]["plugins"][0] for gateway in gateways)
    assert first["config"]["api_token"] != second["config"]["api_token"]
    assert len(first["config"]["api_token"]) >= 32
    assert first["id"] != second["id"]
    assert first["config"]["ingest_endpoint"].startswith("http://ingest.test/lane/tenant-")


class DeadGateway(FakeGateway):
    """A gateway that takes a configuration and then is not there."""

    def __init__(self) -> None:
        super().__init__(well_behaved)
        super().stop()

    def stop(self) -> None:
        pass


def test_a_gateway_that_nothing_listens_at_is_an_error_at_once_and_ends_the_run_after_a_few_scenarios() -> None:
    begun = time.monotonic()
    text = TEXT.replace("within: 0.5", "within: 30")
    scenarios = [parse_scenario(text.replace("id: tenant\n", f"id: tenant-{number}\n")) for number in range(20)]
    with Pool(DeadGateway, lambda: StartedEndpoint(Endpoint(), lambda: None), 2, Order()) as pool:
        futures = [*pool.submit_all(scenarios, in_order=True).values()]
        reasons = [str(future.exception() or future.result().reason) for future in futures]
        unavailable = [future for future in futures if isinstance(future.exception(), TargetUnavailableError)]
    assert all("nothing listens at the gateway's proxy http://127.0.0.1:" in reason for reason in reasons)
    assert len(unavailable) == len(scenarios) - (DEAD_AFTER - 1)
    assert time.monotonic() - begun < 20


def test_a_strict_run_makes_a_failure_of_a_finding() -> None:
    def no_path(endpoint: Endpoint, tenant: str | None) -> None:
        if tenant:
            endpoint.take(event_of(tenant, time="yesterday"))

    text = TEXT.replace("rules: [SUB-2, DRP-1]", "rules: [EVT-4]")
    for strict, verdict in ((False, Verdict.FINDING), (True, Verdict.FAIL)):
        gateway = FakeGateway(no_path, genuine=True)
        finished = run(parse_scenario(text), gateway, gateway.endpoint, Order(strict=strict))
        gateway.stop()
        assert finished.verdict is verdict
        assert ("--strict" in finished.reproduce) == strict


def test_what_a_target_cannot_do_is_skipped_with_the_reason(attempt: Try) -> None:
    restart = TEXT.replace("traffic:\n", "traffic:\n  - restart: graceful\n")
    log = TEXT.replace("expect:\n", "expect:\n  log: [{matches: warning}]\n")
    for text, reason in (
        (restart, "cannot be stopped and started again"),
        (log, "log of target fake cannot be read"),
    ):
        finished = attempt(text=text)
        assert finished.verdict is Verdict.SKIP
        assert reason in finished.reason


class LoggingGateway(FakeGateway):
    """A gateway that can be restarted and logs that it was."""

    capabilities: frozenset[Capability] = frozenset({"proxy", "restart", "log"})

    def __init__(self) -> None:
        super().__init__(well_behaved)
        self.restarts: list[str] = []

    def restart(self, how: str) -> None:
        self.restarts.append(how)

    def log_lines(self) -> list[str]:
        return [f"[notice] stopped: {how}" for how in self.restarts]


@pytest.mark.parametrize(("times", "verdict"), [("1", Verdict.PASS), ("{at_least: 2}", Verdict.FAIL)])
def test_a_restart_is_asked_of_the_target_and_log_lines_are_counted(times: str, verdict: Verdict) -> None:
    text = TEXT.replace("expect:\n", f"expect:\n  log: [{{matches: 'STOPPED: fast', times: {times}}}]\n")
    text = text.replace("traffic:\n", "traffic:\n  - restart: fast\n")
    gateway = LoggingGateway()
    finished = run(parse_scenario(text), gateway, gateway.endpoint, Order())
    gateway.stop()
    assert gateway.restarts == ["fast"]
    assert finished.verdict is verdict
    if verdict is Verdict.FAIL:
        assert "log is not as expected" in messages(finished)


def test_the_first_delivery_can_be_held_to_a_time_whatever_follows(attempt: Try) -> None:
    for bound, verdict in (("at_most: 5", Verdict.PASS), ("at_least: 5", Verdict.FAIL)):
        first = f"first_delivery: {{after_request: {{of: acme, {bound}}}}}"
        finished = attempt(text=TEXT.replace("  deliveries: [{entries: 1}, {entries: 1}]", f"  {first}"))
        assert finished.verdict is verdict
        if verdict is Verdict.FAIL:
            assert "the first delivery is not as expected" in messages(finished)


def test_requests_of_a_step_can_be_spread_over_time(attempt: Try) -> None:
    text = TEXT.replace("headers: {x-tenant-id: globex}", "headers: {x-tenant-id: globex}, repeat: 3, every: 0.1")
    text = text.replace("{of: globex, subject: globex,", "{of: globex, times: 3, subject: globex,")
    finished = attempt(text=text.replace("  deliveries: [{entries: 1}, {entries: 1}]\n", ""))
    assert finished.verdict is Verdict.PASS, messages(finished)
    assert finished.seconds >= 0.2


def test_nothing_more_is_waited_for_once_the_gateway_says_that_it_has_no_work_left(attempt: Try) -> None:
    def idle(gateway: FakeGateway) -> None:
        gateway.says_idle = True

    finished = attempt(lambda endpoint, tenant: None, TEXT.replace("within: 0.5", "within: 60"), idle)
    assert finished.verdict is Verdict.FAIL
    assert "an event is missing" in messages(finished)
    assert finished.seconds < 30
