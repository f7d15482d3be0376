"""Loads through the Amberflo plugin: its configuration, what each request must be billed as, records by number."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness.capture.store import CaptureWriter
from harness.ingest.amberflo.api import AMBERFLO
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest
from harness.plugin_config.config_file import ConfigFile
from harness.plugin_config.lint.linter import lint
from harness.plugin_config.lint.rule import LintContext
from harness.plugin_config.reading import parse_config
from harness.plugin_config.validation import validate
from loadtests.account import account
from loadtests.classification import BEFORE_START
from loadtests.gateway_state import TENANT_HEADER, gateway_state, state_text
from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.live_feed import LiveFeed
from loadtests.load_options import load_plan
from loadtests.numbers import NUMBER_HEADER, NUMBER_PROPERTY, label
from loadtests.plan import PLAN_FILE, LoadPlan
from loadtests.plugins.amberflo import METER, RECORDS
from loadtests.plugins.registry import LOADED_PLUGINS
from loadtests.queue_model import queue_model
from loadtests.queue_watch import QueueWatch
from loadtests.traffic import Traffic
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.metering_plugins import METERING_PLUGINS
from tests.loadtests.test_load_verb import run
from tests.loadtests.test_queue_watch import Target, queue

RUN = "0123abcd"
START = 1_767_225_600.0
PLAN = LoadPlan.from_json({"metering": "amberflo", "paths": ["/a?b=c"], "subjects": 1})


def test_every_metering_plugin_can_be_loaded() -> None:
    assert set(LOADED_PLUGINS) == {plugin.names[0] for plugin in METERING_PLUGINS}
    for name in LOADED_PLUGINS:
        assert queue_model(LoadPlan.from_json({"metering": name})).batch_size == 100


def test_the_plugins_of_every_route_are_valid_and_lint_has_nothing_to_say() -> None:
    """The number of a request is a dimension, the customer the Consumer or the tenant of the header."""
    text = state_text(gateway_state(PLAN, api_token='${{ env "DECK_AUTH_TOKEN" }}'))
    file = parse_config(text, "kong.yml")
    assert [each.problems for each in validate(file, "3.16")] == [(), ()]
    assert lint([ConfigFile("kong.yml", file.format, file.plugins)], LintContext("3.16")) == []
    configs = [plugin["config"] for plugin in gateway_state(PLAN)["plugins"] if plugin["name"] == "amberflo"]
    assert [config["customerHeader"] for config in configs] == ["x-consumer-username", TENANT_HEADER]
    assert all(config["dimensionHeaders"] == {NUMBER_PROPERTY: NUMBER_HEADER} for config in configs)
    assert all(config["batchSize"] == 100 for config in configs)


def test_amb_5_a_request_is_due_whatever_the_upstream_answers_unless_it_was_turned_away() -> None:
    traffic = Traffic.of(PLAN)
    (sent,) = traffic.requests["consumer"]
    expectation = traffic.expectations[sent.expectation]
    due = {status: expectation.due(status) for status in (200, 204, 500, 502, 401, 404, 0)}
    assert due == {200: "events", 204: "events", 500: "events", 502: "events", 401: "none", 404: "none", 0: "unknown"}
    (event,) = expectation.events
    assert (event.type, event.subject) == (METER, "consumer-00000")
    assert dict(event.fields) == {
        "meterValue": 1,
        "dimensions.method": "GET",
        "dimensions.route": "load-consumer",
        "dimensions.service": "load-service",
    }


def test_amb_1_a_request_without_the_customers_header_is_not_to_be_billed() -> None:
    traffic = Traffic.of(PLAN)
    (sent,) = traffic.requests["missing"]
    assert traffic.expectations[sent.expectation].due(200) == "none"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("metering: amberflow", "plan.yaml:1: /metering: expected one of"),
        (
            "metering: amberflo\nqueue: {max_batch_size: 5}",
            "/queue/max_batch_size: is no setting of Amberflo's client",
        ),
        ("metering: amberflo\nqueue: {batchSize: 0}", "/queue/batchSize: "),
        ("metering: amberflo\nweights: {ai: 1}", "/weights/ai: amberflo has nothing to bill by"),
    ],
)
def test_a_plan_that_the_plugin_cannot_fulfil_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        LoadPlan.parse(text, "plan.yaml")
    assert refusal in str(caught.value)


def test_a_plan_written_is_the_plan_read() -> None:
    plan = LoadPlan.from_json({"metering": "amberflo", "queue": {"batchSize": 7, "intervalSeconds": 2}})
    assert LoadPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_options_go_over_the_defaults_of_the_plugin_that_is_loaded() -> None:
    values = {"metering": "amberflo"}
    plan = load_plan(
        None, values, shape=None, mix=None, queue=["batchSize=20", "intervalSeconds=2"], faults={}, restarts=()
    )
    assert (plan.metering, plan.queue) == ("amberflo", {"batchSize": 20, "intervalSeconds": 2})


def test_amb_10_a_queue_that_instances_share_is_not_counted_twice() -> None:
    watch = QueueWatch(Target({"a": queue(1, 5), "b": queue(2, 5)}), shared=True)  # type: ignore[arg-type]
    watch._ask()
    assert (watch.samples[-1].waiting, watch.samples[-1].posts) == (5, 3)


# --------------------------------------------------------------------------------- the account of records


def record(n: int, customer: str = "consumer-00000", **members: Any) -> dict[str, Any]:
    dimensions = {"method": "GET", "route": "load-consumer", "service": "load-service"}
    return {
        "uniqueId": str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))),
        "meterApiName": METER,
        "customerId": customer,
        "meterValue": 1,
        "meterTimeInMillis": int(START * 1000) + n,
        "dimensions": {**dimensions, NUMBER_PROPERTY: label(RUN, 0, n), **members.pop("dimensions", {})},
        **members,
    }


def account_of(directory: Path, statuses: list[int], *bodies: list[dict[str, Any]]) -> Any:
    """Account for requests of one Consumer, answered with ``statuses``, and the records that came in ``bodies``."""
    traffic = Traffic.of(PLAN)
    traffic.expectations.write(directory)
    PLAN.write(directory / PLAN_FILE)
    with LedgerWriter(ledger_path(directory, 0), RUN, 0) as ledger:
        for status in statuses:
            n = ledger.begin(traffic.requests["consumer"][0].expectation, START)
            ledger.end(n, status, START + 0.1)
    capture = directory / "ingest.capture"
    with CaptureWriter(capture) as writer:
        lanes = Lanes(writer, IngestSettings(api=AMBERFLO, lenient=True), FaultScript())
        for body in bodies:
            headers = (("X-API-KEY", "k"), ("Content-Type", "application/json"))
            lanes.receive(
                lanes.arrive("/ingest"), IngestRequest("POST", "/ingest", headers, orjson.dumps(body), connection="c")
            )
    return account(directory, capture)


def test_records_are_accounted_for_by_their_number(tmp_path: Path) -> None:
    """Billed whatever the answer; a missing one, one that comes again, one for another customer, a stranger."""
    found = account_of(
        tmp_path,
        [200, 500, 200, 200, 200, 401],
        [record(0), record(1), record(3, "mallory")],
        [record(4), record(4)],
        [{**record(9), "dimensions": {}}],
    )
    classes = {name: count for name, count in found.classes.items() if count}
    assert classes == {"billed_once": 2, "missing": 1, "wrong": 1, "duplicated_same_id": 1, "rejected_unbilled": 1}
    assert (found.events.due, found.events.billed, len(found.strangers)) == (5, 4, 1)
    assert BEFORE_START not in found.examples or not found.examples[BEFORE_START]


@pytest.mark.parametrize(
    "members",
    [{"meterValue": 2}, {"meterApiName": "other"}, {"dimensions": {"method": "POST"}}, {"dimensions": {"route": ""}}],
)
def test_a_record_with_a_wrong_member_is_wrong(tmp_path: Path, members: dict[str, Any]) -> None:
    found = account_of(tmp_path, [200], [record(0, **members)])
    assert (found.classes["billed_once"], found.right) == (0, False)


def test_amb_2_a_second_record_with_another_id_is_charged_twice(tmp_path: Path) -> None:
    found = account_of(tmp_path, [200], [record(0), record(0, uniqueId=str(uuid.uuid4()))])
    assert (found.classes["duplicated_new_id"], found.events.charged_again) == (1, 1)


def test_the_live_feed_reads_a_records_own_time() -> None:
    assert RECORDS.time(record(250)) == START + 0.25
    assert [RECORDS.time(odd) for odd in ({}, {"meterTimeInMillis": "1"}, {"meterTimeInMillis": True}, 7)] == [
        None
    ] * 4
    assert LiveFeed(time_of=RECORDS.time).page(0)["latencies"] == []


@pytest.mark.slow
def test_amb_9_what_an_outage_loses_is_predicted_and_what_the_upstream_refused_is_billed(tmp_path: Path) -> None:
    """Nobody listens from second 1 to 3.5, longer than five tries last; half of the answers are 500 (AMB-5)."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("{metering: amberflo, rate: 100, duration: 5, weights: {consumer: 1}, paths: [/a, /status/500]}")
    code, report = run(tmp_path / "run", "--plan", str(plan), "--ingest-down", "2.5s@1s:503")
    losses, classes = report["losses"], report["reconciliation"]["classes"]
    assert code == 0 and report["drained"], losses
    assert report["plan"]["metering"] == "amberflo"
    assert report["reconciliation"]["answers"]["500"] > 100
    assert losses["agree"] is True, losses
    assert losses["lost"] > 0 and losses["not_allowed"] == 0
    assert [row["rule"] for row in losses["allowed"]] == ["AMB-9"]
    assert losses["told"] == {"gave_up": losses["lost"]}
    assert classes["unknown_billed"] == classes["unknown_unbilled"] == 0
