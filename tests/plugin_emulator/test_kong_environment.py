"""Kong's environment variables as the emulated gateway understands them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.kong_gateway import arguments
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.gateway.kong_environment import Listener, read_environment
from plugin_emulator.log_line import LOG_LEVELS


def test_without_any_variable_it_listens_where_kong_does() -> None:
    asked = read_environment({})
    assert (asked.proxy, asked.admin) == (Listener("0.0.0.0", 8000), Listener("127.0.0.1", 8001))
    assert (asked.config_file, asked.config_text, asked.notes) == (None, None, ())


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("127.0.0.1:9000", Listener("127.0.0.1", 9000)),
        ("0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport", Listener("0.0.0.0", 8000)),
        ("0.0.0.0:8443 ssl, [::]:8000", Listener("::", 8000)),
        ("localhost:0", Listener("localhost", 0)),
    ],
)
def test_the_first_plain_address_is_listened_on(text: str, listener: Listener) -> None:
    assert read_environment({"KONG_PROXY_LISTEN": text}).proxy == listener


def test_an_address_with_tls_is_left_out_and_noted() -> None:
    asked = read_environment({"KONG_ADMIN_LISTEN": "127.0.0.1:8001, 127.0.0.1:8444 ssl"})
    assert asked.notes == ("KONG_ADMIN_LISTEN: port 8444 is left out, the emulated gateway does not end TLS",)


def test_no_admin_api_is_what_off_means() -> None:
    asked = read_environment({"KONG_ADMIN_LISTEN": "off"})
    assert asked.admin is None
    assert "--no-admin" in arguments(asked, Path("kong.yml"))


@pytest.mark.parametrize("form", ["username", "prefixed-id"])
def test_a_variable_says_how_consumers_are_named(form: str) -> None:
    words = arguments(read_environment({"KONG_METERING_SUBJECT_FORM": form}), Path("kong.yml"))
    assert words[words.index("--subject-form") + 1] == form
    assert read_environment({}).subject_form == "username"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            {"KONG_DATABASE": "postgres"},
            "KONG_DATABASE: the emulated gateway has no database (set KONG_DATABASE=off)",
        ),
        ({"KONG_PROXY_LISTEN": "8000"}, "KONG_PROXY_LISTEN: '8000' is not an address (write ADDRESS:PORT, or off)"),
        ({"KONG_PROXY_LISTEN": "0.0.0.0:70000"}, "KONG_PROXY_LISTEN: '0.0.0.0:70000' is not an address"),
        ({"KONG_PROXY_LISTEN": "off"}, "KONG_PROXY_LISTEN: a gateway without a proxy has nothing to do"),
        ({"KONG_PROXY_LISTEN": "0.0.0.0:8443 ssl"}, "KONG_PROXY_LISTEN: no plain HTTP address"),
        ({"KONG_LOG_LEVEL": "warning"}, "KONG_LOG_LEVEL: 'warning' is not known (did you mean 'warn'?)"),
        (
            {"KONG_METERING_SUBJECT_FORM": "usernames"},
            "KONG_METERING_SUBJECT_FORM: 'usernames' is not known (did you mean 'username'?)",
        ),
        ({"KONG_METERING_GATEWAY": "2.8"}, "KONG_METERING_GATEWAY: '2.8' is not known"),
    ],
)
def test_what_cannot_be_met_is_told_by_the_variables_name(environment: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_environment(environment)
    assert str(caught.value.problems[0]).startswith(told)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_environment({"KONG_DATABASE": "postgres", "KONG_LOG_LEVEL": "loud", "KONG_ADMIN_LISTEN": "x"})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "name", ["KONG_ROLE", "KONG_PLUGINS", "KONG_LUA_PACKAGE_PATH", "KONG_NGINX_WORKER_PROCESSES"]
)
def test_every_variable_without_effect_is_noted_by_name(name: str) -> None:
    asked = read_environment({name: "secret-value", "KONG_LOG_LEVEL": "info", "PATH": "/bin"})
    assert asked.notes == (f"{name} has no effect in the emulated gateway",)


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_the_log_level_is_that_of_the_gateway(level: str) -> None:
    words = arguments(read_environment({"KONG_LOG_LEVEL": level}), Path("kong.yml"))
    assert words[words.index("--log-level") + 1] == level


@settings(max_examples=200, derandomize=True)
@given(
    st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address)),
    st.integers(0, 65535),
    st.lists(st.sampled_from(["reuseport", "backlog=16384", "http2", "deferred"]), max_size=3),
)
def test_every_address_becomes_the_options_that_listen_there(host: str, port: int, flags: list[str]) -> None:
    asked = read_environment({"KONG_PROXY_LISTEN": " ".join([f"{host}:{port}", *flags])})
    words = arguments(asked, Path("kong.yml"))
    assert words[words.index("--host") + 1] == host.strip("[]")
    assert words[words.index("--proxy-port") + 1] == str(port)


@settings(max_examples=200, derandomize=True)
@given(st.text(max_size=40))
def test_any_text_as_an_address_is_understood_or_told(text: str) -> None:
    try:
        asked = read_environment({"KONG_ADMIN_LISTEN": text})
    except InvalidDocument as error:
        assert "KONG_ADMIN_LISTEN" in str(error.problems[0])
    else:
        assert asked.admin is None or 0 <= asked.admin.port <= 65535
