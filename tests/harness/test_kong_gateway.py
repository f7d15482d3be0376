"""The emulated gateway run as Kong's image is: by ``KONG_…`` variables, without a database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from harness.journal.explain import explain

CHECKOUT = Path(__file__).resolve().parents[2]


@contextmanager
def kong(**variables: str) -> Iterator[str]:
    """Run it with these variables; gives the URL of its Admin API."""
    with gateway(**variables) as (_, admin):
        yield admin


@contextmanager
def gateway(**variables: str) -> Iterator[tuple[str, str]]:
    """Run it with these variables; gives the URLs of proxy and Admin API."""
    places = {"KONG_PROXY_LISTEN": "127.0.0.1:0", "KONG_ADMIN_LISTEN": "127.0.0.1:0"}
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **places, **variables}
    command = [sys.executable, "-m", "harness.cli.kong_gateway"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert lines[1].startswith("Admin API "), lines
            yield lines[0].split()[1], lines[1].split()[-1]
        finally:
            process.terminate()


def asked(url: str, method: str = "GET", body: object = None) -> tuple[int, dict[str, object]]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("variables", [{}, {"KONG_DATABASE": "off"}])
def test_entities_are_written_by_the_declarative_configuration_alone(variables: dict[str, str]) -> None:
    """KONG_DATABASE is off, said or not: Kong refuses every other write, and so does this."""
    service = {"name": "example", "url": "http://httpbin.konghq.com"}
    with kong(**variables) as admin:
        status, told = asked(f"{admin}/services", "POST", service)
        assert status == 405
        assert told["message"] == "cannot create 'services' entities when not using a database"
        status, _ = asked(f"{admin}/config", "POST", {"_format_version": "3.0", "services": [service]})
        assert status == 201
        assert asked(f"{admin}/services/example")[1]["host"] == "httpbin.konghq.com"
        for method, body in (("PATCH", {"port": 81}), ("PUT", service), ("DELETE", None)):
            assert asked(f"{admin}/services/example", method, body)[0] == 405


def ended(**variables: str) -> tuple[int, list[str]]:
    """Run it with what it cannot go on with; returns its exit code and the lines it logged."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
    command = [sys.executable, "-m", "harness.cli.kong_gateway"]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=30)
    return done.returncode, done.stderr.splitlines()


def test_a_mistake_in_the_configuration_variable_is_told_by_the_variables_name() -> None:
    code, lines = ended(KONG_DECLARATIVE_CONFIG_STRING='_format_version: "3.0"\nservices:\n- name: s\n')
    assert code == 2
    assert lines == [
        "kong-metering: KONG_DECLARATIVE_CONFIG_STRING:3: /services/0/host: required field is missing "
        "(give a url, or a host)"
    ]


@pytest.mark.parametrize(("level", "told"), [("notice", True), ("warn", False)])
def test_lines_below_the_log_level_are_not_shown(level: str, told: bool) -> None:
    """That a variable has no effect is a line of level notice."""
    wrong = '_format_version: "3.0"\nnope: []\n'
    _, lines = ended(KONG_DECLARATIVE_CONFIG_STRING=wrong, KONG_PLUGINS="bundled,mine", KONG_LOG_LEVEL=level)
    line = "kong-metering gateway: [notice] KONG_PLUGINS has no effect in the emulated gateway"
    assert (line in lines) is told


def test_the_admin_api_tells_the_log_level() -> None:
    with kong(KONG_LOG_LEVEL="crit") as admin:
        assert asked(f"{admin}/debug/node/log-level") == (200, {"message": "log level: crit"})


def test_a_gateway_with_a_journal_can_be_explained(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    config = CHECKOUT / "fixtures" / "mysteries" / "plugin-switched-off.yaml"
    variables = {"KONG_METERING_JOURNAL": str(journal), "KONG_METERING_JOURNAL_LIMIT": "5 MB"}
    variables |= {"KONG_DECLARATIVE_CONFIG": str(config), "KONG_METERING_ECHO_UPSTREAM": "on"}
    with gateway(**variables) as (proxy, _), urlopen(f"{proxy}/orders", timeout=20) as answer:
        request = str(answer.headers["X-Kong-Request-Id"])
    assert explain(journal, request).line.startswith(
        "not billed: the metering-and-billing plugin billing is switched"
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KONG_METERING_JOURNAL_LIMIT": "5MB"}, "there is no journal (set KONG_METERING_JOURNAL)"),
        (
            {"KONG_METERING_JOURNAL": "j", "KONG_METERING_JOURNAL_LIMIT": "much"},
            "'much' is not a size: write e.g. 500MB, 2GB or 64KiB.",
        ),
        (
            {"KONG_METERING_JOURNAL": "j", "KONG_METERING_JOURNAL_LIMIT": "1"},
            "'1' is less than 1,000,000 bytes.",
        ),
    ],
)
def test_a_limit_that_cannot_be_kept_is_told_by_the_variables_name(variables: dict[str, str], said: str) -> None:
    assert ended(**variables) == (2, [f"kong-metering gateway: KONG_METERING_JOURNAL_LIMIT: {said}"])
