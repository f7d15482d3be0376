"""The emulator as a target that is restarted: what its clients are told meanwhile, and what it is configured with."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator

import pytest

from harness.targets.admin_api import AdminApi
from harness.targets.emulator import EmulatorTarget
from harness.targets.target import Stop
from loadtests.ports import lasting_port

#: A literal in it is written as what decK fills in from the environment; nothing of the kind may happen to it.
LITERAL = 'smörgås ${{ env "DECK_NEVER_SET" }}'
STATE = {
    "_format_version": "3.0",
    "services": [{"name": "example", "url": "http://httpbin.konghq.com/anything"}],
    "routes": [{"name": "example", "paths": ["/anything"], "service": {"name": "example"}}],
    "consumers": [{"username": LITERAL, "keyauth_credentials": [{"key": "a-key"}]}],
}


@pytest.fixture
def target() -> Iterator[EmulatorTarget]:
    gateway = EmulatorTarget("kong-3.16", lasting_port())
    gateway.start()
    try:
        gateway.apply(STATE)
        yield gateway
    finally:
        gateway.stop()


def answer(port: int) -> int | None:
    """Return the status of one request, None when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/anything")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("how", ["graceful", "kill"])
def test_a_client_is_never_told_that_there_is_no_route_while_the_gateway_is_restarted(
    target: EmulatorTarget, how: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took to configure one that already listens."""
    at_once = AdminApi.load
    monkeypatch.setattr(AdminApi, "load", lambda *given: (time.sleep(0.3), at_once(*given)))
    port = int(target.proxy_url.rpartition(":")[2])
    told = [answer(port)]

    def ask_until_it_is_back() -> None:
        while None not in told or told[-1] is None:
            told.append(answer(port))

    asking = threading.Thread(target=ask_until_it_is_back)
    asking.start()
    target.restart(how)
    asking.join(60)
    assert set(told) == {200, None}
    assert told[0] == told[-1] == 200


def test_a_restarted_gateway_has_the_configuration_to_the_letter(target: EmulatorTarget) -> None:
    target.restart("fast")
    status, text = target._admin.ask("GET", "/consumers")
    assert status == 200
    assert [consumer["username"] for consumer in json.loads(text)["data"]] == [LITERAL]
