"""What a plan's users send, what the gateway is given for it, and what is expected of each request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.plugin_config.reading import parse_config
from harness.plugin_config.validation import validate
from loadtests.gateway_state import gateway_state, main, state_text
from loadtests.numbers import NUMBER_HEADER, NUMBER_PROPERTY
from loadtests.plan import LoadPlan
from loadtests.traffic import Traffic
from plugin_emulator.gateway.state_file import read_state

EVERY_KIND = {"weights": {"consumer": 1, "tenant": 1, "missing": 1, "ai": 1}}
PATHS = ["/a", "/b", "/c?d=e", "/f/g"]
PLANS = st.builds(
    lambda subjects, paths, seed: LoadPlan.from_json(
        {**EVERY_KIND, "subjects": subjects, "paths": paths, "seed": seed}
    ),
    st.integers(1, 12),
    st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique=True),
    st.integers(0, 99),
)


def plugins(state: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return the plugin's configuration by Route."""
    return {plugin["route"]: plugin["config"] for plugin in state["plugins"] if plugin["name"] == name}


def test_the_gateway_takes_the_state(tmp_path: Path) -> None:
    file = tmp_path / "kong.yml"
    file.write_text(state_text(gateway_state(LoadPlan())))
    state = read_state(file, {"DECK_AUTH_TOKEN": "t"})
    assert [route.name for route in state.routes] == ["load-consumer", "load-tenant"]
    assert len(state.consumers) == LoadPlan().subjects
    assert not state.warnings


def test_the_metering_plugins_of_every_route_are_valid_for_the_gateway() -> None:
    text = state_text(gateway_state(LoadPlan.from_json(EVERY_KIND)))
    checked = validate(parse_config(text, "kong.yml"), "3.16")
    assert len(checked) == 3
    assert [each.problems for each in checked] == [(), (), ()]


def test_every_metering_plugin_records_the_number_of_the_request_and_has_the_plans_queue() -> None:
    plan = LoadPlan.from_json({**EVERY_KIND, "queue": {"max_batch_size": 7}})
    number = {"source": "header", "look_up_value_in": NUMBER_HEADER, "event_property_name": NUMBER_PROPERTY}
    for config in plugins(gateway_state(plan), "metering-and-billing").values():
        assert config["attributes"] == [number]
        assert config["queue"] == {"max_batch_size": 7}


def test_without_metering_all_else_is_the_same() -> None:
    metered, unmetered = (gateway_state(LoadPlan(), metered=metered) for metered in (True, False))
    kept = [plugin for plugin in metered["plugins"] if plugin["name"] != "metering-and-billing"]
    assert unmetered == {**metered, "plugins": kept}
    assert plugins(unmetered, "key-auth")


def test_the_state_stays_the_same_so_that_plugins_keep_their_queues() -> None:
    assert gateway_state(LoadPlan()) == gateway_state(LoadPlan())


def test_chat_is_there_only_when_the_plan_sends_to_it() -> None:
    assert "load-ai" not in {route["name"] for route in gateway_state(LoadPlan())["routes"]}
    assert "ai" not in Traffic.of(LoadPlan()).requests
    plan = LoadPlan.from_json({"weights": {"ai": 1}})
    state = gateway_state(plan, upstream="http://upstream:1/")
    (proxy,) = plugins(state, "ai-proxy").values()
    assert proxy["model"]["options"]["upstream_url"] == "http://upstream:1/v1/chat/completions"
    assert proxy["logging"]["log_statistics"] is True
    assert plugins(state, "metering-and-billing")["load-ai"]["meter_ai_token_usage"] is True


def test_a_chat_is_three_events_of_one_subject() -> None:
    """Both meters on: the request itself, its prompt tokens, its completion tokens (EVT-9)."""
    traffic = Traffic.of(LoadPlan.from_json({"weights": {"ai": 1}}))
    for request in traffic.requests["ai"]:
        events = traffic.expectations[request.expectation].events
        kinds = [(event.type, dict(event.fields).get("data.type")) for event in events]
        assert kinds == [
            ("kong.api_request", None),
            ("kong.llm_request", "request"),
            ("kong.llm_request", "response"),
        ]
        assert len({event.subject for event in events}) == 1
        prompt, completion = (dict(event.fields)["data.tokens"] for event in events[1:])
        assert prompt != completion, "or nobody would notice one taken for the other"


@given(PLANS)
def test_every_subject_and_path_is_sent_to(plan: LoadPlan) -> None:
    traffic = Traffic.of(plan)
    for kind in ("consumer", "tenant"):
        requests = traffic.requests[kind]
        billed = {traffic.expectations[request.expectation].events[0].subject for request in requests}
        assert len(billed) == plan.subjects
        assert {request.target.split("/", 2)[2] for request in requests} == {path[1:] for path in plan.paths}


@given(PLANS)
def test_each_request_has_an_expectation_of_its_own(plan: LoadPlan) -> None:
    traffic = Traffic.of(plan)
    used = [request.expectation for requests in traffic.requests.values() for request in requests]
    assert sorted(used) == list(range(len(traffic.expectations)))


@given(PLANS)
def test_who_is_billed_is_whom_the_gateway_finds(plan: LoadPlan) -> None:
    """The key's owner in the state, or the tenant in the header, and nobody without one (SUB-1, SUB-2, DRP-1)."""
    traffic, state = Traffic.of(plan), gateway_state(plan)
    owners = {consumer["keyauth_credentials"][0]["key"]: consumer["username"] for consumer in state["consumers"]}
    assert len(owners) == plan.subjects
    header = plugins(state, "metering-and-billing")["load-tenant"]["subject"]["field"]
    for kind, requests in traffic.requests.items():
        for request in requests:
            sent = dict(request.headers)
            subjects = {event.subject for event in traffic.expectations[request.expectation].events}
            if kind == "missing":
                assert (subjects, sent) == (set(), {})
            else:
                assert subjects == ({sent[header]} if kind == "tenant" else {owners[sent["apikey"]]})


def test_a_request_is_expected_with_the_path_that_it_has() -> None:
    """The path without the query (EVT-7)."""
    traffic = Traffic.of(LoadPlan.from_json({"paths": ["/a?b=c"], "subjects": 1}))
    (request,) = traffic.requests["consumer"]
    (event,) = traffic.expectations[request.expectation].events
    assert request.target == "/consumer/a?b=c"
    assert dict(event.fields)["data.request_uri"] == "/consumer/a"


def test_traffic_differs_by_seed_alone() -> None:
    first, same, other = (Traffic.of(LoadPlan.from_json({"seed": seed})) for seed in (1, 1, 2))
    assert first == same
    assert first.requests != other.requests
    assert first.expectations == other.expectations


def test_the_state_of_a_plan_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("subjects: 3")
    main(["--plan", str(file), "--ingest", "http://ingest:1/events"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert len(printed["consumers"]) == 3
    metering = plugins(printed, "metering-and-billing").values()
    assert {config["ingest_endpoint"] for config in metering} == {"http://ingest:1/events"}


def test_a_plan_that_is_wrong_is_refused_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("subjects: 0")
    with pytest.raises(SystemExit) as caught:
        main(["--plan", str(file)])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"{file}:1: /subjects: expected a value")
