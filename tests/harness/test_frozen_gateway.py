"""A gateway that is frozen stands still for its time and goes on, whatever becomes of who froze it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.request import urlopen

import psutil
import pytest
from docker_engine import CHECKOUT
from interrupted_run import until

from harness.conformance.applicability import skip_reason
from harness.conformance.scenario import parse_scenario
from harness.targets.emulator import EmulatorTarget
from harness.targets.gateway_url import GatewayUrlTarget, UrlWish
from harness.targets.target import TargetUnavailableError
from plugin_emulator.documents import InvalidDocument

TEXT = """\
id: frozen
title: A frozen gateway goes on
rules: [EVT-3]
plugin: {name: metering-and-billing}
traffic: [{path: /anything}, {freeze: FREEZE}]
expect: {count: 1}
"""
STATE = {
    "_format_version": "3.0",
    "services": [{"name": "example", "url": "http://httpbin.konghq.com/anything"}],
    "routes": [{"name": "example", "paths": ["/anything"], "service": {"name": "example"}}],
}


@pytest.fixture
def target() -> Iterator[EmulatorTarget]:
    gateway = EmulatorTarget("kong-3.16")
    gateway.start()
    gateway.apply(STATE)
    yield gateway
    gateway.stop()


def test_requests_to_a_frozen_gateway_are_answered_when_it_goes_on(target: EmulatorTarget) -> None:
    (process,) = (one for one in psutil.Process().children() if "gateway" in one.cmdline())
    freezing = threading.Thread(target=target.freeze, args=(0.6,))
    begun = time.monotonic()
    freezing.start()
    until(lambda: process.status() == psutil.STATUS_STOPPED, 30)
    assert urlopen(f"{target.proxy_url}/anything", timeout=30).status == 200
    assert time.monotonic() - begun >= 0.6
    freezing.join()
    assert process.status() != psutil.STATUS_STOPPED


def test_a_gateway_that_is_gone_cannot_be_frozen_and_the_scenario_is_told_so(target: EmulatorTarget) -> None:
    (process,) = (one for one in psutil.Process().children() if "gateway" in one.cmdline())
    process.kill()
    until(lambda: process.status() == psutil.STATUS_ZOMBIE, 30)
    with pytest.raises(TargetUnavailableError, match="the gateway process ended"):
        target.freeze(60)


_FREEZING = """
import psutil, threading, time
from harness.targets.emulator import EmulatorTarget
target = EmulatorTarget("kong-3.16")
target.start()
(process,) = psutil.Process().children()
threading.Thread(target=target.freeze, args=(1.0,), daemon=True).start()
while process.status() != psutil.STATUS_STOPPED:
    time.sleep(0.01)
print(process.pid, flush=True)
time.sleep(60)
"""


def test_a_gateway_whose_parent_is_killed_while_it_is_frozen_goes_on_and_ends() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    parent = subprocess.Popen([sys.executable, "-c", _FREEZING], env=environment, stdout=-1, text=True)
    assert parent.stdout is not None
    gateway = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    until(lambda: not gateway.is_running() or gateway.status() == psutil.STATUS_ZOMBIE, 30)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_a_freeze_is_a_number_of_seconds(seconds: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_scenario(TEXT.replace("FREEZE", seconds))
    assert "/traffic/1/freeze" in str(caught.value)


def test_a_gateway_that_is_not_ours_to_freeze_skips_what_needs_it() -> None:
    target = GatewayUrlTarget("kong-3.16", UrlWish("http://127.0.0.1:8000", "http://127.0.0.1:8001"))
    scenario = parse_scenario(TEXT.replace("FREEZE", "1"))
    assert skip_reason(scenario, target, "kong-3.16") == "target url cannot be made to stand still"
