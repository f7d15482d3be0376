"""``conformance --target url``: a gateway that somebody else runs, configured by us or by its owner."""

from __future__ import annotations

import copy
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from docker_engine import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import target_options
from harness.cli.conformance import command as conformance_verb
from harness.cli.doctor import command as doctor_verb
from harness.cli.explain import command as explain_verb
from harness.cli.gateway import command as gateway_verb
from harness.targets.echo_upstream import EchoUpstream, with_upstream
from harness.targets.gateway_url import comparable
from harness.targets.process import VerbProcess
from loadtests.ports import lasting_port

SCENARIOS = ["tutorial-meter-by-tenant-header", "cfg-2-unknown-field"]


def conformance(*options: str, cwd: Path, seconds: float = 100, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", "conformance", "--target", "url", *options]
    whole = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environ}
    return subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, timeout=seconds, check=False)


def chosen(*scenarios: str) -> list[str]:
    return [word for scenario in scenarios for word in ("--scenario", scenario)]


@contextmanager
def running_gateway(directory: Path, *options: str) -> Iterator[dict[str, str]]:
    """Run an emulated gateway by itself, empty."""
    config = directory / "kong.yml"
    config.write_text('_format_version: "3.0"\n')
    places = ["--config", str(config), "--proxy-port", "0", "--admin-port", "0", "--json"]
    process = VerbProcess("gateway", [*places, *options])
    ready = process.start()
    try:
        yield {"proxy": str(ready["proxy"]), "admin": str(ready["admin"])}
    finally:
        process.stop()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An emulated gateway without an echo upstream of its own."""
    with running_gateway(tmp_path, "--db-less") as places:
        yield places


def test_scenarios_are_run_against_a_gateway_that_is_configured_through_its_admin_api(
    gateway: dict[str, str], tmp_path: Path
) -> None:
    where = ["--proxy-url", gateway["proxy"], "--admin-url", gateway["admin"]]
    done = conformance(*where, *chosen(*SCENARIOS, "lif-1-killed-gateway"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 pass, 1 skip" in done.stdout
    assert "skipped lif-1-killed-gateway: target url cannot be stopped and started again" in done.stdout


def test_a_run_that_skips_everything_has_proven_nothing_and_says_so(gateway: dict[str, str], tmp_path: Path) -> None:
    where = ["--proxy-url", gateway["proxy"], "--admin-url", gateway["admin"]]
    done = conformance(*where, "--profile", "amberflo-0.2", *chosen("amb-8-post"), "--json", "-", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing was tested: every scenario was skipped, the first because: no setting leads" in done.stderr
    report = json.loads(done.stdout)
    assert (report["ok"], report["totals"]["skip"]) == (False, 1)


def test_what_needs_the_services_port_is_skipped_where_services_must_lead_elsewhere(
    gateway: dict[str, str], tmp_path: Path
) -> None:
    """The emulated gateway has no Upstreams: a Service that leads to the suite's upstream has the upstream's port."""
    where = ["--proxy-url", gateway["proxy"], "--admin-url", gateway["admin"]]
    done = conformance(*where, *chosen("evt-6-fields-and-types", "evt-6-sizes"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 pass, 1 skip" in done.stdout
    assert "skipped evt-6-fields-and-types: the emulated gateway has no Upstreams" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_suite_is_green_against_an_emulated_gateway_that_somebody_runs(tmp_path: Path) -> None:
    """With an upstream of its own Services stay as they are; what is skipped needs a look inside, or a restart."""
    with running_gateway(tmp_path, "--echo-upstream") as places:
        done = conformance(
            "--proxy-url", places["proxy"], "--admin-url", places["admin"], "--json", "-", cwd=tmp_path, seconds=280
        )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    skipped = {one["id"]: one["reason"] for one in report["scenarios"] if one["verdict"] == "skip"}
    allowed = "holds for|cannot run scenarios of kind|cannot be (stopped|made to stand still)|the log of target url"
    assert {name: reason for name, reason in skipped.items() if not re.search(allowed, reason)} == {}
    assert set(report["totals"]) >= {"pass"} and report["totals"]["pass"] == len(report["scenarios"]) - len(skipped)
    assert "evt-6-fields-and-types" not in skipped


def test_a_gateway_of_ones_own_configuring_runs_what_fits_and_skips_the_rest(tmp_path: Path) -> None:
    ingest, upstream, proxy = lasting_port(), lasting_port(), lasting_port()
    where = ["--proxy-url", f"http://127.0.0.1:{proxy}", "--no-admin", "--state", "state.yml"]
    ports = ["--ingest-port", str(ingest), "--upstream-port", str(upstream)]
    options = [*where, *ports, *chosen(*SCENARIOS, "lif-3-change-keeps-queued-events")]
    written = conformance(*options, cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert "state.yml was written. It is the configuration for 1 of these scenarios" in written.stdout
    state_file = tmp_path / "state.yml"
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    state = yaml.safe_load(state_file.read_text())
    (plugin,) = state["plugins"]
    assert plugin["config"]["ingest_endpoint"].startswith(f"http://127.0.0.1:{ingest}/lane/")
    assert state["upstreams"] == [{"name": "httpbin.konghq.com", "targets": [{"target": f"127.0.0.1:{upstream}"}]}]

    del state["upstreams"]  # its owner knows another way, the gateway's own echo
    (tmp_path / "applied.yml").write_text(yaml.safe_dump(state))
    options_of_gateway = ["--config", str(tmp_path / "applied.yml"), "--echo-upstream", "--no-admin", "--json"]
    process = VerbProcess("gateway", [*options_of_gateway, "--proxy-port", str(proxy)])
    process.start()
    try:
        done = conformance(*options, cwd=tmp_path)
    finally:
        process.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 pass, 2 skip" in done.stdout
    assert "needs another configuration than the one the gateway stands with" in done.stdout
    assert "needs several ingest lanes, and the gateway stands with one" in done.stdout
    for text in (done.stdout, done.stderr, (tmp_path / "reports/conformance.json").read_text()):
        assert plugin["config"]["api_token"] not in text

    other = conformance(*where, "--ingest-port", str(lasting_port()), *chosen(*SCENARIOS), cwd=tmp_path)
    assert other.returncode == 2
    assert "/plugins/0/config/ingest_endpoint" in other.stderr and f"--ingest-port {ingest}" in other.stderr


def test_an_admin_api_that_does_not_answer_ends_the_run_with_one_line(tmp_path: Path) -> None:
    where = ["--proxy-url", "http://127.0.0.1:9", "--admin-url", "http://127.0.0.1:9"]
    done = conformance(*where, *chosen(*SCENARIOS), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("kong-metering: the gateway's Admin API at http://127.0.0.1:9 does not answer")


def test_the_ingest_endpoint_is_bound_elsewhere_than_to_loopback_only_when_told(
    gateway: dict[str, str], tmp_path: Path
) -> None:
    """What is advertised stands in the configuration; where it listens is another option."""
    where = ["--proxy-url", gateway["proxy"], "--admin-url", gateway["admin"]]
    elsewhere = ["--ingest-bind", "127.0.0.2", "--ingest-advertise", "127.0.0.2"]
    bound = conformance(*where, *elsewhere, *chosen(SCENARIOS[0]), cwd=tmp_path)
    assert bound.returncode == 0, bound.stdout + bound.stderr
    nowhere = conformance(*where, "--ingest-bind", "203.0.113.1", *chosen(SCENARIOS[0]), cwd=tmp_path)
    assert nowhere.returncode == 2
    told = "kong-metering: --ingest-bind 203.0.113.1: Cannot assign requested address; it must be an address of this"
    assert nowhere.stderr.startswith(told) and "--ingest-advertise" in nowhere.stderr
    assert len(nowhere.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--target url needs --proxy-url"),
        (["--proxy-url", "http://a"], "needs --admin-url URL, or --no-admin and --state FILE"),
        (
            ["--proxy-url", "http://a", "--admin-url", "http://b", "--no-admin", "--state", "x"],
            "needs --admin-url URL",
        ),
        (["--proxy-url", "http://a", "--no-admin"], "--no-admin and --state FILE go together"),
        (["--proxy-url", "ftp://a", "--admin-url", "http://b"], "--proxy-url must be an http or https URL"),
        (
            ["--proxy-url", "http://a", "--admin-url", "http://me:pass-word@b"],
            "--admin-url must not hold credentials",
        ),
        (["--proxy-url", "http://a", "--admin-url", "http://b", "--keep"], "--keep goes with --target docker"),
        (["--proxy-url", "http://a", "--admin-url", "http://b", "--workers", "2"], "--target url is one gateway"),
        (["--self-check"], "--self-check breaks the emulator"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options: list[str], told: str, tmp_path: Path) -> None:
    done = conformance(*options, *chosen(SCENARIOS[0]), cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
    assert "pass-word" not in done.stderr


def test_the_echo_upstream_answers_until_it_is_stopped() -> None:
    upstream = EchoUpstream()
    upstream.start()
    assert json.load(urlopen(f"http://127.0.0.1:{upstream.port}/anything?a=1"))["args"] == {"a": "1"}
    upstream.stop()
    upstream.stop()
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{upstream.port}/", timeout=5)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){1,2}", fullmatch=True)


@settings(max_examples=100, derandomize=True)
@given(NAMES, st.integers(1, 65535), st.sampled_from(["", "/", "/anything", "/a/b"]), st.booleans())
def test_a_service_led_to_the_echo_upstream_keeps_path_host_and_port_where_it_can(
    host: str, port: int, path: str, balanced: bool
) -> None:
    state: dict[str, Any] = {"services": [{"name": "s", "url": f"http://{host}:{port}{path}", "retries": 2}]}
    before = copy.deepcopy(state)
    changed = with_upstream(state, "192.0.2.7", 8089, balanced=balanced)
    assert state == before
    (service,) = changed["services"]
    assert service.get("path", "") == path and service["retries"] == 2 and "url" not in service
    if balanced:
        assert (service["host"], service["port"]) == (host, port)
        assert changed["upstreams"] == [{"name": host, "targets": [{"target": "192.0.2.7:8089"}]}]
    else:
        assert (service["host"], service["port"], service["protocol"]) == ("192.0.2.7", 8089, "http")
    assert comparable(changed) == comparable(state)


def test_an_address_cannot_name_an_upstream_so_the_service_is_changed() -> None:
    changed = with_upstream({"services": [{"name": "s", "url": "https://192.0.2.1"}]}, "::1", 80, balanced=True)
    assert changed == {"services": [{"name": "s", "host": "::1", "port": 80, "protocol": "http"}]}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"id": "another"}, True),
        ({"config": {"ingest_endpoint": "http://elsewhere", "api_token": "other", "api_meter": True}}, True),
        ({"config": {"ingest_endpoint": "http://here", "api_token": "one", "api_meter": False}}, False),
        ({"enabled": False}, False),
    ],
)
def test_configurations_are_the_same_but_for_ids_endpoint_and_token(change: dict[str, Any], same: bool) -> None:
    config = {"ingest_endpoint": "http://here", "api_token": "one", "api_meter": True}
    plugin = {"id": "one", "name": "metering-and-billing", "config": config}
    equal = comparable({"plugins": [plugin]}) == comparable({"plugins": [{**plugin, **change}]})
    assert equal is same


DOCKER_PAGE = (CHECKOUT / "docs" / "docker.md").read_text(encoding="utf-8")


def test_each_option_that_the_page_on_containers_names_exists() -> None:
    known = {
        name
        for verb in (conformance_verb, doctor_verb, gateway_verb, explain_verb)
        for each in verb.params
        for name in each.opts
    }
    prose = re.sub(r"docker (compose|run) [^\n`]*", "", DOCKER_PAGE)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= known


@pytest.mark.parametrize("option", [name for name in target_options._OF_TARGET if name != "plugin"])
def test_the_page_on_containers_names_every_option_of_a_target(option: str) -> None:
    assert f"--{option.replace('_', '-')}" in DOCKER_PAGE
