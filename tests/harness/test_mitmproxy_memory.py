"""However long a mitmproxy with the addon runs, it holds ``metering_keep`` flows, in whichever of the three tools."""

from __future__ import annotations

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mitmproxy_as_process import TOKEN, Mitmproxy
from terminal_screen import LINES, Terminal
from test_mitmproxy_addon import event

from harness.capture.store import CaptureReader
from harness.ingest.stand_in import free_port

REQUESTS, KEPT, CLIENTS = 3000, 200, 4

# Tells how many flows the view has, and how many are alive anywhere in the process.
_COUNTER = """\
import gc, json, pathlib
from mitmproxy import command, ctx, http
from mitmproxy.addons.view import View

class Counter:
    @command.command("test.flows")
    def flows(self, file: str) -> None:
        gc.collect()
        view = ctx.master.addons.get("view")
        told = {
            "view": view.store_count() if isinstance(view, View) else None,
            "alive": sum(type(one) is http.HTTPFlow for one in gc.get_objects()),
            "listed": len(ctx.master.commands.call("metering.events")) - 1,
        }
        path = pathlib.Path(file)
        path.with_suffix(".part").write_text(json.dumps(told))
        path.with_suffix(".part").rename(path)

addons = [Counter()]
"""


def send(port: int, first: int) -> None:
    """Send every CLIENTS-th request from ``first`` on, over one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/cloudevents+json"}
    for number in range(first, REQUESTS, CLIENTS):
        client.request("POST", "/v3/openmeter/events", json.dumps(event(f"m-{number}")), headers)
        answer = client.getresponse()
        answer.read()
        assert answer.status == 202
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["mitmdump", "mitmweb"])
def test_thousands_of_requests_leave_as_many_flows_as_are_to_be_kept(tmp_path: Path, tool: str) -> None:
    counter, counted = tmp_path / "counter.py", tmp_path / "counted.json"
    counter.write_text(_COUNTER, encoding="utf-8")
    options = ["--no-web-open-browser", "--web-port", str(free_port("127.0.0.1"))] if tool == "mitmweb" else ["-q"]
    running = Mitmproxy(tmp_path, tool, *options, "-s", str(counter), metering_keep=str(KEPT))
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(lambda first: send(running.port, first), range(CLIENTS)))
        running.command(f"test.flows {counted}")
        told = json.loads(counted.read_text())
    finally:
        running.stop()
    assert told["view"] == (KEPT if tool == "mitmweb" else None)
    assert told["listed"] == KEPT and told["alive"] <= KEPT + CLIENTS
    assert sum(1 for _ in CaptureReader(running.capture).rows()) == REQUESTS


@pytest.mark.slow
def test_thousands_of_requests_leave_as_many_flows_on_mitmproxy_s_screen(tmp_path: Path) -> None:
    counter, counted = tmp_path / "counter.py", tmp_path / "counted.json"
    counter.write_text(_COUNTER, encoding="utf-8")
    port, capture = free_port("127.0.0.1"), tmp_path / "own.capture"
    addon = Path(__file__).parents[2] / "harness" / "mitmproxy_addon" / "metering.py"
    program = str(Path(sys.executable).with_name("mitmproxy"))
    command = [
        program,
        "--mode",
        "reverse:http://127.0.0.1:9",
        "--listen-host",
        "127.0.0.1",
        "--listen-port",
        str(port),
    ]
    settings = [f"confdir={tmp_path}", f"metering_capture={capture}", f"metering_keep={KEPT}"]
    command += [word for one in settings for word in ("--set", one)]
    terminal = Terminal(*command, "-s", str(addon), "-s", str(counter), directory=tmp_path)

    try:
        terminal.wait_until(capture.exists, "the capture")
        terminal.wait_for("[127.0.0.1:")
        terminal.looking = False
        with ThreadPoolExecutor(CLIENTS) as clients:
            sending = [clients.submit(send, port, first) for first in range(CLIENTS)]
            terminal.wait_until(lambda: all(one.done() for one in sending), "the last answer")
            for one in sending:
                one.result()
        terminal.type(f":test.flows {counted}\r")
        terminal.wait_until(counted.exists, "the count")
        told = json.loads(counted.read_text())
    finally:
        terminal.stop()
    assert told["view"] == told["listed"] == KEPT
    assert told["alive"] <= KEPT + CLIENTS + LINES  # those in the rows that were drawn last
    assert sum(1 for _ in CaptureReader(capture).rows()) == REQUESTS
